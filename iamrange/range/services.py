"""The services that agents work with: who they are, which scope reads them, who works with which.

- One table: the token service reads its resources from it, the stage its facts, the world its apps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.core.scenario import Part
from iamrange.identity.names import DEFAULT_RESOURCE, service_resource

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Service:
    """One service. Its scopes are the only ones that it understands."""

    name: str
    reads: str
    writes: str

    @property
    def resource(self) -> str:
        """The resource URI: the audience of tokens for it, and where it is reached."""
        return service_resource(self.name)

    @property
    def host(self) -> str:
        """The host name."""
        return self.resource.removeprefix("https://")

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope that the service understands."""
        return frozenset({self.reads, self.writes})


SERVICES: Mapping[str, Service] = {
    name: Service(name, f"read:{name}", f"write:{name}")
    for name in (
        "customers",
        "logs",
        "hr",
        "payments",
        "deployments",
        "telemetry",
    )
}

DIRECTORY = Service("directory", "read:directory", "write:directory")
"""The directory's own REST API, for whoever looks after agents."""

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
    **{service.resource: service.scopes for service in (*SERVICES.values(), DIRECTORY)},
    DEFAULT_RESOURCE: None,
}
"""Every resource that a token may be for -> the scopes that it understands.

The gateway (None) knows every scope: it stands before services that come and go.
"""
