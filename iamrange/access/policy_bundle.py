"""The folder that the policy comes from, looked at again while it is in use.

- A changed folder is taken when two looks in a row saw the same files: a file half written is not
  looked at twice the same.
- What is then broken, empty, unreadable, allows the empty input or fails its own tests is refused
  and named; the policy before stays. Where there is none before, making the folder fails.
- Tests that went away are a broken folder: they are what tells a cut-off policy from a strict one.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What became of a changed folder: taken (`refusal` empty), or refused and why."""

    digest: str
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
        if self._monotonic() >= self._next and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next = self._monotonic() + self._every
                self._looking.release()
        return self._engine

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
    engine = PolicyEngine.from_texts(
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
