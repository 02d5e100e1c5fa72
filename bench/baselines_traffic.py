"""Months of calls by agents at work, made from a seed, with incidents hidden among them.

- Ordinary work has weeks, holidays, month ends that take three times as much, slow growth, agents
  that join later, and operations that are new. One agent takes up a service that it is registered
  for and never used: nobody is wronged there, and whoever accuses it is wrong.
- Incidents are of kinds; each has an agent and a time, and makes calls of its own.
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from iamrange.detect.behaviour import Call, Declared

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY, HOUR, MINUTE = 86_400.0, 3_600.0, 60.0
START: Final = 1_796_601_600.0 - 1_796_601_600.0 % (7 * DAY) + 4 * DAY  # a Monday
SERVICES: Final = ("customers", "logs", "hr", "payments", "deployments", "telemetry")
KINDS: Final = (
    "rate up tenfold for a quarter of an hour",
    "rate up by 500 % for two minutes",
    "one query of a service never used",
    "data above what was ever touched",
    "calls from a new place",
    "slow drift, over seven weeks",
    "a new agent at an undeclared service",
    "a few calls at night",
)
RATE: Final = 120
_QUIET_WEEKEND = 0.1


@dataclass(frozen=True, slots=True)
class Worker:
    """One agent: when it joined, and how much it does in a minute in which it works."""

    name: str
    service: str
    other: str
    joined: int
    a_minute: float
    bursts: int

    @property
    def declared(self) -> Declared:
        """What it is registered for: two services, of which it uses one."""
        services = frozenset({self.service, self.other})
        return Declared(services=services, level=2, rate=RATE, homes=frozenset({"office"}))


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that should be found: whose credentials, what, and from when to when."""

    worker: Worker
    kind: str
    start: float
    end: float


def workers(count: int, days: int, dice: random.Random) -> list[Worker]:
    """Make agents; every sixth joins in the middle."""
    made = []
    for number in range(count):
        service, other = dice.sample(SERVICES, 2)
        joined = days // 2 + dice.randrange(7) if number % 6 == 5 else 0  # noqa: PLR2004 - a sixth
        made.append(
            Worker(
                f"agent-{number}",
                service,
                other,
                joined,
                dice.uniform(1.0, 6.0),
                dice.randrange(2, 6),
            )
        )
    return made


def ordinary(worker: Worker, days: int, dice: random.Random) -> Iterator[Call]:
    """Yield an agent's own calls, in order."""
    for day in range(worker.joined, days):
        weekend = day % 7 >= 5  # noqa: PLR2004 - Saturday
        if dice.random() < (1 - _QUIET_WEEKEND if weekend else 0.03):
            continue
        growth = 1.01 ** (day / 7)
        month_end = day % 30 == 29  # noqa: PLR2004 - the last
        for hour in range(8, 18):
            for _ in range(dice.randrange(worker.bursts) + 1):
                start = START + day * DAY + hour * HOUR + dice.randrange(60) * MINUTE
                mean = worker.a_minute * growth * (3 if month_end and hour == 16 else 1)  # noqa: PLR2004 - four o'clock
                for moment in sorted(dice.uniform(0, MINUTE) for _ in range(_poisson(mean, dice))):
                    yield _call(worker, start + moment, dice)


def takes_up(worker: Worker, days: int, dice: random.Random) -> Iterator[Call]:
    """Yield the first calls of a service that it is registered for, as its owner has asked."""
    for day in range(days * 2 // 3, days):
        moment = START + day * DAY + 11 * HOUR
        yield replace(_call(worker, moment, dice), service=worker.other)


def incidents(team: list[Worker], days: int, dice: random.Random) -> list[Incident]:
    """Place four incidents of each kind, each at an agent of its own where there are enough."""
    old = [one for one in team if one.joined == 0]
    new = [one for one in team if one.joined > 0]
    placed = []
    for kind in KINDS:
        for number in range(4):
            newcomer = kind.startswith("a new agent")
            worker = dice.choice(new if newcomer else old)
            if newcomer:
                day = worker.joined + number % 3
            elif "drift" in kind:
                day = days // 4
            else:
                day = dice.randrange(days // 3, days - 3) // 7 * 7 + number  # a working day
            start = START + day * DAY + dice.uniform(9, 16) * HOUR
            seconds = {KINDS[0]: 900.0, KINDS[1]: 120.0, KINDS[5]: 49 * DAY}.get(kind, 600.0)
            if kind == KINDS[7]:
                start = START + day * DAY + 3 * HOUR
            placed.append(Incident(worker, kind, start, start + seconds))
    return placed


def calls_of(incident: Incident, dice: random.Random) -> Iterator[Call]:
    """Yield the calls that an incident makes, in order."""
    worker, kind = incident.worker, incident.kind
    if kind in KINDS[:2]:
        a_minute = worker.a_minute * (10 if kind == KINDS[0] else 6)
        moment = incident.start
        while moment < incident.end:
            yield _call(worker, moment, dice)
            moment += MINUTE / max(a_minute, 12)
        return
    if kind == KINDS[5]:
        for day in range(49):
            more = worker.a_minute * (1.06**day - 1)
            for hour in range(8, 18):
                start = incident.start - incident.start % DAY + day * DAY + hour * HOUR + 1800
                for number in range(_poisson(more, dice)):
                    yield _call(worker, start + number, dice)
        return
    changed = {
        KINDS[2]: {"service": worker.other},
        KINDS[3]: {"level": 2},
        KINDS[4]: {"place": "198.18.0.0/16"},
        KINDS[6]: {"service": next(s for s in SERVICES if s not in worker.declared.services)},
        KINDS[7]: {},
    }[kind]
    for number in range(1 if kind == KINDS[2] else 5):
        yield replace(_call(worker, incident.start + number * 20, dice), **changed)  # type: ignore[arg-type] # by name


def traffic(count: int, days: int, seed: int) -> tuple[list[Call], list[Incident], list[Worker]]:
    """Return all calls in order, with ids that are each one's own, the incidents, the agents."""
    dice = random.Random(seed)  # noqa: S311 - a benchmark's
    team = workers(count, days, dice)
    placed = incidents(team, days, dice)
    spared = next(w for w in team if w.joined == 0 and all(i.worker is not w for i in placed))
    streams = [
        *(list(ordinary(worker, days, dice)) for worker in team),
        *(list(calls_of(incident, dice)) for incident in placed),
        list(takes_up(spared, days, dice)),
    ]
    for stream in streams:
        stream.sort(key=lambda call: call.time)
    merged = heapq.merge(*streams, key=lambda call: call.time)
    return [replace(call, id=str(number)) for number, call in enumerate(merged)], placed, team


def _call(worker: Worker, moment: float, dice: random.Random) -> Call:
    operation = min(int(dice.expovariate(1.0)), 9)
    return Call(
        id="",
        time=moment,
        agent=worker.name,
        service=worker.service,
        operation=f"GET /{operation}",
        level=1 if operation > 1 else 0,
        place="office",
        allowed=True,
        authenticated=True,
    )


def _poisson(mean: float, dice: random.Random) -> int:
    """Return a Poisson number (Knuth, The Art of Computer Programming 2, 3.4.1)."""
    limit, product, count = math.exp(-mean), dice.random(), 0
    while product > limit:
        product *= dice.random()
        count += 1
    return count
