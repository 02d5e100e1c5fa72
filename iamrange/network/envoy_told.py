"""What a bootstrap document tells Envoy, read from the document itself.

- Who connects where and with which certificate, what is asked before a call goes on, where it goes,
  how long each part may take and how much it may hold.
- Nothing secret is read: certificates are named by their files, and the edge's secret is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MANAGER: Final = "envoy.filters.network.http_connection_manager"
_AUTHORIZER: Final = "envoy.filters.http.ext_authz"
_BUFFER: Final = "envoy.filters.http.buffer"
_ONE_IDENTITY: Final = "envoy.filters.network.rbac"
_CONNECTIONS: Final = "max_active_downstream_connections"
_HEAP: Final = "max_heap_size_bytes"
_LIMIT: Final = "envoy.resource_limits.listener.{}.connection_limit"

Told = dict[str, Any]


def told(document: Mapping[str, Any]) -> Told:
    """Return the document's listeners, clusters and limits as plain values; times in seconds."""
    resources = document["static_resources"]
    runtime = {
        name: value
        for layer in document["layered_runtime"]["layers"]
        for name, value in layer["static_layer"].items()
    }
    monitors = [one["typed_config"] for one in document["overload_manager"]["resource_monitors"]]
    limits = {name: value for one in monitors for name, value in one.items()}
    return {
        "connections": limits[_CONNECTIONS],
        "memory_bytes": limits[_HEAP],
        "listeners": [_listener(one, runtime) for one in resources["listeners"]],
        "clusters": [_cluster(one) for one in resources["clusters"]],
    }


def _listener(listener: Mapping[str, Any], runtime: Mapping[str, Any]) -> Told:
    chains = [_chain(one) for one in listener["filter_chains"]]
    found = {
        "name": listener["name"],
        "address": _address(listener["address"]),
        "connections": runtime.get(_LIMIT.format(listener["name"])),
        "chains": chains,
    }
    return {name: value for name, value in found.items() if value is not None}


def _chain(chain: Mapping[str, Any]) -> Told:
    filters = {one["name"]: one["typed_config"] for one in chain["filters"]}
    manager = filters[_MANAGER]
    http = {one["name"]: one["typed_config"] for one in manager["http_filters"]}
    common = manager["common_http_protocol_options"]
    return {
        "names": chain["filter_chain_match"]["server_names"],
        "handshake": _seconds(chain["transport_socket_connect_timeout"]),
        "tls": _tls(chain["transport_socket"]["typed_config"], one_id=_ONE_IDENTITY in filters),
        "judged": _judge(http[_AUTHORIZER]) if _AUTHORIZER in http else None,
        "body_bytes": http[_BUFFER]["max_request_bytes"],
        "header_kib": manager["max_request_headers_kb"],
        "header_count": common["max_headers_count"],
        "headers": _seconds(manager["request_headers_timeout"]),
        "request": _seconds(manager["request_timeout"]),
        "idle": _seconds(common["idle_timeout"]),
        "connection": _seconds(common.get("max_connection_duration")),
        "hosts": [_host(one) for one in manager["route_config"]["virtual_hosts"]],
    }


def _tls(context: Mapping[str, Any], *, one_id: bool) -> Told:
    common = context["common_tls_context"]
    return {
        "minimum": common["tls_params"]["tls_minimum_protocol_version"],
        "client_certificate": _certificate(context, common),
        "accepts": _accepted(common),
        "exactly_one_id": one_id,
    }


def _certificate(context: Mapping[str, Any], common: Mapping[str, Any]) -> str:
    if context["require_client_certificate"]:
        return "required" if _accepted(common) else "required, anyone's"
    return "asked for, not judged"


def _accepted(common: Mapping[str, Any]) -> list[str]:
    """Return the ids of which a peer's certificate must have one; none where nothing is judged."""
    combined = common.get("combined_validation_context", {})
    context = combined.get("default_validation_context", {})
    return [one["matcher"]["exact"] for one in context.get("match_typed_subject_alt_names", ())]


def _judge(authorizer: Mapping[str, Any]) -> Told:
    server = authorizer["http_service"]["server_uri"]
    return {
        "by": server["cluster"],
        "timeout": _seconds(server["timeout"]),
        "forwards_undecided": authorizer["failure_mode_allow"],
        "when_away": authorizer["status_on_error"]["code"],
    }


