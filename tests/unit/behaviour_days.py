"""An agent's ordinary days, from which each test changes one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.detect.baseline import Baseline
from iamrange.detect.behaviour import Call, Declared
from iamrange.detect.behaviour_rate import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.detect.behaviour import Accusation

MONDAY = 1_796_601_600.0 - (1_796_601_600.0 % DAY)
"""Some midnight; which day it is does not matter to these tests."""

AGENT = "spiffe://iamrange.example/agent/analyst"
DECLARED = Declared(
    services=frozenset({"customers", "hr"}), level=1, rate=50, homes=frozenset({"office"})
)
ORDINARY = Call(
    id="c",
    time=MONDAY,
    agent=AGENT,
    service="customers",
    operation="GET /records/latest",
    level=0,
    place="office",
    allowed=True,
    authenticated=True,
)


def days(count: int, *, a_minute: int = 2) -> Iterator[Call]:
    """Yield days of work: at nine, ten and eleven, so many calls in one minute each."""
    for day in range(count):
        for hour in (9, 10, 11):
            for number in range(a_minute):
                moment = MONDAY + day * DAY + hour * HOUR + number * 5
                yield replace(ORDINARY, id=f"{day}-{hour}-{number}", time=moment)


def taught(count: int = 10, *, a_minute: int = 2) -> Baseline:
    """Return the baseline of an agent with so many ordinary days."""
    baseline = Baseline()
    for call in days(count, a_minute=a_minute):
        assert not [one for one in seen(baseline, call) if one.contains]
    return baseline


def seen(baseline: Baseline, call: Call, declared: Declared | None = DECLARED) -> list[Accusation]:
    """Judge one call by all rules."""
    return baseline.see(call, declared, learned=True)


def after(count: int = 10, *, hour: float = 10.5, **changes: object) -> Call:
    """Return a call on the day after, ordinary but for the changes."""
    moment = MONDAY + count * DAY + hour * HOUR
    return replace(ORDINARY, id="after", time=moment, **changes)  # type: ignore[arg-type] # a test's
