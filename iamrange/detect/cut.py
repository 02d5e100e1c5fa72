"""What it takes to cut an identity off: a hand for each place, and how one says that it failed."""

from __future__ import annotations

from typing import Protocol


class CutError(Exception):
    """An identity could not be cut off, or not be seen to be; the message says why."""


class Hand(Protocol):
    """Carries out one kind of cut."""

    def cut(self, target: str) -> str:
        """Cut a target off, and see that it is; return what was done.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        ...
