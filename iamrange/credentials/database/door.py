"""The one way into a world's database: a port on loopback, behind which the server starts.

- The server starts when somebody first comes, and again when it was killed: on what it held.
- Whoever comes is handed on as they are, in clear over loopback. What the server answers until a
  session is open or refused makes the decision record, before the client hears it. The door itself
  decides nothing.
- Whoever comes while there is no server is told so (SQLSTATE 57P03), and that is recorded as a
  fault, never as a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from typing import TYPE_CHECKING

from iamrange.core.decision import DecisionRecord, LayerAnswer, Outcome
from iamrange.credentials.database import wire
from iamrange.credentials.database.decisions import (
    ACTION,
    ALLOWED,
    CONNECT,
    UNREACHABLE,
    refused,
)
from iamrange.credentials.database.errors import DatabaseError, DatabaseStartError
from iamrange.credentials.database.login_log import LoginLog
from iamrange.credentials.database.server import PostgreSql, forget, log_of
from iamrange.credentials.on_demand import EndedError, OnDemand

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.core.clock import Clock
    from iamrange.core.decision import RecordSink
    from iamrange.credentials.database.holdings import DatabaseState

_HELLO_SECONDS = 10.0
_LOG_SECONDS = 2.0
_CHUNK = 1 << 16
_CANNOT_CONNECT_NOW = "57P03"


class Database:
    """The door of one world."""

    def __init__(
        self, state: DatabaseState, folder: Path, *, clock: Clock, records: RecordSink
    ) -> None:
        """Take what the database is to hold, and a folder with a short path for its server."""
        self._state = state
        self._folder = folder
        self._clock = clock
        self._records = records
        self._log = LoginLog(log_of(folder))
        self._listener: asyncio.Server | None = None
        self._server = OnDemand(self._start)
        self._changing = asyncio.Lock()
        self._visitors: set[asyncio.StreamWriter] = set()
        self._port = 0

    async def start(self) -> None:
        """Listen, on the port of before if there was one; the server waits until somebody comes."""
        self._listener = await asyncio.start_server(self._visited, "127.0.0.1", self._port)
        self._port = int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no more, and end the server."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for visitor in tuple(self._visitors):
            visitor.close()
        await self._server.end()

    def completed(self, path: str, body: bytes) -> bytes:
        """Return an administrator's write to the vault, with the password if it is for us."""
        return self._state.completed(path, body)

    async def renew(self) -> None:
        """End the server and all that it has been given, logins and sessions: the next is new."""
        async with self._changing:
            await self._server.end()
            forget(self._folder)
            self._log = LoginLog(log_of(self._folder))
            self._state.renew()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which PostgreSQL's own clients find it."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self._port)}

    @property
    def running(self) -> PostgreSql | None:
        """The server, if one was started and runs."""
        return self._server.running

    @property
    def starts(self) -> int:
        """How often one was started."""
        return self._server.starts

    async def server(self) -> PostgreSql:
        """Return the running server, having started it if need be.

        Raises:
            DatabaseError: it cannot be started.
        """
        async with self._changing:
            pass  # none starts while it is made new
        try:
            return await self._server.server()
        except EndedError:
            raise DatabaseStartError("postgresql: ended while it started") from None

    async def _start(self) -> PostgreSql:
        try:
            return await PostgreSql.start(self._folder, self._state.statements())
        except DatabaseError as error:
            sys.stderr.write(f"world: {error}\n")  # clients hear the reason alone
            raise

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._visitors.add(writer)
        # a client may go at any moment, and so may the server
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            await self._received(reader, writer)
        self._visitors.discard(writer)
        writer.close()

    async def _received(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HELLO_SECONDS):
            first = await _first_packet(reader, writer)
        if first is None:
            return
        startup = wire.startup_of(first[4:])
        is_cancel = wire.code_of(first[4:]) == wire.CANCEL
        if startup is None and not is_cancel:
            writer.write(wire.error("08P01", "expected protocol version 3 and a user"))
            return
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            server = await self.server()
            upstream = await asyncio.open_unix_connection(server.socket)
        except (DatabaseError, OSError) as error:
            if startup is not None:
                self._record(startup, UNREACHABLE, peer)
            reason = error.reason if isinstance(error, DatabaseError) else DatabaseStartError.reason
            writer.write(wire.error(_CANNOT_CONNECT_NOW, reason))
            return
        try:
            upstream[1].write(first)
            await self._between((reader, writer), upstream, startup, peer)
        finally:
            upstream[1].close()

    async def _between(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        startup: wire.Startup | None,
        peer: str,
    ) -> None:
        """Hand on in both directions until one side has ended."""
        sends = asyncio.create_task(_carried(client[0], upstream[1]))
        try:
            if startup is None or await self._opened(upstream[0], client[1], startup, peer):
                answers = asyncio.create_task(_carried(upstream[0], client[1]))
                try:
                    await asyncio.wait({sends, answers}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    answers.cancel()
        finally:
            sends.cancel()

    async def _opened(
        self,
        answers: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        startup: wire.Startup,
        peer: str,
    ) -> bool:
        """Hand on what the server says until a session is open (True) or refused."""
        while True:
            head = await answers.readexactly(5)
            length = wire.length_of(head[1:])
            if length is None or length > wire.MAX_MESSAGE:
                return False
            body = await answers.readexactly(length)
            kind = head[:1]
            if kind == wire.READY:
                self._record(startup, ALLOWED, peer)
            if kind == wire.ERROR:
                told = wire.told_in(body)
                entry = await self._log.take(startup.user, told.code, _LOG_SECONDS)
                self._record(startup, refused(told, entry), peer)
            client.write(head + body)
            await client.drain()
            if kind in (wire.READY, wire.ERROR):
                return kind == wire.READY

    def _record(self, startup: wire.Startup, answer: LayerAnswer, peer: str) -> None:
        self._records(
            DecisionRecord(
                request_id=str(uuid.uuid4()),
                time=self._clock.now(),
                point=CONNECT,
                action=ACTION,
                resource=startup.database,
                principal="" if answer.refuses else startup.user,
                outcome=Outcome.DENY if answer.refuses else Outcome.ALLOW,
                reason=answer.reason,
                layers=(answer,),
                source_ip=peer,
                # what whoever was refused has called themselves is nobody's identity
                facts={"user": startup.user},
            )
        )


async def _first_packet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
    """Return the packet that says what the client wants, with its length; None if none is."""
    while True:
        header = await reader.readexactly(4)
        length = wire.length_of(header)
        if length is None or not 4 <= length <= wire.MAX_FIRST:  # noqa: PLR2004 - a code at least
            return None
        packet = await reader.readexactly(length)
        if wire.code_of(packet) not in wire.ENCRYPTS:
            return header + packet
        writer.write(wire.NO)


async def _carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
