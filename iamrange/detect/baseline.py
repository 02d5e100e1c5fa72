"""What is ordinary for one agent, learned from its own accepted calls, and what is not.

- Hard limits stand beside the learned ones: services, data and rate that are declared, and the
  rate that was first learned. No behaviour moves them, however slowly it changes.
- An agent without history gets none of the learned rules and all of the hard ones: what it is
  declared for, from home, at the declared rate; not "anything goes".
- Learned is what was allowed and not accused, and nothing else.
- State is bounded: `MAX_OPERATIONS` operations, as many services and places as `MAX_NAMES`, 48
  slots a rate: at most some 15 KB as JSON. What is not learned for want of room stays unknown.
- Event time decides. A clock stepped back by more than `LATE` starts the open windows anew; one
  stepped forward ends them. Neither makes a day of history out of nothing, nor keeps an agent
  from ever having one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.behaviour import CLASSES, HELD, NO_DATA, NOTICES, Accusation, Rule
from iamrange.detect.behaviour_rate import DAY, HOUR, Rate, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.detect.behaviour import Call, Declared

MINUTE: Final = 60.0
MAX_OPERATIONS: Final = 64
MAX_NAMES: Final = 32
MATURE_DAYS: Final = 5
"""Days of work, of whatever length, before the learned rules are asked."""

LATE: Final = 120.0
"""Seconds by which a call may come after later ones: decision points write side by side."""

DRIFT: Final = 3.0
"""By how much the usual rate may outgrow the one first learned before a human must look: of a
minute in which it works, and of an hour, in which more of such minutes would hide."""

DRIFT_FLOORS: Final = {MINUTE: 3.0, HOUR: 60.0}
"""Usual calls in a window that are never too many, however few were first learned."""

FLOORS: Final = ((MINUTE, 10), (2 * MINUTE, 15), (HOUR, 60))
"""Windows of these seconds, and how many calls in one are never too many.

