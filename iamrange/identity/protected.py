"""A protected resource's verifier: verify the access token, and bind it to whoever sends it.

- Every layer that can be asked is asked, so that a record tells a single point of failure from
  defence in depth; the first that refuses gives the answer.
- A proof is spent once all else holds, and by this verifier alone: nobody can spend another's.
- What was verified once may be remembered: form, signature, issuer, audience. Time, binding,
  proof, replay, revocation and scope are asked each time.
- A store or key set that is away refuses (503).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from iamrange.core.decision import (
    DecisionRecord,
    Effect,
    LayerAnswer,
    Outcome,
    RecordSink,
    Tamper,
    honest,
)
from iamrange.identity import access_token, dpop
from iamrange.identity.binding import certificate_refusal, key_refusal
from iamrange.identity.challenges import challenges, fault
from iamrange.identity.names import AUTH_ISSUER
from iamrange.identity.presentation import Call, Presented, Scheme, presented
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.verified_tokens import Examined, TokenExaminer
from iamrange.jose import check_time
from iamrange.jose.gate import base64url

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.core.clock import Clock
    from iamrange.identity.access_token import AccessToken
    from iamrange.identity.nonces import NonceSource
    from iamrange.identity.stores.ports import ReplayStore, RevocationReader
    from iamrange.jose import KeySet, Refusal

POINT: Final = "rs.token"
_ANY_LIFETIME: Final = replace(access_token.PROFILE, name="any-lifetime", max_lifetime=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSettings:
    """What a verifier asks. Each `unsafe_...` is the real-world lapse of one control."""

    issuer: str = AUTH_ISSUER
    nonce_required: bool = True
    unsafe_ignores_revocation: bool = False
    unsafe_ignores_audience: bool = False
    unsafe_accepts_bearer: bool = False
    """Takes any token as `Bearer`, bound to a key or to nobody, without a proof."""
    unsafe_ignores_certificate: bool = False
    unsafe_ignores_replay: bool = False
    unsafe_any_lifetime: bool = False
    """Takes tokens of any lifetime, as a verifier does that asks for `exp` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The call may go on, as this token's subject. `headers` go into the answer."""

    token: AccessToken
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The call ends here, with this status, OAuth error and headers."""

    status: int
    error: str
    description: str
    headers: tuple[tuple[str, str], ...] = ()


class TokenVerifier:
    """Verifies and binds the access tokens that are made out to one resource."""

    def __init__(  # noqa: PLR0913 - what a verifier needs, each a port of its own
        self,
        resource: str,
        *,
        keys: Callable[[], KeySet],
        replay: ReplayStore,
        revocation: RevocationReader,
        nonces: NonceSource,
        clock: Clock,
        records: RecordSink,
        tamper: Tamper = honest,
        settings: VerifierSettings | None = None,
        proof_clock: Clock | None = None,
    ) -> None:
        """Take the resource's URI (a token's `aud`), the issuer's keys and the stores.

        `clock` ages tokens. `proof_clock` judges proofs, which are request signatures: real time
        where a world's clock is moved; the same clock if it is not given.
        """
        self._resource = resource
        self._replay = replay
        self._revocation = revocation
        self._nonces = nonces
        self._clock = clock
        self._proof_clock = proof_clock or clock
        self._records = records
        self._tamper = tamper
        self._settings = settings or VerifierSettings()
        audience = None if self._settings.unsafe_ignores_audience else resource
        self._tokens = TokenExaminer(keys, issuer=self._settings.issuer, audience=audience)

    @property
    def resource(self) -> str:
        """Return the resource's URI."""
        return self._resource

    @property
    def nonce_header(self) -> tuple[str, str]:
        """Return the header that hands out the nonce of the moment (RFC 9449 section 9)."""
        return ("DPoP-Nonce", self._nonces.current())

    def verify(self, call: Call) -> Admitted | Denied:
        """Judge one call: admitted with the token's claims, or denied with the answer to give."""
        now = self._clock.now()
        shown = presented(call)
        digest = hashlib.sha256((shown.token or "").encode("utf-8", "surrogatepass")).digest()
        examined = self._tokens.examine(shown.token, digest, now)
        proof = self._proof(call, shown, examined.token, digest)
        layers = (
            _presentation_layer(shown.refusal),
            *examined.layers,
            self._time_layer(examined, now),
            self._binding_layer(call, shown, examined.token, proof),
            _proof_layer(proof),
            self._revocation_layer(examined.token),
            _scope_layer(call, examined.token),
        )
        layers, refusing = self._judged(layers, proof)
        self._records(_record(call, now, self._resource, layers, refusing, examined.token))
        nonce = (self.nonce_header,)
        if refusing is None and examined.token is not None:
            return Admitted(token=examined.token, headers=nonce)
        # a rogue may have let through what nobody can read
        answer = fault(*(("token", "") if refusing is None else (refusing.layer, refusing.reason)))
        told = challenges(self._resource, answer, scheme=shown.scheme, scopes=call.scopes)
        return Denied(
            status=answer.status,
            error=answer.error,
            description=answer.description,
            headers=nonce + told,
        )

    def _judged(
        self, layers: tuple[LayerAnswer, ...], proof: dpop.Proof | dpop.ProofRefusal | None
    ) -> tuple[tuple[LayerAnswer, ...], LayerAnswer | None]:
        """Combine the layers; ask the replay store last, and spend only what is admitted."""
        judged = self._tamper(POINT, layers)
        refusing = _first_refusal(judged)
        if not isinstance(proof, dpop.Proof) or self._settings.unsafe_ignores_replay:
            return judged, refusing
        replayed = self._replay_refusal(proof, spend=refusing is None)
        if replayed is None:
            return judged, refusing
        layers = tuple(replayed if layer.layer == "proof" else layer for layer in layers)
        judged = self._tamper(POINT, layers)
        return judged, _first_refusal(judged)

    def _replay_refusal(self, proof: dpop.Proof, *, spend: bool) -> LayerAnswer | None:
        until = proof.replay_until
        try:
            if spend:
                now = self._proof_clock.now()
                fresh = self._replay.insert(proof.jkt, proof.jti, expires=until, now=now)
            else:
                fresh = not self._replay.seen(proof.jkt, proof.jti, expires=until)
        except StoreDownError as error:
            return _refused("proof", "replay-unavailable", error.store)
        return None if fresh else _refused("proof", "replayed")

    def _time_layer(self, examined: Examined, now: float) -> LayerAnswer:
        if examined.token is None:
            return _unasked("time")
        profile = _ANY_LIFETIME if self._settings.unsafe_any_lifetime else access_token.PROFILE
        late = check_time(examined.token.claims, now, profile)
        return _IN_TIME if late is None else _from_refusal("time", late)

    def _proof(
        self, call: Call, shown: Presented, token: AccessToken | None, digest: bytes
    ) -> dpop.Proof | dpop.ProofRefusal | None:
        """Check the proof of the call; None where no proof is asked for."""
        if token is None:
            return None
        bearer = shown.scheme is not Scheme.DPOP
        if bearer and (token.jkt is None or self._settings.unsafe_accepts_bearer):
            return None
        if len(call.dpop) != 1:
            return dpop.ProofRefusal(code="several-proofs" if call.dpop else "missing-proof")
        return dpop.check_proof(
            call.dpop[0],
            method=call.method,
            url=call.url,
            now=self._proof_clock.now(),
            ath=base64url(digest),
            nonce_ok=self._nonces.accepts if self._settings.nonce_required else None,
        )

    def _binding_layer(
        self,
        call: Call,
        shown: Presented,
        token: AccessToken | None,
        proof: dpop.Proof | dpop.ProofRefusal | None,
    ) -> LayerAnswer:
        """Compare the token's keys with those of the sender."""
        if token is None:
            return _unasked("binding")
        as_dpop = shown.scheme is Scheme.DPOP
        held = proof.jkt if isinstance(proof, dpop.Proof) else None
        if isinstance(proof, dpop.ProofRefusal):
            held = proof.unverified_jkt
        settings = self._settings
        asks_key = as_dpop or not settings.unsafe_accepts_bearer
        refusal = key_refusal(token, as_dpop=as_dpop, held=held) if asks_key else None
        if refusal is None and not settings.unsafe_ignores_certificate:
            refusal = certificate_refusal(token, call.certificate)
        if refusal is not None:
            return _from_refusal("binding", refusal)
        if as_dpop and held is None:
            return _unasked("binding")
        return _BOUND if asks_key or token.x5t_s256 is not None else _NOT_BOUND

    def _revocation_layer(self, token: AccessToken | None) -> LayerAnswer:
        if token is None:
            return _unasked("revocation")
        if self._settings.unsafe_ignores_revocation:
            return _NOT_CHECKED
        try:
            refusal = access_token.ask_revocation(token, self._revocation)
        except StoreDownError as error:
            return _refused("revocation", "revocation-unavailable", error.store)
        return _NOT_REVOKED if refusal is None else _from_refusal("revocation", refusal)


