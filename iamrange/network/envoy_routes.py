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


def virtual_host(name: str, hosts: Sequence[str], routes: Sequence[Route], *, body: int) -> Route:
    """Return the hosts with their routes, behind the refusals that hold on each.

    A body that says that it is longer than `body` bytes is not waited for.
    """
    # It would send back what the edge adds, the secret too (RFC 9110 section 9.3.8).
    trace = {
        "prefix": "/",
        "headers": [{"name": ":method", "string_match": {"exact": "TRACE"}}],
    }
    too_long = {
        "prefix": "/",
        "headers": [
            {"name": "content-length", "range_match": {"start": body + 1, "end": _LONGEST}}
        ],
    }
    refusals = [refuse({"connect_matcher": {}}, 405), refuse(trace, 405), refuse(too_long, 413)]
    return {"name": name, "domains": list(hosts), "routes": [*refusals, *routes]}


def misdirected() -> Route:
    """Return the answer for every other host."""
    return virtual_host("misdirected", ("*",), [refuse({"prefix": "/"}, 421)], body=_LONGEST - 1)
