"""The services that agents work with: who they are, what is kept there, who works with which.

- One table: the token service reads its resources from it, the stage its facts, the world its apps.
- What can be asked of each, and with which scope, is the gateway's table (`access.routes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.access import routes
from iamrange.core.scenario import AssetKind, Part
from iamrange.identity.names import DEFAULT_RESOURCE, service_resource

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Service:
    """One service. Its scopes are the only ones that it understands."""

    name: str
    scopes: frozenset[str]

    @property
    def reads(self) -> str:
        """The scope that reads its records."""
        return f"read:{self.name}"

    @property
    def resource(self) -> str:
        """The resource URI: the audience of tokens for it, and where it is reached."""
        return service_resource(self.name)

    @property
    def host(self) -> str:
        """The host name."""
        return self.resource.removeprefix("https://")

    @property
    def mesh_host(self) -> str:
        """The name of the service's own sidecar, behind the gateway."""
        return f"{self.name}.mesh.iamrange.example"

    @property
    def spiffe_id(self) -> str:
        """Who the service is to its neighbours."""
        return f"spiffe://iamrange.example/service/{self.name}"


SERVICES: Mapping[str, Service] = {
    name: Service(name, routes.scopes_of(name)) for name in routes.SERVICES
}
GATEWAY_ID = "spiffe://iamrange.example/service/gateway"
"""Who the gateway is to the services behind it."""

NEIGHBOURS: Mapping[str, tuple[str, ...]] = {"customers": ("payments",)}
"""Services that others may call in the mesh, past the gateway: callee -> callers."""


def accepted_by(service: str) -> tuple[str, ...]:
    """Return the SPIFFE ids that a service's sidecar lets in."""
    return (GATEWAY_ID, *(SERVICES[name].spiffe_id for name in NEIGHBOURS.get(service, ())))


RECORD = "/records/latest"
PLACES: Mapping[AssetKind, str] = {
    AssetKind.SALARIES: "https://hr.iamrange.example/salaries/all",
    AssetKind.COLLEAGUES: "https://hr.iamrange.example/colleagues/all",
    AssetKind.CUSTOMER_PROFILES: "https://customers.iamrange.example/profiles/all",
    AssetKind.ADMINISTRATION: "https://deployments.iamrange.example/admin/status",
    AssetKind.OLD_READING: "https://telemetry.iamrange.example/records/reading-275",
    AssetKind.STAGING_DEPLOYMENT: "https://deployments.iamrange.example/deployments/staging",
    AssetKind.PRODUCTION_DEPLOYMENT: "https://deployments.iamrange.example/deployments/production",
}
"""What there is one of at our services, and where: reading it, or having it done, yields it."""

OUR_SERVICES = frozenset({AssetKind.SERVICE_RECORDS, AssetKind.AGENT_RECORD, *PLACES})
"""The kinds of assets that our own services keep."""

DIRECTORY = Service("directory", frozenset({"read:directory", "write:directory"}))
"""The directory's own REST API, for whoever looks after agents."""

APPROVALS = Service("approvals", frozenset({"ask:approvals"}))
"""Where agents ask for a human's approval, and people give it."""

SERVICE_OF: Mapping[Part, str] = {
    Part.DATA_ANALYST: "customers",
    Part.LOG_WRITER: "logs",
    Part.DEPLOY_BOT: "deployments",
    Part.HR_ASSISTANT: "hr",
    Part.PAYMENTS_AGENT: "payments",
    Part.FLEET_SENSOR: "telemetry",
    Part.CREDENTIAL_BROKER: "logs",
    Part.SUPPORT_LLM: "customers",
    Part.PLATFORM_ADMIN: "deployments",
}
"""The service that each part works with."""

RESOURCES: Mapping[str, frozenset[str] | None] = {
    **{service.resource: service.scopes for service in (*SERVICES.values(), DIRECTORY, APPROVALS)},
    DEFAULT_RESOURCE: None,
}
"""Every resource that a token may be for -> the scopes that it understands.

The gateway (None) knows every scope: it stands before services that come and go.
"""
