"""A world's directory of agents: one database in the world's folder, carried along by a fork.

- The clouds' issuer, the broker, the token service and the services all ask this one.
- Operators' tools open the same database while the world runs.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

from iamrange.identity.directory.anchor import FileAnchor
from iamrange.identity.directory.directory import ANCHOR_FILE, KEY_FILE, Directory
from iamrange.identity.directory.field_rules import is_agent_id
from iamrange.identity.directory.lifecycle import MAX_OVERLAP
from iamrange.identity.directory.model import (
    Agent,
    AgentFieldError,
    AgentKey,
    AgentSpec,
    DirectoryRefusal,
)
from iamrange.identity.directory.signing import DirectoryKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from iamrange.core.clock import Clock
    from iamrange.range.config import AgentRegistration

FOLDER = "directory"
DATABASE = "directory.db"
ACTOR = "range"


class RegistrationError(ValueError):
    """The directory did not do what the runner asked."""


def directory_url(folder: Path) -> str:
    """Return the URL of the database in a world's folder."""
    return f"sqlite:///{folder / FOLDER / DATABASE}"


class WorldDirectory:
    """The directory of one world; an `AgentSource`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Make the directory in the world's folder.

        Raises:
            StoreDownError: the database cannot be made.
        """
        self._clock = clock
        self._folder = folder / FOLDER
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self.directory = Directory.open(directory_url(folder), self._folder, clock=clock)

    @property
    def url(self) -> str:
        """The database's URL."""
        return directory_url(self._folder.parent)

    def __iter__(self) -> Iterator[Agent]:
        """Iterate over all agents, in the order of registration."""
        after: int | None = 0
        while after is not None:
            page = self.directory.list(after=after)
            yield from page.agents
            after = page.next

    def by_id(self, agent_id: str) -> Agent | None:
        """Return the agent with exactly this id, or None, proven anew each time.

        A world is asked a few times a second: what its directory says counts at once, and what
        was tampered with is seen at once.

        Raises:
            TamperedError: the table is not what the directory signed.
            StoreDownError: the database is away.
        """
        return self.directory.get(agent_id) if is_agent_id(agent_id) else None

    def register(self, registration: AgentRegistration, *, withdraws: bool = True) -> Agent:
        """Register an active agent; one that is there gets the new registration and key.

        The old key is withdrawn, or with `withdraws` False left as good as the new one.

        Raises:
            RegistrationError: it cannot be.
            StoreDownError: the database is away.
        """
        spec = registration.spec()
        if self.directory.get(spec.id) is None:
            return _done(self.directory.register(spec, actor=ACTOR, activate=True))
        _done(
            self.directory.update(
                spec.id,
                actor=ACTOR,
                owner=spec.owner,
                purpose=spec.purpose,
                project=spec.project,
                classification=spec.classification,
                roles=spec.roles,
                scopes=spec.scopes,
                tls_subject=spec.tls_subject,
                secret_hash=spec.secret_hash,
                may_act=spec.may_act,
                audiences=spec.audiences,
                aws_role_arn=spec.aws_role_arn,
                aws_session_policy=spec.aws_session_policy,
            )
        )
        overlap = 0.0 if withdraws else MAX_OVERLAP
        (key,) = spec.keys
        return _done(self.directory.rotate(spec.id, key.jwk, overlap=overlap, actor=ACTOR))

    def take_at_its_word(self, metadata: Mapping[str, Any]) -> Agent | str:
        """Register what asks to be registered (RFC 7591): what an open door amounts to.

        Returns the agent, or the reason code of a refusal.
        """
        keys = (metadata.get("jwks") or {}).get("keys") or [{}]
        try:
            spec = AgentSpec(
                name=str(metadata.get("client_name")),
                owner="itself",
                scopes=frozenset(str(metadata.get("scope", "")).split()),
                keys=(AgentKey.from_jwk({n: keys[0].get(n) for n in ("kty", "crv", "x", "y")}),),
            )
        except (AgentFieldError, TypeError, AttributeError, LookupError):
            return "malformed-metadata"
        outcome = self.directory.register(spec, actor="anybody", activate=True)
        return outcome.code if isinstance(outcome, DirectoryRefusal) else outcome

    def change(self, name: str, transition: str) -> Agent:
        """Carry out a transition of an agent's life: `quarantine`, `release`, `retire`, `revoke`.

        Raises:
            RegistrationError: it cannot be.
            StoreDownError: the database is away.
        """
        transitions = {
            "quarantine": self.directory.quarantine,
            "release": self.directory.release,
            "retire": self.directory.retire,
            "revoke": self.directory.revoke,
        }
        if transition not in transitions:
            known = ", ".join(transitions)
            raise RegistrationError(f"transition {transition!r}: known are {known}")
        return _done(transitions[transition](name, actor=ACTOR))

    def copy_to(self, folder: Path) -> None:
        """Copy the directory as it is now into another world's folder."""
        target = folder / FOLDER
        target.mkdir(mode=0o700)
        # the anchor first: a database that is newer than its anchor is none that was rolled back
        for name in (KEY_FILE, ANCHOR_FILE):
            if (self._folder / name).exists():  # there is no anchor before the first change
                shutil.copy(self._folder / name, target / name)
        with (
            contextlib.closing(sqlite3.connect(self._folder / DATABASE)) as source,
            contextlib.closing(sqlite3.connect(target / DATABASE)) as copy,
        ):
            source.backup(copy)

    def reopen(self, folder: Path) -> None:
        """Go on with the copy in a fork's folder; the connections before are the parent's."""
        self._folder = folder / FOLDER
        self.directory = Directory(
            directory_url(folder),
            signer=DirectoryKey.load_or_create(self._folder / KEY_FILE),
            clock=self._clock,
            anchor=FileAnchor(self._folder / ANCHOR_FILE),
        )


def _done(outcome: Agent | DirectoryRefusal) -> Agent:
    if isinstance(outcome, DirectoryRefusal):
        raise RegistrationError(f"{outcome.code}: {outcome.detail}")
    return outcome
