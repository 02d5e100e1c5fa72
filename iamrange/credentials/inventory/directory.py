"""The directory's credentials: agents' and people's public keys, certificates, client secrets.

Of each only what it is verified by is there. An entry is read as the directory proves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.credentials.inventory.gather import Credential, Fact, Kind, SourceDownError
from iamrange.credentials.inventory.owners import Registered
from iamrange.identity.directory.listing import MAX_PAGE, AgentFilter
from iamrange.identity.directory.model import AgentState
from iamrange.identity.directory.model import Kind as EntryKind
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.credentials.inventory.gather import Marker
    from iamrange.credentials.inventory.uses import Uses
    from iamrange.identity.directory.directory import Directory
    from iamrange.identity.directory.model import Agent

_NOT_TOLD: Final = "the audit log does not say with which credential an agent proved itself"


def every_entry(directory: Directory) -> Iterator[Agent]:
    """Yield all entries of a directory.

    Raises:
        StoreDownError: it is away, or an entry is not what the directory signed.
    """
    after: int | None = 0
    while after is not None:
        page = directory.list(AgentFilter(), after=after, limit=MAX_PAGE)
        yield from page.agents
        after = page.next


def registered(entries: Iterator[Agent]) -> Iterator[Registered]:
    """Yield what owners are told from."""
    for entry in entries:
        yield Registered(
            name=entry.name,
            owner=entry.owner,
            retired=entry.state is AgentState.RETIRED,
            person=entry.kind is EntryKind.PERSON,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryReader:
    """The credentials of one directory, at a moment of its clock."""

    directory: Directory
    now: float
    uses: Uses | None = None

    @property
    def source(self) -> str:
        """What the place is called."""
        return "directory"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield them. Nothing here is the value itself, so nothing is marked.

        Raises:
            SourceDownError: the directory is away or was tampered with.
        """
        del marker
        try:
            for entry in every_entry(self.directory):
                yield from self._of_entry(entry)
        except StoreDownError as error:
            raise SourceDownError(str(error)) from error

    def _of_entry(self, entry: Agent) -> Iterator[Credential]:
        several = len(entry.accepted_keys(self.now)) + len(entry.certificates) > 1
        used = None if self.uses is None else self.uses.by_proof.get(entry.id)
        unread = {}
        why = "there is no audit log"
        if self.uses is not None:
            why = _NOT_TOLD if several and used else self.uses.unknown_before(entry.created) or ""
        if why and (used is None or several):
            unread[Fact.LAST_USED] = why
        person = entry.kind is EntryKind.PERSON
        for kind, name, ends in (
            *((Kind.DIRECTORY_KEY, f"key {key.kid}", key.not_after) for key in entry.keys),
            *((Kind.DIRECTORY_KEY, f"certificate {c}", None) for c in entry.certificates),
            *([(Kind.CLIENT_SECRET, "client secret", None)] if entry.secret_hash else []),
        ):
            expires = min((m for m in (ends, entry.expires) if m is not None), default=None)
            yield Credential(
                source=self.source,
                kind=kind,
                name=f"{entry.id} {name}",
                created=entry.created,
                rotated=entry.rotated or None,
                last_used=None if unread else used,
                expires=expires,
                owner=entry.owner if person else None,
                agent=None if person else entry.name,
                active=entry.usable(self.now) and (ends is None or self.now < ends),
                unread=unread,
            )
