"""Routes: which requests a listener serves, and which it refuses by itself.

- On hosts whose calls are judged nothing is repaired: the path goes to the decision service as it
  came, and afterwards only one that has a single reading goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_authorizer import unjudged
from iamrange.network.envoy_headers import REASON_HEADER, overwrite, unbuffered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Segments of pchar (RFC 3986 section 3.3) that are no dot segments, without `;`, and without the
# escapes of `%`, `.`, `/`, `\` and of control characters, which servers unfold once more.
_ESCAPE = "%(?:2[0-46-9A-Da-d]|[346A-Fa-f89][0-9A-Fa-f]|5[0-9ABD-Fabd-f]|7[0-9A-Ea-e])"
_NO_DOT = rf"(?:[A-Za-z0-9_~!$&'()*+,=:@-]|{_ESCAPE})"
_ANY = rf"(?:\.|{_NO_DOT})"
_SEGMENT = rf"(?:{_NO_DOT}{_ANY}*|\.{_NO_DOT}{_ANY}*|\.\.{_ANY}+)"
CANONICAL_PATH = rf"/|(?:/{_SEGMENT})+/?"

Route = dict[str, Any]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LONGEST = (1 << 63) - 1


def go(match: Mapping[str, Any], cluster: str, timeout: float) -> Route:
    """Return a route to a cluster."""
    return {
        "match": dict(match),
        "route": {"cluster": cluster, "timeout": f"{timeout:.3f}s"},
    }


def refuse(
    match: Mapping[str, Any], status: int, *, judged: bool = False, reason: str = ""
) -> Route:
    """Return a route that answers by itself, at once.

    With `judged`, the decision service is asked first, so that the call is on record there.
    """
    route: Route = {"match": dict(match), "direct_response": {"status": status}}
    if reason:
        route["response_headers_to_add"] = [overwrite(REASON_HEADER, reason)]
    if not judged:
        # Not even the body is waited for: that of a tunnel has no end.
        route["typed_per_filter_config"] = {**unjudged(), **unbuffered()}
    return route


def path_match(*, canonical: bool) -> Route:
    """Return what matches every path, or every canonical one."""
    return {"safe_regex": {"regex": CANONICAL_PATH}} if canonical else {"prefix": "/"}


def virtual_host(
    name: str, hosts: Sequence[str], routes: Sequence[Route], *, body: int, strict: bool = False
) -> Route:
    """Return the hosts with their routes, behind the refusals that hold on each.

    A body that says that it is longer than `body` bytes is not waited for. With `strict`, what a
    decision service behind HTTP/1.1 could not even be told is refused: methods that its server
    may not know, and bytes in a target that are none of a URL's.
    """
    refusals = [
        refuse({"connect_matcher": {}}, 405),
        # It would send back what the edge adds, the secret too (RFC 9110 section 9.3.8).
        refuse(_where(":method", string_match={"exact": "TRACE"}), 405),
        refuse(_where("content-length", range_match={"start": body + 1, "end": _LONGEST}), 413),
    ]
    if strict:
        refusals += [
            refuse(_unless(":method", "|".join(METHODS)), 405),
            refuse(_unless(":path", "[!-~]*"), 400),
        ]
    return {"name": name, "domains": list(hosts), "routes": [*refusals, *routes]}


def misdirected() -> Route:
    """Return the answer for every other host."""
    return virtual_host("misdirected", ("*",), [refuse({"prefix": "/"}, 421)], body=_LONGEST - 1)


def _where(header: str, **matches: Mapping[str, Any]) -> Route:
    return {"prefix": "/", "headers": [{"name": header, **matches}]}


def _unless(header: str, pattern: str) -> Route:
    match = {"string_match": {"safe_regex": {"regex": pattern}}, "invert_match": True}
    return {"prefix": "/", "headers": [{"name": header, **match}]}
