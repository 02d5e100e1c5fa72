"""Which answers of a policy may be remembered, and what tells two questions apart.

- What a policy reads of its input is found in its text. All else is left out of the question, so
  that calls which the policy cannot tell apart are one question; its answer is the same at all
  times.
- The test errs to the safe side: what it cannot follow is asked anew each time, and so is a policy
  that reads the time, the peer or anything else of the context but the tenant.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Reads = dict[str, frozenset[str]]
"""Part of the input -> its members that a policy reads; the action has none."""

_QUOTED_OR_COMMENT = re.compile(r'"((?:\\.|[^"\\\n])*)"|(`[^`]*`)|#[^\n]*')
# Interpolated strings hold expressions, which the pattern above would hide.
_INTERPOLATED = re.compile(r'\$["`]')
_INPUT = re.compile(r"(?<![\w.])input\b")
# Builtins whose answer is another one the next time (openpolicyagent.org/docs/policy-reference);
# io.jwt.decode_verify looks at the clock.
_CHANGING = re.compile(r"(?<![\w.])(?:time|rand|http|uuid|opa|net|io)\s*\.")
_PART = r"input\.(agent|resource|approval|context)"
_MEMBER = re.compile(rf"{_PART}\.([A-Za-z_]\w*)")
_GET = re.compile(rf'object\.get\({_PART}, "(\d+)",')
# what looks at a part's own type alone, which the question keeps
_TYPE = re.compile(rf"is_object\({_PART}\)|{_PART} [!=]= null\b")
_ACTION = re.compile(r"input\.action\b(?![.\[])")
_PARTS = ("agent", "resource", "approval", "context")
_UNCHANGING = frozenset({"tenant"})


def reads(texts: Iterable[str]) -> Reads | None:
    """Return what a policy of these files reads, None where its answers must not be remembered."""
    found: dict[str, set[str]] = {part: set() for part in _PARTS}
    for text in texts:
        if not _read(text, found):
            return None
    if not found["context"] <= _UNCHANGING:
        return None
    return {part: frozenset(members) for part, members in found.items()}


def _read(text: str, found: dict[str, set[str]]) -> bool:
    """Add what one file reads; return whether all of it could be followed."""
    if _INTERPOLATED.search(text):
        return False
    literals: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        if match[0].startswith("#"):
            return ""
        literals.append(match[1] if match[1] is not None else "")
        return f'"{len(literals) - 1}"'

    code = _QUOTED_OR_COMMENT.sub(numbered, text)
    if _CHANGING.search(code):
        return False
    followed = set()
    for match in _GET.finditer(code):
        literal = literals[int(match[2])]
        if "\\" in literal:
            return False
        found[match[1]].add(literal)
        followed.add(match.start(1) - len("input."))
    for match in _TYPE.finditer(code):
        followed.add(match.start() + match[0].index("input."))
    for match in _MEMBER.finditer(code):
        found[match[1]].add(match[2])
        followed.add(match.start())
    followed.update(match.start() for match in _ACTION.finditer(code))
    return all(match.start() in followed for match in _INPUT.finditer(code))


def question(values: Mapping[str, Any], read: Reads) -> str:
    """Return what a policy can read of an input, as JSON text."""
    asked: dict[str, Any] = {}
    if "action" in values:
        asked["action"] = values["action"]
    for part, members in read.items():
        if part not in values:
            continue
        value = values[part]
        if isinstance(value, dict):
            value = {member: value[member] for member in members if member in value}
        asked[part] = value
    return json.dumps(asked, separators=(",", ":"), sort_keys=True)
