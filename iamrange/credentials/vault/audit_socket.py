"""Where a world's vault leaves its audit entries: a socket, so that no file of them grows.

- An entry is handed to whoever waits for the request that it is of, and kept nowhere.
- OpenBao writes an entry before it answers the request, so whoever has the answer waits for
  nothing but this process to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from iamrange.credentials.vault.openbao import REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LINE_LIMIT = 1 << 24


class AuditSocket:
    """Listens for entries; a world has one, whichever server writes to it."""

    def __init__(self, path: Path) -> None:
        """Take the socket's path, which is short."""
        self.path = path
        self._waiting: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen, for this user only."""
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._read, self.path, limit=_LINE_LIMIT)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Listen no more: whoever writes here can answer nothing from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.close()

    def expect(self, request_id: str) -> None:
        """Keep the entry of a request that is about to be made."""
        self._waiting[request_id] = asyncio.get_running_loop().create_future()

    async def take(self, request_id: str, seconds: float) -> Mapping[str, Any] | None:
        """Return the entry of a request that was answered; None if none came in that time."""
        try:
            async with asyncio.timeout(seconds):
                return await self._waiting[request_id]
        except TimeoutError:
            return None

    def forget(self, request_id: str) -> None:
        """Expect nothing of this request any more."""
        self._waiting.pop(request_id, None)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, ValueError):  # a server that was killed ends anywhere
            while line := await reader.readline():
                self._take_in(json.loads(line))
        self._writers.discard(writer)
        writer.close()

    def _take_in(self, entry: Mapping[str, Any]) -> None:
        # a request that is refused before it is made has an error in its first entry, and no other
        if entry.get("type") != "response" and not entry.get("error"):
            return
        ids = (entry.get("request") or {}).get("headers", {}).get(REQUEST_ID) or [""]
        waiting = self._waiting.get(ids[0])
        if waiting is not None and not waiting.done():
            waiting.set_result(entry)
