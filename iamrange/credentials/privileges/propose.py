"""A smaller policy in place of a granted one: what was used, under the conditions as they stand.

- Denials are kept verbatim; an Allow is narrowed to the actions used through it, and to their
  resources. So what a proposal allows, the granted policy allows, whatever the request.
- A resource is written as its exact ARN. More than that only for a declared reason, and only where
  the granted statement covers it all.
- A statement whose resources turn on policy variables keeps them: an exact ARN would allow where
  the variable has another value.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.arn import ARN_FIELDS
from iamrange.clouds.aws.documents import PolicyKind, parse_document
from iamrange.clouds.aws.malformed import MalformedPolicy
from iamrange.credentials.privileges.model import Generalised, Proposal
from iamrange.credentials.privileges.statements import Granting, is_wild, read_policy, spelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.credentials.privileges.estate import Document
    from iamrange.credentials.privileges.model import Use

SECRET_SUFFIX = "the six characters that Secrets Manager ends an ARN with differ when it is remade"  # noqa: S105 - a reason
VARIABLE = "a policy variable says which; an exact name would hold for other values too"
NO_ARN = "the action is about no one resource, or its name cannot be written exactly"

SUFFIX = re.compile(r"(?<=\S)-\?{6}$")
"""How a pattern stands for the end of a secret's ARN, and for nothing else."""

_SECRET = re.compile(
    r"(?P<name>arn:[a-z0-9-]+:secretsmanager:[a-z0-9-]*:[0-9]{12}:secret:[^*?$]+)-[A-Za-z0-9]{6}"
)

Element = tuple[str, tuple[str, ...]]
"""`Resource` or `NotResource`, and its texts."""


def propose(document: Document, principal: str, uses: Iterable[Use]) -> Proposal:
    """Propose what takes the place of one identity policy, from the uses that it allowed.

    Raises:
        MalformedPolicy: the granted document is none that AWS would have stored.
    """
    policy = read_policy(document)
    through: dict[str, list[Use]] = {}
    for use in uses:
        if use.policy == document.name and use.principal == principal:
            through.setdefault(use.statement, []).append(use)
    statements: list[dict[str, Any]] = []
    reasons: dict[Generalised, None] = {}
    needed = False
    for granting in policy.statements:
        if not granting.parsed.allow:
            statements.append(dict(granting.raw))
            continue
        narrowed = _narrowed(granting, through.get(granting.label, ()), reasons)
        needed = needed or bool(narrowed)
        statements += narrowed
    _name_apart(statements)
    kept = needed or any(not granting.parsed.allow for granting in policy.statements)
    body = {
        **({"Version": policy.version} if policy.version is not None else {}),
        **({"Id": policy.raw["Id"]} if "Id" in policy.raw else {}),
        "Statement": statements,
    }
    return Proposal(
        principal=principal,
        policy=document.name,
        document=body if kept else None,
        generalised=tuple(reasons),
        faults=_faults(body) if kept else (),
    )


def _faults(body: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        parse_document(json.dumps(body), PolicyKind.IDENTITY)
    except MalformedPolicy as error:
        return (f"not a policy that AWS would store: {error}",)
    return ()


def _narrowed(
    granting: Granting, uses: Iterable[Use], reasons: dict[Generalised, None]
) -> list[dict[str, Any]]:
    """Return the statements in place of one Allow: actions on the same resources go together."""
    resources: dict[str, dict[Element, None]] = {}
    for use in uses:
        written, reason = _written(granting, use.resource)
        if reason:
            reasons[Generalised(resource=use.resource, written=written[1][0], reason=reason)] = None
        resources.setdefault(spelled(use.action), {})[written] = None
    together: dict[Element, list[str]] = {}
    for action, elements in resources.items():
        exact = tuple(sorted(t for kind, texts in elements if kind == "Resource" for t in texts))
        if exact:
            together.setdefault(("Resource", tuple(dict.fromkeys(exact))), []).append(action)
        for element in elements:
            if element[0] == "NotResource":
                together.setdefault(element, []).append(action)
    return [_statement(granting, actions, element) for element, actions in together.items()]


def _statement(granting: Granting, actions: list[str], element: Element) -> dict[str, Any]:
    raw = granting.raw
    kind, texts = element
    return {
        **({"Sid": raw["Sid"]} if raw.get("Sid") else {}),
        "Effect": "Allow",
        "Action": _one_or_many(sorted(actions)),
        kind: _one_or_many(texts),
        **({"Condition": raw["Condition"]} if raw.get("Condition") else {}),
    }


def _one_or_many(values: Iterable[str]) -> str | list[str]:
    listed = list(values)
    return listed[0] if len(listed) == 1 else listed


def _written(granting: Granting, resource: str) -> tuple[Element, str]:
    """Return how a proposal names a used resource, and the reason if that is not its ARN."""
    parsed = granting.parsed
    whole = tuple(parsed.resources or ())
    if parsed.not_resource:
        exact = None if granting.varies else _exact(granting, resource)
        if exact is None:
            return ("NotResource", whole), VARIABLE if granting.varies else NO_ARN
        return ("Resource", (exact,)), ""
    covering = granting.covering(resource)
    if not covering:
        # Only a text with a variable can have matched; which one, the record does not say.
        return ("Resource", tuple(t for t in whole if granting.is_variable(t))), VARIABLE
    secret = _SECRET.fullmatch(resource)
    if secret is not None:
        pattern = f"{secret['name']}-??????"
        plain = [text for text in covering if "${" not in text]
        if any(text in granting.covering(pattern) for text in plain):
            return ("Resource", (pattern,)), SECRET_SUFFIX
    exact = _exact(granting, resource)
    if exact is None:
        return ("Resource", covering), "" if covering == ("*",) else NO_ARN
    return ("Resource", (exact,)), ""


def _exact(granting: Granting, resource: str) -> str | None:
    """Write a resource so that it stands for itself alone; None where that cannot be written."""
    if not resource.startswith("arn:") or resource.count(":") < ARN_FIELDS - 1:
        return None
    if granting.variables:
        # One pass: an escape of one character must not be escaped by the next.
        resource = re.sub(r"[*?]|\$(?=\{)", lambda found: f"${{{found[0]}}}", resource)
    elif is_wild(resource):
        return None
    return resource


def _name_apart(statements: list[dict[str, Any]]) -> None:
    """Give statements that came from one an own Sid each; a Sid may stand once in a policy."""
    granted = {str(one["Sid"]) for one in statements if one.get("Sid")}
    seen: set[str] = set()
    for statement in statements:
        sid = statement.get("Sid")
        if not sid:
            continue
        name, number = sid, 2
        while name in seen or (name != sid and name in granted):
            name, number = f"{sid}{number}", number + 1
        seen.add(name)
        statement["Sid"] = name
