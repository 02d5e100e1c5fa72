"""A host of the attacker's that keeps what is sent to it: where stolen data would go.

It answers everything, so that whoever sends learns nothing from the answer.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from iamrange.network.edge import Receive, Scope, Send

_LONGEST = 1 << 14
_MOST = 8
"""How much is kept: the newest of it goes over the control channel in one line."""

_ANSWER = b"{}\n"


class Drop:
    """An ASGI app that takes bodies and query strings, and shows them to nobody."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: deque[str] = deque(maxlen=_MOST)

    def texts(self) -> list[str]:
        """Return what was sent, oldest first."""
        return list(self._kept)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep what one request brought; of a long body its beginning."""
        if scope["type"] != "http":
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")[: max(0, _LONGEST - len(body))]
            more = message.get("more_body", False)
        asked = unquote_plus(scope.get("query_string", b"")[:_LONGEST].decode("latin-1"))
        for text in (asked, bytes(body).decode(errors="replace")):
            if text:
                self._kept.append(text)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(_ANSWER)),
        ]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": _ANSWER})
