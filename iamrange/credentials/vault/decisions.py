"""What the vault decided about one request: from its audit entry and its answer to layers. Pure.

- OpenBao stops at the first thing that refuses, so a record has that layer alone, and an allow has
  those that were asked. Its audit entry says who asked and what the policies answered; the words of
  a refusal stand in the answer (the entry has them hashed). They are read here and kept nowhere.
- What cannot be told apart is not: a token that has ended and one that never was are both unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.core.decision import Effect, LayerAnswer, Outcome, Statement

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGIN = "vault.login"
AUTHENTICATE = "vault.authenticate"
AUTHORIZE = "vault.authorize"
UNWRAP = "vault.unwrap"

_SERVER_ERROR = 500
_REFUSED = 400
_FORBIDDEN = 403

_LOGIN_WORDS: tuple[tuple[str, str, str], ...] = (
    (r"^permission denied$", "identity", "disabled"),
    (r"invalid subject \(sub\) claim", "bound-claims", "subject-mismatch"),
    (
        r"associated bound claim|claim \"[^\"]*\" (is missing|does not)",
        "bound-claims",
        "claim-mismatch",
    ),
    (r"invalid audience", "audience", "audience-mismatch"),
    (r"expir|not valid yet|not before|\(nbf\)|\(iat\)", "token", "outside-its-life"),
    (r"invalid issuer", "token", "issuer-mismatch"),
    (r"signature", "token", "bad-signature"),
    (r"role \"[^\"]*\" could not be found|missing role", "role", "unknown-role"),
)
"""OpenBao's words at a login with a JWT -> the layer and the reason that they stand for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came: `path` is without `/v1/`, `errors` are the answer's own words."""

    method: str
    path: str
    status: int
    errors: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision record says of a request.

    `operation` is the vault's own word for it; `gave` whose token was made by it, if one was.
    """

    point: str
    outcome: Outcome
    reason: str
    layers: tuple[LayerAnswer, ...]
    principal: str
    operation: str = ""
    gave: str = ""

    def facts(self) -> dict[str, str]:
        """Return what is known beside, by name."""
        known = {"operation": self.operation, "gave": self.gave}
        return {name: value for name, value in known.items() if value}


def decided(asked: Asked, entry: Mapping[str, Any]) -> Decided:
    """Read one decision. `entry` is the audit entry; empty where the vault wrote none."""
    auth = entry.get("auth") or {}
    principal = principal_of(auth)
    if asked.status >= _SERVER_ERROR:
        point, answer = AUTHORIZE, LayerAnswer("vault", Effect.DENY, "upstream-failed")
    elif asked.path.startswith("auth/") and asked.path.rpartition("/")[2] == "login":
        point, answer = LOGIN, _login(asked)
    elif asked.path == "sys/wrapping/unwrap":
        point, answer = UNWRAP, _unwrapped(asked)
    else:
        point, answer = _request(asked, auth)
    outcome = Outcome.DENY if answer.refuses else Outcome.ALLOW
    operation = str((entry.get("request") or {}).get("operation", ""))
    gave = "" if answer.refuses else principal_of((entry.get("response") or {}).get("auth") or {})
    return Decided(point, outcome, answer.reason, (answer,), principal, operation, gave)


def _login(asked: Asked) -> LayerAnswer:
    if asked.status < _REFUSED:
        return LayerAnswer("bound-claims", Effect.ALLOW, "claims-match")
    said = " ".join(asked.errors)
    for words, layer, reason in _LOGIN_WORDS:
        if re.search(words, said):
            return LayerAnswer(layer, Effect.DENY, reason)
    return LayerAnswer("token", Effect.DENY, "refused")


def _unwrapped(asked: Asked) -> LayerAnswer:
    if asked.status < _REFUSED:
        return LayerAnswer("wrapping-token", Effect.ALLOW, "first-use")
    # the vault keeps nothing of a token that was used up: it is as if it had never been
    return LayerAnswer("wrapping-token", Effect.DENY, "used-or-unknown")


def _request(asked: Asked, auth: Mapping[str, Any]) -> tuple[str, LayerAnswer]:
    results = auth.get("policy_results") or {}
    if asked.status != _FORBIDDEN:
        granting = results.get("granting_policies") or [{}]
        name = str(granting[0].get("name", ""))
        by = Statement(name, asked.path) if name else None
        reason = "policy-allows" if asked.status < _REFUSED else f"status-{asked.status}"
        return AUTHORIZE, LayerAnswer("policy", Effect.ALLOW, reason, decided_by=by)
    if results.get("allowed") is False:
        policies = ", ".join(map(str, auth.get("policies") or ()))
        answer = LayerAnswer(
            "policy", Effect.IMPLICIT_DENY, "no-policy-allows", detail=policies[:256]
        )
        return AUTHORIZE, answer
    return AUTHENTICATE, LayerAnswer("token", Effect.DENY, "unknown-token")


def principal_of(auth: Mapping[str, Any]) -> str:
    """Return who a token is, as its subject: a display name is `MOUNT-SUBJECT`."""
    name = str(auth.get("display_name") or "")
    mount, _, subject = name.partition("-")
    return (subject if mount == "jwt" else name)[:256]
