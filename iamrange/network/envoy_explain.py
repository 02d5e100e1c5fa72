"""A configuration in words: who may connect where, and what is judged by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.network.envoy_authorizer import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.network.envoy_config import EnvoyConfig, Sidecar, Upstream

_WITHOUT = {
    "unsafe_sidecars_accept_anyone": "sidecars accept anyone, with or without a certificate, "
    "and believe what it says of agents",
    "unsafe_keeps_identity_headers": "what clients say about themselves reaches the services",
    "unsafe_ignores_withdrawal": "nobody asks whether a certificate was withdrawn",
    "unsafe_raw_paths": "paths are neither normalised nor refused",
}


def explain(config: EnvoyConfig) -> str:
    """Return the configuration in words; no secret and no key is in it."""
    return "\n".join(_lines(config)) + "\n"


def _lines(config: EnvoyConfig) -> Iterator[str]:
    limits = config.limits
    yield f"edge: 127.0.0.1, TLS 1.2 or later, at most {limits.connections} connections"
    yield "  anyone may connect; a client certificate is asked for and passed on, not judged"
    yield f"  headers: at most {limits.header_count}, {limits.header_kib} KiB; longer is 431"
    for upstream in config.upstreams:
        yield from _upstream(config, upstream)
    yield "  any other name: refused at the handshake, or 421"
    if config.authorizer is not None:
        yield f"decision service: {config.authorizer.socket}"
        yield f"  is shown method, host, whole body, and {', '.join(SHOWN)}"
        yield f"  away, slower than {config.authorizer.timeout:g} s, or broken: 503"
        yield f"  a body of more than {config.authorizer.body_bytes} bytes: 413"
    for sidecar in config.sidecars:
        yield from _sidecar(config, sidecar)
    for setting, words in _WITHOUT.items():
        if getattr(config, setting):
            yield f"UNSAFE {setting}: {words}"


def _upstream(config: EnvoyConfig, upstream: Upstream) -> Iterator[str]:
    yield f"  {', '.join(upstream.hosts)}"
    if upstream.judged:
        yield "    each call is judged by the decision service first"
        if not config.unsafe_raw_paths:
            yield "    the path goes there as it came; one with several readings goes no further"
    else:
        yield "    not judged here: the service judges its callers itself"
        if not config.unsafe_raw_paths:
            yield "    the path is made canonical; escaped slashes are refused"
    if upstream.sidecar is None:
        yield f"    to {upstream.socket}"
    elif config.gateway_svid is not None:
        yield f"    to the sidecar {upstream.sidecar.name}, as {config.gateway_svid.spiffe_id}"


def _sidecar(config: EnvoyConfig, sidecar: Sidecar) -> Iterator[str]:
    yield f"sidecar {sidecar.name}: {', '.join(sidecar.hosts)}"
    yield f"  shows that it is {sidecar.svid.spiffe_id}"
    gateway = config.gateway_svid and config.gateway_svid.spiffe_id
    if config.unsafe_sidecars_accept_anyone:
        yield "  anyone may connect, and speak for agents"
    else:
        yield "  may connect, with a certificate of the trust bundle:"
        for accepted in sidecar.accepts:
            role = "speaks for agents" if accepted == gateway else "speaks for itself"
            yield f"    {accepted} ({role})"
    yield f"  to {sidecar.socket}"
