"""What goes wrong in the directory's store, as exceptions; a refusal is a value (model.py)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Iterator

STORE = "directory"


class TamperedError(StoreDownError):
    """The table is not what the directory signed; `row` names where.

    A kind of `StoreDownError`, so that whoever fails closed on a store that is away also fails
    closed here.
    """

    def __init__(self, row: str, detail: str) -> None:
        """Name the row and what is wrong with it."""
        super().__init__(STORE, f"tampered with: {row}: {detail}")
        self.row = row
        self.detail = detail


class SchemaError(Exception):
    """The database has a schema that this version cannot work with."""


class DirectoryKeyError(Exception):
    """The directory's key file is no key, or others can read it."""


@contextmanager
def unreadable_is_tampered(row: str) -> Iterator[None]:
    """Take values of another kind than the directory writes for what they are.

    Raises:
        TamperedError: the block met one.
    """
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise TamperedError(row, f"unreadable: {type(error).__name__}") from None
