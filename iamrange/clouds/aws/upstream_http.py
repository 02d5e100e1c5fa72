"""HTTP to an emulator: exact bytes out, whole answers in, bounded in every direction.

- The target goes out as it was written: percent-encoding is not touched, no redirect is followed,
  nothing is decompressed, no proxy or cookie of the environment is used.
- Connections are pooled for the running event loop, in three lanes: lookups, calls, and calls that
  wait by design (long polls), so that none of them can use up the others' connections.
- An answer that does not come is `UpstreamDownError`; the next call tries anew.
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from iamrange.clouds.aws.upstream import UpstreamDownError, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ANSWER: Final = 64 * 1024 * 1024
CONNECT_SECONDS: Final = 5.0
# Longer than the longest wait that a call may ask for (SQS: 20 s).
ANSWER_SECONDS: Final = 65.0
# Emulators close idle connections after 5 s or more: we close first, so that a call never meets
# a connection that is being closed.
_KEPT_SECONDS: Final = 2.0
_LENGTH_LIMIT: Final = 65_536


class Lane(StrEnum):
    """Which connections a call may use."""

    LOOKUP = "lookup"
    CALL = "call"
    WAIT = "wait"


_CONNECTIONS: Final[Mapping[Lane, int]] = {Lane.LOOKUP: 32, Lane.CALL: 64, Lane.WAIT: 1024}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request, as it goes out; the target is the path and the query."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


class HttpTransport:
    """Sends requests to one base URL."""

    def __init__(self, url: str) -> None:
        """Take the emulator's `http://HOST:PORT`."""
        parts = urlsplit(url)
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.netloc = parts.netloc
        self._sessions: dict[Lane, aiohttp.ClientSession] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._left: list[aiohttp.ClientSession] = []

    async def send(self, sent: Sent, lane: Lane) -> Answer:
        """Return the answer.

        Raises:
            UpstreamDownError: there is none.
            UpstreamError: it is longer than we read.
        """
        url = URL(self.base + sent.target, encoded=True)
        session = self._session(lane)
        try:
            async with session.request(
                sent.method,
                url,
                data=io.BytesIO(sent.body) if sent.body else None,
                headers=sent.headers,
                allow_redirects=False,
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise UpstreamError(f"the answer is longer than {MAX_ANSWER} bytes")
                headers = tuple(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in response.raw_headers
                )
                return Answer(response.status, headers, bytes(body))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UpstreamDownError(f"{self.base}: {type(error).__name__}") from error

    def _session(self, lane: Lane) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A fork, or a new run: the connections before are another loop's.
            self._left += self._sessions.values()
            self._sessions, self._loop = {}, loop
        session = self._sessions.get(lane)
        if session is None:
            session = self._sessions[lane] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_CONNECTIONS[lane],
                    keepalive_timeout=_KEPT_SECONDS,
                    use_dns_cache=False,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
                auto_decompress=False,
                trust_env=False,
                max_line_size=_LENGTH_LIMIT,
                max_field_size=_LENGTH_LIMIT,
            )
        return session

    async def close(self) -> None:
        """Close this loop's connections; the next call opens others."""
        sessions, self._sessions, self._loop = self._sessions, {}, None
        for session in sessions.values():
            await session.close()
