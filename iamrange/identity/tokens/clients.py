"""Who the client is: the credential it presents, and what the directory says of it.

- Two answers: `client` (is the credential the agent's) and `registration` (is the agent one that
  may be given tokens). Both are always given, and a caller sees one and the same refusal.
- The certificate method is proved by the chain to our own bundle, or by a registered thumbprint: a
  subject name from another authority is worth nothing (RFC 8705 sections 2.1 and 7.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.certificates.client_chain import VerifiedClient, verify_client
from iamrange.identity.certificates.svid import load_certificate, thumbprint
from iamrange.identity.directory.model import AgentState
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.assertions import AssertionVerifier, agent_keys, read_assertion
from iamrange.identity.tokens.credentials import Method, Presented
from iamrange.identity.tokens.secrets import secret_matches
from iamrange.jose import KeySet

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.core.clock import Clock
    from iamrange.identity.certificates.port import TrustBundle
    from iamrange.identity.directory.model import Agent, AgentSource

STORE_DOWN: Final = "store-down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a client's credential is worth. `agent` is whom it *claims* to be, if that is known."""

    client: LayerAnswer
    registration: LayerAnswer
    agent: Agent | None = field(default=None, repr=False)
    claimed: str = ""
    method: str = Method.NONE.value

    @property
    def authenticated(self) -> Agent | None:
        """The agent, where both layers allow: for what an honest decision rests on."""
        allowed = not self.client.refuses and not self.registration.refuses
        return self.agent if allowed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthenticator:
    """Examines credentials against the directory.

    `clock` ages what is registered; `real_clock` judges what clients and TLS date themselves.
    """

    agents: AgentSource
    assertions: AssertionVerifier
    clock: Clock
    real_clock: Clock
    trust_bundle: Callable[[], TrustBundle] | None = None
    svid_keys: Callable[[], KeySet] | None = None
    unsafe_ignores_withdrawal: bool = False

    def examine(
        self, presented: Presented, certificates: tuple[bytes, ...], *, spend: bool = True
    ) -> Examined:
        """Judge the credential, and who stands behind it; an assertion is spent if told to."""
        try:
            return self._examine(presented, certificates, spend=spend)
        except StoreDownError as error:
            down = LayerAnswer("client", Effect.DENY, STORE_DOWN, detail=error.store)
            return Examined(
                client=down,
                registration=LayerAnswer("registration", Effect.NOT_APPLICABLE, "not-evaluated"),
                claimed=presented.client_id or "",
                method=presented.method.value,
            )

    def _examine(
        self, presented: Presented, certificates: tuple[bytes, ...], *, spend: bool
    ) -> Examined:
        if presented.method is Method.NONE or presented.fault is not None:
            agent = self._agent(presented.client_id or "")
            refused = LayerAnswer("client", Effect.DENY, "no-client-authentication")
            return self._answer(presented, refused, agent, presented.client_id or "")
        if presented.method is Method.CERTIFICATE:
            return self._by_certificate(presented, certificates)
        if presented.method in (Method.SECRET_BASIC, Method.SECRET_POST):
            return self._by_secret(presented)
        return self._by_assertion(presented, spend=spend)

    def _by_assertion(self, presented: Presented, *, spend: bool) -> Examined:
        now = self.real_clock.now()
        if presented.method is Method.SPIFFE_JWT:
            read = read_assertion(presented.secret, self.assertions.svid_profile)
            agent = self._agent(read.unverified_subject)
            trusted = self.svid_keys() if self.svid_keys is not None else None
            reason = self.assertions.svid_refusal(
                read, trusted, presented.client_id, now, spend=spend
            )
        else:
            read = read_assertion(presented.secret, self.assertions.profile)
            agent = self._agent(read.unverified_subject)
            keys = agent_keys(agent, self.clock.now()) if agent is not None else KeySet(())
            reason = self.assertions.refusal(read, keys, presented.client_id, now, spend=spend)
        answer = _answer_of(reason, presented.method.value)
        return self._answer(presented, answer, agent, read.unverified_subject)

    def _by_secret(self, presented: Presented) -> Examined:
        agent = self._agent(presented.client_id or "")
        reason: str | None = "method-not-allowed"
        if self.assertions.settings.unsafe_accepts_client_secret:
            stored = agent.secret_hash if agent is not None else None
            reason = None if secret_matches(stored, presented.secret) else "wrong-secret"
        answer = _answer_of(reason, presented.method.value)
        return self._answer(presented, answer, agent, presented.client_id or "")

    def _by_certificate(self, presented: Presented, certificates: tuple[bytes, ...]) -> Examined:
        now = self.real_clock.now()
        claimed = presented.client_id or ""
        method = Method.CERTIFICATE.value
        chain = self._chain_refusal(certificates, claimed, now)
        agent = self._agent(claimed)
        reason = chain
        if agent is None:
            reason = chain or "unknown-client"
        elif chain is None:
            reason = None if agent.tls_subject else "method-not-allowed"
        elif thumbprint(certificates[0]) in agent.certificates:
            method = "self_signed_tls_client_auth"
            reason = _validity_refusal(certificates[0], now)
        return self._answer(presented, _answer_of(reason, method), agent, claimed, method)

    def _chain_refusal(
        self, certificates: tuple[bytes, ...], claimed: str, now: float
    ) -> str | None:
        if self.trust_bundle is None:
            return "method-not-allowed"
        verified = verify_client(
            certificates,
            self.trust_bundle(),
            now,
            unsafe_ignores_withdrawal=self.unsafe_ignores_withdrawal,
        )
        if not isinstance(verified, VerifiedClient):
            return verified.reason
        return None if verified.spiffe_id == claimed else "client-id-mismatch"

    def _agent(self, agent_id: str) -> Agent | None:
        return self.agents.by_id(agent_id) if agent_id else None

    def _answer(
        self,
        presented: Presented,
        client: LayerAnswer,
        agent: Agent | None,
        claimed: str,
        method: str | None = None,
    ) -> Examined:
        return Examined(
            client=client,
            registration=registration_of(agent, self.clock.now()),
            agent=agent,
            claimed=claimed[:256],
            method=method or presented.method.value,
        )


def registration_of(agent: Agent | None, now: float) -> LayerAnswer:
    """Return whether the directory lets this agent have tokens."""
    if agent is None:
        return LayerAnswer("registration", Effect.DENY, "unknown-agent")
    if agent.state is not AgentState.ACTIVE:
        return LayerAnswer("registration", Effect.DENY, agent.state.value)
    if agent.expired(now):
        return LayerAnswer("registration", Effect.DENY, "registration-expired")
    return LayerAnswer("registration", Effect.ALLOW, agent.state.value)


def _answer_of(reason: str | None, method: str) -> LayerAnswer:
    effect = Effect.ALLOW if reason is None else Effect.DENY
    return LayerAnswer("client", effect, reason or method)


def _validity_refusal(der: bytes, now: float) -> str | None:
    """Judge a self-signed certificate's dates: its chain means nothing (RFC 8705 section 2.2)."""
    certificate = load_certificate(der)
    if certificate is None:
        return "malformed-certificate"
    starts = certificate.not_valid_before_utc.timestamp()
    ends = certificate.not_valid_after_utc.timestamp()
    return None if starts <= now <= ends else "certificate-expired"
