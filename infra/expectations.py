"""Reading values that people wrote: each error names the value, what was expected, and a way out.

- A value's path is what the user would type after `pulumi config set --path`.
- A value of the wrong kind is refused, never converted: an account number without quotes has lost
  its leading zeros before anybody could look at it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

import pulumi

if TYPE_CHECKING:
    from collections.abc import Iterable


class SettingsError(pulumi.RunError):
    """The stack's configuration is not what the program can work with.

    A `RunError`: the engine shows its message alone, without a traceback.
    """


@dataclass(frozen=True, slots=True)
class Found:
    """A value of the configuration and the path at which it stands; `None` is an absent value."""

    path: str
    value: object

    def refuse(self, expected: str, way_out: str) -> NoReturn:
        """Refuse the value.

        Raises:
            SettingsError: always.
        """
        got = "nothing" if self.value is None else repr(self.value)
        raise SettingsError(f"{self.path}: expected {expected}, got {got}; {way_out}")

    def text(self, pattern: str, expected: str, way_out: str) -> str:
        """Return the value as text that the pattern matches as a whole."""
        if not isinstance(self.value, str) or not re.fullmatch(pattern, self.value):
            self.refuse(expected, way_out)
        return self.value

    def one_of(self, known: Iterable[str], kind: str) -> str:
        """Return the value, which is one of the known ones."""
        known = sorted(known)
        if not isinstance(self.value, str) or self.value not in known:
            self.refuse(f"a known {kind}", nearest(self.value, known))
        return self.value

    def flag(self, way_out: str) -> bool:
        """Return the value as true or false; the words in quotes are neither."""
        if not isinstance(self.value, bool):
            self.refuse("true or false", way_out)
        return self.value

    def entries(self, way_out: str) -> dict[str, Found]:
        """Return the members of an object by their names, in the order of the names."""
        if not isinstance(self.value, Mapping):
            self.refuse("an object", way_out)
        return {
            str(name): self.member(str(name), value) for name, value in sorted(self.value.items())
        }

    def member(self, name: str, value: object) -> Found:
        """Return a member of this object, at the path that `--path` takes."""
        plain = re.fullmatch(r"[A-Za-z0-9_-]+", name)
        return Found(self.path + (f".{name}" if plain else f'["{name}"]'), value)

    def members(self, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Found]:
        """Return the members of an object, which has these names and no others."""
        required, optional = tuple(required), tuple(optional)
        known = (*required, *optional)
        found = self.entries(f"its members are {', '.join(known)}")
        for name, member in found.items():
            if name not in known:
                member.refuse(f"one of the members {', '.join(known)}", nearest(name, known))
        for name in known:
            found.setdefault(name, self.member(name, None))
        for name in required:
            if found[name].value is None:
                found[name].refuse("a value", f"write `{name}:` there")
        return found

    def items(self, way_out: str, *, at_least: int = 0) -> list[Found]:
        """Return the items of a list that has so many at least."""
        if not isinstance(self.value, list):
            self.refuse("a list", way_out)
        if len(self.value) < at_least:
            self.refuse(f"a list of {at_least} or more", way_out)
        return [Found(f"{self.path}[{index}]", item) for index, item in enumerate(self.value)]


def nearest(value: object, known: Iterable[str]) -> str:
    """Return the advice that names what comes near the value, or else all there is."""
    known = tuple(known)
    near = get_close_matches(str(value), known, n=3, cutoff=0.5)
    return f"nearest: {', '.join(near)}" if near else f"known are {', '.join(known)}"
