"""When something was last used, from the central audit log's events. Pure.

- Only what was allowed is a use. What the inventory itself reads is none: it is known by its user
  agent together with its principal, so that nobody else hides behind that name.
- A log says nothing of the time before it began.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.event_members import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

USER_AGENT: Final = "iamrange-inventory"
_ALLOWED: Final = 1
_DECISION: Final = 6003
"""OCSF's API Activity: the log has events of other classes too."""
_GRAIN: Final = 1.0
"""Clouds tell moments of creation by whole seconds."""
_READS: Final = frozenset(
    {
        "secretsmanager:GetSecretValue",
        "secretsmanager:BatchGetSecretValue",
        "secretmanager.versions.access",
        "vault:GET",
    }
)
_GOOGLE_AUTHENTICATES: Final = "gcp.authenticate"
_BY_SESSION: Final = "access-token"
_GOOGLE_KEY_GRANT: Final = "gcp.service-account-key"
_PROOFS: Final = frozenset({"as.token", "idp.assertion", "broker.aws-session"})
"""Where an agent proves itself with its directory key."""


@dataclass(slots=True)
class Uses:
    """Last uses: of secrets by their name, of accounts by their own keys, of agents by proof."""

    began: float | None = None
    of_secret: dict[str, float] = field(default_factory=dict)
    of_principal: dict[str, float] = field(default_factory=dict)
    by_key: dict[str, float] = field(default_factory=dict)
    by_proof: dict[str, float] = field(default_factory=dict)

    def unknown_before(self, created: float | None) -> str | None:
        """Return why the log cannot say that something was never used; None if it can."""
        if self.began is None:
            return "there is no audit log"
        if created is not None and created + _GRAIN < self.began:
            return "the audit log begins later"
        return None


def uses_in(events: Iterable[Mapping[str, Any]], own: Iterable[str] = ()) -> Uses:
    """Read the events, in any order. `own` are the principals that the inventory reads as.

    An event that is not of the log's form is passed over: `audit verify` is who names it.
    """
    uses, own = Uses(), frozenset(own)
    for event in events:
        time = event.get("time")
        if not isinstance(time, int):
            continue
        moment = time / 1000
        uses.began = moment if uses.began is None else min(uses.began, moment)
        if event.get("class_uid") != _DECISION or event.get("action_id") != _ALLOWED:
            continue
        who = text_of(event, "actor", "user", "uid")
        if who in own and USER_AGENT in text_of(event, "http_request", "user_agent"):
            continue
        _note(uses, event, who, moment)
    return uses


def _note(uses: Uses, event: Mapping[str, Any], who: str, moment: float) -> None:
    point = text_of(event, "api", "service", "name")
    _latest(uses.of_principal, who, moment)
    if text_of(event, "api", "operation") in _READS:
        for resource in event.get("resources") or ():
            name = str(resource.get("uid", "")) if isinstance(resource, dict) else ""
            _latest(uses.of_secret, name.partition("/versions/")[0], moment)
    layers = (event.get("unmapped") or {}).get("layers") or {}
    account = who.removeprefix("serviceAccount:")
    if point == _GOOGLE_KEY_GRANT or (
        point == _GOOGLE_AUTHENTICATES and account != who and _BY_SESSION not in layers
    ):
        _latest(uses.by_key, account, moment)
    if point in _PROOFS:
        _latest(uses.by_proof, who, moment)


def _latest(moments: dict[str, float], name: str, moment: float) -> None:
    if name:
        moments[name] = max(moment, moments.get(name, moment))
