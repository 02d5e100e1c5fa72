"""The token service of a world, the gateway that takes its tokens, and the directory's own API.

- All of them rest on the world's one directory, and answer from this process.
- Which controls are off here is a setting: it can be switched while the world runs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization

from iamrange.access.approvals.api import ApprovalsApi
from iamrange.access.record_tap import RecordTap
from iamrange.core import identity_controls
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.directory.api import DirectoryApi
from iamrange.identity.names import AUTH_ISSUER
from iamrange.identity.nonces import NonceSource
from iamrange.identity.protected import TokenVerifier, VerifierSettings
from iamrange.identity.protected_http import request_guard
from iamrange.identity.stores.directory import DirectoryRevocation
from iamrange.identity.stores.limits import LocalLimiter
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.tokens.keys import AuthorityKeys
from iamrange.identity.tokens.service import TokenService
from iamrange.identity.tokens.settings import TokenSettings
from iamrange.jose import STRICT, KeySet, SigningKey, parse_key_set
from iamrange.range.gateway import WorldGateway
from iamrange.range.lapses import combined, own
from iamrange.range.services import APPROVALS, DIRECTORY, RECORD, RESOURCES, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from iamrange.core.clock import Clock
    from iamrange.core.decision import RecordSink, Tamper
    from iamrange.credentials.redaction.redactor import Redactor
    from iamrange.identity.certificates.port import TrustBundle
    from iamrange.identity.directory.model import Agent
    from iamrange.range.world_directory import WorldDirectory

_JWT_SVID_LIFE = 300


class IdentityServices:
    """The token service and the services, by host name."""

    def __init__(  # noqa: PLR0913 - keyword-only ports
        self,
        *,
        agents: WorldDirectory,
        clock: Clock,
        real_clock: Clock,
        records: RecordSink,
        tamper: Tamper,
        cloud_minter: Callable[[Agent, str], str],
        redactor: Redactor,
        policy: Path | None = None,
    ) -> None:
        """Take the directory, the clocks, how the clouds' issuer mints, and a policy to follow.

        `redactor` is what services' log is redacted with.
        """
        self._agents = agents
        self._clock = clock
        self._real_clock = real_clock
        # what the verifiers write is heard by the gateway on its way to the records
        self._records = RecordTap(records)
        self._tamper = tamper
        self._cloud_minter = cloud_minter
        self.keys = AuthorityKeys(clock=clock)
        # certificates are checked in handshakes, which go by real time
        self.authority = LocalAuthority.create("iamrange services", clock=real_clock)
        self._certified: dict[str, int] = {}
        """Agents with certificates -> their epoch in the directory when they got them."""
        self._jwt_svids = SigningKey.generate("ES256")
        self._replay = MemoryReplay()
        self._limiter = LocalLimiter()
        # one secret a server, which a fork and a switch keep: what was handed out stays good
        self._nonces: defaultdict[str, NonceSource] = defaultdict(
            lambda: NonceSource(None, real_clock)
        )
        self._revocation = MemoryRevocation(now=clock.now)
        self.gateway = WorldGateway(
            agents=agents,
            clock=clock,
            records=self._records,
            tamper=tamper,
            redactor=redactor,
            policy=policy,
        )
        self.edge: Mapping[str, bool] = {}
        self.off: frozenset[str] = frozenset()
        self.switch(())

    def switch(self, off: Iterable[str]) -> None:
        """Have exactly these controls off from now on; ids of other layers' are left alone."""
        self.off = own(off)
        lapse = combined(off)
        self._tokens = self._token_service(
            replace(TokenSettings(nonce_required=True), **dict(lapse.tokens))
        )
        settings = replace(VerifierSettings(), **dict(lapse.verifiers))
        verifiers = {
            service.resource: self._verifier(service.resource, settings)
            for service in (*SERVICES.values(), DIRECTORY, APPROVALS)
        }
        self.gateway.switch(lapse, verifiers.__getitem__)
        self._directory = DirectoryApi(
            self._agents.directory,
            guard=request_guard(verifiers[DIRECTORY.resource], in_threads=False),
            in_threads=False,
        )
        self._approvals = ApprovalsApi(
            self.gateway.approvals,
            self.gateway.views,
            guard=request_guard(verifiers[APPROVALS.resource], in_threads=False),
            in_threads=False,
        )
        self.edge = dict(lapse.edge)

    def _token_service(self, settings: TokenSettings) -> TokenService:
        return TokenService(
            agents=self._agents,
            keys=self.keys,
            replay=self._replay,
            revocation=self._revocation,
            limiter=self._limiter,
            nonces=self._nonces[AUTH_ISSUER],
            resources=RESOURCES,
            clock=self._clock,
            real_clock=self._real_clock,
            records=self._records,
            tamper=self._tamper,
            settings=settings,
            trust_bundle=self.trust_bundle,
            svid_keys=self._svid_keys,
            cloud_minter=self._cloud_minter,
            registrar=self._agents.take_at_its_word,
        )

    def _verifier(self, resource: str, settings: VerifierSettings) -> TokenVerifier:
        return TokenVerifier(
            resource,
            keys=self.keys.key_set,
            replay=self._replay,
            revocation=DirectoryRevocation(self._agents, self._revocation, clock=self._clock),
            nonces=self._nonces[resource],
            clock=self._clock,
            proof_clock=self._real_clock,
            records=self._records,
            tamper=self._tamper,
            settings=settings,
        )

    @property
    def rotation_withdraws(self) -> bool:
        """Tell whether a key that is rotated out stops counting."""
        return identity_controls.KEY_ROTATION.id not in self.off

    def plant(self, url: str, value: str, owner: str | None = None) -> None:
        """Keep a value at a service; a resource alone stands for its latest record.

        Raises:
            KeyError: there is no such service.
        """
        parts = urlsplit(url)
        service = self.gateway.services[parts.hostname or ""]
        service.keep(parts.path or RECORD, value, owner=owner)

    @property
    def trust_bundle_pem(self) -> str:
        """The authorities in which service certificates end, as PEM."""
        return self.authority.trust_bundle().pem

    def issue_svid(self, agent_id: str, public_key_pem: str) -> str:
        """Certify an agent's key; return the certificate chain as PEM.

        Raises:
            ValueError: the key or the id is none that can be certified.
        """
        key: Any = serialization.load_pem_public_key(public_key_pem.encode())
        self.follow_directory()  # else the new one would go with those from before
        chain = self.authority.issue_svid(agent_id, key).chain_pem
        agent = self._agents.by_id(agent_id)
        if agent is not None:
            self._certified[agent_id] = agent.epoch
        return chain

    def withdraw_certificates(self, spiffe_id: str) -> int:
        """Withdraw what an agent or a service has; return how many certificates that are."""
        self._certified.pop(spiffe_id, None)
        return len(self.authority.withdraw_certificates(spiffe_id))

    def trust_bundle(self) -> TrustBundle:
        """Return the authorities in which service certificates end, and what they have withdrawn.

        Raises:
            StoreDownError: the directory is away, so that nobody knows who was cut off.
        """
        self.follow_directory()
        return self.authority.trust_bundle()

    def follow_directory(self) -> None:
        """Withdraw the certificates of agents that have been cut off since they got them.

        Whatever takes an agent's power away raises its epoch, by whichever tool: operators' own
        write into the directory while the world runs.

        Raises:
            StoreDownError: the directory is away.
        """
        for agent_id, epoch in tuple(self._certified.items()):
            agent = self._agents.by_id(agent_id)
            if agent is not None and agent.epoch == epoch:
                continue
            self.withdraw_certificates(agent_id)

    def issue_jwt_svid(self, agent_id: str) -> str:
        """Return a JWT-SVID of an agent for the token service, good for five minutes."""
        now = int(self._real_clock.now())
        return self._jwt_svids.sign(
            {"sub": agent_id, "aud": [AUTH_ISSUER], "iat": now, "exp": now + _JWT_SVID_LIFE}
        )

    def _svid_keys(self) -> KeySet:
        keys = parse_key_set({"keys": [self._jwt_svids.public_jwk()]}, STRICT)
        if not isinstance(keys, KeySet):  # cannot be: the key is our own
            raise TypeError("the trust domain's own key is not usable")
        return keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, by its Host header."""
        host = next((v.decode("latin-1") for n, v in scope["headers"] if n == b"host"), "")
        name = host.partition(":")[0].lower()
        own: dict[str, ASGIApp] = {
            DIRECTORY.host: self._directory,
            APPROVALS.host: self._approvals,
        }
        await (self.gateway.app(name) or own.get(name, self._tokens))(scope, receive, send)

    def moved(self) -> None:
        """Go on with the directory of a fork."""
        self.switch(self.off)
