"""What verifiers remember, as ports: used proofs, revocations, rates.

- Every answer is a value. A store that is away, full or broken raises `StoreDownError`, and
  whoever asked refuses; a limiter alone may go on by its own counters.
- No store trusts the wall clock with what it forgets. Entries are pruned once they are past, and
  the store remembers how far it pruned: what would have expired by then counts as used, or as
  revoked, whatever the clock says later.
- All calls are synchronous and safe from several threads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ReplayStore(Protocol):
    """Remembers which proofs were used (RFC 9449 section 11.1)."""

    def insert(self, scope: str, jti: str, *, expires: float, now: float) -> bool:
        """Spend the jti within its scope (the thumbprint of the key): atomic, once.

        True means first use. The entry is kept until `expires`, the far end of the window in
        which the proof could be accepted. False means a replay, or that the store cannot tell
        any more because it has forgotten entries of that age.

        Raises:
            StoreDownError: the store cannot answer, or is full.
        """
        ...

    def seen(self, scope: str, jti: str, *, expires: float) -> bool:
        """Tell whether `insert` would answer False; spend nothing.

        Raises:
            StoreDownError: the store cannot answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationState:
    """What is known against some agents and token ids.

    `epochs` holds the current epoch of those agents that have one here; a token of a lower epoch
    is dead. `inactive` are agents that are unknown, expired or in a state other than active.
    Tokens that expired at or before `forgotten_until` may have been revoked and forgotten.
    """

    epochs: Mapping[str, int] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()
    inactive: frozenset[str] = frozenset()
    forgotten_until: float = 0.0


class RevocationReader(Protocol):
    """What a verifier asks."""

    def state(self, agents: Sequence[str], jtis: Sequence[str]) -> RevocationState:
        """Return what is known against these agents and token ids.

        Raises:
            StoreDownError: the store cannot answer.
        """
        ...


class RevocationStore(RevocationReader, Protocol):
    """Remembers revoked tokens (RFC 7009) and the epochs that kill all tokens of an agent."""

    def revoke(self, jti: str, *, expires: float) -> None:
        """Revoke one token, which expires then by itself. Idempotent.

        Raises:
            StoreDownError: the store cannot answer, or is full.
        """
        ...

    def raise_epoch(self, agent_id: str, epoch: int) -> None:
        """Kill the agent's tokens of lower epochs. Never lowers an epoch.

        Raises:
            StoreDownError: the store cannot answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many hits in any window of so many seconds."""

    amount: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Too many hits: seconds until another is worth a try (at least 1)."""

    seconds: int


class Limiter(Protocol):
    """Counts hits against rates."""

    def hit(self, key: str, rate: Rate) -> Wait | None:
        """Count a hit on the key; say how long to wait if it was one too many. Never raises."""
        ...
