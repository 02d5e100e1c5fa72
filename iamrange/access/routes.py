"""The one table: scope -> service -> route -> action, and what the data there is.

- What is not in the table does not exist at the gateway: default deny.
- Every scope is the action and the service, so that each power can be granted alone;
  `read:database` is the one scope older than the table.
- Paths are canonical when they come here (`access/canonical.py`): this module matches, and
  repairs nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from iamrange.access.vocabulary import PRODUCTION, Action
from iamrange.identity.challenges import METADATA_PATH
from iamrange.identity.directory.model import Classification
from iamrange.identity.names import service_resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PUBLIC = Classification.PUBLIC
INTERNAL = Classification.INTERNAL
CONFIDENTIAL = Classification.CONFIDENTIAL
RESTRICTED = Classification.RESTRICTED

PLATFORM = "platform"
"""The project of every service's administration."""

NO_ROUTE = "no-route"
METHOD_NOT_ALLOWED = "method-not-allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One thing that can be asked of one service, and how the policy sees it.

    `path` is a template: `{name}` stands for one segment. `type` is the data set that the route
    touches. `environment` is set where the path itself names it.
    """

    service: str
    method: str
    path: str
    action: Action
    scope: str
    type: str
    classification: Classification
    project: str
    high_impact: bool = False
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class Matched:
    """A route, and what its path's parameters are in this call."""

    route: Route
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RouteRefusal:
    """Why no route was found; `methods` are those that the path has."""

    reason: str
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Data:
    """One data set of a service, and how sensitive it is.

    What is `shared` is read by whichever role is granted it; to change it is its project's alone.
    """

    type: str
    path: str
    classification: Classification
    latest: bool = False
    shared: bool = False


_PROJECTS = MappingProxyType(
    {
        "customers": "analytics",
        "logs": "analytics",
        "hr": "people",
        "payments": "payments",
        "deployments": PLATFORM,
        "telemetry": "fleet",
    }
)

# The first of each service is what everybody's daily work reads. The logs' latest line is public
# since two projects read it, and no other data crosses projects.
_DATA: Mapping[str, tuple[_Data, ...]] = MappingProxyType(
    {
        "customers": (
            _Data("customer-analytics", "/records", PUBLIC, latest=True),
            _Data("customer-segments", "/segments", INTERNAL),
            _Data("customer-profiles", "/profiles", CONFIDENTIAL),
            _Data("customer-cards", "/cards", RESTRICTED),
        ),
        "logs": (
            _Data("log-status", "/records", PUBLIC, latest=True),
            _Data("log-entries", "/entries", INTERNAL),
            _Data("log-traces", "/traces", CONFIDENTIAL),
        ),
        "hr": (
            _Data("hr-records", "/records", CONFIDENTIAL, latest=True),
            _Data("hr-directory", "/colleagues", INTERNAL, shared=True),
            _Data("hr-salaries", "/salaries", RESTRICTED),
        ),
        "payments": (
            _Data("payment-records", "/records", RESTRICTED, latest=True),
            _Data("payment-totals", "/totals", INTERNAL),
        ),
        "deployments": (
            _Data("deployment-records", "/records", INTERNAL, latest=True),
            _Data("deployment-status", "/status", PUBLIC),
            _Data("deployment-secrets", "/settings", RESTRICTED),
        ),
        "telemetry": (
            _Data("telemetry-records", "/records", INTERNAL, latest=True),
            _Data("telemetry-locations", "/locations", CONFIDENTIAL),
        ),
    }
)

SERVICES: tuple[str, ...] = tuple(_DATA)
"""The services behind the gateway."""

SERVICE_OF_HOST: Mapping[str, str] = MappingProxyType(
    {service_resource(name).removeprefix("https://"): name for name in SERVICES}
)
"""Host name -> the service that is reached by it."""


def _data_routes(service: str, data: _Data) -> Iterator[Route]:
    def route(method: str, path: str, action: Action, *, high_impact: bool = False) -> Route:
        return Route(
            service=service,
            method=method,
            path=data.path + path,
            action=action,
            scope=f"{action}:{service}",
            type=data.type,
            classification=data.classification,
            project="" if data.shared and action is Action.READ else _PROJECTS[service],
            high_impact=high_impact,
        )

    if data.latest:
        yield route("GET", "/latest", Action.READ)
        yield route("GET", "/newest", Action.READ)
    yield route("GET", "/{id}", Action.READ)
    yield route("POST", "", Action.WRITE)
    yield route("PUT", "/{id}", Action.WRITE)
    yield route("DELETE", "/{id}", Action.DELETE, high_impact=True)


