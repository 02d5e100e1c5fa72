"""Service Usage: serviceusage.googleapis.com/v1, as far as set-up scripts use it.

- The services of this cloud are on in every project, and cannot be turned off.
- A service that is not served here cannot be turned on: a script must not believe that it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.clouds.gcp import operations
from iamrange.clouds.gcp.access import Access, denied
from iamrange.clouds.gcp.errors import ApiError, not_found
from iamrange.clouds.gcp.paging import page
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes, texts

if TYPE_CHECKING:
    from iamrange.clouds.gcp.state import Project

HOST: Final = "serviceusage.googleapis.com"
SERVED: Final = (
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "orgpolicy.googleapis.com",
    "secretmanager.googleapis.com",
    HOST,
    "sts.googleapis.com",
)
_BASE: Final = "/v1/projects/{project}/services"
_ONE: Final = _BASE + "/{service}"
_TYPE: Final = "google.api.serviceusage.v1"


class ServiceUsage:
    """Which services a project uses."""

    def __init__(self, access: Access) -> None:
        """Take the shared access."""
        self._access = access

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return service_routes(
            HOST,
            [
                ("GET", _BASE, self.list_services),
                ("GET", _ONE, self.get),
                ("POST", _ONE + ":enable", self.enable),
                ("POST", _ONE + ":disable", self.disable),
                ("POST", _BASE + ":batchEnable", self.enable_many),
                ("GET", "/v1/operations/{operation}", self.get_operation),
            ],
        )

    def get_operation(self, call: Call, operation: str) -> Body:
        """Return an operation."""
        del call
        return operations.find(self._access.state, f"operations/{operation}")

    def list_services(self, call: Call, project: str) -> Body:
        """List the services, all of which are on."""
        owner = self._authorized(call, project, "list")
        off = call.query.get("filter") == "state:DISABLED"
        return page(call, "services", [] if off else [_shown(owner, name) for name in SERVED])

    def get(self, call: Call, project: str, service: str) -> Body:
        """Return a service."""
        return _shown(self._authorized(call, project, "get"), _served(service))

    def enable(self, call: Call, project: str, service: str) -> Body:
        """Turn a service on: it is."""
        shown = _shown(self._authorized(call, project, "enable"), _served(service))
        return self._done("EnableServiceResponse", {"service": shown})

    def enable_many(self, call: Call, project: str) -> Body:
        """Turn services on: they are."""
        owner = self._authorized(call, project, "enable")
        shown = [_shown(owner, _served(name)) for name in texts(call.json(), "serviceIds")]
        return self._done("BatchEnableServicesResponse", {"services": shown})

    def disable(self, call: Call, project: str, service: str) -> Body:
        """Refuse to turn a service off."""
        self._authorized(call, project, "disable")
        raise ApiError("UNIMPLEMENTED", f"{_served(service)} cannot be turned off here.")

    def _authorized(self, call: Call, project: str, verb: str) -> Project:
        permission = f"serviceusage.services.{verb}"
        owner = self._access.state.project(project)
        if owner is None:
            raise denied(permission, f"projects/{project}")
        self._access.require(call, permission, self._access.project_target(owner))
        return owner

    def _done(self, type_name: str, response: Body) -> Body:
        return operations.finished(self._access.state, "", f"{_TYPE}.{type_name}", response)


def _served(service: str) -> str:
    if service not in SERVED:
        raise not_found(f"Service {service[:100]} is not served here.")
    return service


def _shown(owner: Project, service: str) -> Body:
    parent = f"projects/{owner.number}"
    return {
        "name": f"{parent}/services/{service}",
        "config": {"name": service},
        "state": "ENABLED",
        "parent": parent,
    }
