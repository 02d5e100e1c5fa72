"""To whom a token is bound: the key of a DPoP proof (RFC 9449), a client certificate (RFC 8705).

- A token that is bound to both is worth something only to who holds both (RFC 7800 section 3).
- A proof is spent here, once all else about it holds; whether it may be spent at all, the caller
  says: nobody's jti is spent for a client that did not authenticate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.certificates.svid import thumbprint
from iamrange.identity.dpop import Proof, check_proof
from iamrange.identity.names import TOKEN_ENDPOINT
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from iamrange.identity.nonces import NonceSource
    from iamrange.identity.stores.ports import ReplayStore
    from iamrange.identity.tokens.http import HttpRequest
    from iamrange.identity.tokens.settings import TokenSettings

LAYER: Final = "proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a token is bound to; both members None: to nobody."""

    jkt: str | None = None
    x5t_s256: str | None = None

    def claim(self) -> dict[str, str] | None:
        """Return the `cnf` claim (RFC 7800 section 3.1), or None for a bearer token."""
        members = {"jkt": self.jkt, "x5t#S256": self.x5t_s256}
        return {name: value for name, value in members.items() if value is not None} or None

    def holds(self, other: Confirmation) -> bool:
        """Tell whether whoever proved this one holds all that the other one asks for."""
        same_key = other.jkt is None or other.jkt == self.jkt
        return same_key and other.x5t_s256 in (None, self.x5t_s256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The layer's answer, and to what the token would be bound.

    `confirmation` is what was proved, and where a proof was refused what it claims.
    """

    answer: LayerAnswer
    confirmation: Confirmation = field(default_factory=Confirmation)
    proof: Proof | None = None
    """The proof that holds, and that nobody has asked yet whether it was used before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binder:
    """Judges what a token request proves possession of."""

    replay: ReplayStore
    nonces: NonceSource
    settings: TokenSettings

    def examine(self, request: HttpRequest, now: float) -> Bound:
        """Judge the request's proof and certificate, except whether the proof was used before."""
        certificate = None
        if request.certificates and not self.settings.unsafe_unbound_certificates:
            certificate = thumbprint(request.certificates[0])
        proofs = request.header(b"dpop")
        if not proofs:
            return self._without_proof(Confirmation(x5t_s256=certificate))
        if len(proofs) > 1:
            # RFC 9449 section 4.3, check 1
            return _refused("several-proofs", Confirmation(x5t_s256=certificate))
        checked = check_proof(
            proofs[0],
            method=request.method,
            url=TOKEN_ENDPOINT,
            now=now,
            ath=None,
            nonce_ok=self._nonce_ok,
        )
        if not isinstance(checked, Proof):
            unproved = Confirmation(jkt=checked.unverified_jkt, x5t_s256=certificate)
            return _refused(checked.code, unproved, checked.detail)
        confirmation = Confirmation(jkt=checked.jkt, x5t_s256=certificate)
        both = "dpop-and-certificate" if certificate else "dpop"
        answer = LayerAnswer(LAYER, Effect.ALLOW, both)
        return Bound(answer=answer, confirmation=confirmation, proof=checked)

    def used(self, bound: Bound, now: float, *, spend: bool) -> Bound:
        """Judge whether the proof was used before; spend it if told to."""
        proof, confirmation = bound.proof, bound.confirmation
        if proof is None:
            return bound
        try:
            # keyed by the key and the jti alone: no spelling of htm or htu makes another proof
            fresh = (
                self.replay.insert(proof.jkt, proof.jti, expires=proof.replay_until, now=now)
                if spend
                else not self.replay.seen(proof.jkt, proof.jti, expires=proof.replay_until)
            )
        except StoreDownError as error:
            return _refused("store-down", confirmation, error.store)
        return bound if fresh else _refused("replayed", confirmation)

    def _without_proof(self, confirmation: Confirmation) -> Bound:
        if confirmation.x5t_s256 is not None:
            return Bound(
                answer=LayerAnswer(LAYER, Effect.ALLOW, "certificate"), confirmation=confirmation
            )
        if self.settings.unsafe_issues_bearer:
            return Bound(answer=LayerAnswer(LAYER, Effect.NOT_APPLICABLE, "unsafe-bearer"))
        return _refused("no-sender-constraint", confirmation)

    def _nonce_ok(self, nonce: str | None) -> bool:
        """Accept our nonces; none at all only where none is required.

        A nonce of another server is refused even then: the client retries with ours (section 8).
        """
        if nonce is None:
            return not self.settings.nonce_required
        return self.nonces.accepts(nonce)


def _refused(reason: str, confirmation: Confirmation, detail: str = "") -> Bound:
    answer = LayerAnswer(LAYER, Effect.DENY, reason, detail=detail)
    return Bound(answer=answer, confirmation=confirmation)
