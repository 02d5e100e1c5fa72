"""JSON as editors write it: comments and trailing commas taken out, lines kept."""

from __future__ import annotations

import re
from typing import Final

_STEP: Final = re.compile(r'"(?:\\.|[^"\\])*+"|//[^\n]*+|/\*', re.DOTALL)
_TRAILING: Final = re.compile(r'"(?:\\.|[^"\\])*+"|,(?=\s*+[}\]])', re.DOTALL)


def without_comments(text: str) -> str:
    """Return the text as JSON, in linear time; what is no JSON stays what it is."""
    kept: list[str] = []
    at = 0
    while (match := _STEP.search(text, at)) is not None:
        kept.append(text[at : match.start()])
        at = match.end()
        if match[0].startswith('"'):
            kept.append(match[0])
        elif match[0] == "/*":
            end = text.find("*/", at)
            at = len(text) if end < 0 else end + 2
            kept.append(_blank(text[match.start() : at]))
        else:
            kept.append(_blank(match[0]))
    kept.append(text[at:])
    return _TRAILING.sub(lambda match: " " if match[0] == "," else match[0], "".join(kept))


def _blank(comment: str) -> str:
    return "".join("\n" if c == "\n" else " " for c in comment)
