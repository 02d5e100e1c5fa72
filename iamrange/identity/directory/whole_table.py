"""The check of the whole table: every row, in one snapshot, naming the first that is wrong.

- What a single read cannot see is seen here: rows that nothing points to, filter columns, the
  list of taken keys, gaps in the events.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from iamrange.identity.directory import schema, tree
from iamrange.identity.directory.encoding import entry_digest, read_entry
from iamrange.identity.directory.entry_signatures import entry_signed
from iamrange.identity.directory.errors import TamperedError, unreadable_is_tampered
from iamrange.identity.directory.field_rules import octets_of
from iamrange.identity.directory.lookups import select_in
from iamrange.identity.directory.rows import entry_columns
from iamrange.identity.directory.verified_tree import VerifiedTree

if TYPE_CHECKING:
    from iamrange.identity.directory.encoding import Head
    from iamrange.identity.directory.reader import Reader

_BATCH = 2000
_KEYS = (schema.agent_keys.c.kid, schema.agent_keys.c.number)
# outer: an entry that is missing shows
_ROWS = (
    sa.select(
        schema.leaves.c.bucket,
        schema.leaves.c.slot,
        schema.leaves.c.digest,
        schema.leaves.c.number.label("leaf_number"),
        *schema.entries.c,
    )
    .join_from(
        schema.leaves,
        schema.entries,
        schema.entries.c.number == schema.leaves.c.number,
        isouter=True,
    )
    .order_by(schema.leaves.c.bucket, schema.leaves.c.slot)
)


def verify_table(reader: Reader, *, signatures: bool) -> Head:
    """Check everything; return the head.

    Raises:
        TamperedError: names the first wrong row.
        StoreDownError: the database is away.
    """
    floor = reader.floor()
    with reader.database.reading() as connection, unreadable_is_tampered("table"):
        head = reader.head(connection, floor)
        verified = VerifiedTree(root=head.root)
        verified.load(connection, range(tree.NODES))
        signed: set[bytes] | None = set() if signatures else None
        taken: dict[str, int] = {}
        leaves = 0
        unseen = set(range(tree.FIRST_LOW, tree.NODES))
        with _stream(connection) as result:
            for low, rows in groupby(result, key=lambda row: tree.path_of(row.bucket)[2]):
                buckets: dict[int, list[tree.Pair]] = {}
                for row in rows:
                    # the entries first: they have a name, a bucket has none
                    agent = _check_entry(reader, row, signed)
                    taken.update(dict.fromkeys((key.kid for key in agent.keys), agent.number))
                    buckets.setdefault(row.bucket, []).append((row.slot, row.digest))
                    leaves += 1
                _check_low_node(verified, low, buckets)
                unseen.discard(low)
                if len(taken) >= _BATCH:
                    _check_keys(connection, taken)
                    taken = {}
        for low in sorted(unseen):
            _check_low_node(verified, low, {})
        _check_keys(connection, taken)
        _check_counts(connection, head, leaves)
    return head


def _stream(connection: sa.Connection) -> sa.CursorResult[Any]:
    options = connection.execution_options(stream_results=True, yield_per=_BATCH)
    return options.execute(_ROWS)


def _check_low_node(verified: VerifiedTree, low: int, buckets: dict[int, list[tree.Pair]]) -> None:
    children = verified.nodes.get(low)
    if children is None:
        raise TamperedError(f"bucket {min(buckets)}", "there is no such bucket")
    digests = {bucket: tree.bucket_digest(pairs) for bucket, pairs in buckets.items()}
    for place in tree.differing(children, tree.EMPTY_LOW):
        bucket = tree.bucket_at(low, place)
        if digests.pop(bucket, None) != tree.child(children, place):
            raise TamperedError(f"bucket {bucket}", "is not what the signed head covers")
    if digests:
        raise TamperedError(f"bucket {min(digests)}", "is not what the signed head covers")


def _check_entry(reader: Reader, row: Any, signed: set[bytes] | None) -> Any:  # noqa: ANN401 - a row
    if row.number is None:
        raise TamperedError(f"entry number {row.leaf_number}", "deleted")
    name = f"entry number {row.number}"
    try:
        agent = read_entry(row.body)
    except (ValueError, KeyError, TypeError) as error:
        raise TamperedError(name, f"unreadable: {type(error).__name__}") from None
    name = f"entry {agent.id!r}"
    if entry_digest(row.body, row.signature) != row.digest:
        raise TamperedError(name, "changed, swapped or rolled back to an older version")
    if tree.slot_of(agent.id) != row.slot or agent.number != row.number:
        raise TamperedError(name, "swapped with another agent's")
    if signed is not None and not entry_signed(reader.key, row.signature, row.body, signed):
        raise TamperedError(name, "not signed by the directory's key")
    for column, value in entry_columns(agent).items():
        if getattr(row, column) != value:
            raise TamperedError(name, f"column {column!r} is not what was signed")
    return agent


def _check_keys(connection: sa.Connection, taken: dict[str, int]) -> None:
    octets = [octets_of(kid) for kid in taken]
    found: dict[bytes, int] = dict(select_in(connection, _KEYS, _KEYS[0], octets))
    for kid, number in taken.items():
        if found.get(octets_of(kid)) != number:
            raise TamperedError(f"key {kid}", "is not listed as its agent's")


def _check_counts(connection: sa.Connection, head: Head, leaves: int) -> None:
    counted = sa.select(sa.func.count()).select_from
    entries = connection.execute(counted(schema.entries)).scalar_one()
    if (leaves, entries) != (head.count, head.count):
        raise TamperedError("table", f"expected {head.count} entries, got {entries}")
    versions = sa.func.count(), sa.func.min(schema.events.c.version)
    count, first = connection.execute(sa.select(*versions)).one()
    newest = connection.execute(sa.select(sa.func.max(schema.events.c.version))).scalar()
    if (count, newest or 0) != (head.version, head.version) or (count and first != 1):
        raise TamperedError("events", f"expected 1 to {head.version}, got {count}")
