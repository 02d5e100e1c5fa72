"""Revocation lists in a real Envoy: who is turned away, and what is asked when no list answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.revocation_list import LIST_LIFE, sign_list
from iamrange.network.envoy_log import read_tls_refusals
from tests.conformance.access.envoy_mesh import Mesh, eventually, refusals
from tests.conformance.access.envoy_mesh_config import (
    GATEWAY,
    NEIGHBOUR,
    bundle,
    lists,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    made = Mesh(tmp_path_factory.mktemp("m"))
    yield made
    made.stop()


def status(mesh: Mesh, file: str) -> int:
    return mesh.mesh("/", "--cert", file).status


def list_made(authority: LocalAuthority, at: float) -> str:
    """Return an empty list of the authority as if it had been made at that moment."""
    signer = authority._active  # noqa: SLF001 - it would not date a list like this
    der = sign_list(signer.certificate, signer.key, {}, number=1, now=at)
    return type(authority.trust_bundle())("", (), (der,)).lists_pem


def test_a_withdrawn_neighbour_is_turned_away_and_one_with_a_new_certificate_is_not(
    mesh: Mesh,
) -> None:
    stolen = mesh.file(mesh.neighbour, "stolen.pem")
    assert status(mesh, stolen) == 200
    assert mesh.authority.withdraw_certificates(NEIGHBOUR)
    mesh.envoy.replace_trust_bundle(bundle(mesh.authority), lists(mesh.authority))
    eventually(lambda: status(mesh, stolen) == 0)
    new = mesh.file(workload(mesh.authority, NEIGHBOUR), "new.pem")
    assert status(mesh, new) == 200
    found = refusals(lambda: read_tls_refusals(mesh.state), 1)
    assert {(one.reason, one.peer_san) for one in found} == {("certificate-withdrawn", NEIGHBOUR)}
    # a list that is handed on again, of another moment, does not bring it back
    mesh.envoy.replace_trust_bundle(bundle(mesh.authority), lists(mesh.authority))
    assert status(mesh, stolen) == 0


@pytest.mark.parametrize("made_ago", [LIST_LIFE + 1, -3600], ids=["stale", "of-tomorrow"])
def test_a_list_that_does_not_answer_now_turns_everybody_away(mesh: Mesh, made_ago: float) -> None:
    known = mesh.file(mesh.neighbour, "known.pem")
    assert status(mesh, known) == 200
    useless = list_made(mesh.authority, time.time() - made_ago)
    mesh.envoy.replace_trust_bundle(bundle(mesh.authority), useless)
    eventually(lambda: status(mesh, known) == 0)
    found = refusals(lambda: read_tls_refusals(mesh.state), 1)
    assert {one.reason for one in found if one.peer_san == NEIGHBOUR} == {"withdrawal-unknown"}
    mesh.envoy.replace_trust_bundle(bundle(mesh.authority), lists(mesh.authority))
    eventually(lambda: status(mesh, known) == 200)


def test_a_withdrawn_gateway_is_turned_away_by_the_sidecars(mesh: Mesh) -> None:
    assert mesh.curl("/").status == 200
    mesh.authority.withdraw_certificates(GATEWAY)
    mesh.envoy.replace_trust_bundle(bundle(mesh.authority), lists(mesh.authority))
    assert status(mesh, mesh.file(mesh.gateway, "gateway.pem")) == 0
    mesh.envoy.replace_gateway_svid(workload(mesh.authority, GATEWAY))
    eventually(lambda: mesh.curl("/").status == 200)


def test_with_the_lapse_nobody_asks(tmp_path_factory: pytest.TempPathFactory) -> None:
    mesh = Mesh(tmp_path_factory.mktemp("m"), unsafe_ignores_withdrawal=True)
    try:
        known = mesh.file(mesh.neighbour, "known.pem")
        mesh.authority.withdraw_certificates(NEIGHBOUR)
        other = LocalAuthority.create("other", clock=SystemClock())
        mesh.envoy.replace_trust_bundle(bundle(mesh.authority, other), lists(mesh.authority, other))
        assert status(mesh, known) == 200
    finally:
        mesh.stop()


def test_lists_name_numbers_and_nobody(mesh: Mesh) -> None:
    mesh.authority.withdraw_certificates(NEIGHBOUR)
    (der,) = mesh.authority.trust_bundle().revocation_lists
    assert NEIGHBOUR.encode() not in der
    assert list(x509.load_der_x509_crl(der))
