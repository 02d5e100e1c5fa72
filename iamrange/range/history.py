"""The history that a scenario's victim has: its own work, once done, repeated over past days."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.detect.behaviour_rate import DAY
from iamrange.range.work import FootholdError, do_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.core.decision import DecisionRecord
    from iamrange.core.scenario import Scenario
    from iamrange.range.deployment import Deployment


def history_of(world: Deployment, scenario: Scenario) -> list[DecisionRecord]:
    """Have the victim do its work once; return its records as if it had for so many days.

    Raises:
        FootholdError: it could not do its work.
    """
    history, victim = scenario.history, scenario.foothold.victim
    if history is None:
        return []
    _, mark = world.world.records_since(0)
    done, _ = do_work(world, victim, scenario.legitimate, "before")
    if not done.ok:
        raise FootholdError(f"{victim} could not do its work: {done.detail}")
    records, _ = world.world.records_since(mark)
    return [
        one
        for day in range(1, history.days + 1)
        for time in range(history.times(day))
        for one in _moved(records, back=(history.days + 1 - day) * DAY, name=f"{day}-{time}")
    ]


def _moved(records: list[DecisionRecord], *, back: float, name: str) -> Iterator[DecisionRecord]:
    for record in records:
        yield replace(record, time=record.time - back, request_id=f"{record.request_id}-{name}")
