"""The folder that the policy comes from, looked at again while it is in use.

- A changed folder is taken when two looks in a row saw the same files: a file half written is not
  looked at twice the same.
- What is then broken, empty, unreadable, allows the empty input or fails its own tests is refused
  and named; the policy before stays. Where there is none before, making the folder fails.
- Tests that went away are a broken folder: they are what tells a cut-off policy from a strict one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.access.policy_engine import TEST_SUFFIX, PolicyEngine, read_folder
from iamrange.access.policy_tests import run_tests
from iamrange.access.rego import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LOOK_SECONDS = 0.25
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What became of a changed folder: taken (`refusal` empty), or refused and why."""

    digest: str
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """Which policy is in use, by its digest, and why the folder as it is now is not it."""

    folder: str
    digest: str
    files: tuple[str, ...]
    refusal: str = ""


def _ignore(_: PolicyChange) -> None:
    """Tell nobody."""


class PolicyFolder:
    """A policy that follows its folder. Any thread may ask for the current one."""

    def __init__(
        self,
        folder: Path,
        *,
        every: float = LOOK_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        tell: Callable[[PolicyChange], None] = _ignore,
    ) -> None:
        """Take the folder's policy as it is now.

        `tell` is called once for each change that was taken or refused. The clock is the
        machine's own: how often to look is no matter of a world's time.

        Raises:
            PolicyError: there is no policy that could be taken.
        """
        self._folder = folder
        self._every = every
        self._monotonic = monotonic
        self._tell = tell
        self._looking = threading.Lock()
        self._texts: Mapping[str, str] = read_folder(folder)
        self._seen: Mapping[str, str] = self._texts
        self._refused: Mapping[str, str] | None = None
        self._engine = _taken(self._texts, had_tests=False)
        self._next = monotonic() + every
        self._unreadable = ""
        self.refusal = ""
        """Why the folder as it is now is not in use; empty when it is."""

    def current(self) -> PolicyEngine:
        """Return the policy in use, after a look at the folder when it is time for one."""
        if self._monotonic() >= self._next:
            self.look()
        return self._engine

    def look(self) -> None:
        """Look at the folder now, if no other thread does."""
        if self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next = self._monotonic() + self._every
                self._looking.release()

    async def follow(self) -> None:
        """Look at the folder again and again, so that a change counts though nobody has called."""
        while True:
            await asyncio.sleep(self._every)
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - one look that broke must not be the last
                _LOG.error("a look at the policy's folder broke: %s", type(error).__name__)

    def status(self) -> PolicyStatus:
        """Say which policy is in use, and why the folder as it is now is not it."""
        engine = self._engine
        return PolicyStatus(str(self._folder), engine.digest, tuple(engine.texts), self.refusal)

    def _look(self) -> None:
        before, self._seen = self._seen, self._read()
        if self._seen == self._texts:
            self.refusal, self._refused = "", None
            return
        if self._seen == before and self._seen != self._refused:
            self._change(self._seen)

    def _read(self) -> Mapping[str, str]:
        self._unreadable = ""
        try:
            return read_folder(self._folder)
        except PolicyError as error:
            self._unreadable = str(error)
            return {}

    def _change(self, seen: Mapping[str, str]) -> None:
        try:
            engine = _taken(seen, had_tests=_has_tests(self._texts))
        except PolicyError as error:
            self._refused, self.refusal = seen, self._unreadable or str(error)
            self._tell(PolicyChange(self._engine.digest, self.refusal))
            return
        self._texts, self._engine = seen, engine
        self._refused, self.refusal = None, ""
        self._tell(PolicyChange(engine.digest))


def _has_tests(texts: Mapping[str, str]) -> bool:
    return any(name.endswith(TEST_SUFFIX) for name in texts)


def _taken(texts: Mapping[str, str], *, had_tests: bool) -> PolicyEngine:
    engine = PolicyEngine(
        {name: text for name, text in texts.items() if not name.endswith(TEST_SUFFIX)}
    )
    if had_tests or _has_tests(texts):
        failed = [test for test in run_tests(texts) if not test.passed]
        if failed:
            first = failed[0]
            raise PolicyError(
                f"policy {first.file}: {len(failed)} of its tests fail, the first is {first.name}"
            )
    return engine
