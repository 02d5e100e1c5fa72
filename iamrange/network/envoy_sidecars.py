"""Sidecars: a service's own TLS listeners, and how the gateway reaches them.

- Who is accepted shows a certificate at the handshake; it has exactly one URI, a listed one.
- The gateway may speak for agents. A neighbour speaks for itself alone: whatever it says of
  others is removed, and the service is told who it is.
- Each has two listeners, alike but for where they are: in the mesh, on a port that the kernel
  picks, and on a unix socket for the gateway, whom the neighbours' crowds then cannot keep out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_config import SECRET_HEADER, check_socket
from iamrange.network.envoy_headers import (
    IDENTITY_HEADERS,
    IDENTITY_PREFIXES,
    PEER_ADDRESS,
    PEER_HEADER,
    REASON_HEADER,
    SERVICE_HEADER,
    TYPES,
    buffer_filter,
    mutation_filter,
    mutation_per_route,
    overwrite,
    remove,
    strip_at_sidecar,
)
from iamrange.network.envoy_http import (
    AS_IT_CAME,
    http_filter_chain,
    listener,
    manager,
    manager_filter,
    sidecar_cluster,
    upstream_cluster,
)
from iamrange.network.envoy_log import connection_log
from iamrange.network.envoy_replies import AMBIGUOUS_PATH
from iamrange.network.envoy_routes import go, misdirected, path_match, refuse, virtual_host
from iamrange.network.envoy_tls import gateway_tls, sidecar_tls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.network.envoy_config import EnvoyConfig, Sidecar


def sidecar_address(config: EnvoyConfig, name: str) -> str:
    """Return the loopback address of the sidecar's listener.

    Each has its own, because the kernel picks their ports and Envoy tells nobody which is whose.
    """
    index = [sidecar.name for sidecar in config.sidecars].index(name)
    return f"127.0.16.{index + 1}"


def sidecar_socket(folder: Path, sidecar: Sidecar) -> Path:
    """Return where the gateway finds the sidecar.

    Raises:
        ValueError: the folder's path is too long for a unix socket in it.
    """
    path = folder / f"{sidecar.name}.sock"
    check_socket(f"sidecar {sidecar.name}", path)
    return path


def sidecar_listeners(config: EnvoyConfig, folder: Path) -> list[Mapping[str, Any]]:
    """Return the listeners of all sidecars."""
    found: list[Mapping[str, Any]] = []
    for sidecar in config.sidecars:
        in_mesh = {
            "socket_address": {"address": sidecar_address(config, sidecar.name), "port_value": 0}
        }
        found.append(_listener(config, folder, sidecar, in_mesh_name(sidecar.name), in_mesh))
        if any(upstream.sidecar == sidecar for upstream in config.upstreams):
            for_gateway = {"pipe": {"path": str(sidecar_socket(folder, sidecar)), "mode": 0o600}}
            name = f"gateway-{sidecar.name}"
            found.append(_listener(config, folder, sidecar, name, for_gateway))
    return found


def in_mesh_name(name: str) -> str:
    """Return the name of the sidecar's listener in the mesh."""
    return f"mesh-{name}"


def sidecar_clusters(config: EnvoyConfig, folder: Path) -> list[Mapping[str, Any]]:
    """Return the services behind the sidecars, and the sidecars as the gateway sees them."""
    limits = config.limits
    used = {
        upstream.sidecar.name: upstream.sidecar
        for upstream in config.upstreams
        if upstream.sidecar is not None
    }
    return [
        *(upstream_cluster(_service(one), one.socket, limits) for one in config.sidecars),
        *(
            upstream_cluster(
                sidecar_cluster(sidecar.name),
                sidecar_socket(folder, sidecar),
                limits,
                transport_socket=gateway_tls(folder, sidecar.hosts[0], sidecar.svid.spiffe_id),
                common_http_protocol_options={
                    "max_connection_duration": f"{limits.connection:.3f}s"
                },
            )
            for sidecar in used.values()
        ),
    ]


def _service(sidecar: Sidecar) -> str:
    return f"service-{sidecar.name}"


def _listener(
    config: EnvoyConfig, folder: Path, sidecar: Sidecar, name: str, address: Mapping[str, Any]
) -> Mapping[str, Any]:
    anyone = config.unsafe_sidecars_accept_anyone
    tls = sidecar_tls(folder, sidecar.name, sidecar.accepts, anyone=anyone)
    filters = [] if anyone else [_exactly_one_identity(sidecar)]
    filters.append(manager_filter(_manager(config, folder, sidecar)))
    return listener(
        name,
        address,
        [http_filter_chain(sidecar.hosts, tls, config.limits, filters)],
        config.limits,
        connection_log(folder, f"sidecar:{sidecar.name}"),
        # A crowd at the edge must not keep the gateway from its own services.
        ignore_global_conn_limit=True,
    )


