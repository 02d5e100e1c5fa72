"""The world's Envoy: the edge for all of our own names, and a sidecar for each service.

- Started at the first connection, anew whenever a control that works in it is switched.
- Certificates come from the world's own authority; each start has fresh ones, and SVIDs are
  replaced when half their life is over.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from typing import TYPE_CHECKING, Any

from iamrange.access.decision_app import DecisionApp
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.identity.certificates.forwarded import XfccMiddleware
from iamrange.identity.certificates.port import SVID_LIFE
from iamrange.identity.certificates.svid import new_key
from iamrange.network.edge import Edge, Route
from iamrange.network.envoy_config import (
    Authorizer,
    EnvoyConfig,
    Sidecar,
    Upstream,
    WorkloadCertificate,
    new_secret,
)
from iamrange.network.envoy_lazy import LazyEnvoy
from iamrange.network.envoy_log import TlsRefusal, read_tls_refusals
from iamrange.range.services import GATEWAY_ID, SERVICES, accepted_by

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iamrange.network.ca import CertificateAuthority
    from iamrange.network.edge import Receive, Scope, Send
    from iamrange.network.proxy import Address, Target
    from iamrange.range.identity_services import IdentityServices
    from iamrange.range.services import Service

RENEW_SECONDS = SVID_LIFE / 2
HANDSHAKE = "mesh.handshake"
"""The decision point of a sidecar's TLS listener."""

AUTHORIZER_SOCKET = "authz.sock"


class Mesh:
    """The services' listeners of one world."""

    def __init__(
        self,
        services: IdentityServices,
        authority: CertificateAuthority,
        folder: Path,
        records: Callable[[DecisionRecord], None],
    ) -> None:
        """Take what is served, the authority of the edge's certificate, and a folder of its own.

        The folder holds unix sockets: its path is short.
        """
        self._services = services
        self._authority = authority
        self._folder = folder
        self._records = records
        self._secret = new_secret()
        self._socket = folder / "edge.sock"
        self._authorizer = folder / AUTHORIZER_SOCKET
        app = XfccMiddleware(services, self._secret, only_listener=True)
        self.edges = (
            Edge([Route("*", app)], ca=None, unix_socket=self._socket),
            Edge([Route("*", self._decide)], ca=None, unix_socket=self._authorizer),
        )
        self._generations = itertools.count(1)
        self._settings = dict(services.edge)
        self._ending: set[asyncio.Task[None]] = set()
        self._told: frozenset[TlsRefusal] = frozenset()
        self._dialled = False
        self._renewal: asyncio.TimerHandle | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        self._here = self._folder / f"e{next(self._generations)}"
        self._here.mkdir(mode=0o700)
        self._told = frozenset()
        self.envoy = LazyEnvoy(self._configuration, self._here)

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        # the decider of the moment: a control may just have been switched
        await DecisionApp(self._services.gateway.decider, self._secret)(scope, receive, send)

    def targets(self) -> dict[str, Target]:
        """Return where each of our own names is reached: asked at each connection."""
        names: dict[str, Target] = dict.fromkeys(self.hosts, self._edge)
        return names | {
            service.mesh_host: self._sidecar_of(service) for service in SERVICES.values()
        }

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names at the edge."""
        return (*self._services.hosts, *(service.host for service in SERVICES.values()))

    async def _edge(self) -> Address:
        return await self.envoy()

    def _sidecar_of(self, service: Service) -> Target:
        async def address() -> Address:
            self._dialled = True
            return await self.envoy.sidecar(service.name)()

        return address

    def switched(self) -> None:
        """Have Envoy started anew if a control that works in it was switched."""
        if dict(self._services.edge) == self._settings:
            return
        self._settings = dict(self._services.edge)
        self.collect()
        old = self.envoy
        self._start_anew()
        task = asyncio.get_running_loop().create_task(old.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def was_dialled(self) -> bool:
        """Tell whether anybody has connected to a sidecar since the last time."""
        dialled, self._dialled = self._dialled, False
        return dialled

    def collect(self) -> None:
        """Record the handshakes that sidecars have refused since the last time."""
        refusals = read_tls_refusals(self._here)
        # not by number: the log is kept short, and its oldest lines go
        for refusal in (one for one in refusals if one not in self._told):
            answer = LayerAnswer(
                "certificate", Effect.DENY, refusal.reason, detail=refusal.detail[:200]
            )
            self._records(
                DecisionRecord(
                    request_id=str(uuid.uuid4()),
                    time=refusal.time,
                    point=HANDSHAKE,
                    action="mesh:Connect",
                    resource=SERVICES[refusal.sidecar].mesh_host,
                    principal=refusal.peer_san[:256],
                    outcome=Outcome.DENY,
                    reason=refusal.reason,
                    layers=(answer,),
                )
            )
        self._told = frozenset(refusals)

    async def stop(self) -> None:
        """End Envoy."""
        if self._renewal is not None:
            self._renewal.cancel()
        await asyncio.gather(self.envoy.stop(), *self._ending)

    def _renew_later(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        loop = asyncio.get_running_loop()
        self._renewal = loop.call_later(RENEW_SECONDS, self._renew)

    def _renew(self) -> None:
        """Hand Envoy new SVIDs while the old ones are good for as long again."""
        self._renew_later()  # first: if this time fails, there is another before they end
        self.envoy.replace_gateway_svid(self._svid(GATEWAY_ID))
        for service in SERVICES.values():
            self.envoy.replace_sidecar_svid(service.name, self._svid(service.spiffe_id))

    def _configuration(self) -> EnvoyConfig:
        self._renew_later()
        sidecars = {name: self._sidecar(service) for name, service in SERVICES.items()}
        own = Upstream(self._services.hosts, self._socket)
        behind = (
            Upstream((service.host,), judged=True, sidecar=sidecars[name])
            for name, service in SERVICES.items()
        )
        settings: dict[str, Any] = dict(self._settings)
        return EnvoyConfig(
            upstreams=(own, *behind),
            certificate=self._authority.server_certificate(self.hosts),
            secret=self._secret,
            authorizer=Authorizer(socket=self._authorizer, timeout=5),
            sidecars=tuple(sidecars.values()),
            gateway_svid=self._svid(GATEWAY_ID),
            trust_bundle=self._services.trust_bundle_pem,
            **settings,
        )

    def _sidecar(self, service: Service) -> Sidecar:
        return Sidecar(
            name=service.name,
            hosts=(service.mesh_host,),
            accepts=accepted_by(service.name),
            socket=self._socket,
            svid=self._svid(service.spiffe_id),
        )

    def _svid(self, spiffe_id: str) -> WorkloadCertificate:
        key, private = new_key()
        svid = self._services.authority.issue_svid(spiffe_id, key.public_key())
        return WorkloadCertificate(private, svid.chain_pem)
