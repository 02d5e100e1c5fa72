"""For which resource (RFC 8707) and with which scopes (RFC 6749 section 3.3) a token is meant.

- One resource a token: an audience that several services share lets one use the token at another.
- A scope that is not granted is refused; a token never carries silently less than was asked for.
- No name of a cloud is a resource here: clouds trust another issuer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.names import DEFAULT_RESOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.identity.directory.model import Agent
    from iamrange.identity.tokens.form import Form
    from iamrange.identity.tokens.settings import TokenSettings

MAX_SCOPES: Final = 64
SCOPE_NOT_REGISTERED: Final = "scope-not-registered"
_MAX_SCOPE_TEXT: Final = 4096
_MAX_URI: Final = 1024
_SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}\Z")
_CLOUD_NAME: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:)?(?://)?(?:[a-z0-9-]+\.)*"
    r"(?:amazonaws\.com(?:\.cn)?|googleapis\.com)\.?(?:[:/].*)?\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The resource that is asked for; `named` is None when the request left it to us."""

    named: str | None = None
    fault: str | None = None

    @property
    def is_cloud(self) -> bool:
        """Tell whether the name is one that a cloud would recognise as its own."""
        return self.named is not None and is_cloud(self.named)

    def or_default(self, default: str = DEFAULT_RESOURCE) -> str:
        """Return the resource by name."""
        return self.named or default


def is_cloud(name: str) -> bool:
    """Tell whether a name is one of AWS's or Google's, in any of the forms that they accept."""
    return _CLOUD_NAME.match(name) is not None


def target_of(form: Form) -> Target:
    """Return the one resource that the `resource` and `audience` parameters name."""
    resources, audiences = set(form.all("resource")), set(form.all("audience"))
    names = resources | audiences
    if not names:
        return Target()
    if any(len(name) > _MAX_URI for name in names):
        return Target(fault="malformed-resource")
    named = min(names)
    if len(names) > 1:
        return Target(named=named, fault="several-resources")
    if resources and not _is_resource_uri(named) and not is_cloud(named):
        return Target(named=named, fault="malformed-resource")
    return Target(named=named)


def resource_answer(
    target: Target,
    resource: str,
    agent: Agent | None,
    resources: Mapping[str, frozenset[str] | None],
    settings: TokenSettings,
) -> LayerAnswer:
    """Return whether the agent may have a token for the resource that the target comes to."""
    if target.is_cloud and target.fault is None and settings.unsafe_cloud_resources:
        return LayerAnswer("resource", Effect.ALLOW, "unsafe-cloud-resource")
    reason = target.fault or _target_refusal(resource, agent, resources)
    if reason is None:
        return LayerAnswer("resource", Effect.ALLOW, "registered-resource")
    if settings.unsafe_any_audience and not is_cloud(resource):
        return LayerAnswer("resource", Effect.ALLOW, "unsafe-any-audience", detail=reason)
    return LayerAnswer("resource", Effect.DENY, reason)


def _target_refusal(
    name: str, agent: Agent | None, resources: Mapping[str, frozenset[str] | None]
) -> str | None:
    if name not in resources:
        return "cloud-resource" if is_cloud(name) else "unknown-resource"
    if agent is not None and agent.resources is not None and name not in agent.resources:
        return "resource-not-registered"
    return None


def _is_resource_uri(name: str) -> bool:
    """Tell whether it is an absolute URI without a fragment (RFC 8707 section 2)."""
    try:
        parts = urlsplit(name)
    except ValueError:
        return False
    return bool(parts.scheme) and "#" not in name and name.isascii() and name.isprintable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes:
    """The scopes that are asked for; None: all that may be had."""

    asked: frozenset[str] | None = None
    fault: str | None = None


def scopes_of(form: Form) -> Scopes:
    """Read the `scope` parameter: tokens of its alphabet, one space between them."""
    text = form.one("scope")
    if text is None:
        return Scopes()
    tokens = text.split(" ", MAX_SCOPES)
    if len(text) > _MAX_SCOPE_TEXT or len(tokens) > MAX_SCOPES:
        return Scopes(asked=frozenset(), fault="too-many-scopes")
    if not all(_SCOPE_TOKEN.match(token) for token in tokens):
        return Scopes(asked=frozenset(), fault="malformed-scope")
    return Scopes(asked=frozenset(tokens))


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The layer's answer, and the scopes that a token would carry."""

    answer: LayerAnswer
    scopes: frozenset[str] = frozenset()


def scope_answer(
    scopes: Scopes, bounds: Sequence[tuple[str, frozenset[str]]], settings: TokenSettings
) -> Granted:
    """Return whether every scope asked for is within every bound.

    `bounds` are sets of scopes, each with the reason code of its refusal, in the order in which
    they are told; the scopes granted when none was asked for are those in all of them.
    """
    if scopes.fault is not None:
        return Granted(answer=LayerAnswer("scope", Effect.DENY, scopes.fault))
    if scopes.asked is None:
        everything = frozenset.intersection(*(bound for _, bound in bounds))
        effect = Effect.ALLOW if everything else Effect.DENY
        reason = "all-registered-scopes" if everything else "no-scope-left"
        return Granted(answer=LayerAnswer("scope", effect, reason), scopes=everything)
    if settings.unsafe_any_scope:
        answer = LayerAnswer("scope", Effect.ALLOW, "unsafe-any-scope")
        return Granted(answer=answer, scopes=scopes.asked)
    for reason, bound in bounds:
        beyond = sorted(scopes.asked - bound)
        if beyond:
            answer = LayerAnswer("scope", Effect.DENY, reason, detail=", ".join(beyond)[:256])
            return Granted(answer=answer, scopes=scopes.asked)
    answer = LayerAnswer("scope", Effect.ALLOW, "registered-scopes")
    return Granted(answer=answer, scopes=scopes.asked)
