"""What the services write of their calls, for whoever debugs: bounded, and redacted as it comes.

- A read is a line of who, what and how it went. A write has its headers and its body too.
- Nothing is kept as it was given; with the control off alone the lines say what came, as it came.
- The oldest lines go when there are more than `MOST_LINES`, or `MOST_CHARACTERS` in them.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iamrange.credentials.redaction.redactor import Redactor

MOST_LINES: Final = 1000
MOST_CHARACTERS: Final = 256 << 10
LONGEST_BODY: Final = 16 << 10
"""Bytes of a body that are logged; a longer one is told by its length."""

_REQUEST_ID: Final = b"x-request-id"


class ServiceLog:
    """One log of all services of a world. The world's one loop writes it."""

    def __init__(self, redactor: Redactor) -> None:
        """Begin with no line."""
        self._redactor = redactor
        self._lines: deque[str] = deque()
        self._size = 0
        self.unsafe_as_given = False

    def called(  # noqa: PLR0913 - keyword-only parts of one line
        self,
        service: str,
        method: str,
        path: str,
        *,
        agent: str,
        status: int,
        time: float,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | None,
    ) -> None:
        """Write a line of one call; `body` is None for what only reads."""
        told = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        line: dict[str, Any] = {
            "time": round(time, 3),
            "service": service,
            "method": method,
            "path": path,
            "agent": agent,
            "status": status,
            "request_id": dict(told).get(_REQUEST_ID.decode(), ""),
        }
        if body is not None:
            line["called_with"] = {"headers": dict(told), "body": _shown(body)}
        self._keep(line if self.unsafe_as_given else self._redactor.value(line))

    def text(self) -> str:
        """Return the lines, the newest last: a JSON object each."""
        return "\n".join(self._lines)

    def _keep(self, line: Any) -> None:  # noqa: ANN401 - a JSON value
        written = json.dumps(line)
        self._lines.append(written)
        self._size += len(written)
        while len(self._lines) > MOST_LINES or self._size > MOST_CHARACTERS:
            self._size -= len(self._lines.popleft())


def _shown(body: bytes) -> str:
    """Return a body as text; one that is cut could hide what it holds, so it is not cut."""
    if len(body) > LONGEST_BODY:
        return f"more than {LONGEST_BODY} bytes"
    return body.decode("utf-8", "replace")
