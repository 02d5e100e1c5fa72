"""HTTP/1.1 at an edge, with methods that the fast parser does not know.

- Vaults have a method of their own, LIST (https://openbao.org/api-docs/), which every client of
  theirs sends. llhttp, behind `httptools`, knows a fixed list and refuses all others.
- A connection on which such a method comes is h11's from then on: it takes any token (RFC 9110
  section 9.1). All other connections stay with the fast parser.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

METHODS: Final = (b"LIST",)


class EdgeProtocol(HttpToolsProtocol):
    """One connection."""

    def data_received(self, data: bytes) -> None:
        """Take what came; hand the connection over if a request begins that is not for us."""
        cycle: RequestResponseCycle | None = self.cycle
        between = cycle is None or cycle.response_complete
        if between and data.split(b" ", 1)[0] in METHODS:
            self._hand_over(data)
        else:
            super().data_received(data)

    def _hand_over(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        other = H11Protocol(self.config, self.server_state, self.app_state)
        self.transport.set_protocol(other)
        other.connection_made(self.transport)
        other.data_received(data)
