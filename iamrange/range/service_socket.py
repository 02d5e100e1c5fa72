"""How another process steers the range left running: one order a connection, over a unix socket.

- The socket is its owner's alone. What it passes on to the world is a short list.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import struct
import threading
from typing import TYPE_CHECKING, Any

from iamrange.range.changes import OrdersFullError
from iamrange.range.processes import ProcessError
from iamrange.range.world import CommandRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from iamrange.range.changes import OrdersTaken
    from iamrange.range.world import World

SOCKET_FILE = "service.sock"
ORDERS = frozenset(
    {
        "gateway_status",
        "issue_jwt_svid",
        "issue_svid",
        "policy_status",
        "revocation_lists",
        "rotate_token_keys",
        "switch",
        "token_keys",
        "trust_bundle",
        "withdraw_certificates",
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
    taken: OrdersTaken
    own: Mapping[str, Callable[..., Any]]


class _Handler(socketserver.StreamRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def handle(self) -> None:
        name, order = "", dict[str, Any]()
        try:
            order = json.loads(self.rfile.readline(_LINE_LIMIT))
            name = str(order.pop("order"))
            own = self.server.own.get(name)
            if own is None and name not in ORDERS:
                known = ", ".join(sorted([*ORDERS, *self.server.own]))
                raise CommandRefusedError(f"order {name!r}: known are {known}")  # noqa: TRY301 - answered below
            self.server.taken.check()
            done = self.server.world.control(name, **order) if own is None else own(**order)
            answer = {"ok": done}
        except (CommandRefusedError, OrdersFullError, ProcessError) as error:
            answer = {"error": str(error)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            answer = {"error": f"{type(error).__name__}: no order"}
        if name:
            self.server.taken.note(self._user(), name, order, answer.get("error"))
        self.wfile.write(json.dumps(answer).encode() + b"\n")

    def _user(self) -> int:
        """Return the user at the other end, as the kernel knows it (unix(7), SO_PEERCRED)."""
        if not hasattr(socket, "SO_PEERCRED"):  # the socket is its owner's alone
            return os.getuid()
        size = struct.calcsize("3i")
        peer = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(struct.unpack("3i", peer)[1])


@contextlib.contextmanager
def orders_taken(
    world: World,
    path: Path,
    taken: OrdersTaken,
    own: Mapping[str, Callable[..., Any]] | None = None,
) -> Iterator[None]:
    """Take orders for a world at this socket while the block runs, and note each.

    `own` are orders that whoever serves carries out without the world.
    """
    path.unlink(missing_ok=True)
    before = os.umask(0o177)  # the socket is private from its first moment
    try:
        server = _Server(str(path), _Handler)
    finally:
        os.umask(before)
    server.world = world
    server.taken = taken
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
