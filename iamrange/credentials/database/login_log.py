"""What the server wrote about those it refused: read as it grows, and kept no longer than needed.

- An entry is joined to a refusal by the login's name and the code that the client was told. Of
  refusals of one login at one time, which entry is whose cannot be told, and need not be.
- The file is emptied once it is long: it is read by nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_POLL: Final = 0.005
_MAX_WAITING: Final = 1024
_MAX_BYTES: Final = 1 << 20


class LoginLog:
    """The log of one server's data folder."""

    def __init__(self, path: Path) -> None:
        """Take the file, which the server makes."""
        self._path = path
        self._offset = 0
        self._entries: deque[Mapping[str, Any]] = deque(maxlen=_MAX_WAITING)

    async def take(self, user: str, code: str, seconds: float) -> Mapping[str, Any]:
        """Return the entry of a refusal that a client was told; empty if none came in that time."""
        deadline = time.monotonic() + seconds
        while True:
            self._read()
            for entry in self._entries:
                if entry.get("user") == user and entry.get("state_code") == code:
                    self._entries.remove(entry)
                    return entry
            if time.monotonic() > deadline:
                return {}
            await asyncio.sleep(_POLL)

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._offset:
                self._offset = 0  # another server's, in a new folder
            file.seek(self._offset)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    # a session that was ended is written too, and told to nobody here
                    if isinstance(entry, dict) and entry.get("error_severity") == "FATAL":
                        self._entries.append(entry)
            if self._offset > _MAX_BYTES and whole == data:
                os.truncate(self._path, 0)
                self._offset = 0