Two minutes, since some work a minute at a time: a raised rate that goes on into the next minute is
seen there, where chance would hide it from the first (on generated traffic: 19 of 20, not 9).
"""

_EVIDENCE: Final = 5
_SPANS: Final = {MINUTE: "a minute", 2 * MINUTE: "two minutes", HOUR: "an hour"}


class Baseline:
    """The model of one agent."""

    def __init__(self) -> None:
        """Start without history."""
        self.rates = tuple(Rate(length, floor) for length, floor in FLOORS)
        self.services: dict[str, int] = {}
        self.places: dict[str, int] = {}
        self.operations: dict[str, int] = {}
        self.level = -1
        self.days = 0
        self.calls = 0
        self.last = 0.0
        self._day = -1
        self._anchors: dict[float, float] = {}
        self._recent: deque[str] = deque(maxlen=_EVIDENCE)

    @property
    def mature(self) -> bool:
        """Tell whether there is history enough for the learned rules."""
        return self.days >= MATURE_DAYS

    @property
    def minute(self) -> Rate:
        """Return how often the agent calls in a minute."""
        return self.rates[0]

    @property
    def hour(self) -> Rate:
        """Return how often the agent calls in an hour."""
        return self.rates[-1]

    @property
    def anchor(self) -> float | None:
        """Return the usual calls a minute as first learned, or as last accepted by a human."""
        return self._anchors.get(MINUTE)

    def see(self, call: Call, declared: Declared | None, *, learned: bool) -> list[Accusation]:
        """Judge one call and, if nothing weighs against it, learn from it.

        `declared` None leaves the hard limits out; with `learned` False the learned ones.
        """
        if call.time < self.last - LATE:
            self.forget_open()
            self._back_to(call.time)
        self.last = max(call.time, self.last) if call.time >= self.last - LATE else call.time
        counts = [rate.count(call.time) for rate in self.rates]
        self._recent.append(call.id)
        found = [] if declared is None else list(self._hard(call, declared, counts[0]))
        if learned and self.mature:
            found += self._learned(call, counts, declared)
        if any(one.contains for one in found):
            for rate in self.rates:
                rate.spoil()
        elif call.allowed:
            self._learn(call)
        return found

    def forget_open(self) -> None:
        """Start the windows anew; what was learned stays."""
        for rate in self.rates:
            rate.forget_open()

    def released(self) -> None:
        """Go on after a human has looked: the rate that is usual now is the one to drift from."""
        self.forget_open()
        if self._anchors:
            self._set_anchors()

    def _set_anchors(self) -> None:
        self._anchors = {
            rate.length: rate.overall.mean for rate in self.rates if rate.length in DRIFT_FLOORS
        }

    def _back_to(self, moment: float) -> None:
        """Count from today on: a day that is still to come was none, while days still count."""
        if self._day > moment // DAY and not self.mature:
            self._day = int(moment // DAY)
            self.days = max(0, self.days - 1)

    def accept(self, accusation: Accusation) -> bool:
        """Take what a call was accused of for ordinary, since a human says so; False: it cannot be.

        What is declared is the directory's to change, and how much is usual is learned alone.
        """
        if accusation.rule is Rule.SERVICE_NEVER_USED:
            _learn_at_any_rate(self.services, accusation.seen, MAX_NAMES)
        elif accusation.rule is Rule.PLACE_NEVER_SEEN:
            _learn_at_any_rate(self.places, accusation.seen, MAX_NAMES)
        elif accusation.rule is Rule.LEVEL_NEVER_TOUCHED:
            self.level = max(self.level, CLASSES.index(accusation.seen))
        else:
            return False
        return True

    def ceiling(self, declared: Declared | None, moment: float) -> float:
        """Return how many calls a minute are ordinary now; never more than what is declared."""
        limit = self.minute.limit(moment)
        return limit if declared is None else min(limit, declared.rate)

    def _accusation(self, call: Call, rule: Rule, seen: str, expected: str) -> Accusation:
        return Accusation(
            agent=call.agent,
            time=call.time,
            rule=rule,
            seen=seen,
            expected=expected,
            evidence=tuple(self._recent),
            contains=rule not in NOTICES and (call.allowed or rule not in HELD),
        )

    def _hard(self, call: Call, declared: Declared, count: float) -> Iterator[Accusation]:
        ours = ":" not in call.service
        if ours and call.service not in declared.services:
            names = ", ".join(sorted(declared.services)) or "no service"
            yield self._accusation(call, Rule.UNDECLARED_SERVICE, call.service, names)
        if call.level > declared.level:
            level = f"data up to {CLASSES[declared.level]}"
            yield self._accusation(call, Rule.ABOVE_DECLARED_LEVEL, CLASSES[call.level], level)
        if count > declared.rate:
            seen = f"{count:.0f} calls in a minute"
            expected = f"at most {declared.rate}, as is declared"
            yield self._accusation(call, Rule.ABOVE_DECLARED_RATE, seen, expected)
        if not self.mature and call.place not in declared.homes:
            homes = ", ".join(sorted(declared.homes)) or "nowhere"
            yield self._accusation(call, Rule.NOT_AT_HOME, call.place, f"a new agent at {homes}")
        yield from self._drifted(call)

    def _drifted(self, call: Call) -> Iterator[Accusation]:
        for rate in self.rates:
            first, usual = self._anchors.get(rate.length), rate.overall.mean
            if first is None or usual <= max(DRIFT * first, DRIFT_FLOORS[rate.length]):
                continue
            window = "minute" if rate.length == MINUTE else "hour"
            seen = f"{usual:.1f} calls in a usual {window}"
            expected = f"at most {DRIFT:.0f} times the {first:.1f} first learned"
            yield self._accusation(call, Rule.DRIFTED, seen, expected)
            break  # the shortest window says it best

    def _learned(
        self, call: Call, counts: list[float], declared: Declared | None
    ) -> Iterator[Accusation]:
        for rate, count in zip(self.rates, counts, strict=True):
            if rate.overall.count < MATURE_DAYS - 1:
                continue  # each day of work but the last has closed one, unless it is a new window
            limit = rate.limit(call.time)
            if rate.length == MINUTE:
                limit = self.ceiling(declared, call.time)
            if count > limit:
                span = _SPANS[rate.length]
                usual = rate.usual(call.time).mean
                seen = f"{count:.0f} calls in {span}"
                expected = f"at most {limit:.0f} at this hour, where {usual:.1f} are usual"
                yield self._accusation(call, Rule.RATE_UP, seen, expected)
                break  # the shortest window says it best
        if call.service not in self.services:
            names = ", ".join(sorted(self.services))
            yield self._accusation(call, Rule.SERVICE_NEVER_USED, call.service, names)
        elif (operation := f"{call.service} {call.operation}") not in self.operations:
            expected = f"one of its {len(self.operations)} usual operations"
            yield self._accusation(call, Rule.OPERATION_NEVER_MADE, operation, expected)
        if call.level > self.level:
            highest = f"data up to {CLASSES[self.level]}" if self.level >= 0 else "no labelled data"
            yield self._accusation(call, Rule.LEVEL_NEVER_TOUCHED, CLASSES[call.level], highest)
        if call.place not in self.places:
            places = ", ".join(sorted(self.places))
            yield self._accusation(call, Rule.PLACE_NEVER_SEEN, call.place, places)
        if not self.hour.worked(call.time):
            hour = f"{int(call.time % DAY // HOUR):02d}:00 UTC"
            yield self._accusation(call, Rule.HOUR_NEVER_WORKED, hour, "an hour that it works in")

    def _learn(self, call: Call) -> None:
        for rate in self.rates:
            rate.accept()
        self.calls += 1
        _remember(self.services, call.service, MAX_NAMES)
        _remember(self.places, call.place, MAX_NAMES)
        _remember(self.operations, f"{call.service} {call.operation}", MAX_OPERATIONS)
        self.level = max(self.level, call.level)
        day = int(call.time // DAY)
        if day > self._day:
            self._day = day
            self.days += 1
            if self.mature and len(self._anchors) < len(DRIFT_FLOORS):
                known = dict(self._anchors)  # of an older release's state
                self._set_anchors()
                self._anchors |= known

    def to_json(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values."""
        return {
            "rates": {_key(rate): rate.to_json() for rate in self.rates},
            "services": dict(self.services),
            "places": dict(self.places),
            "operations": dict(self.operations),
            "level": self.level,
            "days": [self.days, self._day],
            "calls": self.calls,
            "last": self.last,
            "anchor": self.anchor,
            "anchors": {f"{length:.0f}": mean for length, mean in self._anchors.items()},
            "recent": list(self._recent),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Baseline:
        """Build from what `to_json` made. A window that it does not have begins without history.

        Raises:
            KeyError, TypeError, ValueError: it is nothing of the kind.
        """
        made = cls()
        for rate in made.rates:
            if (state := value["rates"].get(_key(rate))) is not None:
                rate.take(state)
        made.services, made.places, made.operations = (
            {str(name): int(count) for name, count in value[part].items()}
            for part in ("services", "places", "operations")
        )
        made.level = int(value["level"])
        made.days, made._day = map(int, value["days"])
        made.calls = int(value["calls"])
        made.last = number(value["last"])
        # one of an older release knows that of the minute alone
        kept = value.get("anchors") or {_key(made.minute): value["anchor"]}
        made._anchors = {
            length: number(kept[f"{length:.0f}"])
            for length in DRIFT_FLOORS
            if kept.get(f"{length:.0f}") is not None
        }
        if made.level not in range(NO_DATA, len(CLASSES)):
            raise ValueError("level: expected one of the classes")
        made._recent.extend(map(str, value["recent"]))
        return made


def _key(rate: Rate) -> str:
    return f"{rate.length:.0f}"


def _remember(known: dict[str, int], name: str, most: int) -> None:
    if name in known or len(known) < most:
        known[name] = known.get(name, 0) + 1


def _learn_at_any_rate(known: dict[str, int], name: str, most: int) -> None:
    """Remember what a human has accepted; where there is no room what came least often goes."""
    if name not in known and len(known) >= most:
        del known[min(known, key=known.__getitem__)]
    _remember(known, name, most)
