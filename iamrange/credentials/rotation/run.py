"""Carries a rotation out, step by step, from wherever it is."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.credentials.rotation.ports import GoneError
from iamrange.credentials.rotation.states import Event, Rotation, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iamrange.core.clock import Clock
    from iamrange.credentials.rotation.journal import Journal
    from iamrange.credentials.rotation.ports import Acceptor, Consumer, Vault


class StillAcceptedError(Exception):
    """The old value was disabled and is accepted all the same: nothing was destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one rotation works on."""

    vault: Vault
    acceptor: Acceptor
    consumers: Sequence[Consumer]


def rotate(  # noqa: PLR0913 - keyword-only settings of one rotation
    parts: Parts,
    journal: Journal,
    clock: Clock,
    *,
    reason: str,
    overlap: float = 0.0,
    hear: Callable[[Rotation], None] = lambda _: None,
) -> Rotation:
    """Rotate, or go on with what was interrupted; return where it is: over, or in its overlap.

    One that waits for its overlap is gone on with by asking again.

    Raises:
        BusyError: another process rotates this secret.
        JournalError: the journal cannot be used.
        PortDownError: vault or acceptor is away. Ask again: it goes on where it was.
        StillAcceptedError: the old value is not dead. It was not destroyed.
    """
    with journal.alone(parts.vault.name):
        rotation = journal.last(parts.vault.name)
        if rotation is None or rotation.over:
            rotation = Rotation(
                id=str(uuid.uuid4()),
                secret=parts.vault.name,
                state=State.PLANNED,
                reason=reason,
                old=parts.vault.current(),
            )
            journal.write(rotation)
        hear(rotation)
        while not rotation.over and rotation.waits(overlap, clock.now()) == 0:
            rotation = _step(rotation, parts, clock.now())
            journal.write(rotation)
            hear(rotation)
        return rotation


@dataclass(frozen=True, slots=True)
class _Went:
    """How a state's work went: the version that it made, why a consumer failed."""

    new: str = ""
    failure: str | None = None


def _step(rotation: Rotation, parts: Parts, now: float) -> Rotation:
    """Do the work of the rotation's state; return the rotation after it."""
    went = _WORK[rotation.state](rotation, parts)
    if went.failure is not None:
        return rotation.after(Event.CONSUMER_FAILED, now, why=went.failure)
    return rotation.after(Event.WENT_WELL, now, new=went.new)


def _stage(rotation: Rotation, parts: Parts) -> _Went:
    """Make a new value and stage it. One that was made and not staged is lost, and taken away."""
    vault = parts.vault
    found = vault.staged(rotation.id)
    if found is None:
        found = vault.stage(rotation.id, parts.acceptor.issue(vault.read(rotation.old)))
    return _Went(new=found)


def _switch(rotation: Rotation, parts: Parts) -> _Went:
    parts.acceptor.admit(parts.vault.read(rotation.new))
    parts.vault.promote(rotation.old, rotation.new)
    return _Went()


def _verify(_: Rotation, parts: Parts) -> _Went:
    return _Went(failure=_failure(parts.consumers))


def _disable(rotation: Rotation, parts: Parts) -> _Went:
    parts.acceptor.disable(parts.vault.read(rotation.old))
    return _Went()


def _prove(rotation: Rotation, parts: Parts) -> _Went:
    """See that everybody works without the old value, and that nobody works with it.

    Raises:
        StillAcceptedError: it is accepted.
    """
    failure = _failure(parts.consumers)
    if failure is None and parts.acceptor.accepts(parts.vault.read(rotation.old)):
        raise StillAcceptedError(
            f"'{rotation.secret}': version {rotation.old} expected to be refused, is accepted; "
            "find what accepts it, then ask again"
        )
    return _Went(failure=failure)


def _failure(consumers: Sequence[Consumer]) -> str | None:
    for consumer in consumers:
        why = consumer.failure()
        if why is not None:
            return f"{consumer.name}: {why}"
    return None


def _destroy(rotation: Rotation, parts: Parts) -> _Went:
    try:
        value = parts.vault.read(rotation.old)
    except GoneError:
        return _Went()  # the vault's copy goes last
    parts.acceptor.destroy(value)
    parts.vault.destroy(rotation.old)
    return _Went()


def _undo(rotation: Rotation, parts: Parts) -> _Went:
    """Have the old value good and given out again; end the new one."""
    vault = parts.vault
    parts.acceptor.admit(vault.read(rotation.old))
    try:
        value = vault.read(rotation.new)
    except GoneError:
        return _Went()  # it goes last
    vault.restore(rotation.old, rotation.new)
    parts.acceptor.destroy(value)
    vault.destroy(rotation.new)
    return _Went()


_WORK: Mapping[State, Callable[[Rotation, Parts], _Went]] = {
    State.PLANNED: _stage,
    State.STAGED: _switch,
    State.SWITCHED: _verify,
    State.VERIFIED: _disable,
    State.DISABLED: _prove,
    State.PROVED: _destroy,
    State.UNDOING: _undo,
}