def _refused(layer: str, reason: str, detail: str = "") -> LayerAnswer:
    return LayerAnswer(layer, Effect.DENY, reason, detail=detail)


def _from_refusal(layer: str, refusal: Refusal) -> LayerAnswer:
    return LayerAnswer(layer, Effect.DENY, refusal.code, detail=refusal.detail)


def _unasked(layer: str) -> LayerAnswer:
    """Answer for a layer that has nothing to look at, because of what an earlier one found."""
    return LayerAnswer(layer, Effect.NOT_APPLICABLE, "not-evaluated")


_PRESENTED: Final = LayerAnswer("presentation", Effect.ALLOW, "one-authorization-header")
_IN_TIME: Final = LayerAnswer("time", Effect.ALLOW, "in-time")
_BOUND: Final = LayerAnswer("binding", Effect.ALLOW, "bound-to-the-sender")
_NOT_BOUND: Final = LayerAnswer("binding", Effect.NOT_APPLICABLE, "not-checked")
_PROVED: Final = LayerAnswer("proof", Effect.ALLOW, "proof-of-possession")
_NO_PROOF: Final = LayerAnswer("proof", Effect.NOT_APPLICABLE, "no-proof-needed")
_NOT_REVOKED: Final = LayerAnswer("revocation", Effect.ALLOW, "not-revoked")
_NOT_CHECKED: Final = LayerAnswer("revocation", Effect.NOT_APPLICABLE, "not-checked")
_IN_SCOPE: Final = LayerAnswer("scope", Effect.ALLOW, "scopes-held")
_NO_SCOPE: Final = LayerAnswer("scope", Effect.NOT_APPLICABLE, "no-scope-needed")


