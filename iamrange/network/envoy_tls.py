"""TLS as Envoy is told it: which certificate is shown, who must show one, and where both are.

- Certificates, keys and authorities are in files of their own (SDS), replaced while Envoy runs.
- No session is resumed: a ticket would carry a certificate past its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_headers import TYPES
from iamrange.network.envoy_svid import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from iamrange.network.ca import ServerCertificate
    from iamrange.network.envoy_config import EnvoyConfig
    from iamrange.network.envoy_svid import WorkloadCertificate

TLS_FILE = "envoy-tls.json"
GATEWAY_FILE = "envoy-gateway.json"
BUNDLE_FILE = "envoy-bundle.json"

_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
"""For TLS 1.2; our server keys are ECDSA."""
_MESH_SIGNATURES = ("ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384")


def sidecar_file(name: str) -> str:
    """Return the name of the file with the sidecar's certificate."""
    return f"envoy-sidecar-{name}.json"


def secret_document(certificate: ServerCertificate) -> dict[str, Any]:
    """Return the file by which Envoy is given a server certificate, and later another."""
    return _certificate(
        "server", certificate.private_key_pem, certificate.chain_pem, certificate.serial
    )


def svid_document(name: str, svid: WorkloadCertificate) -> dict[str, Any]:
    """Return the file by which Envoy is given a workload's certificate."""
    return _certificate(name, svid.private_key_pem, svid.chain_pem, svid.version)


def bundle_document(pem: str, lists: str) -> dict[str, Any]:
    """Return the file by which Envoy is given the authorities that count, and what they withdrew.

    With lists, each authority of a chain is asked for one, and one that has ended is none. Without,
    the lapse, nobody is asked.
    """
    context: dict[str, Any] = {"trusted_ca": {"inline_string": pem}}
    if lists:
        context["crl"] = {"inline_string": lists}
    secret = {
        "@type": f"{TYPES}transport_sockets.tls.v3.Secret",
        "name": "bundle",
        "validation_context": context,
    }
    return {"version_info": version_of(pem + lists), "resources": [secret]}


def documents(config: EnvoyConfig) -> dict[str, dict[str, Any]]:
    """Return all files with certificates, by name."""
    files = {TLS_FILE: secret_document(config.certificate)}
    if config.gateway_svid is not None:
        files[GATEWAY_FILE] = svid_document("gateway", config.gateway_svid)
    if config.trust_bundle:
        files[BUNDLE_FILE] = bundle_document(config.trust_bundle, config.lists_asked)
    for sidecar in config.sidecars:
        files[sidecar_file(sidecar.name)] = svid_document(sidecar.name, sidecar.svid)
    return files


def edge_tls(folder: Path) -> Mapping[str, Any]:
    """Return the edge's side: a client certificate is asked for, and judged by the service."""
    context = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": _parameters(),
        "tls_certificate_sds_secret_configs": [_source(folder, TLS_FILE, "server")],
        "validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"},
    }
    return _downstream(context, requires_certificate=False)


def sidecar_tls(
    folder: Path, name: str, accepts: Iterable[str], *, anyone: bool
) -> Mapping[str, Any]:
    """Return a sidecar's side: who has no certificate for one of the ids gets no further.

    With `anyone`, the lapse, a certificate is neither required nor judged.
    """
    context: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": _parameters() if anyone else _mesh_parameters(),
        "tls_certificate_sds_secret_configs": [_source(folder, sidecar_file(name), name)],
    }
    if anyone:
        context["validation_context"] = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    else:
        context["combined_validation_context"] = _validation(folder, accepts)
    return _downstream(context, requires_certificate=not anyone)


def gateway_tls(folder: Path, server_name: str, spiffe_id: str) -> Mapping[str, Any]:
    """Return the gateway's side towards a sidecar: it shows its SVID, and expects that id."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPES}transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": server_name,
            "max_session_keys": 0,
            "common_tls_context": {
                "tls_params": _mesh_parameters(),
                "tls_certificate_sds_secret_configs": [_source(folder, GATEWAY_FILE, "gateway")],
                "combined_validation_context": _validation(folder, [spiffe_id]),
            },
        },
    }


def _certificate(name: str, key: str, chain: str, version: str) -> dict[str, Any]:
    secret = {
        "@type": f"{TYPES}transport_sockets.tls.v3.Secret",
        "name": name,
        "tls_certificate": {
            "certificate_chain": {"inline_string": chain},
            "private_key": {"inline_string": key},
        },
    }
    return {"version_info": version, "resources": [secret]}


def _source(folder: Path, file: str, name: str) -> Mapping[str, Any]:
    return {
        "name": name,
        "sds_config": {
            "resource_api_version": "V3",
            "path_config_source": {
                "path": str(folder / file),
                "watched_directory": {"path": str(folder)},
            },
        },
    }


def _validation(folder: Path, accepts: Iterable[str]) -> Mapping[str, Any]:
    """Return the check of a peer: its chain ends in the bundle, one of its URIs is listed."""
    matchers = [{"san_type": "URI", "matcher": {"exact": accepted}} for accepted in accepts]
    if not matchers:  # Envoy would take an empty list for everybody
        raise ValueError("a peer's certificate: nobody is accepted")
    return {
        "default_validation_context": {"match_typed_subject_alt_names": matchers},
        "validation_context_sds_secret_config": _source(folder, BUNDLE_FILE, "bundle"),
    }


def _downstream(context: Mapping[str, Any], *, requires_certificate: bool) -> Mapping[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPES}transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": requires_certificate,
            # Every connection proves anew that its key is held.
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
            "common_tls_context": context,
        },
    }


def _parameters() -> dict[str, Any]:
    return {
        "tls_minimum_protocol_version": "TLSv1_2",
        "tls_maximum_protocol_version": "TLSv1_3",
        "cipher_suites": list(_CIPHERS),
    }


def _mesh_parameters() -> dict[str, Any]:
    return _parameters() | {"signature_algorithms": list(_MESH_SIGNATURES)}
