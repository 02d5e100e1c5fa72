"""What somebody with the database's password does behind the directory's back is seen."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from iamrange.identity.directory import (
    Directory,
    DirectoryKey,
    DirectoryView,
    TamperedError,
    agent_id,
    schema,
    tree,
)
from iamrange.identity.directory.anchor import FileAnchor
from iamrange.identity.directory.encoding import HEAD_CONTEXT, head_document
from iamrange.identity.directory.listing import AgentFilter
from iamrange.identity.stores.errors import StoreDownError
from tests.conformance.directory.lab import NOW, agent_of, code_of, new_jwk, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from iamrange.core.clock import FixedClock

VICTIM = agent_id("victim")
Rows = dict[str, list[dict[str, Any]]]
TABLES = (schema.head, schema.nodes, schema.leaves, schema.entries, schema.agent_keys)


class Intruder:
    """Has the database's password and an old copy of every table, but not the directory's key."""

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url)
        self.old: Rows = {}

    def copy(self) -> Rows:
        with self._engine.connect() as connection:
            return {
                table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for table in TABLES
            }

    def put_back(self, *tables: sa.Table) -> None:
        with self._engine.begin() as connection:
            for table in tables:
                connection.execute(table.delete())
                connection.execute(table.insert(), self.old[table.name])

    def run(self, *statements: sa.Executable) -> None:
        with self._engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def close(self) -> None:
        self._engine.dispose()

    def number(self, name: str) -> int:
        with self._engine.connect() as connection:
            found = connection.execute(
                sa.select(schema.leaves.c.number).where(
                    schema.leaves.c.slot == tree.slot_of(agent_id(name))
                )
            )
            return int(found.scalar_one())


@pytest.fixture
def intruder(directory: Directory, url: str) -> Iterator[Intruder]:
    """A table of three, of which `victim` was revoked after the intruder's copy was made."""
    for name in ("first", "victim", "other"):
        agent_of(directory.register(spec(name), actor="tester", activate=True))
    known = Intruder(url)
    known.old = known.copy()
    agent_of(directory.revoke("victim", actor="tester"))
    yield known
    known.close()


def change_body(intruder: Intruder) -> None:
    number = intruder.number("victim")
    body = next(r for r in intruder.copy()["directory_entries"] if r["number"] == number)["body"]
    changed = bytes(body).replace(b'"epoch":1', b'"epoch":0')
    assert changed != body
    intruder.run(
        schema.entries.update().where(schema.entries.c.number == number).values(body=changed)
    )


def change_signature(intruder: Intruder) -> None:
    intruder.run(
        schema.entries.update()
        .where(schema.entries.c.number == intruder.number("victim"))
        .values(signature=b"\0" * 64)
    )


def delete_entry(intruder: Intruder) -> None:
    intruder.run(
        schema.entries.delete().where(schema.entries.c.number == intruder.number("victim"))
    )


def delete_entry_and_leaf(intruder: Intruder) -> None:
    delete_entry_of = schema.entries.delete().where(
        schema.entries.c.number == intruder.number("victim")
    )
    leaf = schema.leaves.delete().where(schema.leaves.c.slot == tree.slot_of(VICTIM))
    intruder.run(delete_entry_of, leaf)


def swap_bodies(intruder: Intruder) -> None:
    rows = {row["number"]: row for row in intruder.copy()["directory_entries"]}
    pair = intruder.number("victim"), intruder.number("other")
    for mine, theirs in (pair, pair[::-1]):
        row = rows[theirs]
        intruder.run(
            schema.entries.update()
            .where(schema.entries.c.number == mine)
            .values(body=row["body"], signature=row["signature"])
        )


def swap_leaves(intruder: Intruder) -> None:
    rows = {bytes(row["slot"]): row for row in intruder.copy()["directory_leaves"]}
    pair = tree.slot_of(VICTIM), tree.slot_of(agent_id("other"))
    for mine, theirs in (pair, pair[::-1]):
        row = rows[theirs]
        intruder.run(
            schema.leaves.update()
            .where(schema.leaves.c.slot == mine)
            .values(digest=row["digest"], number=row["number"])
        )


def roll_back_entry(intruder: Intruder) -> None:
    intruder.put_back(schema.entries)


def roll_back_entry_and_leaf(intruder: Intruder) -> None:
    intruder.put_back(schema.entries, schema.leaves)


