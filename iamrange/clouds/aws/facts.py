"""A request as the engine reads it: keys folded, values in one shape, made once a decision.

- Keys are lower case; a value is a string (one value) or a tuple (a multivalued key).
- `unevaluated` collects, in order, what could not be evaluated on the way.
- `blind` is set when a policy variable asks for a key that is there in AWS and not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.request import Request

Value = str | tuple[str, ...]


class Facts:
    """One request, ready for matching."""

    __slots__ = (
        "_unknown",
        "action",
        "blind",
        "bounded",
        "principal",
        "request",
        "resource",
        "unevaluated",
        "values",
    )

    def __init__(self, request: Request, *, bounded: bool = False) -> None:
        """Fold a request; `bounded` tells whether its principal has a permissions boundary."""
        self.request = request
        self.bounded = bounded
        self.action = request.action.lower()
        self.resource = request.resource
        self.principal = request.principal
        self.values = _fold(request.context)
        self.unevaluated: list[str] = []
        self.blind = False
        self._unknown = request.unknown

    def single(self, key: str) -> str | None:
        """Return the value of a single-valued key, or None if it is absent or multivalued."""
        value = self.values.get(key)
        if value is None and self._unknown and self.hides(key):
            self.blind = True
        return value if isinstance(value, str) else None

    def hides(self, key: str) -> bool:
        """Tell whether a key that is absent here may be present in AWS."""
        return any(
            key == name or (name[-1] in "/:" and key.startswith(name)) for name in self._unknown
        )


def _fold(context: Mapping[str, str | Sequence[str]]) -> dict[str, Value]:
    folded: dict[str, Value] = {
        key.lower(): value if isinstance(value, str) else tuple(value)
        for key, value in context.items()
    }
    if len(folded) != len(context):
        return _merge(context)
    return folded


def _merge(context: Mapping[str, str | Sequence[str]]) -> dict[str, Value]:
    """Fold keys that differ in case only: their values are joined, so that none is overlooked."""
    merged: dict[str, Value] = {}
    for name, value in context.items():
        key, values = name.lower(), (value,) if isinstance(value, str) else tuple(value)
        before = merged.get(key)
        if before is None:
            merged[key] = value if isinstance(value, str) else values
        elif before != value:
            merged[key] = ((before,) if isinstance(before, str) else before) + values
    return merged
