"""An edge on a unix socket: for its own user only, and nothing of it stays."""

from __future__ import annotations

import asyncio
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from iamrange.network.edge import Edge, Receive, Route, Scope, Send

if TYPE_CHECKING:
    from pathlib import Path


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hi"})


async def ask(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    read = await reader.read()
    writer.close()
    await writer.wait_closed()
    return read


def edge(path: Path) -> Edge:
    return Edge([Route("a.example", answer)], ca=None, unix_socket=path)


def test_it_answers_its_own_user_only_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"

    async def live() -> None:
        served = edge(path)
        await served.start()
        assert served.port == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await ask(path)).endswith(b"hi")
        await served.stop()

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_a_killed_edge_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    async def live() -> None:
        served = edge(path)
        await served.start()
        assert (await ask(path)).endswith(b"hi")
        await served.stop()

    asyncio.run(live())


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        asyncio.run(edge(path).start())
    assert path.read_text() == "mine"