def roll_back_all_but_the_head(intruder: Intruder) -> None:
    intruder.put_back(schema.entries, schema.leaves, schema.nodes)


def roll_back_everything(intruder: Intruder) -> None:
    intruder.put_back(*TABLES)


def delete_tree(intruder: Intruder) -> None:
    intruder.run(schema.nodes.delete())


def delete_head(intruder: Intruder) -> None:
    intruder.run(schema.head.delete())


def sign_own_head(intruder: Intruder) -> None:
    key = DirectoryKey.generate()
    row = intruder.copy()["directory_head"][0]
    intruder.run(schema.head.update().values(signature=key.sign(HEAD_CONTEXT + row["document"])))


def empty_everything(intruder: Intruder) -> None:
    intruder.run(*(table.delete() for table in TABLES))


TAMPERINGS: list[Callable[[Intruder], None]] = [
    change_body,
    change_signature,
    delete_entry,
    delete_entry_and_leaf,
    swap_bodies,
    swap_leaves,
    roll_back_entry,
    roll_back_entry_and_leaf,
    roll_back_all_but_the_head,
    roll_back_everything,
    delete_tree,
    delete_head,
    sign_own_head,
    empty_everything,
]
tampering = pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda each: each.__name__)


@tampering
def test_one_read_sees_that_its_row_was_tampered_with(
    directory: Directory, intruder: Intruder, tamper: Callable[[Intruder], None]
) -> None:
    assert agent_of(directory.get("victim")).epoch == 1
    tamper(intruder)
    with pytest.raises(TamperedError, match=r"victim|head"):
        directory.get("victim")


@tampering
def test_a_process_that_starts_later_sees_it_by_the_anchor(
    directory: Directory,
    intruder: Intruder,
    url: str,
    tmp_path: Path,
    tamper: Callable[[Intruder], None],
) -> None:
    del directory
    tamper(intruder)
    with (
        pytest.raises(TamperedError, match=r"victim|head"),
        closing(Directory.open(url, tmp_path / "home")) as later,
    ):
        later.get("victim")


@tampering
def test_a_list_and_the_whole_check_see_it(
    directory: Directory, intruder: Intruder, tamper: Callable[[Intruder], None]
) -> None:
    directory.verify()
    assert len(directory.list().agents) == 3
    tamper(intruder)
    with pytest.raises(TamperedError):
        directory.verify()
    if tamper is not swap_leaves:  # a list goes by number, where nothing was swapped
        with pytest.raises(TamperedError):
            directory.list()


@tampering
def test_no_write_signs_what_somebody_else_put_there(
    directory: Directory,
    intruder: Intruder,
    url: str,
    tmp_path: Path,
    tamper: Callable[[Intruder], None],
) -> None:
    """By a process that has just started: one that wrote before has its own part of the tree."""
    del directory
    home = tmp_path / "home"
    key, anchor = DirectoryKey.load(home / "directory.key"), FileAnchor(home / "directory.anchor")
    tamper(intruder)
    before = intruder.copy()
    with closing(Directory(url, signer=key, anchor=anchor)) as writer:
        with pytest.raises(TamperedError):
            writer.update("victim", actor="tester", purpose="innocent")
        with pytest.raises(TamperedError):
            writer.register(spec("victim"), actor="tester")
    assert intruder.copy() == before


@tampering
def test_a_view_refuses_until_the_table_is_right_again(
    directory: Directory,
    intruder: Intruder,
    clock: FixedClock,
    tamper: Callable[[Intruder], None],
) -> None:
    view = DirectoryView(directory, clock=clock, staleness=0.0)
    assert agent_of(view.by_id(agent_id("first"))).epoch == 0
    good = intruder.copy()
    tamper(intruder)
    for _ in range(2):
        with pytest.raises(StoreDownError):  # whoever fails closed on a store that is away
            view.by_id(VICTIM)
    intruder.old = good
    intruder.put_back(*TABLES)
    assert agent_of(view.by_id(VICTIM)).epoch == 1
    assert agent_of(view.by_id(agent_id("first"))).epoch == 0


def test_a_row_that_is_not_right_takes_no_other_agent_along(
    directory: Directory, intruder: Intruder, clock: FixedClock
) -> None:
    view = DirectoryView(directory, clock=clock, staleness=0.0)
    intruder.run(
        schema.entries.update()
        .where(schema.entries.c.number == agent_of(directory.get("victim")).number)
        .values(body=b"{}")
    )
    with pytest.raises(TamperedError):
        view.by_id(VICTIM)
    assert agent_of(view.by_id(agent_id("first"))).name == "first"


