"""What the approvals service needs: a store, people, and the table of routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from iamrange.access.approvals.model import (
        ApprovalRefusal,
        ApprovalRequest,
        ApprovalState,
        SignedDecision,
    )
    from iamrange.access.approvals.summary import DeclaredCall
    from iamrange.identity.directory.model import Agent


class People(Protocol):
    """Who somebody is. The directory itself, not a view of it: it knows people too."""

    def get(self, identifier: str, /) -> Agent | None:
        """Return the entry, or None.

        Raises:
            StoreDownError: it cannot be known now.
        """
        ...


Describe = Callable[[str, str], "DeclaredCall | ApprovalRefusal"]
"""(method, URL as it came) -> the declared call with its canonical URL, or why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """What people are asked already, at the moment of one more request.

    `recent` are the moments of this agent's requests within the window, oldest first; `denied` is
    when an identical request was last denied.
    """

    pending_of_agent: int
    pending_of_owner: int
    pending_in_all: int
    recent: Sequence[float]
    denied: float | None


Limit = Callable[[Prompts], "ApprovalRefusal | None"]


class Taken(Enum):
    """What became of a decision in the store."""

    DONE = auto()
    REPLAYED = auto()
    MOVED_ON = auto()
    """The request is not in a state in which this can be decided."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is stored; `new` unless an identical one was waiting."""

    request: ApprovalRequest
    new: bool


@dataclass(frozen=True, slots=True)
class Polled:
    """A request as its agent's poll found it; `too_fast` if it came before the interval was up."""

    request: ApprovalRequest
    too_fast: bool


class ApprovalStore(Protocol):
    """Where requests are, shared by processes. Every method raises StoreDownError when away."""

    def ask(
        self, wanted: ApprovalRequest, *, owner: str, now: float, limit: Limit, window: float
    ) -> Asked | ApprovalRefusal:
        """Keep a new request if the limit allows, or return the identical one that waits."""
        ...

    def get(self, approval_id: str) -> ApprovalRequest | None:
        """Return a request as it is kept."""
        ...

    def poll(self, approval_id: str, *, now: float, longest: int) -> Polled | None:
        """Return a request, and note that its agent asked."""
        ...

    def pending(self, *, now: float, limit: int) -> tuple[ApprovalRequest, ...]:
        """Return what waits: one of each agent first, then a second of each, oldest first."""
        ...

    def decide(
        self, approval_id: str, decision: SignedDecision, *, allowed_from: Sequence[ApprovalState]
    ) -> Taken:
        """Spend the signature and move the request on, both or neither."""
        ...

    def consume(self, approval_id: str, *, now: float) -> bool:
        """Use an approved request; of many at once, exactly one is told True."""
        ...

    def expire(self, approval_id: str, *, now: float) -> None:
        """Note that a request's time is up, so that a clock set back does not bring it back."""
        ...

    def void(self, approval_id: str) -> None:
        """End a request that is approved by a signature that does not count any more."""
        ...

    def spend(self, signer: str, jti: str, *, expires: float) -> bool:
        """Spend a signature's jti; True means first use."""
        ...

    def close(self) -> None:
        """Let connections go."""
        ...
