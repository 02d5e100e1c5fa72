"""What the world's Envoy is told: one function, for a world and for whoever wants to see it.

- The names, sockets and lists are the range's own; keys and certificates come from the caller.
- `drawn` makes such a configuration without a world: same names, same lapses, keys of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.port import AuthorityError, IssueRefusal
from iamrange.identity.certificates.svid import new_key_and_request
from iamrange.identity.names import AUTH_ISSUER
from iamrange.network.ca import CertificateAuthority
from iamrange.network.envoy_config import (
    Authorizer,
    EnvoyConfig,
    Sidecar,
    Upstream,
    WorkloadCertificate,
    new_secret,
)
from iamrange.range.lapses import combined
from iamrange.range.services import APPROVALS, DIRECTORY, GATEWAY_ID, SERVICES, accepted_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from iamrange.identity.certificates.port import CertificateAuthorityPort, TrustBundle
    from iamrange.network.ca import ServerCertificate

EDGE_SOCKET = "edge.sock"
AUTHORIZER_SOCKET = "authz.sock"
OWN_HOSTS = (AUTH_ISSUER.removeprefix("https://"), DIRECTORY.host, APPROVALS.host)
"""Every name that judges its own callers; the services stand behind the gateway."""

HOSTS = (*OWN_HOSTS, *(service.host for service in SERVICES.values()))
"""The names at the edge."""

_DECISION_SECONDS = 5.0


def mesh_config(  # noqa: PLR0913 - keyword-only parts of one configuration
    *,
    sockets: Path,
    certificate: ServerCertificate,
    secret: str,
    svid: Callable[[str], WorkloadCertificate],
    bundle: TrustBundle,
    settings: Mapping[str, Any],
) -> EnvoyConfig:
    """Return the configuration; `settings` are the `unsafe_...` that are on.

    Our services and the decision service listen in the folder `sockets`.
    """
    behind = sockets / EDGE_SOCKET
    sidecars = {
        name: Sidecar(
            name=name,
            hosts=(service.mesh_host,),
            accepts=accepted_by(name),
            socket=behind,
            svid=svid(service.spiffe_id),
        )
        for name, service in SERVICES.items()
    }
    judged = (
        Upstream((service.host,), judged=True, sidecar=sidecars[name])
        for name, service in SERVICES.items()
    )
    return EnvoyConfig(
        upstreams=(Upstream(OWN_HOSTS, behind), *judged),
        certificate=certificate,
        secret=secret,
        authorizer=Authorizer(socket=sockets / AUTHORIZER_SOCKET, timeout=_DECISION_SECONDS),
        sidecars=tuple(sidecars.values()),
        gateway_svid=svid(GATEWAY_ID),
        trust_bundle=bundle.pem,
        revocation_lists=bundle.lists_pem,
        **settings,
    )


def certified(authority: CertificateAuthorityPort, spiffe_id: str) -> WorkloadCertificate:
    """Return a new key with the authority's certificate for it.

    Raises:
        AuthorityError: the authority refuses our own request, or cannot be asked.
    """
    made = new_key_and_request(spiffe_id)
    issued = authority.issue_for_request(made.request_pem.encode(), spiffe_id=spiffe_id)
    if isinstance(issued, IssueRefusal):
        raise AuthorityError(f"certificate of {spiffe_id}: {issued.reason} {issued.detail}")
    return WorkloadCertificate(made.private_key_pem, issued.chain_pem)


def drawn(sockets: Path, off: Iterable[str] = ()) -> EnvoyConfig:
    """Return what a world with these controls off would tell its Envoy, with keys of its own."""
    services = LocalAuthority.create("iamrange services", clock=SystemClock())
    edge = CertificateAuthority.create("iamrange world")
    return mesh_config(
        sockets=sockets,
        certificate=edge.server_certificate(HOSTS),
        secret=new_secret(),
        svid=lambda spiffe_id: certified(services, spiffe_id),
        bundle=services.trust_bundle(),
        settings=dict(combined(off).edge),
    )