@pytest.mark.parametrize("column", ["body", "signature"])
@pytest.mark.parametrize("value", ["text", 7, b"[" * 100_000])
def test_a_value_of_another_kind_is_tampering_and_no_accident(
    directory: Directory, intruder: Intruder, url: str, column: str, value: object
) -> None:
    if not url.startswith("sqlite"):
        pytest.skip("PostgreSQL's columns keep their type")
    intruder.run(sa.text(f"UPDATE directory_entries SET {column} = :value").bindparams(value=value))  # noqa: S608 - a column's name
    for ask in (lambda: directory.get("victim"), directory.list, directory.verify):
        with pytest.raises(TamperedError):
            ask()


def test_an_added_agent_is_seen_by_who_asks_for_it(
    directory: Directory, intruder: Intruder
) -> None:
    added = agent_id("rogue")
    slot = tree.slot_of(added)
    row = intruder.copy()["directory_entries"][0]
    row |= {"number": 4, "body": bytes(row["body"]).replace(b'"first"', b'"rogue"')}
    leaf = {"bucket": tree.bucket_of(slot), "slot": slot, "digest": b"\0" * 32, "number": 4}
    assert directory.get("rogue") is None
    intruder.run(schema.entries.insert().values(row), schema.leaves.insert().values(leaf))
    for ask in (
        lambda: directory.get("rogue"),
        directory.list,
        directory.verify,
        lambda: directory.register(spec("rogue"), actor="tester"),
    ):
        with pytest.raises(TamperedError):
            ask()


def test_a_head_made_twice_for_one_version_is_seen(
    directory: Directory, intruder: Intruder, url: str, tmp_path: Path
) -> None:
    """Somebody restores an old copy, and a process without memory writes on from there."""
    directory.get("victim")
    roll_back_everything(intruder)
    intruder.run(schema.events.delete().where(schema.events.c.version > 3))
    key = DirectoryKey.load(tmp_path / "home" / "directory.key")
    with closing(Directory(url, signer=key)) as forgetful:
        agent_of(forgetful.update("other", actor="tester", purpose="elsewhere"))
    with pytest.raises(TamperedError, match="two heads"):
        directory.get("other")


@pytest.mark.parametrize("column", ["owner", "project", "state", "expires", "scopes", "version"])
def test_a_changed_filter_column_is_seen_where_it_shows(
    directory: Directory, intruder: Intruder, column: str
) -> None:
    value: object = NOW if column == "expires" else 99 if column == "version" else "team-x"
    intruder.run(
        schema.entries.update()
        .where(schema.entries.c.number == intruder.number("victim"))
        .values({column: value})
    )
    with pytest.raises(TamperedError, match=column):
        directory.verify()
    with pytest.raises(TamperedError, match=column):
        directory.list()
    with pytest.raises(TamperedError, match=column):
        directory.change_many("quarantine", AgentFilter(), actor="tester")


def test_a_key_struck_from_the_list_of_taken_keys_is_seen_by_the_whole_check(
    directory: Directory, intruder: Intruder
) -> None:
    intruder.run(schema.agent_keys.delete())
    with pytest.raises(TamperedError, match="key"):
        directory.verify()


def test_a_struck_event_is_seen_by_the_whole_check(
    directory: Directory, intruder: Intruder
) -> None:
    intruder.run(schema.events.delete().where(schema.events.c.version == 2))
    with pytest.raises(TamperedError, match="events"):
        directory.verify()


def test_a_rollback_by_the_owner_of_the_key_needs_the_anchor(
    directory: Directory, intruder: Intruder, tmp_path: Path
) -> None:
    """The anchor's file gone while we run: nothing can be known, so nothing is said."""
    (tmp_path / "home" / "directory.anchor").unlink()
    with pytest.raises(StoreDownError, match="anchor"):
        directory.get("victim")
    del intruder


def test_a_key_of_another_is_refused_after_all_of_this(directory: Directory) -> None:
    key = new_jwk()
    agent_of(directory.register(spec("holder", key), actor="tester"))
    assert code_of(directory.register(spec("thief", key), actor="tester")) == "key-taken"
    assert head_document(directory.head()).startswith(b'{"count":1,')
