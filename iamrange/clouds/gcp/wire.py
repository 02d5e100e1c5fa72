"""One HTTP request as the services see it, and the table that finds its handler.

- The peer address is the socket's, never a header's.
- The request id is made here; no client chooses one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from iamrange.clouds.gcp.errors import invalid_argument
from iamrange.clouds.gcp.principals import ANONYMOUS, Caller

Body = dict[str, Any]


@dataclass(slots=True)
class Call:
    """One request. `caller` is set by the authenticator before a handler runs."""

    request_id: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    source_ip: str
    service: str = ""
    caller: Caller = ANONYMOUS

    def json(self) -> Body:
        """Return the body as a JSON object; an empty body is an empty object.

        Raises:
            ApiError: the body is not a JSON object.
        """
        if not self.body.strip():
            return {}
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise invalid_argument("Invalid JSON payload received.") from error
        if not isinstance(value, dict):
            raise invalid_argument("Invalid JSON payload received. Root element must be a message.")
        return value

    def update_mask(self) -> tuple[str, ...]:
        """Return the names in `updateMask`, in lowerCamelCase; empty when there is none."""
        text = self.query.get("updateMask") or self.query.get("update_mask") or ""
        return tuple(_camel(name.strip()) for name in text.split(",") if name.strip())


Handler = Callable[..., Awaitable[Body] | Body]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path template of one service. `{x}` is one segment, `{x*}` any number."""

    method: str
    template: str
    service: str
    handler: Handler
    public: bool = False
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the template."""
        object.__setattr__(self, "pattern", re.compile(_pattern(self.template)))


def service_routes(
    service: str, table: Iterable[tuple[str, str, Handler]], *, public: bool = False
) -> tuple[Route, ...]:
    """Return the routes of one service."""
    return tuple(Route(method, path, service, handler, public) for method, path, handler in table)


def find_route(
    routes: Iterable[Route], method: str, path: str
) -> tuple[Route, dict[str, str]] | None:
    """Return the route that serves this request, with its path parameters."""
    for route in routes:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groupdict()
    return None


def _pattern(template: str) -> str:
    parts = re.split(r"\{(\w+\*?)\}", template)
    pattern = re.escape(parts[0])
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        pattern += f"(?P<{name[:-1]}>.+?)" if name.endswith("*") else f"(?P<{name}>[^/:]+)"
        pattern += re.escape(literal)
    return pattern


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
