"""Tell a person what the preparation is doing, one line a step.

- On a terminal a running step redraws its line; elsewhere it adds a line every ten seconds, so that
  a CI log shows life and stays short.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import TextIO

_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 10.0


class Reporter(Protocol):
    """Where steps are told to."""

    def step(self, text: str) -> None:
        """Begin a step."""

    def tick(self, text: str) -> None:
        """Say how far the step is; may be called often."""

    def done(self, text: str) -> None:
        """End the step with its result."""


class LineReporter:
    """Writes steps to a stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`, or to standard error."""
        self._stream = stream if stream is not None else sys.stderr
        self._terminal = self._stream.isatty()
        self._step = ""
        self._started = self._told = time.monotonic()

    def step(self, text: str) -> None:
        """Begin a step."""
        self._step = text
        self._started = self._told = time.monotonic()
        self._write(f"{text} ...", keep=not self._terminal)

    def tick(self, text: str) -> None:
        """Say how far the step is, unless something was said a moment ago."""
        now = time.monotonic()
        if now - self._told < (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS):
            return
        self._told = now
        elapsed = f"{now - self._started:.0f} s"
        self._write(f"{self._step}: {text}, {elapsed}", keep=not self._terminal)

    def done(self, text: str) -> None:
        """End the step with its result."""
        self._write(f"{self._step}: {text}", keep=True)

    def _write(self, text: str, *, keep: bool) -> None:
        line = f"\r\x1b[K{text}" if self._terminal else text
        self._stream.write(line + ("\n" if keep else ""))
        self._stream.flush()


class Silent:
    """Tells nobody."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def tick(self, text: str) -> None:
        """Say nothing."""

    def done(self, text: str) -> None:
        """Say nothing."""
