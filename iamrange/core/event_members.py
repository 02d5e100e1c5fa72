"""Members of an event as it was read, whatever it turns out to hold. Pure."""

from __future__ import annotations

from typing import Any


def member(value: Any, *path: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return what stands at the end of a path of members; None where there is nothing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text_of(value: Any, *path: str) -> str:  # noqa: ANN401 - any JSON value
    """Return the text at the end of a path of members; empty where there is none."""
    found = member(value, *path)
    return found if isinstance(found, str) else ""
