"""The world's server process: clouds, issuer, broker, network, and a channel to control it.

- One thread, one event loop. A fork happens while the loop stands still: the child leaves the old
  loop and its sockets behind, and listens with an authority and ports of its own.
- Commands come as JSON lines over a unix socket that only its owner opens, and each carries the
  key that the runner alone holds: an attack runs under the same user, and finds the socket.
- The process dies with its parent, whichever way that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hmac
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from iamrange.clouds.fetch import FetchError
from iamrange.identity.issuer import IssuerError
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.keys import AuthorityKeysError
from iamrange.range.config import WorldConfig
from iamrange.range.content import Content
from iamrange.range.lifeline import CHANNEL, die_with_parent, exit_orphaned, thread_count
from iamrange.range.listeners import Listeners
from iamrange.range.world_commands import CommandError, Commands, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTROL_SOCKET = "control.sock"
LOG_FILE = "host.log"
_LINE_LIMIT = 1 << 20
_END_SECONDS = 2.0
_ABANDONED: list[object] = []
"""What belongs to a fork's parent: kept alive, because to collect it would act on it."""


class Host:
    """One world in this process."""

    def __init__(self, content: Content, place: Place) -> None:
        """Take what the world holds and where its files go."""
        self._content = content
        self._place = place
        self._socket_path = place.control
        place.sockets.mkdir(mode=0o700)
        self._listeners = Listeners(content, place.folder, place.sockets, place.database)
        self._pause: asyncio.Future[_Fork | None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._commands = Commands(content, self._listeners, place)

    async def start(self) -> None:
        """Listen on the network and on the control channel."""
        await self._listeners.start()
        before = os.umask(0o177)  # the socket is private from its first moment
        try:
            await asyncio.start_unix_server(self._serve, self._socket_path, limit=_LINE_LIMIT)
        finally:
            os.umask(before)
        policy = self._content.identity.gateway.followed
        if policy is not None:
            # held here: a loop alone does not keep a task
            self._following = asyncio.get_running_loop().create_task(policy.follow())

    async def run(self) -> _Fork | None:
        """Serve until the loop must stand still for a fork, or (None) until told to stop."""
        self._pause = asyncio.get_running_loop().create_future()
        return await self._pause

    def close(self) -> None:
        """Take the control channel away; what listens ends with the process."""
        self._socket_path.unlink(missing_ok=True)

    async def end_children(self) -> None:
        """End the processes that the world has started; what listens here ends with it."""
        if self._listeners.mesh is not None:
            await self._listeners.mesh.stop()
        if self._listeners.vault is not None:
            await self._listeners.vault.stop()
        if self._listeners.database is not None:
            await self._listeners.database.stop()

    def describe(self) -> Mapping[str, Any]:
        """Return what a runner must know of the world."""
        return self._commands.describe()

    def fork_content(self) -> Content:
        """Return the content, for the fork to carry on with."""
        return self._content

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            order = json.loads(line)
            if not hmac.compare_digest(
                str(order.pop("key", "")).encode(), self._place.key.encode()
            ):
                return {"error": "the key expected is the runner's"}
            name = order.pop("command")
            if name == "stop":
                return self._stop()
            if name == "fork":
                return {"ok": await self._fork(**order)}
            return {"ok": self._commands.named(name)(**order)}
        except (CommandError, IssuerError, FetchError, StoreDownError, AuthorityKeysError) as error:
            return {"error": str(error)}
        except (ValueError, TypeError, KeyError, AttributeError, ImportError, OSError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _stop(self) -> Mapping[str, Any]:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._resume, None)  # after the answer is written
        return {"ok": None}

    async def _fork(  # noqa: PLR0913 - keyword-only members of one order
        self,
        *,
        folder: str,
        control: str,
        database: str,
        new_key: str,
        rogue: str | None = None,
        rogue_arguments: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - the child's description
        if thread_count() != 1:
            raise CommandError(f"fork: {thread_count()} threads in the world's process")
        if not Path(folder).is_dir():  # noqa: ASYNC240 - one stat, and nobody else is served here
            raise CommandError(f"fork: no folder {folder!r}")
        read, write = os.pipe()
        place = Place(Path(folder), Path(control), Path(database), new_key)
        fork = _Fork(place, rogue, rogue_arguments, write)
        try:
            self._content.agents.copy_to(place.folder)
            self._resume(fork)
            reader = asyncio.StreamReader(limit=_LINE_LIMIT)
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb")
            )
            line = await reader.readline()
        finally:
            fork.close_in_parent()
        if not line:
            raise CommandError(f"fork: the new world broke; see {Path(folder) / LOG_FILE}")
        return json.loads(line)

    def _resume(self, fork: _Fork | None) -> None:
        if self._pause is None or self._pause.done():
            raise CommandError("fork: another one is under way")
        self._pause.set_result(fork)


class _Fork:
    """An order to fork, and the pipe by which the child says that it is ready."""

    def __init__(
        self,
        place: Place,
        rogue: str | None,
        rogue_arguments: Mapping[str, Any] | None,
        ready: int,
    ) -> None:
        self.place = place
        self.rogue = rogue
        self.rogue_arguments = rogue_arguments
        self.ready = ready
        self._closed = False

    def close_in_parent(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self.ready)


def serve_world(  # noqa: PLR0913 - keyword-only places
    *,
    ready: Callable[[Any], None],
    config: Mapping[str, Any],
    folder: str,
    control: str,
    database: str,
    key: str,
) -> None:
    """Run a world in this process, until it is told to stop. Started by the zygote.

    `ready` is called with the world's description once everything listens.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are reaped by the kernel
    content = Content(WorldConfig.from_json(config), Path(folder))
    _serve(content, Place(Path(folder), Path(control), Path(database), key), ready, CHANNEL)


def _serve(
    content: Content,
    place: Place,
    ready: Callable[[Any], None],
    lifeline: int,
) -> NoReturn:
    """Serve one world on a new loop, forking others off between its runs; never return."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    host = Host(content, place)
    loop.run_until_complete(host.start())
    loop.add_reader(lifeline, exit_orphaned)
    ready(host.describe())
    # One pipe for all forks: they hold its reading end, and it ends when this process does.
    forks_lifeline, _ = os.pipe()
    while True:
        fork = loop.run_until_complete(host.run())
        if fork is None:
            host.close()
            with contextlib.suppress(TimeoutError, OSError):
                loop.run_until_complete(asyncio.wait_for(host.end_children(), _END_SECONDS))
            _leave(0)
        parent = os.getpid()
        # A collection would copy every page that it looks at, here and in the child: what lives
        # now is never looked at again. The young garbage goes first.
        gc.collect(1)
        gc.freeze()
        if os.fork() == 0:
            _ABANDONED.extend((loop, host))
            _fork_world(host.fork_content(), fork, parent, forks_lifeline)
        fork.close_in_parent()


def _fork_world(content: Content, fork: _Fork, parent: int, lifeline: int) -> NoReturn:
    """Go on as another world in this new process; never return."""
    try:
        die_with_parent(parent)
        os.setsid()
        asyncio.set_event_loop(None)
        _redirect(fork.place.folder / LOG_FILE)
        _abandon_descriptors({0, 1, 2, lifeline, fork.ready})
        content.move_to(fork.place.folder)
        if fork.rogue is not None:
            content.tamper.switch(fork.rogue, fork.rogue_arguments)

        def ready(description: Any) -> None:  # noqa: ANN401 - any JSON value
            with os.fdopen(fork.ready, "wb") as pipe:
                pipe.write(json.dumps(description).encode() + b"\n")

        _serve(content, fork.place, ready, lifeline)
    except BaseException:  # noqa: BLE001 - the fork must not run on into its parent's code
        sys.excepthook(*sys.exc_info())
        _leave(1)


def _redirect(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _abandon_descriptors(kept: set[int]) -> None:
    """Turn the parent's sockets into /dev/null, in place.

    Their numbers stay taken: Python objects of the parent that still name them could otherwise
    close a descriptor of ours that had got the same number.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - names only
        if descriptor not in kept and descriptor != null:
            with contextlib.suppress(OSError):
                os.fstat(descriptor)  # the listing's own descriptor is closed by now
                os.dup2(null, descriptor, inheritable=False)


def _leave(status: int) -> NoReturn:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
