"""Matching texts with wildcards, and ARNs in Resource elements and in Arn* conditions.

- Every character but `*` and `?` stands for itself.
- Matching takes time linear in pattern times text, whatever the pattern: a policy written by an
  attacker cannot stall the cloud.
- Case counts; callers that ignore case fold both sides first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from iamrange.clouds.aws.variables import Pattern, Token, Variable, Wildcard, parse

Matcher = Callable[[str], bool]

ARN_FIELDS = 6
"""arn:partition:service:region:account:resource"""

_HEAD = ARN_FIELDS - 1


def anything(text: str) -> bool:
    """Match every text."""
    del text
    return True


@lru_cache(maxsize=8192)
def glob(pattern: Pattern) -> Matcher:
    """Compile a pattern whose wildcards stand for any characters, `:` and `/` included."""
    if Wildcard.ONE in pattern:
        return _Automaton(tuple((token, True) for token in pattern))
    if Wildcard.MANY not in pattern:
        return "".join(_literals(pattern)).__eq__
    pieces = [""]
    for token in pattern:
        if isinstance(token, str):
            pieces[-1] += token
        else:
            pieces.append("")
    return _between(pieces)


def _between(pieces: list[str]) -> Matcher:
    """Match texts that start with the first piece, end with the last, and have the rest between."""
    first, *middle, last = pieces
    middle = [piece for piece in middle if piece]
    if middle:
        shortest = len(first) + len(last)

        def matches_all(text: str) -> bool:
            if len(text) < shortest or not text.startswith(first) or not text.endswith(last):
                return False
            position, end = len(first), len(text) - len(last)
            for piece in middle:
                found = text.find(piece, position, end)
                if found < 0:
                    return False
                position = found + len(piece)
            return True

        return matches_all
    if first and last:
        shortest = len(first) + len(last)
        return lambda text: len(text) >= shortest and text.startswith(first) and text.endswith(last)
    if first:
        return lambda text: text.startswith(first)
    if last:
        return lambda text: text.endswith(last)
    return anything


def _literals(pattern: Pattern) -> list[str]:
    return [token for token in pattern if isinstance(token, str)]


class _Automaton:
    """A pattern as a set of states: for the patterns that need `?` or colon-bound wildcards.

    Each step is one character of a literal, or a wildcard with the answer to "may it take a
    colon?".
    """

    __slots__ = ("_steps",)

    def __init__(self, tokens: tuple[tuple[str | Wildcard, bool], ...]) -> None:
        steps: list[tuple[str | Wildcard, bool]] = []
        for token, crosses in tokens:
            if isinstance(token, str):
                steps.extend((character, False) for character in token)
            else:
                steps.append((token, crosses))
        self._steps = steps

    def __call__(self, text: str) -> bool:
        steps = self._steps
        states = self._closure({0})
        for character in text:
            following: set[int] = set()
            for state in states:
                if state == len(steps):
                    continue
                step, crosses = steps[state]
                if step is Wildcard.MANY:
                    if crosses or character != ":":
                        following.add(state)
                elif step is Wildcard.ONE:
                    if crosses or character != ":":
                        following.add(state + 1)
                elif step == character:
                    following.add(state + 1)
            if not following:
                return False
            states = self._closure(following)
        return len(steps) in states

    def _closure(self, states: set[int]) -> set[int]:
        """Add the states that are reached by letting a `*` stand for nothing."""
        closed: set[int] = set()
        for start in states:
            state = start
            while state not in closed:
                closed.add(state)
                if state < len(self._steps) and self._steps[state][0] is Wildcard.MANY:
                    state += 1
        return closed


def split_fields(tokens: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    """Split an ARN pattern at its first five literal colons."""
    fields: list[list[Token]] = [[]]
    for token in tokens:
        if not isinstance(token, str):
            fields[-1].append(token)
            continue
        parts = token.split(":", ARN_FIELDS - len(fields))
        if parts[0]:
            fields[-1].append(parts[0])
        fields.extend([part] if part else [] for part in parts[1:])
    return [tuple(field) for field in fields]


def complete(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Add the missing fields of a short ARN as wildcards, as AWS completes `arn:aws:sqs`.

    IAM user guide, "IAM JSON policy elements: Resource": fewer than six fields are completed with
    `*`. `*` alone is every resource and stays as it is.
    """
    missing = ARN_FIELDS - len(split_fields(tokens))
    if missing <= 0 or tokens == (Wildcard.MANY,):
        return tokens
    return tokens + (":", Wildcard.MANY) * missing


@lru_cache(maxsize=8192)
def resource_matcher(pattern: Pattern) -> Matcher:
    """Compile the pattern of a Resource or NotResource element.

    In the first five fields a `*` that ends its field may stand for colons too, any other wildcard
    may not; in the resource part all wildcards may (same page, "Using wildcards in resource ARNs").
    """
    fields = split_fields(pattern)
    head = fields[:_HEAD] if len(fields) > _HEAD else []
    if not any(_bound(field) for field in head):
        return glob(pattern)
    steps: list[tuple[str | Wildcard, bool]] = []
    for number, field in enumerate(fields):
        if number:
            steps.append((":", False))
        last = len(field) - 1
        for position, token in enumerate(field):
            if isinstance(token, Variable):  # pragma: no cover - a Pattern has none
                raise TypeError(token)
            ends = position == last and token is Wildcard.MANY
            steps.append((token, number >= _HEAD or ends))
    return _Automaton(tuple(steps))


def _bound(field: tuple[Token, ...]) -> bool:
    """Tell whether a head field has a wildcard that must not take a colon."""
    return Wildcard.ONE in field or Wildcard.MANY in field[:-1]


@lru_cache(maxsize=8192)
def arn_condition_matcher(pattern: Pattern) -> Matcher | None:
    """Compile the value of an Arn* condition: each of six fields is matched by itself.

    None if the value is no ARN (fewer than six fields). `*` alone is any ARN.
    """
    if pattern == (Wildcard.MANY,):
        return is_arn
    fields = split_fields(pattern)
    if len(fields) < ARN_FIELDS:
        return None
    matchers = [
        glob(tuple(token for token in field if not isinstance(token, Variable))) for field in fields
    ]

    def matches(text: str) -> bool:
        parts = text.split(":", _HEAD)
        return len(parts) == ARN_FIELDS and all(
            matcher(part) for matcher, part in zip(matchers, parts, strict=True)
        )

    return matches


def is_arn(text: str) -> bool:
    """Tell whether a text has the six fields of an ARN."""
    return text.startswith("arn:") and text.count(":") >= _HEAD


@lru_cache(maxsize=4096)
def action_matcher(pattern: str) -> Matcher:
    """Compile an action pattern; the action to match must be lower case."""
    tokens = parse(pattern.lower(), variables=False, wildcards=True)
    return glob(tuple(token for token in tokens if not isinstance(token, Variable)))
