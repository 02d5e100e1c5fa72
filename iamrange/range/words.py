"""Words of others on their way into a message, a verdict or a report: redacted.

- What a process said last, and what a client was told, may hold what it was called with.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iamrange.credentials.redaction.redactor import Redactor


def redacted(text: str) -> str:
    """Return a text with marks in the place of secrets; one key for the life of this process."""
    return _redactor().text(text)


@cache
def _redactor() -> Redactor:
    # the rules of many vendors take a third of a second to load, and few messages need them
    from iamrange.credentials.redaction.redactor import new_redactor  # noqa: PLC0415

    return new_redactor()
