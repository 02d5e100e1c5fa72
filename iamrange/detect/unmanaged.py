"""Who acts without being managed, and who is managed and never seen. Pure.

- An identity is managed if it stands for an agent, person or service that the directory has as
  active, or if it is declared as the platform's own. What it stands for is data: `Attribution`.
- Only who proved itself has acted: a refused attempt under somebody's name accuses nobody. Such
  attempts are told too, as what they are.
- A log says nothing of the time before it began: who was not seen in a log that is younger than
  the days asked for is not evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DAY: Final = 86_400.0
MOST_TOUCHED: Final = 50
"""How many resources are named of one identity; more are counted."""


class Reason(StrEnum):
    """Why an identity that acts is not managed."""

    UNKNOWN = "unknown"
    """Nothing that the directory knows, and nothing of the platform's."""
    NOT_REGISTERED = "not-registered"
    """It stands for an agent that the directory does not have."""
    RETIRED = "retired"
    QUARANTINED = "quarantined"
    EXPIRED = "expired"
    NOT_ACTIVE = "not-active"
    """It is registered, and nobody has approved it."""
    FOREIGN_SESSION = "foreign-session"
    """An agent's role, in a session that is not named as that agent's are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What principals of this form stand for: an agent by its id, or the platform itself.

    `pattern` is for the whole principal, * stands for anything. `session` is what the last part
    of an AWS session's ARN looks like when it is that agent. `why` says what a principal of the
    platform's is.
    """

    pattern: str
    agent: str | None = None
    session: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the directory. `since` is when it came into its state (0: not known).

    `state` is registered, active, quarantined or retired.
    """

    id: str
    state: str
    owner: str
    since: float = 0.0
    created: float = 0.0
    expires: float | None = None
    agent: bool = True
    registered_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One decision about one principal, as it is needed here.

    `gave` is the principal that was made by it, where a record says so.
    """

    request: str
    time: float
    point: str
    principal: str
    operation: str
    resource: str
    allowed: bool
    origin: str = ""
    user_agent: str = ""
    gave: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """Who made an identity, or a key of it: by which operation, when."""

    by: str
    operation: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmanaged:
    """An identity that acts and is not managed. Moments are seconds.

    `proven` is whether it proved itself at least once. `touched` are the resources with how often.
    """

    principal: str
    reason: Reason
    agent: str | None
    proven: bool
    allowed: int
    refused: int
    first: float
    last: float
    operations: tuple[str, ...]
    touched: Mapping[str, int]
    touched_more: int
    origins: tuple[str, ...]
    user_agents: tuple[str, ...]
    made: tuple[Made, ...]


@dataclass(frozen=True, slots=True)
class Unseen:
    """An agent that may act and does not; `last` None: never since the log began."""

    agent: str
    owner: str
    last: float | None
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """What a log says of who acts."""

    events: int
    began: float | None
    unmanaged: tuple[Unmanaged, ...]
    unseen: tuple[Unseen, ...]
    not_evaluated: tuple[str, ...]
    """Agents not seen in a log that is younger than the days asked for."""


def attributed(principal: str, attributions: Iterable[Attribution]) -> Attribution | None:
    """Return what a principal stands for: the first attribution that holds.

    A SPIFFE id that no attribution names stands for itself: the directory knows it or does not.
    """
    found = next((a for a in attributions if fnmatchcase(principal, a.pattern)), None)
    if found is None and principal.startswith("spiffe://"):
        return Attribution(pattern=principal, agent=principal)
    return found


def judge(
    attribution: Attribution | None, principal: str, entries: Mapping[str, Entry], time: float
) -> Reason | None:
    """Return why this principal was not managed at that moment; None if it was."""
    if attribution is None:
        return Reason.UNKNOWN
    if attribution.agent is None:
        return None
    entry = entries.get(attribution.agent)
    if entry is None:
        return Reason.NOT_REGISTERED
    if entry.state in _STATES and time > entry.since:
        return _STATES[entry.state]
    if entry.expires is not None and time >= entry.expires:
        return Reason.EXPIRED
    named = principal.rpartition("/")[2]
    if attribution.session is not None and not fnmatchcase(named, attribution.session):
        return Reason.FOREIGN_SESSION
    return None


_STATES: Final = {
    "retired": Reason.RETIRED,
    "quarantined": Reason.QUARANTINED,
    "registered": Reason.NOT_ACTIVE,
}


def unseen(
    entries: Iterable[Entry],
    seen: Mapping[str, float],
    *,
    began: float | None,
    now: float,
    days: float,
) -> tuple[tuple[Unseen, ...], tuple[str, ...]]:
    """Return the active agents that were not seen for so many days, and those nobody can tell."""
    found, not_known = [], []
    for entry in entries:
        usable = entry.state == "active" and (entry.expires is None or now < entry.expires)
        if not entry.agent or not usable:
            continue
        last = seen.get(entry.id)
        # nobody can have been seen before being there, or before the log was
        since = max(entry.created, now if began is None else began) if last is None else last
        idle = (now - since) / DAY
        if idle > days:
            found.append(Unseen(entry.id, entry.owner, last, idle))
        elif last is None and (began is None or entry.created < began):
            not_known.append(entry.id)
    return tuple(found), tuple(not_known)
