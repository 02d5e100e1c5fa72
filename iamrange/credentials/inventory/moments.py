"""Moments as vendors and tags write them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_DAY: Final = 86_400
_DATE: Final = len("2027-06-30")


def moment_of(text: object) -> float | None:
    """Read RFC 3339, or a day alone as its first moment; None where it is neither."""
    try:
        moment = datetime.fromisoformat(str(text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def end_of(text: str | None) -> tuple[float | None, str | None]:
    """Read an end from a tag: a moment, or a day, which counts to its own end; else why not."""
    if text is None:
        return None, None
    moment = moment_of(text)
    if moment is None:
        return None, f"expected a day like 2027-06-30 in the tag, got {text[:40]!r}"
    return moment + (_DAY if len(text) == _DATE else 0), None
