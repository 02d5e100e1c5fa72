"""A world's sockets: its authority, its edges, its networks. Every fork makes its own.

- One TLS edge for all names, one plain edge a cloud, one proxy a network; loopback only.
- Ports are picked by the kernel and stay the same for the world's life.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.access_controls import EGRESS
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.credentials.database.door import Database
from iamrange.credentials.vault.app import Vault
from iamrange.network.ca import CertificateAuthority
from iamrange.network.drop import Drop
from iamrange.network.edge import Edge, Route
from iamrange.network.environment import client_environment
from iamrange.network.names import (
    ATTACKER_HOST,
    AWS_PATTERN,
    BROKER_HOST,
    DROP_HOST,
    GCP_PATTERN,
    GOOGLE_ISSUER_HOST,
    GOOGLE_KEYS_HOST,
    IDP_HOST,
    VAULT_HOST,
)
from iamrange.network.proxy import Proxy, Refused, Target
from iamrange.network.public_site import PublicSite
from iamrange.range.config import CORPORATE
from iamrange.range.functions import FunctionProcesses
from iamrange.range.mesh import Mesh

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.range.content import Content

CA_FILE = "ca.pem"
VAULT_FOLDER = "v"
"""Holds the sockets of the world's vault, beside those of our own services."""

ISSUER_HOSTS = (IDP_HOST, ATTACKER_HOST, GOOGLE_ISSUER_HOST, GOOGLE_KEYS_HOST)
"""Where clouds fetch the keys of issuers from, whoever trusts those."""


