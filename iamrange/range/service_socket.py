"""How another process steers the range left running: one order a connection, over a unix socket.

- The socket is its owner's alone. What it passes on to the world is a short list.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any

from iamrange.range.processes import ProcessError
from iamrange.range.world import CommandRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from iamrange.range.world import World

SOCKET_FILE = "service.sock"
ORDERS = frozenset(
    {
        "issue_jwt_svid",
        "issue_svid",
        "rotate_token_keys",
        "switch",
        "token_keys",
        "trust_bundle",
        "withdraw_token_key",
    }
)
_LINE_LIMIT = 1 << 16
_PATIENCE = 30.0


class OrderRefusedError(Exception):
    """The running range did not do what it was told; the message is its own."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    world: World
    own: Mapping[str, Callable[..., Any]]


class _Handler(socketserver.StreamRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def handle(self) -> None:
        try:
            order: dict[str, Any] = json.loads(self.rfile.readline(_LINE_LIMIT))
            name = order.pop("order")
            own = self.server.own.get(name)
            if own is None and name not in ORDERS:
                known = ", ".join(sorted([*ORDERS, *self.server.own]))
                raise CommandRefusedError(f"order {name!r}: known are {known}")  # noqa: TRY301 - answered below
            done = self.server.world.control(name, **order) if own is None else own(**order)
            answer = {"ok": done}
        except (CommandRefusedError, ProcessError) as error:
            answer = {"error": str(error)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            answer = {"error": f"{type(error).__name__}: no order"}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


@contextlib.contextmanager
def orders_taken(
    world: World, path: Path, own: Mapping[str, Callable[..., Any]] | None = None
) -> Iterator[None]:
    """Take orders for a world at this socket while the block runs.

    `own` are orders that whoever serves carries out without the world.
    """
    path.unlink(missing_ok=True)
    before = os.umask(0o177)  # the socket is private from its first moment
    try:
        server = _Server(str(path), _Handler)
    finally:
        os.umask(before)
    server.world = world
    server.own = own or {}
    thread = threading.Thread(target=server.serve_forever, name="orders", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        path.unlink(missing_ok=True)


def order(path: Path, name: str, **parameters: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Give the running range an order, and return its answer.

    Raises:
        OrderRefusedError: it refused, or could not be reached.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(_PATIENCE)
            channel.connect(str(path))
            channel.sendall(json.dumps({"order": name, **parameters}).encode() + b"\n")
            answer = json.loads(channel.makefile("rb").readline(_LINE_LIMIT))
    except (OSError, ValueError) as error:
        raise OrderRefusedError(f"the running range does not answer: {error}") from error
    if "error" in answer:
        raise OrderRefusedError(answer["error"])
    return answer["ok"]
