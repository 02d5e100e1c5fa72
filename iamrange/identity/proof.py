"""An agent's proof of possession: a short JWT by its own key, for one endpoint, used once.

- A proof is a request signature: it is judged in real time, whatever the world's clock says. Which
  keys count, and whether the agent is still approved, goes by the world's clock.
- A proof's jti is spent only once its signature holds, so that nobody can spend another's.
- A directory or a store that is away is an exception: whoever asked refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.directory.model import AgentState
from iamrange.identity.names import PROOF_LIFE, PROOF_TYPE
from iamrange.identity.stores.memory import MemoryReplay
from iamrange.jose import (
    KeySet,
    Refusal,
    UnverifiedToken,
    check_time,
    parse,
    parse_key_set,
    peek,
    strict,
    verify_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.clock import Clock
    from iamrange.identity.directory.model import Agent, AgentSource
    from iamrange.identity.stores.ports import ReplayStore

_BASE = strict(PROOF_TYPE)
PROOF = replace(
    _BASE,
    name="agent-proof",
    max_length=4096,
    required_claims=_BASE.required_claims | {"jti"},
    max_lifetime=PROOF_LIFE,
)
_JTI_LENGTHS = range(16, 129)


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

    def __init__(
        self,
        *,
        agents: AgentSource,
        endpoint: str,
        clock: Clock,
        real_clock: Clock,
        replay: ReplayStore | None = None,
    ) -> None:
        """Take the directory, the endpoint's URL (a proof's `aud`), both clocks and a store.

        Without a store, used proofs are remembered in this process.
        """
        self._agents = agents
        self._endpoint = endpoint
        self._clock = clock
        self._real_clock = real_clock
        self._replay = replay or MemoryReplay()

    def examine(self, proof: str) -> Examined:
        """Judge form, signature, audience, time and reuse, and who stands behind it.

        Raises:
            StoreDownError: the directory or the store of used proofs is away.
        """
        token = parse(proof, PROOF)
        seen = token if isinstance(token, UnverifiedToken) else peek(proof, max_length=4096)
        claims = seen.unverified_claims if seen is not None else {}
        subject = claims.get("sub")
        agent = self._agents.by_id(subject) if isinstance(subject, str) else None
        reason = token.code if isinstance(token, Refusal) else self._refusal(token, agent)
        effect = Effect.ALLOW if reason is None else Effect.DENY
        return Examined(
            LayerAnswer("proof", effect, reason or "proof-of-possession"),
            registration_answer(agent, self._clock.now()),
            agent,
            claims,
        )

    def _refusal(self, token: UnverifiedToken, agent: Agent | None) -> str | None:
        keys = None if agent is None else _keys(agent, self._clock.now())
        if agent is None or keys is None:
            return "no-key"
        claims = verify_signature(token, keys, PROOF)
        if isinstance(claims, Refusal):
            return claims.code
        if claims["iss"] != claims["sub"]:
            return "issuer-mismatch"
        if claims["aud"] != self._endpoint:
            return "wrong-audience"
        now = self._real_clock.now()
        late = check_time(claims, now, PROOF)
        if late is not None:
            return late.code
        if len(claims["jti"]) not in _JTI_LENGTHS:
            return "malformed"
        # dates are whole seconds: the last one that `check_time` accepts counts in full
        expires = claims["exp"] + PROOF.expiry_leeway + 1
        first = self._replay.insert(agent.id, claims["jti"], expires=expires, now=now)
        return None if first else "replayed"


def _keys(agent: Agent, now: float) -> KeySet | None:
    keys = [
        {**key.jwk, "kid": key.kid, "alg": "ES256", "use": "sig"}
        for key in agent.accepted_keys(now)
    ]
    parsed = parse_key_set({"keys": keys}, PROOF)
    return parsed if isinstance(parsed, KeySet) and parsed.keys else None


def registration_answer(agent: Agent | None, now: float) -> LayerAnswer:
    """Return whether the agent is registered, active and not expired."""
    if agent is None:
        return LayerAnswer("registration", Effect.DENY, "unknown-agent")
    if agent.state is not AgentState.ACTIVE:
        return LayerAnswer("registration", Effect.DENY, agent.state.value)
    if agent.expired(now):
        return LayerAnswer("registration", Effect.DENY, "expired-registration")
    return LayerAnswer("registration", Effect.ALLOW, agent.state.value)
