"""What a refused caller is told: status, error, challenges, and where to go from here.

- RFC 6750 section 3.1, RFC 9449 section 7.1, RFC 9110 (405, 421), RFC 6585 section 4 (429).
- Descriptions are constants: nothing of the request is in an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.access.canonical import Target
from iamrange.access.gateway_layers import APPROVAL_REQUIRED, UNKNOWN_SERVICE
from iamrange.access.routes import Matched, RouteRefusal
from iamrange.identity.challenges import UNAVAILABLE, Fault, challenges
from iamrange.identity.presentation import Scheme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.access.evidence import Evidence
    from iamrange.core.decision import LayerAnswer

_RELATION: Final = "help"
_INVALID_REQUEST: Final = "invalid_request"
_RETRY: Final = ("Retry-After", "1")
_CANONICAL: Final = Fault(400, _INVALID_REQUEST, "the request has no one meaning")
_TOO_LONG: Final = Fault(414, _INVALID_REQUEST, "the request target is too long")
_NO_ROUTE: Final = Fault(404, "not_found", "there is nothing here")
_NO_METHOD: Final = Fault(405, "method_not_allowed", "that is not done here")
_NO_SERVICE: Final = Fault(421, _INVALID_REQUEST, "no service of that name is here")
_TOO_MANY: Final = Fault(429, "too_many_requests", "too many calls; wait")
_INACTIVE: Final = Fault(401, "invalid_token", "an agent of the token is not active")
_SCOPE: Final = Fault(403, "insufficient_scope", "the access token lacks a scope")
_POLICY: Final = Fault(403, "access_denied", "the policy does not allow it")
_APPROVAL: Final = Fault(403, "approval_required", "a human's approval of this very call is needed")
_BAD_APPROVAL: Final = Fault(403, "access_denied", "the approval does not hold for this call")
_BROKEN: Final = frozenset({"policy-error", "policy-input", "undecided"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a refused call."""

    status: int
    error: str
    description: str
    headers: tuple[tuple[str, str], ...] = ()


def answer_to(refusing: LayerAnswer, evidence: Evidence) -> Answer:
    """Return what a call is told that this layer refuses."""
    token = evidence.token
    denied = token.denied if token else None
    if denied is not None and refusing.layer in ("token", "scope"):
        away = denied.status == UNAVAILABLE.status
        return Answer(
            status=denied.status,
            error=denied.error,
            description=denied.description,
            headers=(*denied.headers, *((_RETRY,) if away else ())),
        )
    fault = _fault(refusing)
    headers = (*(_nonce(evidence)), *_more(refusing, fault, evidence))
    return Answer(
        status=fault.status, error=fault.error, description=fault.description, headers=headers
    )


def _fault(refusing: LayerAnswer) -> Fault:
    reason = refusing.reason
    if reason.endswith("-unavailable") or reason in _BROKEN:
        return UNAVAILABLE
    if refusing.layer == "canonical":
        return _TOO_LONG if reason.endswith("-too-long") else _CANONICAL
    if refusing.layer == "route":
        return _BY_ROUTE.get(reason, _NO_ROUTE)
    if refusing.layer == "approval":
        return _APPROVAL if reason == APPROVAL_REQUIRED else _BAD_APPROVAL
    return _BY_LAYER[refusing.layer]


_BY_ROUTE: Final[Mapping[str, Fault]] = {
    "method-not-allowed": _NO_METHOD,
    UNKNOWN_SERVICE: _NO_SERVICE,
}
_BY_LAYER: Final[Mapping[str, Fault]] = {
    "pre-limit": _TOO_MANY,
    "token": Fault(401, "invalid_token", "the access token does not hold"),
    "agent": _INACTIVE,
    "scope": _SCOPE,
    "policy": _POLICY,
    "limit": _TOO_MANY,
}


def _nonce(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    headers = evidence.token.headers if evidence.token else ()
    return tuple(header for header in headers if header[0] == "DPoP-Nonce")


def _more(refusing: LayerAnswer, fault: Fault, evidence: Evidence) -> tuple[tuple[str, str], ...]:
    if fault is UNAVAILABLE:
        return (_RETRY,)
    if fault is _TOO_MANY:
        count = evidence.before if refusing.layer == "pre-limit" else evidence.after
        return (("Retry-After", str(count.wait if count else 1)),)
    if fault is _NO_METHOD and isinstance(evidence.route, RouteRefusal):
        # RFC 9110 section 15.5.6: whoever says 405 says what is allowed
        return (("Allow", ", ".join(evidence.route.methods)),)
    if fault.status in (401, 403):
        told = _challenges(fault, evidence)
        if refusing.layer == "approval":
            endpoint = evidence.settings.approvals_endpoint
            return (*told, ("Link", f'<{endpoint}>; rel="{_RELATION}"'))
        return told
    return ()


def _challenges(fault: Fault, evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """Return the challenges that RFC 6750 section 3 asks for.

    A refusal by policy has no error of its own there: none is named, since another token with
    more scopes would not help.
    """
    if not isinstance(evidence.target, Target):
        return ()
    token = evidence.token.token if evidence.token else None
    bound = token is not None and token.jkt is not None
    route = evidence.route.route if isinstance(evidence.route, Matched) else None
    known = fault.error in ("invalid_token", "insufficient_scope")
    return challenges(
        f"https://{evidence.target.host}",
        fault if known else Fault(fault.status, "", ""),
        scheme=Scheme.DPOP if bound else Scheme.BEARER,
        scopes=(route.scope,) if route else (),
    )
