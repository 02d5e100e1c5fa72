"""Headers that say who asks or what was asked: whose word counts for each, and who removes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_config import SECRET_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TYPES = "type.googleapis.com/envoy.extensions."

TARGET_HEADER = "x-iamrange-target"
"""To the authorizer: the request target exactly as the client sent it."""
REASON_HEADER = "x-iamrange-reason"
"""To the client: the code of why a call was refused."""
SERVICE_HEADER = "x-service-id"
"""From a sidecar to its service: the SPIFFE id of the service that calls, if it is no gateway."""
PEER_HEADER = "x-iamrange-peer"
"""Within a sidecar only: the SPIFFE ids of the peer's certificate."""
PEER_ADDRESS = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
"""Envoy's own command for where the connection comes from."""
AGENT_PREFIX = "x-agent-"
"""Of the headers by which the gateway tells a service for whom it speaks."""

IDENTITY_HEADERS = (
    "x-forwarded-client-cert",
    SECRET_HEADER,
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-access-token",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "client-cert",
    "client-cert-chain",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-remote-user",
    "remote-user",
    "x-request-id",
    SERVICE_HEADER,
)
"""Headers by which proxies tell services who asks or what was asked; a client has no say in them.

RFC 7239 (forwarded), RFC 9440 (client-cert), and what common proxies and frameworks use.
"""

IDENTITY_PREFIXES = (
    AGENT_PREFIX,
    "x-client-cert-",
    "x-iamrange-",
    "x-envoy-",
    "x-spiffe-",
    "x-ssl-",
    "ssl-client-",
    "x-auth-request-",
)

_OURS = (SECRET_HEADER, "x-forwarded-client-cert", "x-forwarded-for", "x-request-id")
_OUR_PREFIXES = ("x-iamrange-", "x-envoy-")
_FROM_GATEWAY = ("x-forwarded-for", "x-forwarded-proto", "x-request-id")


def remove(names: Iterable[str], prefixes: Iterable[str]) -> list[Mapping[str, Any]]:
    """Return the mutations that take these headers away, however they are spelled."""
    mutations: list[Mapping[str, Any]] = [{"remove": name} for name in names]
    mutations += [
        {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}}
        for prefix in prefixes
    ]
    return mutations


def strip_at_edge(*, keeps_identity: bool) -> list[Mapping[str, Any]]:
    """Return what the edge removes from a client's request before anything looks at it.

    With `keeps_identity`, the lapse, only what the range itself goes by is removed.
    """
    if keeps_identity:
        return remove(_OURS, _OUR_PREFIXES)
    return remove(IDENTITY_HEADERS, IDENTITY_PREFIXES)


def strip_at_sidecar() -> list[Mapping[str, Any]]:
    """Return what a sidecar removes whoever calls: what only the connection itself can tell."""
    names = [name for name in IDENTITY_HEADERS if name not in _FROM_GATEWAY]
    prefixes = [prefix for prefix in IDENTITY_PREFIXES if prefix != AGENT_PREFIX]
    return remove(names, prefixes)


def overwrite(header: str, value: str) -> Mapping[str, Any]:
    """Return the option that sets the header, whatever it was before."""
    return {
        "header": {"key": header, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def early(mutations: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the extension that makes the changes before a route is chosen."""
    return [
        {
            "name": "identity-headers",
            "typed_config": {
                "@type": f"{TYPES}http.early_header_mutation.header_mutation.v3.HeaderMutation",
                "mutations": list(mutations),
            },
        }
    ]


def buffer_filter(limit: int) -> Mapping[str, Any]:
    """Return the HTTP filter that waits for the whole body, and refuses a longer one (413)."""
    return {
        "name": BUFFER_FILTER,
        "typed_config": {
            "@type": f"{TYPES}filters.http.buffer.v3.Buffer",
            "max_request_bytes": limit,
        },
    }


def unbuffered() -> Mapping[str, Any]:
    """Return what spares a route the wait, for `typed_per_filter_config`."""
    return {
        BUFFER_FILTER: {
            "@type": f"{TYPES}filters.http.buffer.v3.BufferPerRoute",
            "disabled": True,
        }
    }


def mutation_filter(mutations: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the HTTP filter that makes the changes; routes may add their own."""
    return {
        "name": MUTATION_FILTER,
        "typed_config": {
            "@type": f"{TYPES}filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": list(mutations)},
        },
    }


def mutation_per_route(mutations: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return a route's own changes, for `typed_per_filter_config`."""
    return {
        MUTATION_FILTER: {
            "@type": f"{TYPES}filters.http.header_mutation.v3.HeaderMutationPerRoute",
            "mutations": {"request_mutations": list(mutations)},
        }
    }


MUTATION_FILTER = "envoy.filters.http.header_mutation"
BUFFER_FILTER = "envoy.filters.http.buffer"
