"""Crowds, slow callers and floods: refused within limits, and over when they leave."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import psutil
import pytest

from iamrange.network.envoy import Limits
from tests.conformance.access.envoy_h2 import DATA, END_HEADERS, HEADERS, block, call, frame, greet
from tests.conformance.access.envoy_mesh import Mesh, eventually
from tests.conformance.access.envoy_mesh_config import (
    CUSTOMERS,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

CROWD = 10_000
MEBIBYTE = 1 << 20


@pytest.fixture
def serve(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[Limits], Mesh]:
    def make(limits: Limits) -> Mesh:
        made = Mesh(tmp_path_factory.mktemp("m"), limits=limits)
        request.addfinalizer(made.stop)
        return made

    return make


def memory(mesh: Mesh) -> int:
    return int(psutil.Process(mesh.envoy.pid).memory_info().rss)


def descriptors(mesh: Mesh) -> int:
    return int(psutil.Process(mesh.envoy.pid).num_fds())


@contextlib.contextmanager
def crowd(address: tuple[str, int], size: int) -> Iterator[int]:
    """Hold so many silent connections, as many as the machine lets us."""
    held: list[socket.socket] = []
    try:
        for _ in range(size):
            try:
                held.append(socket.create_connection(address, timeout=5))
            except OSError:
                break
        yield len(held)
    finally:
        for connection in held:
            connection.close()


def test_ten_thousand_connections_are_held_within_limits_and_forgotten(
    serve: Callable[[Limits], Mesh],
) -> None:
    limits = Limits(connections=500, handshake=1)
    mesh = serve(limits)
    idle, open_before = memory(mesh), descriptors(mesh)
    with crowd(("127.0.0.1", mesh.envoy.port), CROWD) as held:
        assert held > CROWD / 2
        assert descriptors(mesh) <= open_before + limits.connections + 8
        # who never says hello is dropped, and then there is room
        eventually(lambda: mesh.curl("/").status == 200)
        assert memory(mesh) < idle + 100 * MEBIBYTE
    eventually(lambda: descriptors(mesh) < open_before + 16)
    assert mesh.curl("/").status == 200


def test_a_crowd_at_the_edge_keeps_no_neighbour_from_a_service(
    serve: Callable[[Limits], Mesh],
) -> None:
    mesh = serve(Limits(connections=20, handshake=30))
    with crowd(("127.0.0.1", mesh.envoy.port), 60):
        assert mesh.curl("/").status == 0
        assert mesh.mesh("/", "--cert", mesh.file(mesh.neighbour)).status == 200
    eventually(lambda: mesh.curl("/").status == 200)


def test_a_crowd_at_a_sidecar_keeps_neither_the_gateway_nor_other_sidecars_from_theirs(
    serve: Callable[[Limits], Mesh],
) -> None:
    mesh = serve(Limits(sidecar_connections=20, handshake=30, connection=0.01))
    with crowd(mesh.envoy.sidecar_address("customers"), 60):
        assert mesh.mesh("/", "--cert", mesh.file(mesh.neighbour)).status == 0
        assert [mesh.curl("/").status for _ in range(3)] == [200, 200, 200]
        assert mesh.mesh("/", "--cert", mesh.file(mesh.gateway), name="logs").status == 200
    eventually(lambda: mesh.mesh("/", "--cert", mesh.file(mesh.neighbour)).status == 200)


def test_slow_callers_are_cut_off_before_anybody_is_asked(
    serve: Callable[[Limits], Mesh],
) -> None:
    mesh = serve(Limits(headers=0.5, request=0.8, handshake=0.5, idle=1))
    silent = socket.create_connection(("127.0.0.1", mesh.envoy.port), timeout=10)
    slow, slow_body, idle = mesh.connect(), mesh.connect(), mesh.connect()
    slow.sendall(f"GET / HTTP/1.1\r\nHost: {CUSTOMERS}\r\nx-a: ".encode())
    slow_body.sendall(
        f"POST / HTTP/1.1\r\nHost: {CUSTOMERS}\r\nContent-Length: 10\r\n\r\na".encode()
    )
    assert mesh.curl("/").status == 200
    mesh.decisions.seen.clear()
    for connection in (slow, slow_body):
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"x-iamrange-reason: too-slow" in answer
    assert silent.recv(4096) == b""
    assert idle.recv(4096) == b""
    assert mesh.decisions.seen == []
    silent.close()
    for connection in (slow, slow_body, idle):
        connection.close()


def test_a_service_that_is_slow_is_504(serve: Callable[[Limits], Mesh]) -> None:
    mesh = serve(Limits(response=0.3))
    reply = mesh.curl("/slow")
    assert (reply.status, reply.reason) == (504, "service-too-slow")
    assert mesh.curl("/").status == 200


def test_bodies_without_end_do_not_fill_the_memory(serve: Callable[[Limits], Mesh]) -> None:
    """Each stream holds 48 KB, within every limit of its own; there could be 100,000 of them."""
    limits = Limits(memory_bytes=96 * MEBIBYTE)
    mesh = serve(limits)
    with contextlib.ExitStack() as held:
        taken = missed = 0
        while missed < 3:  # one may be a machine that is slow
            done = attack(mesh, held, timeout=0.5)
            taken, missed = (taken + 1, 0) if done else (taken, missed + 1)
            # without a limit: a gibibyte
            assert taken < 200
        assert taken > 5
        # How much came before the first refusal is a matter of how soon Envoy looks at its heap,
        # and so of the machine. That no more comes is not.
        full = memory(mesh)
        more = sum(attack(mesh, held, timeout=0.1) for _ in range(60))
        assert more < 60
        assert memory(mesh) < full + limits.memory_bytes / 2
    eventually(lambda: mesh.curl("/").status == 200)


def attack(mesh: Mesh, held: contextlib.ExitStack, *, timeout: float) -> bool:
    """Start bodies without end on one more connection, and say whether Envoy took them."""
    try:
        bodies_without_end(held.enter_context(mesh.connect(alpn="h2", timeout=timeout)))
    except OSError:
        return False
    return True


def bodies_without_end(connection: ssl.SSLSocket) -> None:
    """Start a hundred requests whose bodies do not end."""
    greet(connection)
    for stream in range(1, 200, 2):
        head = frame(HEADERS, END_HEADERS, stream, block(call(CUSTOMERS, "/a", "POST")))
        connection.sendall(head + frame(DATA, 0, stream, b"a" * 16_000) * 3)
