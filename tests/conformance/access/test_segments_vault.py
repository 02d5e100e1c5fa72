"""Mutual TLS between a real Envoy and a neighbour whose certificate a real vault has signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iamrange.core.clock import SystemClock
from iamrange.credentials.errors import VaultMissingError
from iamrange.credentials.vault.binary import find_openbao
from iamrange.identity.certificates.vault_authority import VaultAuthority
from iamrange.network.envoy_log import read_tls_refusals
from tests.conformance.access.envoy_mesh import Mesh, eventually, refusals
from tests.conformance.access.envoy_mesh_config import (
    CUSTOMERS,
    GATEWAY,
    NEIGHBOUR,
    bundle,
    lists,
    service_id,
    workload,
)
from tests.conformance.vault_thread import AUTHORITY_RULES, MOUNT, VaultThread

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = "spiffe://iamrange.example/agent/data-analyst"


@pytest.fixture(scope="module")
def vault() -> Iterator[VaultThread]:
    try:
        find_openbao()
    except VaultMissingError as error:
        pytest.skip(str(error))
    running = VaultThread()
    running.certify(("data-analyst",))
    for name, spiffe_id in (("gateway", GATEWAY), ("logs", NEIGHBOUR)):
        running.certify_role(name, spiffe_id)
    running.certify_role("customers", service_id("customers"))
    yield running
    running.stop()


@pytest.fixture
def authority(vault: VaultThread) -> VaultAuthority:
    client = vault.holder("certificate-authority", AUTHORITY_RULES)
    return VaultAuthority(client, mount=MOUNT, clock=SystemClock())


@pytest.fixture
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh(tmp_path_factory.mktemp("m"))
    yield made
    made.stop()


def trusting(mesh: Mesh, authority: VaultAuthority) -> None:
    """Have Envoy believe the vault too."""
    found = authority.trust_bundle()
    mesh.envoy.replace_trust_bundle(
        bundle(mesh.authority) + found.pem, lists(mesh.authority) + found.lists_pem
    )


def status(mesh: Mesh, file: str) -> int:
    return mesh.mesh("/", "--cert", file).status


def test_a_neighbour_with_the_vaults_certificate_gets_in_until_it_is_withdrawn(
    mesh: Mesh, authority: VaultAuthority
) -> None:
    stolen = mesh.file(workload(authority, NEIGHBOUR), "stolen.pem")
    assert status(mesh, stolen) == 0  # nobody believes the vault yet
    trusting(mesh, authority)
    eventually(lambda: status(mesh, stolen) == 200)
    assert authority.withdraw_certificates(NEIGHBOUR)
    trusting(mesh, authority)
    eventually(lambda: status(mesh, stolen) == 0)
    assert status(mesh, mesh.file(workload(authority, NEIGHBOUR), "new.pem")) == 200
    found = refusals(lambda: read_tls_refusals(mesh.state), 2)
    assert {one.reason for one in found} == {"untrusted", "certificate-withdrawn"}


def test_an_agents_certificate_opens_no_sidecar(mesh: Mesh, authority: VaultAuthority) -> None:
    trusting(mesh, authority)
    assert status(mesh, mesh.file(workload(authority, AGENT), "agent.pem")) == 0
    found = refusals(lambda: read_tls_refusals(mesh.state), 1)
    assert {one.reason for one in found} == {"other-identity"}


def test_gateway_and_sidecar_move_to_the_vault_while_they_run(
    mesh: Mesh, authority: VaultAuthority
) -> None:
    assert mesh.curl("/").status == 200
    trusting(mesh, authority)
    mesh.envoy.replace_gateway_svid(workload(authority, GATEWAY))
    mesh.envoy.replace_sidecar_svid("customers", workload(authority, service_id("customers")))
    found = authority.trust_bundle()
    mesh.envoy.replace_trust_bundle(found.pem, found.lists_pem)  # and no other any more
    eventually(lambda: mesh.curl("/").status == 200)
    old = mesh.file(mesh.neighbour, "old.pem")
    eventually(lambda: status(mesh, old) == 0)
    assert mesh.curl("/").status == 200
    assert mesh.calls[-1]["service"] == CUSTOMERS.partition(".")[0]
