"""One HTTP request as the services see it, and the table that finds its handler.

- The peer address is the socket's, never a header's.
- The request id is made here; no client chooses one.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from iamrange.clouds.gcp.errors import invalid_argument
from iamrange.clouds.gcp.principals import ANONYMOUS, Caller
from iamrange.jose.gate import DocumentError, read_json

Body = dict[str, Any]


@dataclass(slots=True)
class Call:
    """One request. `caller` is set by the authenticator before a handler runs."""

    request_id: str
    method: str
    path: str
    # a query or a header may carry a token
    query: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
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
            value = read_json(self.body)
        except DocumentError as error:
            raise invalid_argument("Invalid JSON payload received.") from error
        if not isinstance(value, dict):
            raise invalid_argument("Invalid JSON payload received. Root element must be a message.")
        return value

    def update_mask(self) -> tuple[str, ...]:
        """Return the names in `updateMask`, in lowerCamelCase; empty when there is none."""
        text = self.query.get("updateMask") or self.query.get("update_mask") or ""
        return tuple(_camel(name.strip()) for name in text.split(",") if name.strip())


def message(body: Mapping[str, Any], name: str) -> Body:
    """Return a member that is a JSON object; one that is absent is an empty object.

    Raises:
        ApiError: 400, if it is something else.
    """
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid_argument(f"Invalid value at '{name}': an object is expected.")
    return value


def texts(body: Mapping[str, Any], name: str) -> list[str]:
    """Return a member that is a list of texts; one that is absent is an empty list.

    Raises:
        ApiError: 400, if it is something else.
    """
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid_argument(f"Invalid value at '{name}': a list of strings is expected.")
    return value


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
