"""What every store raises when it cannot answer."""

from __future__ import annotations


class StoreDownError(Exception):
    """A store is away, full or broken: whoever asked refuses, and asks again next time."""

    def __init__(self, store: str, cause: str = "") -> None:
        """Name the store and, without secrets, what went wrong."""
        super().__init__(f"store {store!r} cannot answer{f': {cause}' if cause else ''}")
        self.store = store
