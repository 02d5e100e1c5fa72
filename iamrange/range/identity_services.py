"""The token service of a world, and the services that take its tokens.

- All of them rest on the world's one directory, and answer from this process.
- Which controls are off here is a setting: it can be switched while the world runs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization

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
from iamrange.range.service_app import ServiceApp
from iamrange.range.services import DIRECTORY, RESOURCES, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from iamrange.core.clock import Clock
    from iamrange.core.control import Control
    from iamrange.core.decision import RecordSink, Tamper
    from iamrange.identity.directory.model import Agent
    from iamrange.range.world_directory import WorldDirectory

_DAY = 86_400
_JWT_SVID_LIFE = 300
LAPSES: Mapping[Control, tuple[dict[str, Any], dict[str, Any]]] = {
    identity_controls.REGISTERED_AGENTS_ONLY: ({"unsafe_open_registration": True}, {}),
    identity_controls.PRIVATE_KEY_JWT: ({"unsafe_accepts_client_secret": True}, {}),
    identity_controls.SHORT_TOKENS: (
        {"lifetime": _DAY},
        {"unsafe_any_lifetime": True},
    ),
    identity_controls.SENDER_CONSTRAINED: (
        {"unsafe_issues_bearer": True},
        {"unsafe_accepts_bearer": True},
    ),
    identity_controls.CERTIFICATE_BOUND: ({}, {"unsafe_ignores_certificate": True}),
    identity_controls.AUDIENCE_RESTRICTED: (
        {"unsafe_any_audience": True},
        {"unsafe_ignores_audience": True},
    ),
    identity_controls.SCOPE_LIMITS: ({"unsafe_any_scope": True}, {}),
    identity_controls.EXCHANGE_NARROWS: ({"unsafe_exchange_widens": True}, {}),
    identity_controls.REVOCATION: ({}, {"unsafe_ignores_revocation": True}),
    identity_controls.CLOUD_TOKENS_APART: ({"unsafe_cloud_resources": True}, {}),
    # the directory's: the old key stays
    identity_controls.KEY_ROTATION: ({}, {}),
}
"""What each control's lapse sets: of the token service, and of every service's verifier."""


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
    ) -> None:
        """Take the directory, the clocks, and how the clouds' issuer mints."""
        self._agents = agents
        self._clock = clock
        self._real_clock = real_clock
        self._records = records
        self._tamper = tamper
        self._cloud_minter = cloud_minter
        self.keys = AuthorityKeys(clock=clock)
        # certificates are checked in handshakes, which go by real time
        self.authority = LocalAuthority.create("iamrange services", clock=real_clock)
        self._jwt_svids = SigningKey.generate("ES256")
        self._replay = MemoryReplay()
        self._limiter = LocalLimiter()
        # one secret a server, which a fork and a switch keep: what was handed out stays good
        self._nonces: defaultdict[str, NonceSource] = defaultdict(
            lambda: NonceSource(None, real_clock)
        )
        self._revocation = MemoryRevocation(now=clock.now)
        self._values: dict[str, str] = {}
        self.off: frozenset[str] = frozenset()
        self.switch(())

    def switch(self, off: Iterable[str]) -> None:
        """Have exactly these controls off from now on; ids of other layers' are left alone."""
        own = {control.id: control for control in LAPSES}
        self.off = frozenset(off) & own.keys()
        tokens: dict[str, Any] = {}
        verifiers: dict[str, Any] = {}
        for name in self.off:
            for_tokens, for_verifiers = LAPSES[own[name]]
            tokens |= for_tokens
            verifiers |= for_verifiers
        self._tokens = self._token_service(replace(TokenSettings(nonce_required=True), **tokens))
        settings = replace(VerifierSettings(), **verifiers)
        self._services = {
            service.host: ServiceApp(service, self._verifier(service.resource, settings))
            for service in SERVICES.values()
        }
        guard = request_guard(self._verifier(DIRECTORY.resource, settings), in_threads=False)
        self._directory = DirectoryApi(self._agents.directory, guard=guard, in_threads=False)
        for resource, value in self._values.items():
            self.plant(resource, value)

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
            trust_bundle=self.authority.trust_bundle,
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

    def plant(self, resource: str, value: str) -> None:
        """Make this the latest record of a service.

        Raises:
            KeyError: there is no such service.
        """
        self._services[resource.removeprefix("https://")].record = value
        self._values[resource] = value

    def issue_svid(self, agent_id: str, public_key_pem: str) -> str:
        """Certify an agent's key; return the certificate chain as PEM.

        Raises:
            ValueError: the key or the id is none that can be certified.
        """
        key: Any = serialization.load_pem_public_key(public_key_pem.encode())
        return self.authority.issue_svid(agent_id, key).chain_pem

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

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host name that is answered for here."""
        return (AUTH_ISSUER.removeprefix("https://"), DIRECTORY.host, *self._services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, by its Host header."""
        host = next((v.decode("latin-1") for n, v in scope["headers"] if n == b"host"), "")
        name = host.partition(":")[0].lower()
        app: ASGIApp = self._tokens
        if name == DIRECTORY.host:
            app = self._directory
        elif name in self._services:
            app = self._services[name]
        await app(scope, receive, send)

    def moved(self) -> None:
        """Go on with the directory of a fork."""
        self.switch(self.off)
