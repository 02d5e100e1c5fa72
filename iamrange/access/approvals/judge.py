"""Does this signature approve this request, now? Pure: the evidence is given.

- Asked twice: when the decision comes in, and again at each presentation, with the directory as
  it is then. Who left, lost the role or rotated the key in between has approved nothing.
- Every layer answers where its evidence can be had; the first that refuses, in the order of
  `LAYERS`, gives the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.access.approvals.model import ApprovalRefusal, Verdict
from iamrange.access.approvals.reasons import Reason
from iamrange.access.approvals.separation import approver_refusal, separation_refusal
from iamrange.access.approvals.settings import MANAGER
from iamrange.access.approvals.signing import PROFILE, signed_by
from iamrange.core.decision import Effect, LayerAnswer, honest
from iamrange.jose.gate import Refusal, UnverifiedToken
from iamrange.jose.verify import check_time

if TYPE_CHECKING:
    from iamrange.access.approvals.model import ApprovalRequest
    from iamrange.core.decision import Tamper
    from iamrange.identity.directory.model import Agent

POINT: Final = "approvals.decide"
LAYERS: Final = ("form", "request", "separation", "approver", "key", "signature", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a judgement rests on. `token` is a signature in good form, or why it is not."""

    request: ApprovalRequest
    token: UnverifiedToken | Refusal
    approver: Agent | None
    requester: Agent
    owners: tuple[str, ...]
    now: float
    approves_own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was found. `refusal` None: the signature counts; the rest is then filled in."""

    refusal: ApprovalRefusal | None
    layers: tuple[LayerAnswer, ...]
    verdict: Verdict | None = None
    jti: str = ""
    expires: float = 0.0
    manager_signed: bool = False
    roles: frozenset[str] = frozenset()


def judge(evidence: Evidence, tamper: Tamper = honest) -> Judged:
    """Return whether the signature counts on this request, and each layer's answer."""
    token = evidence.token
    if isinstance(token, Refusal):
        layers = (
            _deny("form", Reason.SIGNATURE, token.code),
            *(_silent(name) for name in LAYERS[1:]),
        )
    else:
        layers = (
            _allow("form"),
            _request(evidence, token),
            _separation(evidence, token),
            _approver(evidence, token),
            _key(evidence, token),
            _signature(evidence, token),
            _time(evidence, token),
        )
    layers = tamper(POINT, layers)
    refusing = next((layer for layer in layers if layer.refuses), None)
    if refusing is not None or isinstance(token, Refusal):
        reason = refusing.reason if refusing is not None else Reason.SIGNATURE.value
        detail = refusing.detail if refusing is not None else ""
        return Judged(refusal=ApprovalRefusal(reason, detail), layers=layers)
    claims = token.unverified_claims  # verified by now
    roles = frozenset() if evidence.approver is None else evidence.approver.roles
    return Judged(
        refusal=None,
        layers=layers,
        verdict=Verdict(claims["decision"]),
        jti=claims["jti"],
        expires=float(min(claims["exp"], evidence.request.expires)),
        manager_signed=MANAGER in roles or evidence.approves_own,
        roles=roles,
    )


def _request(evidence: Evidence, token: UnverifiedToken) -> LayerAnswer:
    claims, request = token.unverified_claims, evidence.request
    if claims["approval_id"] != request.id:
        return _deny("request", Reason.ANOTHER_REQUEST, "signed for another approval")
    if claims["request_digest"] != request.digest():
        return _deny("request", Reason.ANOTHER_REQUEST, "signed over other fields")
    return _allow("request")


def _separation(evidence: Evidence, token: UnverifiedToken) -> LayerAnswer:
    if evidence.approves_own:
        return _silent("separation")
    if evidence.approver is None:
        return _silent("separation")
    verdict = Verdict(token.unverified_claims["decision"])
    reason = separation_refusal(evidence.approver, evidence.requester, evidence.owners, verdict)
    return _allow("separation") if reason is None else _deny("separation", reason)


def _approver(evidence: Evidence, token: UnverifiedToken) -> LayerAnswer:
    approver = evidence.approver
    if approver is None or approver.id != token.unverified_claims["approver"]:
        return _deny("approver", Reason.APPROVER_UNKNOWN)
    if evidence.approves_own:
        active = approver.usable(evidence.now)
        return _allow("approver") if active else _deny("approver", Reason.NOT_ACTIVE)
    reason = approver_refusal(
        approver,
        evidence.requester,
        evidence.owners,
        roles=evidence.request.roles,
        verdict=Verdict(token.unverified_claims["decision"]),
        now=evidence.now,
    )
    return _allow("approver") if reason is None else _deny("approver", reason)


def _key(evidence: Evidence, token: UnverifiedToken) -> LayerAnswer:
    """Take a current key only.

    The overlap after a rotation is for an agent's processes that have yet to load the new key; a
    person has one key in hand, and rotates it when the old one may be somebody else's.
    """
    if evidence.approver is None:
        return _silent("key")
    if _current_jwk(evidence.approver, token) is None:
        return _deny("key", Reason.KEY, "signed with a key that is not the approver's now")
    return _allow("key")


def _signature(evidence: Evidence, token: UnverifiedToken) -> LayerAnswer:
    if evidence.approver is None:
        return _silent("signature")
    # for every key that is known: a rotated-out key's signature may well be right
    found = signed_by(token, evidence.approver.keys, PROFILE)
    if found is None:
        return _silent("signature")
    if isinstance(found, Refusal):
        return _deny("signature", Reason.SIGNATURE, found.code)
    return _allow("signature")


def _time(evidence: Evidence, token: UnverifiedToken) -> LayerAnswer:
    claims = token.unverified_claims
    if claims["iat"] < evidence.request.created:
        return _deny("time", Reason.TOO_EARLY)
    refusal = check_time(claims, evidence.now, PROFILE)
    if refusal is None:
        return _allow("time")
    reasons = {"expired": Reason.EXPIRED, "not-yet-valid": Reason.NOT_YET_VALID}
    return _deny("time", reasons.get(refusal.code, Reason.SIGNATURE), refusal.code)


def _current_jwk(approver: Agent, token: UnverifiedToken) -> object:
    kid = token.header.get("kid")
    return next((key for key in approver.keys if key.kid == kid and key.not_after is None), None)


def _allow(layer: str) -> LayerAnswer:
    return LayerAnswer(layer, Effect.ALLOW, "ok")


def _silent(layer: str) -> LayerAnswer:
    return LayerAnswer(layer, Effect.NOT_APPLICABLE, "no-evidence")


def _deny(layer: str, reason: Reason, detail: str = "") -> LayerAnswer:
    return LayerAnswer(layer, Effect.DENY, reason.value, detail=detail)
