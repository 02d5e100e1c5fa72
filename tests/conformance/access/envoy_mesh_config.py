"""Names, certificates and the configuration of a small mesh: a gateway and two services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.svid import new_key_and_request
from iamrange.network.ca import CertificateAuthority
from iamrange.network.envoy import (
    Authorizer,
    EnvoyConfig,
    Sidecar,
    Upstream,
    WorkloadCertificate,
)

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.identity.certificates.port import CertificateAuthorityPort

AUTH = "auth.iamrange.example"
CUSTOMERS = "customers.iamrange.example"
LOGS = "logs.iamrange.example"
MESH = "customers.mesh.iamrange.example"
GATEWAY = "spiffe://iamrange.example/service/gateway"
NEIGHBOUR = "spiffe://iamrange.example/service/logs"
AGENT = "spiffe://iamrange.example/agent/data-analyst"


def service_id(name: str) -> str:
    return f"spiffe://iamrange.example/service/{name}"


def workload(
    authority: CertificateAuthorityPort, spiffe_id: str, life: float = 3600
) -> WorkloadCertificate:
    """Return a fresh key and SVID."""
    made = new_key_and_request(spiffe_id)
    issued = authority.issue_for_request(
        made.request_pem.encode(), spiffe_id=spiffe_id, lifetime=life
    )
    return WorkloadCertificate(made.private_key_pem, issued.chain_pem)  # type: ignore[union-attr]  # an own request is granted


def bundle(*authorities: LocalAuthority) -> str:
    """Return the authorities as PEM."""
    found = [der for authority in authorities for der in authority.trust_bundle().authorities]
    return "".join(
        x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()
        for der in found
    )


def lists(*authorities: LocalAuthority) -> str:
    """Return what the authorities have withdrawn, as PEM."""
    return "".join(authority.trust_bundle().lists_pem for authority in authorities)


@dataclass(frozen=True, slots=True)
class Made:
    """A configuration, and the authorities of its certificates."""

    config: EnvoyConfig
    authority: LocalAuthority
    ca: CertificateAuthority


def mesh_config(
    folder: Path,
    decision_timeout: float = 10,
    **changes: Any,  # noqa: ANN401 - members of EnvoyConfig
) -> Made:
    """Return an edge, a decision service, and two services behind sidecars in the folder."""
    authority = LocalAuthority.create("test", clock=SystemClock())
    ca = CertificateAuthority.create("test")
    sidecars = tuple(
        Sidecar(
            name=name,
            hosts=(f"{name}.mesh.iamrange.example",),
            accepts=(GATEWAY, NEIGHBOUR) if name == "customers" else (GATEWAY,),
            socket=folder / f"{name}.service",
            svid=workload(authority, service_id(name)),
        )
        for name in ("customers", "logs")
    )
    whole: dict[str, Any] = {
        "upstreams": (
            Upstream((AUTH,), folder / "auth.service"),
            *(
                Upstream((f"{one.name}.iamrange.example",), judged=True, sidecar=one)
                for one in sidecars
            ),
        ),
        "certificate": ca.server_certificate([AUTH, CUSTOMERS, LOGS]),
        "authorizer": Authorizer(socket=folder / "decide.service", timeout=decision_timeout),
        "sidecars": sidecars,
        "gateway_svid": workload(authority, GATEWAY),
        "trust_bundle": bundle(authority),
        "revocation_lists": lists(authority),
    }
    return Made(EnvoyConfig(**whole | changes), authority, ca)