def _presentation_layer(refusal: Refusal | None) -> LayerAnswer:
    return _PRESENTED if refusal is None else _from_refusal("presentation", refusal)


def _proof_layer(proof: dpop.Proof | dpop.ProofRefusal | None) -> LayerAnswer:
    if proof is None:
        return _NO_PROOF
    if isinstance(proof, dpop.Proof):
        return _PROVED
    return _refused("proof", proof.code, proof.detail)


def _scope_layer(call: Call, token: AccessToken | None) -> LayerAnswer:
    if not call.scopes:
        return _NO_SCOPE
    if token is None:
        return _unasked("scope")
    lacking = call.scopes - token.scopes
    return _refused("scope", "insufficient-scope", min(lacking)) if lacking else _IN_SCOPE


def _first_refusal(layers: tuple[LayerAnswer, ...]) -> LayerAnswer | None:
    return next((layer for layer in layers if layer.refuses), None)


def _record(  # noqa: PLR0913, PLR0917 - a record is of everything
    call: Call,
    now: float,
    resource: str,
    layers: tuple[LayerAnswer, ...],
    refusing: LayerAnswer | None,
    token: AccessToken | None,
) -> DecisionRecord:
    return DecisionRecord(
        request_id=call.request_id,
        time=now,
        point=POINT,
        action=call.method,
        resource=resource,
        principal=token.subject if token else "",
        outcome=Outcome.ALLOW if refusing is None else Outcome.DENY,
        reason="admitted" if refusing is None else refusing.reason,
        layers=layers,
        source_ip=call.peer,
        user_agent=call.user_agent,
        facts=_facts(token) if token else {},
    )


def _facts(token: AccessToken) -> dict[str, str]:
    """Return what a reader of the record may see of the token: names and ids."""
    facts = {
        "iss": token.issuer,
        "aud": token.audience,
        "client_id": token.client_id,
        "jti": token.jti,
        "scope": " ".join(sorted(token.scopes)),
    }
    return facts | {"act": " ".join(token.actors)} if token.actors else facts
