"""Each unsafe setting opens what its control closes, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iamrange.network.envoy_log import read_tls_refusals
from tests.conformance.access.envoy_certificates import certificate
from tests.conformance.access.envoy_mesh import Answer, Mesh, refusals
from tests.conformance.access.envoy_mesh_config import (
    AGENT,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = (
    None,
    "unsafe_sidecars_accept_anyone",
    "unsafe_keeps_identity_headers",
    "unsafe_raw_paths",
)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str | None, Mesh]]:
    made: dict[str | None, Mesh] = {}
    for setting in SETTINGS:
        changes = {} if setting is None else {setting: True}
        made[setting] = Mesh(tmp_path_factory.mktemp("m"), **changes)
    yield made
    for mesh in made.values():
        mesh.stop()


@pytest.mark.parametrize("setting", SETTINGS)
def test_legitimate_work_goes_on_under_each(
    meshes: dict[str | None, Mesh], setting: str | None
) -> None:
    mesh = meshes[setting]
    mesh.decisions.answer = Answer(headers=(("x-agent-id", AGENT), ("x-agent-roles", "r")))
    seen = mesh.curl("/records/latest").seen
    assert (seen["x-agent-id"], seen["x-agent-roles"]) == (AGENT, "r")
    assert mesh.mesh("/m", "--cert", mesh.file(mesh.gateway)).status == 200


@pytest.mark.parametrize("setting", SETTINGS)
def test_only_permissive_sidecars_take_calls_around_the_gateway(
    meshes: dict[str | None, Mesh], setting: str | None
) -> None:
    mesh = meshes[setting]
    opens = setting == "unsafe_sidecars_accept_anyone"
    before = len(read_tls_refusals(mesh.state))
    own = mesh.file(certificate(None, []), "own.pem")
    for arguments in ([], ["--cert", own]):
        reply = mesh.mesh("/records/latest", *arguments, "-H", "x-agent-id: victim")
        assert reply.status == (200 if opens else 0)
        if opens:
            assert reply.seen["x-agent-id"] == "victim"
            assert "x-service-id" not in reply.seen
    if not opens:
        found = refusals(lambda: read_tls_refusals(mesh.state), before + 2)
        assert [one.reason for one in found[before:]] == ["no-certificate", "untrusted"]


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_only_an_edge_that_keeps_headers_lets_a_client_say_who_it_is(
    meshes: dict[str | None, Mesh], setting: str | None, version: str
) -> None:
    """A service that reads the first one takes the client's word."""
    mesh = meshes[setting]
    mesh.decisions.answer = Answer()
    told = ("-H", "x-agent-id: victim", "-H", "x-forwarded-user: victim")
    headers = mesh.curl("/records/latest", version, *told).json["headers"]
    agents = [value for name, value in headers if name == "x-agent-id"]
    kept = setting == "unsafe_keeps_identity_headers"
    assert agents == (["victim", AGENT] if kept else [AGENT])
    users = [value for name, value in headers if name == "x-forwarded-user"]
    assert users == []  # the sidecar believes the gateway about agents only


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_the_range_itself_goes_by_is_never_the_clients(
    meshes: dict[str | None, Mesh], setting: str | None
) -> None:
    mesh = meshes[setting]
    mesh.decisions.seen.clear()
    names = ("x-iamrange-edge", "x-iamrange-target", "x-forwarded-client-cert", "x-request-id")
    told = [part for name in names for part in ("-H", f"{name}: forged")]
    headers = mesh.curl("/records/latest", *told).json["headers"]
    assert "forged" not in [value for _, value in headers]
    assert "forged" not in [value for _, value in mesh.decisions.seen[0].headers]


@pytest.mark.parametrize("path", ["/records/%2e%2e/admin", "/records/../admin", "/a%2fb", "//a"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_only_raw_paths_let_a_path_with_several_readings_through(
    meshes: dict[str | None, Mesh], setting: str | None, path: str
) -> None:
    mesh = meshes[setting]
    mesh.decisions.answer = Answer()
    reply = mesh.curl(path)
    if setting == "unsafe_raw_paths":
        assert (reply.status, reply.json["target"]) == (200, path)
    else:
        assert (reply.status, reply.reason) == (400, "ambiguous-path")


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_refusal_by_the_decision_service_holds_under_each(
    meshes: dict[str | None, Mesh], setting: str | None
) -> None:
    mesh = meshes[setting]
    mesh.decisions.answer = Answer(403, (("x-iamrange-reason", "policy"),))
    reply = mesh.curl("/records/latest", "-H", "x-agent-id: victim")
    assert (reply.status, reply.reason) == (403, "policy")
