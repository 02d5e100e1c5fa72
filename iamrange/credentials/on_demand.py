"""A server that starts when somebody first needs it, and again when it has ended."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RETRY_AFTER: Final = 1.0
"""Seconds for which a start that failed is the answer to whoever comes."""


class Server(Protocol):
    """What is started: a process of this one's."""

    @property
    def alive(self) -> bool:
        """Whether it runs, and is this process's own."""
        ...

    async def stop(self) -> None:
        """End it. May be called again."""
        ...


S = TypeVar("S", bound=Server)


class EndedError(Exception):
    """The server was ended while it started."""


class OnDemand(Generic[S]):
    """One server: those that come at once share its start, and its failure for a moment."""

    def __init__(self, start: Callable[[], Awaitable[S]]) -> None:
        """Take what starts one; its errors are everybody's who waits."""
        self._start = start
        self._begun: asyncio.Task[S] | None = None
        self._failed_at = 0.0
        self.starts = 0

    @property
    def running(self) -> S | None:
        """The server, if one was started and runs."""
        begun = self._begun
        if begun is None or not begun.done() or begun.cancelled() or begun.exception():
            return None
        return begun.result() if begun.result().alive else None

    async def server(self) -> S:
        """Return the running server, having started it if need be.

        Raises:
            EndedError: it was ended meanwhile.
            Exception: what starting it raised.
        """
        begun = self._begun
        if begun is None or self._is_over(begun):
            self.starts += 1
            # no await before this: of those that find the same server dead, one starts another
            begun = asyncio.get_running_loop().create_task(self._started(after=begun))
            self._begun = begun
        try:
            # a client that leaves must not take the start away from the others
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            if begun.cancelled():
                raise EndedError from None
            raise

    async def end(self) -> None:
        """End the server, or its start."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.cancel()
            await asyncio.wait([begun])
            await _stopped(begun)

    def _is_over(self, begun: asyncio.Task[S]) -> bool:
        """Tell whether a server has ended, or failed to start some time ago."""
        if not begun.done():
            return False
        if not begun.cancelled() and begun.exception() is None:
            return not begun.result().alive
        return time.monotonic() - self._failed_at > RETRY_AFTER

    async def _started(self, *, after: asyncio.Task[S] | None) -> S:
        if after is not None:
            await _stopped(after)
        try:
            return await self._start()
        except BaseException:
            self._failed_at = time.monotonic()
            raise


async def _stopped(begun: asyncio.Task[S]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        await begun.result().stop()
