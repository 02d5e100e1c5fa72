"""The world's Envoy: the edge for all of our own names, and a sidecar for each service.

- Started at the first connection, anew whenever a control that works in it is switched.
- Certificates come from the world's own authority; each start has fresh ones, and SVIDs are
  replaced when half their life is over. Revocation lists are replaced sooner, and whenever
  something is withdrawn.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from typing import TYPE_CHECKING

from iamrange.access.decision_app import DecisionApp
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.identity.certificates.forwarded import XfccMiddleware
from iamrange.identity.certificates.port import SVID_LIFE
from iamrange.identity.certificates.revocation_list import LIST_LIFE
from iamrange.network.edge import Edge, Route
from iamrange.network.envoy_config import new_secret
from iamrange.network.envoy_lazy import LazyEnvoy
from iamrange.network.envoy_log import TlsRefusal, read_tls_refusals
from iamrange.range.mesh_config import AUTHORIZER_SOCKET, EDGE_SOCKET, HOSTS, certified, mesh_config
from iamrange.range.services import GATEWAY_ID, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iamrange.network.ca import CertificateAuthority
    from iamrange.network.edge import Receive, Scope, Send
    from iamrange.network.envoy_config import EnvoyConfig, WorkloadCertificate
    from iamrange.network.proxy import Address, Target
    from iamrange.range.identity_services import IdentityServices
    from iamrange.range.services import Service

RENEW_SECONDS = SVID_LIFE / 2
REFRESH_SECONDS = LIST_LIFE / 3
HANDSHAKE = "mesh.handshake"
"""The decision point of a sidecar's TLS listener."""


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
        app = XfccMiddleware(services, self._secret, only_listener=True)
        self.edges = (
            Edge([Route("*", app)], ca=None, unix_socket=folder / EDGE_SOCKET),
            Edge([Route("*", self._decide)], ca=None, unix_socket=folder / AUTHORIZER_SOCKET),
        )
        self._generations = itertools.count(1)
        self._settings = dict(services.edge)
        self._ending: set[asyncio.Task[None]] = set()
        self._told: frozenset[TlsRefusal] = frozenset()
        self._dialled = False
        self._renewal: asyncio.TimerHandle | None = None
        self._refresh: asyncio.TimerHandle | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        self._here = self._folder / f"e{next(self._generations)}"
        self._here.mkdir(mode=0o700)
        self._told = frozenset()
        self.envoy = LazyEnvoy(self._configuration, self._here)

    @property
    def folder(self) -> Path:
        """Where the Envoy of the moment has its files."""
        return self._here

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        # the decider of the moment: a control may just have been switched
        await DecisionApp(self._services.gateway.decider, self._secret)(scope, receive, send)

    def targets(self) -> dict[str, Target]:
        """Return where each of our own names is reached: asked at each connection."""
        names: dict[str, Target] = dict.fromkeys(HOSTS, self._edge)
        return names | {
            service.mesh_host: self._sidecar_of(service) for service in SERVICES.values()
        }

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
                    source_ip=refusal.peer,
                )
            )
        self._told = frozenset(refusals)

    async def stop(self) -> None:
        """End Envoy."""
        for timer in (self._renewal, self._refresh):
            if timer is not None:
                timer.cancel()
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

    def refresh_lists(self) -> None:
        """Hand Envoy what is withdrawn now, long before its lists end."""
        if self.envoy.running is None:
            return  # it gets the lists of the moment when it starts
        self._refresh_later()
        bundle = self._services.authority.trust_bundle()
        self.envoy.replace_trust_bundle(bundle.pem, bundle.lists_pem)

    def _refresh_later(self) -> None:
        if self._refresh is not None:
            self._refresh.cancel()
        loop = asyncio.get_running_loop()
        self._refresh = loop.call_later(REFRESH_SECONDS, self.refresh_lists)

    def _configuration(self) -> EnvoyConfig:
        self._renew_later()
        self._refresh_later()
        return mesh_config(
            sockets=self._folder,
            certificate=self._authority.server_certificate(HOSTS),
            secret=self._secret,
            svid=self._svid,
            bundle=self._services.authority.trust_bundle(),
            settings=self._settings,
        )

    def _svid(self, spiffe_id: str) -> WorkloadCertificate:
        return certified(self._services.authority, spiffe_id)
