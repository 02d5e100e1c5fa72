"""How a gateway matches that takes the path as it came: by prefix, the longest first.

The lapse of `path-normalised`, and nothing else uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.access.routes import NO_ROUTE, ROUTES, Matched, RouteRefusal

if TYPE_CHECKING:
    from iamrange.access.routes import Route


def _prefix(route: Route) -> str:
    return route.path.partition("{")[0]


_LONGEST_FIRST = tuple(sorted(ROUTES, key=lambda route: len(_prefix(route)), reverse=True))


def match_raw(service: str, method: str, path: str) -> Matched | RouteRefusal:
    """Return the route whose fixed beginning is the longest that the path begins with."""
    for route in _LONGEST_FIRST:
        prefix = _prefix(route)
        if route.service == service and route.method == method and path.startswith(prefix):
            rest = path.removeprefix(prefix)
            return Matched(route, {"id": rest} if rest else {})
    return RouteRefusal(NO_ROUTE)
