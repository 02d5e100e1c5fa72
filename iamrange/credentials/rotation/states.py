"""A rotation as a state machine: its states, and what follows from how their work went. Pure.

```
planned -> staged -> switched -> verified -> disabled -> proved -> done
                        |                       |
                        +------> undoing <------+          undoing -> undone
```

- What each state's work does can be done again: whoever was killed in it begins it anew.
- Old and new are both good from `staged` to `disabled`, where what accepts them can have two.
- The old value is destroyed only after it was seen to be refused. A consumer that fails before
  that has the old one back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY: Final = 86_400.0


class State(StrEnum):
    """Where a rotation is."""

    PLANNED = "planned"
    STAGED = "staged"
    """The new value is made, accepted where two can be, and lies in the vault."""
    SWITCHED = "switched"
    """The vault gives the new value out."""
    VERIFIED = "verified"
    """Every consumer was seen to work with the new value."""
    DISABLED = "disabled"
    """The old value should be refused, and can still be brought back."""
    PROVED = "proved"
    """The old value was seen to be refused, and every consumer to work without it."""
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"


class Event(StrEnum):
    """How the work of a state went."""

    WENT_WELL = "went-well"
    CONSUMER_FAILED = "consumer-failed"


OVER: Final = frozenset({State.DONE, State.UNDONE})
TABLE: Final[Mapping[tuple[State, Event], State]] = {
    (State.PLANNED, Event.WENT_WELL): State.STAGED,
    (State.STAGED, Event.WENT_WELL): State.SWITCHED,
    (State.SWITCHED, Event.WENT_WELL): State.VERIFIED,
    (State.SWITCHED, Event.CONSUMER_FAILED): State.UNDOING,
    (State.VERIFIED, Event.WENT_WELL): State.DISABLED,
    (State.DISABLED, Event.WENT_WELL): State.PROVED,
    (State.DISABLED, Event.CONSUMER_FAILED): State.UNDOING,
    (State.PROVED, Event.WENT_WELL): State.DONE,
    (State.UNDOING, Event.WENT_WELL): State.UNDONE,
}
"""What follows from what; a pair that is not here cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One rotation of one secret. `old` and `new` are versions in the vault, never values.

    `switched_at` is when the new value began to be given out; `why_undone` what a consumer said.
    """

    id: str
    secret: str
    state: State
    reason: str
    old: str
    new: str = ""
    switched_at: float | None = None
    why_undone: str = ""

    @property
    def over(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.state in OVER

    def after(self, event: Event, now: float, *, new: str = "", why: str = "") -> Rotation:
        """Return the rotation after its state's work.

        Raises:
            ValueError: that cannot come of this state.
        """
        state = TABLE.get((self.state, event))
        if state is None:
            raise ValueError(f"rotation in state '{self.state}': {event} cannot come of it")
        return replace(
            self,
            state=state,
            new=new or self.new,
            switched_at=now if state is State.SWITCHED else self.switched_at,
            why_undone=why or self.why_undone,
        )

    def waits(self, overlap: float, now: float) -> float:
        """Return for how many seconds old and new have yet to be good together."""
        if self.state is not State.VERIFIED or self.switched_at is None:
            return 0.0
        return max(0.0, self.switched_at + overlap - now)

    def to_json(self) -> dict[str, Any]:
        """Return plain values. No secret is in them."""
        return {
            "id": self.id,
            "secret": self.secret,
            "state": self.state.value,
            "reason": self.reason,
            "old": self.old,
            "new": self.new,
            "switched_at": self.switched_at,
            "why_undone": self.why_undone,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the rotation that `to_json` made plain values of.

        Raises:
            ValueError: it is none.
        """
        value = value if isinstance(value, dict) else {}
        texts = {name: value.get(name) for name in ("id", "secret", "reason", "old", "new")}
        moment, why = value.get("switched_at"), value.get("why_undone", "")
        good = moment is None or (isinstance(moment, (int, float)) and moment is not True)
        if not all(isinstance(text, str) for text in (*texts.values(), why)) or not good:
            raise ValueError("rotation: a member is missing or of another kind")
        return cls(
            **{name: str(text) for name, text in texts.items()},
            state=State(str(value.get("state"))),
            switched_at=moment,
            why_undone=why,
        )


def due(last: float | None, every_days: float, now: float) -> bool:
    """Tell whether a value that was last replaced then is to be replaced now, by its schedule."""
    return last is None or now - last >= every_days * DAY
