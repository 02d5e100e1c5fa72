"""The bootstrap document that an Envoy configuration becomes.

- One TLS listener on loopback, on a port that the kernel picks; upstreams are unix sockets.
- A client certificate is asked for and never judged here: chain or self-signed, it goes upstream
  in `x-forwarded-client-cert`, and the service decides.
- Whatever a client sends under the name of a header that says who it is, is removed before
  anything else looks at the request.
- No admin interface: it would show the edge's secret to whoever finds its socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_config import SECRET_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.network.ca import ServerCertificate
    from iamrange.network.envoy_config import EnvoyConfig, Limits, Upstream

TLS_FILE = "envoy-tls.json"
LOG_FILE = "envoy.log"
ACCESS_LOG_FILE = "envoy-access.log"

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
)
"""Headers by which proxies tell services who asks or what was asked; a client has no say in them.

RFC 7239 (forwarded), RFC 9440 (client-cert), and what common proxies and frameworks use.
"""

IDENTITY_PREFIXES = (
    "x-agent-",
    "x-client-cert-",
    "x-iamrange-",
    "x-envoy-",
    "x-spiffe-",
    "x-ssl-",
    "ssl-client-",
    "x-auth-request-",
)

_TYPES = "type.googleapis.com/envoy.extensions."
_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
"""For TLS 1.2; our server keys are ECDSA."""


def secret_document(certificate: ServerCertificate) -> dict[str, Any]:
    """Return the file by which Envoy is given a server certificate, and later another."""
    secret = {
        "@type": f"{_TYPES}transport_sockets.tls.v3.Secret",
        "name": "server",
        "tls_certificate": {
            "certificate_chain": {"inline_string": certificate.chain_pem},
            "private_key": {"inline_string": certificate.private_key_pem},
        },
    }
    return {"version_info": certificate.serial, "resources": [secret]}


def bootstrap(config: EnvoyConfig, folder: Path) -> dict[str, Any]:
    """Return the bootstrap document; it holds the secret, so it is shown to Envoy only."""
    return {
        "node": {"id": "edge", "cluster": "edge"},  # certificates by file are refused without one
        "static_resources": {
            "listeners": [_listener(config, folder)],
            "clusters": [
                _cluster(_cluster_name(index), upstream, config.limits)
                for index, upstream in enumerate(config.upstreams)
            ],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPES}resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": config.limits.connections,
                    },
                }
            ]
        },
        # Nobody reads statistics, and each costs memory.
        "stats_config": {"stats_matcher": {"reject_all": True}},
    }


def _cluster_name(index: int) -> str:
    return f"upstream-{index}"


def _seconds(value: float) -> str:
    return f"{value:.3f}s"


def _listener(config: EnvoyConfig, folder: Path) -> Mapping[str, Any]:
    return {
        "name": "tls",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        # With SO_REUSEPORT another process of this user could take half of the connections.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 32 * 1024,
        "listener_filters_timeout": _seconds(config.limits.handshake),
        "listener_filters": [
            {
                "name": "envoy.filters.listener.tls_inspector",
                "typed_config": {
                    "@type": f"{_TYPES}filters.listener.tls_inspector.v3.TlsInspector"
                },
            }
        ],
        "filter_chains": [
            {
                # Any other name, or none, ends before a certificate is shown.
                "filter_chain_match": {"server_names": list(config.hosts)},
                "transport_socket_connect_timeout": _seconds(config.limits.handshake),
                "transport_socket": _tls(folder),
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _http(config, folder),
                    }
                ],
            }
        ],
    }


def _tls(folder: Path) -> Mapping[str, Any]:
    certificate_source = {
        "name": "server",
        "sds_config": {
            "resource_api_version": "V3",
            "path_config_source": {
                "path": str(folder / TLS_FILE),
                "watched_directory": {"path": str(folder)},
            },
        },
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": False,
            # Every connection proves anew that its key is held: a session ticket would carry a
            # certificate past its end.
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_2",
                    "tls_maximum_protocol_version": "TLSv1_3",
                    "cipher_suites": list(_CIPHERS),
                },
                "tls_certificate_sds_secret_configs": [certificate_source],
                "validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"},
            },
        },
    }


def _http(config: EnvoyConfig, folder: Path) -> Mapping[str, Any]:
    limits = config.limits
    removals: list[Mapping[str, Any]] = [{"remove": name} for name in IDENTITY_HEADERS]
    removals += [
        {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}}
        for prefix in IDENTITY_PREFIXES
    ]
    return {
        "@type": f"{_TYPES}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "early_header_mutation_extensions": [
            {
                "name": "identity-headers",
                "typed_config": {
                    "@type": f"{_TYPES}http.early_header_mutation.header_mutation.v3"
                    ".HeaderMutation",
                    "mutations": removals,
                },
            }
        ],
        # The peer of the connection is the client; no header from before counts.
        "use_remote_address": True,
        "xff_num_trusted_hops": 0,
        # Nobody is internal: to peers who are, Envoy grants headers that steer it. An empty list
        # would mean the private networks; the unspecified address is no peer's.
        "internal_address_config": {
            "cidr_ranges": [{"address_prefix": "0.0.0.0", "prefix_len": 32}],  # noqa: S104 - not bound to
        },
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"cert": True, "chain": True},
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_any_host_port": True,
        "strip_trailing_host_dot": True,
        "server_header_transformation": "PASS_THROUGH",
        "max_request_headers_kb": limits.header_kib,
        "request_headers_timeout": _seconds(limits.headers),
        "request_timeout": _seconds(limits.request),
        "stream_idle_timeout": _seconds(limits.request),
        "common_http_protocol_options": {
            "idle_timeout": _seconds(limits.idle),
            "max_headers_count": limits.header_count,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.buffer",
                "typed_config": {
                    "@type": f"{_TYPES}filters.http.buffer.v3.Buffer",
                    "max_request_bytes": limits.body_bytes,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPES}filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "route_config": _routes(config),
        "local_reply_config": {
            "body_format": {
                "json_format": {"error": "edge", "status": "%RESPONSE_CODE%"},
            }
        },
        "access_log": [_access_log(folder)],
    }


def _routes(config: EnvoyConfig) -> Mapping[str, Any]:
    timeout = _seconds(config.limits.response)
    hosts = [
        _host(
            _cluster_name(index),
            upstream.hosts,
            {"route": {"cluster": _cluster_name(index), "timeout": timeout}},
        )
        for index, upstream in enumerate(config.upstreams)
    ]
    hosts.append(_host("misdirected", ("*",), {"direct_response": {"status": 421}}))
    return {
        "name": "hosts",
        "virtual_hosts": hosts,
        "request_headers_to_add": [
            _overwrite(SECRET_HEADER, config.secret),
            # Of a peer on loopback Envoy itself would write the machine's address instead.
            _overwrite("x-forwarded-for", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"),
        ],
        "request_headers_to_remove": ["x-envoy-external-address", "x-envoy-internal"],
    }


def _host(name: str, domains: tuple[str, ...], action: Mapping[str, Any]) -> Mapping[str, Any]:
    refused = {"direct_response": {"status": 405}}
    # A tunnel's request has no end, for which the buffer would wait.
    unbuffered = {
        "envoy.filters.http.buffer": {
            "@type": f"{_TYPES}filters.http.buffer.v3.BufferPerRoute",
            "disabled": True,
        }
    }
    # It would send back what the edge adds, the secret too (RFC 9110 section 9.3.8).
    trace = {
        "prefix": "/",
        "headers": [{"name": ":method", "string_match": {"exact": "TRACE"}}],
    }
    return {
        "name": name,
        "domains": list(domains),
        "routes": [
            {"match": {"connect_matcher": {}}, "typed_per_filter_config": unbuffered, **refused},
            {"match": trace, **refused},
            {"match": {"prefix": "/"}, **action},
        ],
    }


def _overwrite(header: str, value: str) -> Mapping[str, Any]:
    return {
        "header": {"key": header, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _cluster(name: str, upstream: Upstream, limits: Limits) -> Mapping[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(upstream.socket)}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _seconds(limits.upstream_connect),
        "per_connection_buffer_limit_bytes": 32 * 1024,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": _seconds(limits.upstream_idle)},
            }
        },
    }


def _access_log(folder: Path) -> Mapping[str, Any]:
    """A line a request: no query, and no header but the host, because tokens travel in them."""
    line = {
        "time": "%START_TIME%",
        "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        "host": "%REQ(:AUTHORITY)%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "milliseconds": "%DURATION%",
        "tls": "%DOWNSTREAM_TLS_VERSION%",
        "client_certificate_sha256": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPES}access_loggers.file.v3.FileAccessLog",
            "path": str(folder / ACCESS_LOG_FILE),
            "log_format": {"json_format": line},
        },
    }
