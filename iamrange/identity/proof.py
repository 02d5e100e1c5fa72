"""An agent's proof of possession: a short JWT by its own key, for one endpoint, used once.

- A proof is a request signature: it is judged in real time, whatever the world's clock says.
- A proof's jti is spent only once its signature holds, so that nobody can spend another's.
- The store of spent jtis refuses when it is full: it fails closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.names import PROOF_LIFE, PROOF_TYPE
from iamrange.identity.registry import Agent, AgentState, Registry
from iamrange.jose import (
    Refusal,
    UnverifiedToken,
    check_time,
    parse,
    peek,
    strict,
    verify_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.clock import Clock

_BASE = strict(PROOF_TYPE)
PROOF = replace(
    _BASE,
    name="agent-proof",
    max_length=4096,
    required_claims=_BASE.required_claims | {"jti"},
    max_lifetime=PROOF_LIFE,
)
_JTI_LENGTHS = range(16, 129)


class SpentProofs:
    """The jtis that were used and whose proofs have not expired yet."""

    def __init__(self, *, capacity: int = 100_000) -> None:
        """Bound the memory; beyond the bound every proof is refused until some expire."""
        self._capacity = capacity
        self._expiries: dict[tuple[str, str], float] = {}

    def spend(self, subject: str, jti: str, *, expires: float, now: float) -> str | None:
        """Spend the jti; return why it cannot be spent, or None."""
        if len(self._expiries) >= self._capacity:
            self._expiries = {key: end for key, end in self._expiries.items() if end >= now}
            if len(self._expiries) >= self._capacity:
                return "replay-store-full"
        if (subject, jti) in self._expiries:
            return "replayed"
        self._expiries[subject, jti] = expires
        return None


@dataclass(frozen=True, slots=True)
class Examined:
    """What a proof is worth: its two layers, and the agent that it names if that is known.

    `unverified_claims` are worth something only where the `proof` layer allows.
    """

    proof: LayerAnswer
    registration: LayerAnswer
    agent: Agent | None
    unverified_claims: Mapping[str, Any]

    @property
    def subject(self) -> str:
        """Whom the proof names, for a record."""
        return str(self.unverified_claims.get("sub", ""))[:256]


class ProofVerifier:
    """Examines the proofs that are made out to one endpoint."""

    def __init__(self, *, registry: Registry, endpoint: str, clock: Clock) -> None:
        """Take the directory, the endpoint's URL (a proof's `aud`) and the real clock."""
        self._registry = registry
        self._endpoint = endpoint
        self._clock = clock
        self._spent = SpentProofs()

    def examine(self, proof: str) -> Examined:
        """Judge form, signature, audience, time and reuse, and who stands behind it."""
        token = parse(proof, PROOF)
        seen = token if isinstance(token, UnverifiedToken) else peek(proof, max_length=4096)
        claims = seen.unverified_claims if seen is not None else {}
        agent = self._registry.by_id(claims.get("sub"))
        reason = token.code if isinstance(token, Refusal) else self._refusal(token, agent)
        effect = Effect.ALLOW if reason is None else Effect.DENY
        return Examined(
            LayerAnswer("proof", effect, reason or "proof-of-possession"),
            _registration(agent),
            agent,
            claims,
        )

    def _refusal(self, token: UnverifiedToken, agent: Agent | None) -> str | None:
        if agent is None:
            return "no-key"
        claims = verify_signature(token, agent.keys(), PROOF)
        if isinstance(claims, Refusal):
            return claims.code
        if claims["iss"] != claims["sub"]:
            return "issuer-mismatch"
        if claims["aud"] != self._endpoint:
            return "wrong-audience"
        now = self._clock.now()
        late = check_time(claims, now, PROOF)
        if late is not None:
            return late.code
        if len(claims["jti"]) not in _JTI_LENGTHS:
            return "malformed"
        # dates are whole seconds: the last one that `check_time` accepts counts in full
        expires = claims["exp"] + PROOF.expiry_leeway + 1
        return self._spent.spend(agent.id, claims["jti"], expires=expires, now=now)


def _registration(agent: Agent | None) -> LayerAnswer:
    if agent is None:
        return LayerAnswer("registration", Effect.DENY, "unknown-agent")
    if agent.state is not AgentState.ACTIVE:
        return LayerAnswer("registration", Effect.DENY, agent.state.value)
    return LayerAnswer("registration", Effect.ALLOW, agent.state.value)