def _exactly_one_identity(sidecar: Sidecar) -> Mapping[str, Any]:
    """Return what ends a connection whose certificate says more than one listed URI.

    The handshake is content with a certificate of which any URI is listed; an X.509-SVID has
    exactly one (X509-SVID section 2). Several reach this input joined by commas.
    """
    allow = {
        "action": {
            "name": "allow",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.rbac.v3.Action",
                "name": "listed",
                "action": "ALLOW",
            },
        }
    }
    deny = {
        "action": {
            "name": "deny",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.rbac.v3.Action",
                "name": "not-exactly-one-listed-id",
                "action": "DENY",
            },
        }
    }
    return {
        "name": "envoy.filters.network.rbac",
        "typed_config": {
            "@type": f"{TYPES}filters.network.rbac.v3.RBAC",
            "stat_prefix": "sidecar",
            "matcher": {
                "matcher_tree": {
                    "input": {
                        "name": "uri-san",
                        "typed_config": {
                            "@type": f"{TYPES}matching.common_inputs.ssl.v3.UriSanInput"
                        },
                    },
                    "exact_match_map": {"map": dict.fromkeys(sidecar.accepts, allow)},
                },
                "on_no_match": deny,
            },
        },
    }


def _manager(config: EnvoyConfig, folder: Path, sidecar: Sidecar) -> Mapping[str, Any]:
    peer = {"append": overwrite(PEER_HEADER, "%DOWNSTREAM_PEER_URI_SAN%")}
    return manager(
        config.limits,
        folder,
        listener=f"sidecar:{sidecar.name}",
        peers_verified=not config.unsafe_sidecars_accept_anyone,
        early_mutations=[*strip_at_sidecar(), peer],
        filters=[buffer_filter(config.limits.body_bytes), mutation_filter([])],
        routes={
            "name": sidecar.name,
            "virtual_hosts": [_host(config, sidecar), misdirected()],
            "request_headers_to_add": [overwrite(SECRET_HEADER, config.secret)],
            "request_headers_to_remove": [
                PEER_HEADER,
                "x-envoy-external-address",
                "x-envoy-internal",
            ],
        },
        **AS_IT_CAME,
        # Whoever connected proves its certificate anew; the gateway does so earlier by itself.
        max_connection_duration=f"{2 * config.limits.connection:.3f}s",
        skip_xff_append=True,
        preserve_external_request_id=True,
        forward_client_cert_details="SANITIZE",
    )


def _host(config: EnvoyConfig, sidecar: Sidecar) -> Mapping[str, Any]:
    canonical = not config.unsafe_raw_paths
    path = path_match(canonical=canonical)
    timeout = config.limits.response
    routes = []
    if config.unsafe_sidecars_accept_anyone:
        routes.append(go(path, _service(sidecar), timeout))
    else:
        if config.gateway_svid is not None:
            spiffe_id = config.gateway_svid.spiffe_id
            gateway = {"name": PEER_HEADER, "string_match": {"exact": spiffe_id}}
            routes.append(go(path | {"headers": [gateway]}, _service(sidecar), timeout))
        neighbour = go(path, _service(sidecar), timeout)
        neighbour["typed_per_filter_config"] = mutation_per_route(_of_a_neighbour())
        routes.append(neighbour)
    for route in routes:
        route["response_headers_to_remove"] = [REASON_HEADER]
    if canonical:
        routes.append(refuse({"prefix": "/"}, 400, judged=True, reason=AMBIGUOUS_PATH))
    public = tuple(
        host
        for upstream in config.upstreams
        if upstream.sidecar == sidecar
        for host in upstream.hosts
    )
    body = config.limits.body_bytes
    hosts = (*sidecar.hosts, *public)
    return virtual_host(sidecar.name, hosts, routes, body=body, strict=True)


def _of_a_neighbour() -> list[Mapping[str, Any]]:
    return [
        *remove(IDENTITY_HEADERS, IDENTITY_PREFIXES),
        {"append": overwrite(SERVICE_HEADER, "%DOWNSTREAM_PEER_URI_SAN%")},
        {"append": overwrite("x-request-id", "%UNIQUE_ID%")},
        {"append": overwrite("x-forwarded-for", PEER_ADDRESS)},
    ]
