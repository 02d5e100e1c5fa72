"""Reads rows by many values of one column: in parts, by the shortest way to the driver."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import sqlalchemy as sa

PART = 900
"""Values in one statement; the oldest limit of parameters in SQLite is 999."""


def select_in(
    connection: sa.Connection,
    columns: tuple[sa.Column[Any], ...],
    key: sa.Column[Any],
    values: Collection[Any],
) -> Iterator[tuple[Any, ...]]:
    """Give the columns of all rows whose `key` is among the values, in no order."""
    names = ", ".join(column.name for column in columns)
    text = f"SELECT {names} FROM {key.table} WHERE {key.name}"  # noqa: S608 - the schema's own names
    if connection.dialect.name != "sqlite":
        yield from _run(connection, f"{text} = ANY(%s)", (list(values),))
        return
    rest = iter(values)
    while part := tuple(itertools.islice(rest, PART)):
        marks = ",".join("?" * len(part))
        yield from _run(connection, f"{text} IN ({marks})", part)


def _run(
    connection: sa.Connection, text: str, parameters: tuple[Any, ...]
) -> Iterable[tuple[Any, ...]]:
    # rows are tuples, which their type does not say
    return cast("Iterable[tuple[Any, ...]]", connection.exec_driver_sql(text, parameters))
