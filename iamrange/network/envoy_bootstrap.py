"""The bootstrap document that an Envoy configuration becomes.

- The edge is one TLS listener on loopback, on a port that the kernel picks.
- There, a client certificate is asked for and never judged: chain or self-signed, it goes upstream
  in `x-forwarded-client-cert`, and the service, or the decision service, decides.
- Whatever a client sends under the name of a header that says who it is, is removed before
  anything else looks at the request.
- Hosts whose calls are judged have a filter chain of their own: a connection to one kind cannot
  ask for the other.
- No admin interface: it would show the edge's secret to whoever finds its socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_authorizer import CLUSTER
from iamrange.network.envoy_headers import IDENTITY_HEADERS, IDENTITY_PREFIXES
from iamrange.network.envoy_http import (
    cluster_of,
    edge_manager,
    http_filter_chain,
    listener,
    manager_filter,
    upstream_cluster,
)
from iamrange.network.envoy_log import ACCESS_LOG_FILE, LOG_FILE, connection_log
from iamrange.network.envoy_overload import overload_manager
from iamrange.network.envoy_sidecars import in_mesh_name, sidecar_clusters, sidecar_listeners
from iamrange.network.envoy_tls import TLS_FILE, edge_tls, secret_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.network.envoy_config import EnvoyConfig

_PATTERN_STEPS = 1000

__all__ = [
    "ACCESS_LOG_FILE",
    "IDENTITY_HEADERS",
    "IDENTITY_PREFIXES",
    "LOG_FILE",
    "TLS_FILE",
    "bootstrap",
    "secret_document",
]


def bootstrap(config: EnvoyConfig, folder: Path) -> dict[str, Any]:
    """Return the bootstrap document; it holds the secret, so it is shown to Envoy only."""
    clusters = [
        upstream_cluster(cluster_of(upstream, index), upstream.socket, config.limits)
        for index, upstream in enumerate(config.upstreams)
        if upstream.socket is not None
    ]
    if config.authorizer is not None:
        authorizer = config.authorizer
        connect = min(authorizer.timeout, config.limits.upstream_connect)
        clusters.append(
            upstream_cluster(
                CLUSTER, authorizer.socket, config.limits, connect_timeout=f"{connect:.3f}s"
            )
        )
    return {
        "node": {"id": "edge", "cluster": "edge"},  # certificates by file are refused without one
        "static_resources": {
            "listeners": [_listener(config, folder), *sidecar_listeners(config, folder)],
            "clusters": [*clusters, *sidecar_clusters(config, folder)],
        },
        "overload_manager": overload_manager(config.limits),
        "layered_runtime": {"layers": [{"name": "limits", "static_layer": _runtime(config)}]},
        # Nobody reads statistics, and each costs memory.
        "stats_config": {"stats_matcher": {"reject_all": True}},
    }


def _runtime(config: EnvoyConfig) -> Mapping[str, int]:
    limits = {
        f"envoy.resource_limits.listener.{in_mesh_name(sidecar.name)}.connection_limit": (
            config.limits.sidecar_connections
        )
        for sidecar in config.sidecars
    }
    # Envoy refuses patterns of more than 100 steps, which strangers' would be; this one is ours.
    return limits | {"re2.max_program_size.error_level": _PATTERN_STEPS}


def _listener(config: EnvoyConfig, folder: Path) -> Mapping[str, Any]:
    chains = []
    for judged in (False, True):
        indexes = [
            index for index, upstream in enumerate(config.upstreams) if upstream.judged == judged
        ]
        if indexes:
            hosts = [host for index in indexes for host in config.upstreams[index].hosts]
            manager = manager_filter(edge_manager(config, folder, indexes, judged=judged))
            chains.append(http_filter_chain(hosts, edge_tls(folder), config.limits, [manager]))
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return listener("tls", address, chains, config.limits, connection_log(folder, "edge"))