def _host(host: Mapping[str, Any]) -> Told:
    return {"hosts": host["domains"], "routes": [_route(one) for one in host["routes"]]}


def _route(route: Mapping[str, Any]) -> Told:
    if "route" in route:
        return {"to": route["route"]["cluster"], "timeout": _seconds(route["route"]["timeout"])}
    return {"refused": route["direct_response"]["status"]}


def _cluster(cluster: Mapping[str, Any]) -> Told:
    (endpoints,) = cluster["load_assignment"]["endpoints"]
    (endpoint,) = endpoints["lb_endpoints"]
    context = cluster.get("transport_socket", {}).get("typed_config", {})
    (options,) = cluster["typed_extension_protocol_options"].values()
    common = options["common_http_protocol_options"]
    return {
        "name": cluster["name"],
        "address": _address(endpoint["endpoint"]["address"]),
        "connect": _seconds(cluster["connect_timeout"]),
        "idle": _seconds(common["idle_timeout"]),
        "connection": _seconds(common.get("max_connection_duration")),
        "expects": _accepted(context.get("common_tls_context", {})),
    }


def _address(address: Mapping[str, Any]) -> str:
    if "pipe" in address:
        return str(address["pipe"]["path"])
    where = address["socket_address"]
    port = where["port_value"] or "a free port"
    return f"{where['address']}, {port}"


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(text.removesuffix("s"))


def in_words(found: Told) -> str:
    """Return the same in lines for people."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Told) -> Iterator[str]:
    heap = found["memory_bytes"] >> 20
    yield f"envoy: at most {found['connections']} connections, {heap} MiB of heap"
    for listener in found["listeners"]:
        most = listener.get("connections")
        crowd = "" if most is None else f", at most {most} connections"
        yield f"listener {listener['name']}: {listener['address']}{crowd}"
        for chain in listener["chains"]:
            yield from _chain_lines(chain)
    for cluster in found["clusters"]:
        expects = f", which must be {' or '.join(cluster['expects'])}" if cluster["expects"] else ""
        yield f"cluster {cluster['name']}: {cluster['address']}{expects}"
        idle = f"idle {cluster['idle']:g} s{_life(cluster)}"
        yield f"  connects within {cluster['connect']:g} s, {idle}"


def _chain_lines(chain: Told) -> Iterator[str]:
    tls = chain["tls"]
    yield f"  for {', '.join(chain['names'])}"
    yield f"    TLS from {tls['minimum']}; a client certificate is {tls['client_certificate']}"
    if tls["accepts"]:
        yield f"    accepted: {', '.join(tls['accepts'])}"
        if tls["exactly_one_id"]:
            yield "    a certificate with more than one id is refused"
    judge = chain["judged"]
    if judge is not None:
        away = "goes on undecided" if judge["forwards_undecided"] else judge["when_away"]
        yield f"    judged by {judge['by']} within {judge['timeout']:g} s; if it is away: {away}"
    yield (
        f"    handshake {chain['handshake']:g} s, headers {chain['headers']:g} s, "
        f"request {chain['request']:g} s, idle {chain['idle']:g} s{_life(chain)}"
    )
    yield (
        f"    headers: at most {chain['header_count']}, {chain['header_kib']} KiB; "
        f"body: at most {chain['body_bytes']} bytes"
    )
    for host in chain["hosts"]:
        yield f"    {', '.join(host['hosts'])}: {_where_to(host['routes'])}"


def _life(found: Told) -> str:
    life = found["connection"]
    return "" if life is None else f", whole connection {life:g} s"


def _where_to(routes: list[Told]) -> str:
    """Return where calls go, each place once, and with what statuses some go no further."""
    to = (f"to {one['to']} within {one['timeout']:g} s" for one in routes if "to" in one)
    statuses = ", ".join(dict.fromkeys(str(one["refused"]) for one in routes if "refused" in one))
    refused = (
        f"some are refused, with {statuses}"
        if any("to" in one for one in routes)
        else (f"all are refused, with {statuses}")
    )
    return "; ".join([*dict.fromkeys(to), refused])