def _admin_routes(service: str) -> Iterator[Route]:
    """Yield what runs something on a service: the platform's, whoever's data the service holds."""
    for method, path in (
        ("GET", "/admin/status"),
        ("POST", "/admin/commands"),
        ("POST", "/admin/commands/{command}"),
    ):
        yield Route(
            service=service,
            method=method,
            path=path,
            action=Action.EXECUTE,
            scope=f"{Action.EXECUTE}:{service}",
            type="administration",
            classification=RESTRICTED,
            project=PLATFORM,
        )


_OTHERS = (
    Route(
        service="logs",
        method="GET",
        path="/database/{table}",
        action=Action.READ,
        scope="read:database",
        type="log-database",
        classification=INTERNAL,
        project=_PROJECTS["logs"],
    ),
    Route(
        service="payments",
        method="POST",
        path="/transfers",
        action=Action.TRANSFER,
        scope="transfer:payments",
        type="money",
        classification=RESTRICTED,
        project=_PROJECTS["payments"],
        high_impact=True,
    ),
    *(
        Route(
            service="deployments",
            method="POST",
            path=f"/deployments/{environment}",
            action=Action.DEPLOY,
            scope="deploy:deployments",
            type="deployment",
            classification=INTERNAL,
            project=_PROJECTS["deployments"],
            high_impact=environment == PRODUCTION,
            environment=environment,
        )
        # a closed list: an environment that nobody has listed could be production by another name
        for environment in ("development", "staging", PRODUCTION)
    ),
)

ROUTES: tuple[Route, ...] = (
    *(
        route
        for service in SERVICES
        for data in _DATA[service]
        for route in _data_routes(service, data)
    ),
    *_OTHERS,
    *(route for service in SERVICES for route in _admin_routes(service)),
)
"""Every route behind the gateway."""

PUBLIC_PATHS: frozenset[tuple[str, str, str]] = frozenset(
    (service, "GET", METADATA_PATH) for service in SERVICES
)
"""(service, method, path) that need no token: the metadata of RFC 9728 section 3."""


def is_public(service: str, method: str, path: str) -> bool:
    """Tell whether a call needs no token at all."""
    return (service, method, path) in PUBLIC_PATHS


def scopes_of(service: str) -> frozenset[str]:
    """Return every scope that some route of a service asks for."""
    return frozenset(route.scope for route in ROUTES if route.service == service)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{([a-z]+)\}", template)
    # odd parts are names; a segment is never empty, and holds what a canonical path may unescaped
    text = "".join(
        rf"(?P<{part}>[A-Za-z0-9._~-]{{1,128}})" if index % 2 else re.escape(part)
        for index, part in enumerate(parts)
    )
    return re.compile(text)


# literal paths first: /records/latest is no record whose id is "latest"
_BY_PATH: Mapping[str, tuple[tuple[re.Pattern[str], Mapping[str, Route]], ...]] = MappingProxyType(
    {
        service: tuple(
            (
                _pattern(path),
                MappingProxyType(
                    {
                        route.method: route
                        for route in ROUTES
                        if route.service == service and route.path == path
                    }
                ),
            )
            for path in sorted(
                {route.path for route in ROUTES if route.service == service},
                key=lambda path: (path.count("{"), path),
            )
        )
        for service in SERVICES
    }
)
_NOTHING: Mapping[str, str] = MappingProxyType({})


def match(service: str, method: str, path: str) -> Matched | RouteRefusal:
    """Find the route of a call; what the table does not hold is refused.

    The most literal path that fits decides, whatever its methods are: who deletes the latest
    record does not delete a record that is called "latest".
    """
    for pattern, methods in _BY_PATH.get(service, ()):
        found = pattern.fullmatch(path)
        if found is None:
            continue
        route = methods.get(method)
        if route is None:
            return RouteRefusal(METHOD_NOT_ALLOWED, tuple(sorted(methods)))
        return Matched(route, found.groupdict() or _NOTHING)
    return RouteRefusal(NO_ROUTE)
