"""The HTTP connection manager: what every listener of ours does with HTTP, and what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_authorizer import authorizer_filters
from iamrange.network.envoy_config import SECRET_HEADER
from iamrange.network.envoy_headers import (
    PEER_ADDRESS,
    REASON_HEADER,
    TYPES,
    buffer_filter,
    early,
    overwrite,
    strip_at_edge,
)
from iamrange.network.envoy_log import request_log
from iamrange.network.envoy_replies import AMBIGUOUS_PATH, replies
from iamrange.network.envoy_routes import go, misdirected, path_match, refuse, virtual_host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from iamrange.network.envoy_config import EnvoyConfig, Limits, Upstream

REPAIRED: Mapping[str, Any] = {
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "REJECT_REQUEST",
    "strip_any_host_port": True,
    "strip_trailing_host_dot": True,
}
AS_IT_CAME: Mapping[str, Any] = {
    "normalize_path": False,
    "merge_slashes": False,
    "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
    # Of `GET https://host/path` Envoy would make `GET /path` (RFC 9112 section 3.2.2).
    "http_protocol_options": {"allow_absolute_url": False},
}


def edge_manager(
    config: EnvoyConfig, folder: Path, indexes: Sequence[int], *, judged: bool
) -> Mapping[str, Any]:
    """Return the manager of the edge for the upstreams with these indexes."""
    if judged and config.authorizer is not None:
        filters = authorizer_filters(config, config.authorizer)
    else:
        filters = [buffer_filter(config.limits.body_bytes)]
    as_it_came = judged or config.unsafe_raw_paths
    return manager(
        config.limits,
        folder,
        listener="edge",
        peers_verified=False,
        early_mutations=strip_at_edge(keeps_identity=config.unsafe_keeps_identity_headers),
        filters=filters,
        routes={
            "name": "hosts",
            "virtual_hosts": [
                *(_edge_host(config, index, judged=judged) for index in indexes),
                misdirected(),
            ],
            "request_headers_to_add": [
                overwrite(SECRET_HEADER, config.secret),
                # Of a peer on loopback Envoy itself would write the machine's address instead.
                overwrite("x-forwarded-for", PEER_ADDRESS),
            ],
            "request_headers_to_remove": ["x-envoy-external-address", "x-envoy-internal"],
        },
        **(AS_IT_CAME if as_it_came else REPAIRED),
        forward_client_cert_details="SANITIZE_SET",
        set_current_client_cert_details={"cert": True, "chain": True},
    )


def manager(  # noqa: PLR0913 - keyword-only parts of one document
    limits: Limits,
    folder: Path,
    *,
    listener: str,
    peers_verified: bool,
    early_mutations: Sequence[Mapping[str, Any]],
    filters: Sequence[Mapping[str, Any]],
    routes: Mapping[str, Any],
    max_connection_duration: str | None = None,
    **differing: Any,  # noqa: ANN401 - members of Envoy's message
) -> Mapping[str, Any]:
    """Return a connection manager with the limits and refusals that hold everywhere."""
    return {
        "@type": f"{TYPES}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": listener.partition(":")[0],
        "codec_type": "AUTO",
        "early_header_mutation_extensions": early(early_mutations),
        # The peer of the connection is the client; no header from before counts.
        "use_remote_address": True,
        "xff_num_trusted_hops": 0,
        # Nobody is internal: to peers who are, Envoy grants headers that steer it. An empty list
        # would mean the private networks; the unspecified address is no peer's.
        "internal_address_config": {
            "cidr_ranges": [{"address_prefix": "0.0.0.0", "prefix_len": 32}],  # noqa: S104 - not bound to
        },
        "server_header_transformation": "PASS_THROUGH",
        "max_request_headers_kb": limits.header_kib,
        "request_headers_timeout": _seconds(limits.headers),
        "request_timeout": _seconds(limits.request),
        "stream_idle_timeout": _seconds(limits.request),
        "common_http_protocol_options": {
            "idle_timeout": _seconds(limits.idle),
            "max_headers_count": limits.header_count,
            "headers_with_underscores_action": "REJECT_REQUEST",
            **(
                {"max_connection_duration": max_connection_duration}
                if max_connection_duration
                else {}
            ),
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "http_filters": [
            *filters,
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{TYPES}filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "route_config": routes,
        "local_reply_config": replies(),
        "access_log": [request_log(folder, listener, peers_verified=peers_verified)],
        **differing,
    }


def http_filter_chain(
    hosts: Sequence[str], tls: Mapping[str, Any], limits: Limits, filters: Sequence[Any]
) -> Mapping[str, Any]:
    """Return what serves connections that name one of the hosts."""
    return {
        # Any other name, or none, ends before a certificate is shown.
        "filter_chain_match": {"server_names": list(hosts)},
        "transport_socket_connect_timeout": _seconds(limits.handshake),
        "transport_socket": tls,
        "filters": list(filters),
    }


def listener(
    name: str,
    address: Mapping[str, Any],
    chains: Sequence[Any],
    limits: Limits,
    log: Mapping[str, Any],
    **differing: Any,  # noqa: ANN401 - members of Envoy's message
) -> Mapping[str, Any]:
    """Return a TLS listener, which goes by the name that a connection asks for."""
    return {
        "name": name,
        "address": address,
        # With SO_REUSEPORT another process of this user could take half of the connections.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 32 * 1024,
        "listener_filters_timeout": _seconds(limits.handshake),
        "listener_filters": [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {"@type": f"{TYPES}filters.listener.tls_inspector.v3.TlsInspector"},
            }
        ],
        "filter_chains": list(chains),
        "access_log": [log],
        **differing,
    }


def manager_filter(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the connection manager as the network filter that it is."""
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def upstream_cluster(
    name: str,
    socket: Path,
    limits: Limits,
    **differing: Any,  # noqa: ANN401 - members of Envoy's message
) -> dict[str, Any]:
    """Return a service on a unix socket."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    common = {"idle_timeout": _seconds(limits.upstream_idle)}
    common |= differing.pop("common_http_protocol_options", {})
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _seconds(limits.upstream_connect),
        "per_connection_buffer_limit_bytes": 32 * 1024,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPES}upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": common,
            }
        },
        **differing,
    }


def sidecar_cluster(name: str) -> str:
    """Return the name of the cluster that is a sidecar, as the gateway sees it."""
    return f"sidecar-{name}"


def cluster_of(upstream: Upstream, index: int) -> str:
    """Return the name of the cluster to which the edge sends the upstream's calls."""
    sidecar = upstream.sidecar
    return f"upstream-{index}" if sidecar is None else sidecar_cluster(sidecar.name)


def _edge_host(config: EnvoyConfig, index: int, *, judged: bool) -> Mapping[str, Any]:
    upstream = config.upstreams[index]
    cluster = cluster_of(upstream, index)
    canonical = judged and not config.unsafe_raw_paths
    routes = [go(path_match(canonical=canonical), cluster, config.limits.response)]
    if judged and upstream.sidecar is None:
        # What the decision service alone may say; a sidecar has removed it already.
        routes[0]["response_headers_to_remove"] = [REASON_HEADER]
    if canonical:
        routes.append(refuse({"prefix": "/"}, 400, judged=True, reason=AMBIGUOUS_PATH))
    body = config.limits.body_bytes
    if judged and config.authorizer is not None:
        body = config.authorizer.body_bytes
    return virtual_host(cluster, upstream.hosts, routes, body=body, strict=judged)


def _seconds(value: float) -> str:
    return f"{value:.3f}s"
