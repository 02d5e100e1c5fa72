"""The same commands for many agents, in transactions of some twenty thousand.

- Each transaction stands by itself: what was reported as done is done, whatever comes after.
- Resumable: `position` says how far it got. A registration given again is unchanged; a selection
  by filter goes on `after` that number.
- What one agent is refused does not stop the others; the first refusals are kept with their ids.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from iamrange.identity.directory import lifecycle, tree
from iamrange.identity.directory.encoding import registration_digest, spec_text
from iamrange.identity.directory.field_rules import octets_of
from iamrange.identity.directory.listing import (
    EVERYONE,
    AgentFilter,
    Page,
    read_events,
    read_page,
    select_rows,
    verified_rows,
)
from iamrange.identity.directory.model import (
    Agent,
    AgentFieldError,
    AgentKey,
    AgentSpec,
    DirectoryRefusal,
    identifier_of,
)
from iamrange.identity.directory.refusals import (
    key_taken,
    key_withdrawn,
    registered_already,
    unknown_agent,
)
from iamrange.identity.directory.writer import Change

if TYPE_CHECKING:
    from iamrange.core.clock import Clock
    from iamrange.identity.directory.audit import AuditEvent
    from iamrange.identity.directory.reader import Reader
    from iamrange.identity.directory.writer import Transaction, Writer

BATCH = 20_000
KEPT_REFUSALS = 1000

Item = TypeVar("Item")
Step = Callable[[Agent, float], lifecycle.Outcome]


@dataclass(slots=True)
class BulkResult:
    """How far a bulk command is, or was; handed to `progress` after each commit."""

    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    position: int = 0
    refusals: list[tuple[str, DirectoryRefusal]] = field(default_factory=list)

    def refuse(self, identifier: str, refusal: DirectoryRefusal) -> None:
        """Count a refusal, and keep it if there is room."""
        self.refused += 1
        if len(self.refusals) < KEPT_REFUSALS:
            self.refusals.append((identifier, refusal))


Progress = Callable[[BulkResult], None]


class BulkCommands:
    """The bulk half of `Directory`."""

    reader: Reader
    writer: Writer
    clock: Clock

    def list(self, where: AgentFilter = EVERYONE, *, after: int = 0, limit: int = 100) -> Page:
        """Return one page of agents, in the order of registration.

        Raises:
            TamperedError: a row of it is not what the directory signed.
            StoreDownError: the database is away.
        """
        return read_page(self.reader, where, after=after, limit=limit, now=self.clock.now())

    def events(self, *, after: int = 0, limit: int = 100) -> tuple[AuditEvent, ...]:
        """Return events in the order of their versions.

        Raises:
            StoreDownError: the database is away.
        """
        return read_events(self.reader, after=after, limit=limit)

    def register_many(
        self,
        specs: Iterable[AgentSpec],
        *,
        actor: str,
        activate: bool = False,
        progress: Progress | None = None,
        batch: int = BATCH,
    ) -> BulkResult:
        """Register agents; those that are registered alike already are unchanged.

        Raises:
            TamperedError, StoreDownError: what was committed before stays; start again.
        """
        result = BulkResult()
        for part in _parts(specs, lambda spec: spec.id, batch):
            self._register_part(part, actor, result, activate=activate)
            result.position += len(part)
            if progress is not None:
                progress(result)
        return result

    def rotate_many(
        self,
        keys: Iterable[tuple[str, Mapping[str, object]]],
        *,
        overlap: float,
        actor: str,
        progress: Progress | None = None,
        batch: int = BATCH,
    ) -> BulkResult:
        """Give many agents new keys: pairs of an agent's id or name and a public JWK.

        Raises:
            TamperedError, StoreDownError: what was committed before stays; go on at `position`.
        """
        result = BulkResult()
        for part in _parts(keys, lambda pair: identifier_of(pair[0]), batch):
            self._rotate_part(part, overlap, actor, result)
            result.position += len(part)
            if progress is not None:
                progress(result)
        return result

    def change_many(  # noqa: PLR0913 - keyword-only options with defaults
        self,
        action: str,
        selection: AgentFilter | Iterable[str],
        *,
        actor: str,
        after: int = 0,
        progress: Progress | None = None,
        batch: int = BATCH,
    ) -> BulkResult:
        """Activate, quarantine, release, revoke or retire many, by filter or by ids and names.

        With a filter, `position` is the number of the last agent that was looked at, and
        `after` goes on from it; with ids it counts them.

        Raises:
            ValueError: there is no such action.
            TamperedError, StoreDownError: what was committed before stays.
        """
        step = _STEPS.get(action)
        if step is None:
            raise ValueError(f"bulk action expected one of {sorted(_STEPS)}, got {action!r}")
        if isinstance(selection, AgentFilter):
            return self._change_filtered(
                action, step, selection, actor=actor, after=after, progress=progress, batch=batch
            )
        result = BulkResult()
        for part in _parts(selection, identifier_of, batch):
            ids = {tree.slot_of(identifier_of(name)): name for name in part}
            with self.writer.begin() as transaction:
                found = transaction.read(ids)
                for slot, name in ids.items():
                    if slot not in found:
                        result.refuse(name, unknown_agent())
                agents = [found[slot].agent for slot in ids if slot in found]
                _apply(transaction, action, step, agents, actor=actor, result=result)
            result.position += len(part)
            if progress is not None:
                progress(result)
        return result

    def _change_filtered(  # noqa: PLR0913 - what change_many was given
        self,
        action: str,
        step: Step,
        where: AgentFilter,
        *,
        actor: str,
        after: int,
        progress: Progress | None,
        batch: int,
    ) -> BulkResult:
        result = BulkResult(position=after)
        while True:
            with self.writer.begin() as transaction:
                statement = select_rows(
                    where, after=result.position, limit=batch, now=transaction.now
                )
                rows = transaction.connection.execute(statement).all()
                agents = verified_rows(transaction.connection, self.writer.verified, rows)
                _apply(transaction, action, step, agents, actor=actor, result=result)
            if agents:
                result.position = agents[-1].number
                if progress is not None:
                    progress(result)
            if len(agents) < batch:
                return result

    def _register_part(
        self, specs: Sequence[AgentSpec], actor: str, result: BulkResult, *, activate: bool
    ) -> None:
        slots = [tree.slot_of(spec.id) for spec in specs]
        with _collector_paused(), self.writer.begin() as transaction:
            found = transaction.read(slots)
            kids = [tuple([octets_of(key.kid) for key in spec.keys]) for spec in specs]
            taken = set(transaction.key_owners([kid for several in kids for kid in several]))
            changes: list[Change] = []
            for spec, slot, own in zip(specs, slots, kids, strict=True):
                text = spec_text(spec)
                registration = registration_digest(text)
                entry = found.get(slot)
                if entry is not None:
                    _count(result, spec.id, registered_already(entry.agent, registration))
                    continue
                if not taken.isdisjoint(own):
                    result.refuse(spec.id, key_taken(spec.name))
                    continue
                taken.update(own)
                agent = lifecycle.provision(
                    spec,
                    registration,
                    transaction.now,
                    activate=activate,
                    version=transaction.head.version + len(changes) + 1,
                    number=transaction.head.count + len(changes) + 1,
                )
                changes.append(Change(None, agent, "register", agent.state.value, text, own))
            if changes:
                transaction.put(changes, actor=actor)
        result.changed += len(changes)

    def _rotate_part(
        self,
        pairs: Sequence[tuple[str, Mapping[str, object]]],
        overlap: float,
        actor: str,
        result: BulkResult,
    ) -> None:
        keys: dict[bytes, tuple[str, AgentKey]] = {}
        for name, jwk in pairs:
            try:
                keys[tree.slot_of(identifier_of(name))] = (name, AgentKey.from_jwk(jwk))
            except AgentFieldError as error:
                result.refuse(name, DirectoryRefusal("bad-key", str(error)))
        with _collector_paused(), self.writer.begin() as transaction:
            found = transaction.read(keys)
            kids = [octets_of(key.kid) for _, key in keys.values()]
            owners = transaction.key_owners(kids)
            changes: list[Change] = []
            for (slot, (name, key)), kid in zip(keys.items(), kids, strict=True):
                if slot not in found:
                    result.refuse(name, unknown_agent())
                    continue
                agent = found[slot].agent
                outcome = lifecycle.rotate(
                    agent,
                    key,
                    transaction.now,
                    overlap=overlap,
                    version=transaction.head.version + len(changes) + 1,
                )
                if isinstance(outcome, DirectoryRefusal) or outcome is agent:
                    _count(result, name, outcome)
                    continue
                owner = owners.get(kid)
                if owner is not None:
                    own = owner == agent.number
                    result.refuse(name, key_withdrawn() if own else key_taken(agent.name))
                    continue
                owners[kid] = agent.number
                changes.append(Change(agent, outcome, "rotate", key.kid, None, (kid,)))
            if changes:
                transaction.put(changes, actor=actor)
        result.changed += len(changes)


def _apply(  # noqa: PLR0913 - one part of a bulk command
    transaction: Transaction,
    action: str,
    step: Step,
    agents: Sequence[Agent],
    *,
    actor: str,
    result: BulkResult,
) -> None:
    changes: list[Change] = []
    for agent in agents:
        outcome = step(agent, transaction.now)
        if isinstance(outcome, DirectoryRefusal) or outcome is agent:
            _count(result, agent.id, outcome)
        else:
            changes.append(Change(agent, outcome, action))
    if changes:
        transaction.put(changes, actor=actor)
    result.changed += len(changes)


def _count(result: BulkResult, identifier: str, outcome: lifecycle.Outcome) -> None:
    if isinstance(outcome, DirectoryRefusal):
        result.refuse(identifier, outcome)
    else:
        result.unchanged += 1


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the cycle collector from walking a part's values, which hold no cycles, again and again.

    Reference counting goes on. Of two parts at once in two threads, the first to end turns the
    collector on again: the other is only slower.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _parts(
    items: Iterable[Item], identifier: Callable[[Item], str], size: int
) -> Iterator[list[Item]]:
    """Cut into parts of at most `size`, in none of which an agent occurs twice."""
    part: list[Item] = []
    seen: set[str] = set()
    for item in items:
        name = identifier(item)
        if len(part) >= size or name in seen:
            yield part
            part, seen = [], set()
        part.append(item)
        seen.add(name)
    if part:
        yield part


_STEPS: Mapping[str, Step] = {
    "activate": lifecycle.activate,
    "quarantine": lifecycle.quarantine,
    "release": lifecycle.release,
    "retire": lifecycle.retire,
    "revoke": lifecycle.revoke,
}
BULK_ACTIONS = tuple(_STEPS)