class Listeners:
    """The running listeners in front of one world's content."""

    def __init__(
        self,
        content: Content,
        folder: Path,
        sockets: Path | None = None,
        database: Path | None = None,
    ) -> None:
        """Make a new authority, and write its certificate into the world's folder.

        In `sockets`, a folder with a short path, our own services wait for their TLS listener;
        without one they are not served. In `database`, another, the world's PostgreSQL runs; no
        vault is without one.
        """
        self._content = content
        self.authority = CertificateAuthority.create(f"iamrange world {folder.name}")
        self.ca_file = folder / CA_FILE
        self.ca_file.write_text(self.authority.pem)
        self.drop = Drop()
        routes = [
            Route(AWS_PATTERN, content.aws),
            Route(GCP_PATTERN, content.gcp),
            Route(GOOGLE_ISSUER_HOST, content.gcp),
            Route(IDP_HOST, content.issuer),
            Route(BROKER_HOST, content.broker),
            *self._vault_routes(sockets, database),
            Route(ATTACKER_HOST, PublicSite()),
            Route(DROP_HOST, self.drop),
        ]
        self._patterns = tuple(route.pattern for route in routes)
        self.tls = Edge(routes, ca=self.authority)
        self.aws = Edge([Route("*", content.aws)], ca=None)
        self.gcp = Edge([Route("*", content.gcp)], ca=None)
        self.vault_edge = None if self.vault is None else Edge([Route("*", self.vault)], ca=None)
        self.mesh: Mesh | None = None
        if sockets is not None:
            self.mesh = Mesh(content.identity, self.authority, sockets, content.records)
        self.networks: dict[str, Proxy] = {}

    def _vault_routes(self, sockets: Path | None, database: Path | None) -> tuple[Route, ...]:
        """Make the vault and the database that it has logins made of, where there is room."""
        self.vault: Vault | None = None
        self.database: Database | None = None
        if sockets is None or database is None:
            return ()
        door = self.database = Database(
            self._content.database,
            database,
            clock=self._content.clock,
            records=self._content.records,
        )
        self.vault = Vault(
            self._content.vault,
            sockets / VAULT_FOLDER,
            address=f"https://{VAULT_HOST}",
            # it fetches the issuer's keys, and finds the database, as anybody does
            environment=lambda: self._environment(CORPORATE),
            clock=self._content.clock,
            records=self._content.records,
            databases=door,
        )
        return (Route(VAULT_HOST, self.vault),)

    def _environment(self, network: str) -> dict[str, str]:
        """Return what a client in a network is given."""
        found = client_environment(self.networks[network].url, str(self.ca_file))
        return found if self.database is None else {**found, **self.database.environment}

    async def start(self) -> None:
        """Listen, and point the clouds' fetches at the issuers.

        Raises:
            OSError: a network's address is not there.
            ValueError: an issuer is to be fetched from somewhere that is not loopback.
        """
        for edge in self._edges():
            await edge.start()
        if self.database is not None:
            await self.database.start()
        if self.vault is not None:
            await self.vault.start()
        targets: dict[str, Target] = dict.fromkeys(self._patterns, ("127.0.0.1", self.tls.port))
        if self.mesh is not None:
            targets |= self.mesh.targets()
        for name, address in self._content.config.networks.items():
            self.networks[name] = Proxy(
                name, address=address, targets=targets, on_refusal=self._record_refusal
            )
            try:
                await self.networks[name].start()
            except OSError as error:
                hint = f"; on macOS: sudo ifconfig lo0 alias {address}"
                raise OSError(
                    error.errno, f"network {name!r} on {address}: {error}{hint}"
                ) from error
        config = self._content.config
        self._content.fetcher.target = HttpFetcher(
            resolve={
                **dict.fromkeys(ISSUER_HOSTS, f"https://127.0.0.1:{self.tls.port}"),
                **config.resolve,
            },
            authorities=(self.authority.pem, *config.trust_ca),
        )
        if CORPORATE in self.networks:
            self._content.functions.target = FunctionProcesses(
                self.ca_file.parent, self._environment(CORPORATE)
            )

    def _record_refusal(self, refused: Refused) -> None:
        """Record what a network did not let out; the names that exist are no decision."""
        self._record_no_way_out(
            "network.connect",
            f"{refused.network}:Connect",
            refused.target,
            refused.reason,
            source_ip=refused.peer,
        )

    def record_egress(self, agent_id: str, target: str, reason: str) -> str:
        """Record what the one way out of an agent's process refused; return the request's id."""
        return self._record_no_way_out(EGRESS, "agent:Connect", target, reason, principal=agent_id)

    def _record_no_way_out(  # noqa: PLR0913 - the facts of one record
        self,
        point: str,
        action: str,
        target: str,
        reason: str,
        *,
        principal: str = "",
        source_ip: str = "",
    ) -> str:
        request_id = str(uuid.uuid4())
        self._content.records(
            DecisionRecord(
                request_id=request_id,
                time=self._content.clock.now(),
                point=point,
                action=action,
                resource=target[:256],
                principal=principal,
                outcome=Outcome.DENY,
                reason=reason,
                layers=(LayerAnswer("names", Effect.DENY, reason),),
                source_ip=source_ip,
            )
        )
        return request_id

    async def stop(self) -> None:
        """Close every listener and connection."""
        running: list[Edge | Proxy | Mesh | Vault | Database] = [
            *self.networks.values(),
            *self._edges(),
        ]
        if self.mesh is not None:
            running.append(self.mesh)
        if self.vault is not None:
            running.append(self.vault)
        if self.database is not None:
            running.append(self.database)
        await asyncio.gather(*(listener.stop() for listener in running))

    def _edges(self) -> list[Edge]:
        edges = [self.tls, self.aws, self.gcp]
        if self.vault_edge is not None:
            edges.append(self.vault_edge)
        return edges if self.mesh is None else [*edges, *self.mesh.edges]

    def description(self) -> Mapping[str, Any]:
        """Return where everything is."""
        ca_file = str(self.ca_file)
        return {
            "ca_file": ca_file,
            "aws": {"endpoint": f"http://127.0.0.1:{self.aws.port}"},
            "gcp": {"endpoint": f"http://127.0.0.1:{self.gcp.port}"},
            "vault": None
            if self.vault_edge is None
            else {"endpoint": f"http://127.0.0.1:{self.vault_edge.port}"},
            "database": None if self.database is None else self.database.environment,
            "networks": {
                name: {
                    "address": proxy.address,
                    "url": proxy.url,
                    "env": self._environment(name),
                }
                for name, proxy in self.networks.items()
            },
        }
