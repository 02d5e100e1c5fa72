"""The directory of agents: one at a time. Bulk forms are in bulk.py, lists in listing.py.

- A refusal is a value; exceptions mean that the database is away or was tampered with.
- Idempotent: what is so already is no change, no version, no event.
- `expected_version` compares and sets: of two at once, one wins and the other gets `conflict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, Unpack

from iamrange.core.clock import Clock, SystemClock
from iamrange.identity.directory import lifecycle, tree
from iamrange.identity.directory.anchor import Anchor, FileAnchor, MemoryAnchor
from iamrange.identity.directory.bulk import BulkCommands
from iamrange.identity.directory.database import Database
from iamrange.identity.directory.encoding import registration_digest, spec_text
from iamrange.identity.directory.errors import TamperedError
from iamrange.identity.directory.field_rules import octets_of
from iamrange.identity.directory.migrate import migrate
from iamrange.identity.directory.model import (
    Agent,
    AgentFieldError,
    AgentKey,
    AgentSpec,
    DirectoryRefusal,
    identifier_of,
)
from iamrange.identity.directory.reader import READ_HEAD, Reader, mark_of
from iamrange.identity.directory.refusals import (
    key_refusal,
    key_taken,
    registered_already,
    unknown_agent,
)
from iamrange.identity.directory.signing import DirectoryKey, DirectoryPublicKey
from iamrange.identity.directory.whole_table import verify_table
from iamrange.identity.directory.writer import Change, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import sqlalchemy as sa

    from iamrange.identity.directory.audit import AuditSink
    from iamrange.identity.directory.encoding import Head
    from iamrange.identity.directory.lifecycle import AgentChanges

KEY_FILE = "directory.key"
ANCHOR_FILE = "directory.anchor"

Outcome = Agent | DirectoryRefusal


class Directory(BulkCommands):
    """All agents, in a database whose every row is signed for."""

    def __init__(  # noqa: PLR0913 - keyword-only ports with defaults
        self,
        engine: sa.Engine | sa.URL | str,
        *,
        signer: DirectoryKey | DirectoryPublicKey,
        clock: Clock | None = None,
        audit: AuditSink | None = None,
        anchor: Anchor | None = None,
        busy: float = 10.0,
    ) -> None:
        """Open a database that `migrate` has made ready.

        Args:
            engine: the database's URL, or an engine of which the URL is used.
            signer: the directory's key; with its public half this directory only reads.
            clock: the world's clock.
            audit: takes each event after its commit.
            anchor: remembers the newest head outside the database; without one, only this
                process does.
            busy: seconds to wait for another writer.

        Raises:
            ValueError: the URL is neither a SQLite file nor PostgreSQL.
        """
        self.database = Database(engine, busy=busy)
        self.clock = clock or SystemClock()
        self.reader = Reader(self.database, signer.public, anchor or MemoryAnchor())
        self.writer = Writer(
            self.reader, signer if isinstance(signer, DirectoryKey) else None, self.clock, audit
        )

    @classmethod
    def open(
        cls,
        url: str | sa.URL,
        home: Path,
        *,
        clock: Clock | None = None,
        audit: AuditSink | None = None,
        restored: bool = False,
    ) -> Self:
        """Open a directory, made ready; its key and anchor are files in `home`.

        `restored` takes the database as it is, whatever the anchor remembers: for an operator
        who has restored a backup.

        Raises:
            DirectoryKeyError: the key file is no key, or others may read it.
            SchemaError: the database was made by a newer version.
            TamperedError: the database is older than the anchor, or not signed by this key.
            StoreDownError: the database is away.
        """
        anchor = FileAnchor(home / ANCHOR_FILE)
        directory = cls(
            url,
            signer=DirectoryKey.load_or_create(home / KEY_FILE),
            clock=clock,
            audit=audit,
            anchor=anchor,
        )
        try:
            if restored:
                anchor.forget()
            directory.migrate(restored=restored)
        except BaseException:
            directory.close()
            raise
        return directory

    def migrate(self, *, restored: bool = False) -> None:
        """Make or upgrade the tables, and sign the first head.

        Raises:
            SchemaError: the database was made by a newer version.
            TamperedError: the database is older than the anchor, or not signed by this key.
            StoreDownError: the database is away.
        """
        migrate(self.database)
        floor = self.reader.floor()
        with self.database.statement() as connection:
            found = connection.execute(READ_HEAD).first() is not None
        if not found:
            self._first_head()
        with self.database.statement() as connection:
            head = self.reader.head(connection, floor)
        if floor is None and head.version > 0 and not restored:
            self._anchor_of_others()
        # who was killed between its commit and this has left the anchor behind
        self.reader.anchor.raise_to(mark_of(head))

    def close(self) -> None:
        """Let the database's connections go."""
        self.database.close()

    def head(self) -> Head:
        """Return the signed head, checked.

        Raises:
            TamperedError: it is gone, not the directory's, or rolled back.
            StoreDownError: the database is away.
        """
        floor = self.reader.floor()
        with self.database.statement() as connection:
            return self.reader.head(connection, floor)

    def get(self, identifier: str) -> Agent | None:
        """Return the agent with this SPIFFE id, or this name in the default tenant.

        Raises:
            TamperedError: its row, or its absence, is not what the directory signed.
            StoreDownError: the database is away.
        """
        _, entry = self.reader.lookup(identifier_of(identifier))
        return entry.agent if entry is not None else None

    by_id = get

    def verify(self, *, signatures: bool = True) -> Head:
        """Check the whole table, row by row, and return its head.

        Args:
            signatures: look at each row's own signature too, not only at what the head covers.

        Raises:
            TamperedError: names the first row that is not what the directory signed.
            StoreDownError: the database is away.
        """
        return verify_table(self.reader, signatures=signatures)

    def register(self, spec: AgentSpec, *, actor: str, activate: bool = False) -> Outcome:
        """Register an agent. The same spec again is the same agent, whatever became of it.

        Raises:
            TamperedError, StoreDownError: as `get`.
        """
        text = spec_text(spec)
        registration = registration_digest(text)
        slot = tree.slot_of(spec.id)
        with self.writer.begin() as transaction:
            entry = transaction.read([slot]).get(slot)
            if entry is not None:
                return registered_already(entry.agent, registration)
            agent = lifecycle.provision(spec, registration, transaction.now, activate=activate)
            kids = tuple(octets_of(key.kid) for key in spec.keys)
            if transaction.key_owners(kids):
                return key_taken(spec.name)
            change = Change(None, agent, "register", agent.state.value, text, kids)
            return transaction.put([change], actor=actor)[0]

    def activate(
        self, identifier: str, *, actor: str, expected_version: int | None = None
    ) -> Outcome:
        """Approve a registered agent."""
        return self._command("activate", identifier, lifecycle.activate, actor, expected_version)

    def quarantine(
        self, identifier: str, *, actor: str, expected_version: int | None = None
    ) -> Outcome:
        """Suspend an agent until it is released; its tokens are dead for good."""
        return self._command(
            "quarantine", identifier, lifecycle.quarantine, actor, expected_version
        )

    def release(
        self, identifier: str, *, actor: str, expected_version: int | None = None
    ) -> Outcome:
        """End an agent's quarantine."""
        return self._command("release", identifier, lifecycle.release, actor, expected_version)

    def retire(
        self, identifier: str, *, actor: str, expected_version: int | None = None
    ) -> Outcome:
        """End an agent for good; name and keys stay taken."""
        return self._command("retire", identifier, lifecycle.retire, actor, expected_version)

    def revoke(
        self, identifier: str, *, actor: str, expected_version: int | None = None
    ) -> Outcome:
        """Kill all tokens of an agent, and their descendants."""
        return self._command("revoke", identifier, lifecycle.revoke, actor, expected_version)

    def recertify(
        self,
        identifier: str,
        *,
        expires: float | None,
        actor: str,
        expected_version: int | None = None,
    ) -> Outcome:
        """Prolong an agent until `expires`."""
        return self._command(
            "recertify",
            identifier,
            lambda agent, now: lifecycle.recertify(agent, expires, now),
            actor,
            expected_version,
            detail="never" if expires is None else f"{expires:.0f}",
        )

    def update(
        self,
        identifier: str,
        *,
        actor: str,
        expected_version: int | None = None,
        **changes: Unpack[AgentChanges],
    ) -> Outcome:
        """Change what was registered; see `lifecycle.update`."""
        return self._command(
            "update",
            identifier,
            lambda agent, now: lifecycle.update(agent, changes, now),
            actor,
            expected_version,
            detail=" ".join(sorted(changes)),
        )

    def rotate(  # noqa: PLR0913 - who asks, for what, and under which conditions
        self,
        identifier: str,
        new_jwk: Mapping[str, object],
        *,
        overlap: float,
        actor: str,
        expected_version: int | None = None,
        settling: float = 0.0,
    ) -> Outcome:
        """Give an agent a new key; the old one is accepted for `overlap` seconds more.

        Of two at once one wins. Who has no version to expect may ask for `settling`: for so many
        seconds after one rotation another one is a `conflict`, since it was asked for by somebody
        who did not know of the first.
        """
        try:
            key = AgentKey.from_jwk(new_jwk)
        except AgentFieldError as error:
            return DirectoryRefusal("bad-key", str(error))
        blind = expected_version is None
        if expected_version is None:
            # of two rotations at once one wins: the other one's key would be rotated out unseen
            found = self.get(identifier)
            expected_version = None if found is None else found.version

        def step(agent: Agent, now: float) -> Outcome:
            outcome = lifecycle.rotate(agent, key, now, overlap=overlap)
            if isinstance(outcome, DirectoryRefusal) or outcome is agent:
                return outcome
            if blind and agent.rotated and abs(now - agent.rotated) < settling:
                return DirectoryRefusal(
                    "conflict",
                    "another rotation was made a moment ago: look at it, then give the version",
                )
            return outcome

        return self._command(
            "rotate",
            identifier,
            step,
            actor,
            expected_version,
            detail=key.kid,
            new_key=key.kid,
        )

    def withdraw(
        self, identifier: str, kid: str, *, actor: str, expected_version: int | None = None
    ) -> Outcome:
        """Stop accepting one of an agent's keys at once. Of a key withdrawn before: no change."""

        def step(agent: Agent, now: float) -> Outcome:
            return lifecycle.withdraw(agent, kid, now)

        outcome = self._command("withdraw", identifier, step, actor, expected_version, detail=kid)
        if isinstance(outcome, DirectoryRefusal) and outcome.code == "no-such-key":
            agent = self.get(identifier)
            if agent is not None and self._was_key_of(agent, kid):
                return agent
        return outcome

    def _command(  # noqa: PLR0913 - one command's parts
        self,
        action: str,
        identifier: str,
        step: Callable[[Agent, float], Outcome],
        actor: str,
        expected_version: int | None,
        *,
        detail: str = "",
        new_key: str | None = None,
    ) -> Outcome:
        slot = tree.slot_of(identifier_of(identifier))
        with self.writer.begin() as transaction:
            entry = transaction.read([slot]).get(slot)
            if entry is None:
                return unknown_agent()
            agent = entry.agent
            if expected_version is not None and agent.version != expected_version:
                return DirectoryRefusal(
                    "conflict", f"expected version {expected_version}, got {agent.version}"
                )
            outcome = step(agent, transaction.now)
            if outcome is agent or isinstance(outcome, DirectoryRefusal):
                return outcome
            new_keys: tuple[bytes, ...] = ()
            if new_key is not None:
                refusal = key_refusal(transaction, agent, new_key)
                if refusal is not None:
                    return refusal
                new_keys = (octets_of(new_key),)
            change = Change(agent, outcome, action, detail, None, new_keys)
            return transaction.put([change], actor=actor)[0]

    def _was_key_of(self, agent: Agent, kid: str) -> bool:
        try:
            octets = octets_of(kid)
        except ValueError:
            return False
        with self.writer.begin() as transaction:
            return transaction.key_owners([octets]).get(octets) == agent.number

    def _anchor_of_others(self) -> None:
        """Take the anchor that is there now: another has just made this directory, and changed it.

        Whoever opens a directory raises the anchor before it changes anything.
        """
        if self.reader.anchor.durable and self.reader.anchor.read() is None:
            raise TamperedError("anchor", "is gone, though the directory has changed before")

    def _first_head(self) -> None:
        with self.database.writing() as connection:
            self.database.lock_schema(connection)
            if connection.execute(READ_HEAD).first() is not None:
                return
            if self.reader.floor() is not None:
                raise TamperedError("head", "is gone: the anchor remembers one")
            self.writer.write_head(
                connection,
                version=0,
                count=0,
                root=tree.EMPTY_ROOT,
                now=self.clock.now(),
                first=True,
            )
