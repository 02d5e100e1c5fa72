"""The one exception of the policy parsers."""

from __future__ import annotations


class MalformedPolicy(ValueError):  # noqa: N818 (the name of AWS's own error code)
    """A document that AWS would not store.

    `message` is what AWS says, word for word where known; `detail` is for people who debug.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        """Keep AWS's message and the detail."""
        super().__init__(message)
        self.message = message
        self.detail = detail


SYNTAX = "Syntax errors in policy."


def syntax_error(detail: str) -> MalformedPolicy:
    """Return the error for a document that is no policy at all."""
    return MalformedPolicy(SYNTAX, detail)
