"""Which answers of a policy may be remembered: those that can depend on nothing that changes.

- A policy reads from its input the agent, the action, the resource, the approval and the context's
  tenant, or more. Only in the first case the rest of the input is left out of the question, and
  the answer to the same question is the same at all times.
- The test is of the text, and errs to the safe side: what it cannot follow is not remembered.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_QUOTED_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*')
# Interpolated strings hold expressions, which the pattern above would hide.
_INTERPOLATED = re.compile(r'\$["`]')
_INPUT = re.compile(r"(?<![\w.])input\b")
_READ = re.compile(
    r"input\.(?:(?:agent|action|resource|approval)\b|context\.tenant\b)"
    # calling a member, or going on to a computed one, is no matter: it stays below what is read
)
# Builtins whose answer is another one the next time (openpolicyagent.org/docs/policy-reference);
# io.jwt.decode_verify looks at the clock.
_CHANGING = re.compile(r"(?<![\w.])(?:time|rand|http|uuid|opa|net|io)\s*\.")

_MEMBERS = ("agent", "action", "resource", "approval")


def may_be_remembered(texts: Iterable[str]) -> bool:
    """Tell whether a policy of these files answers the same question always in the same way."""
    return all(_is_constant(text) for text in texts)


def _is_constant(text: str) -> bool:
    if _INTERPOLATED.search(text):
        return False
    code = _QUOTED_OR_COMMENT.sub('""', text)
    if _CHANGING.search(code):
        return False
    return all(_READ.match(code, found.start()) for found in _INPUT.finditer(code))


def question(values: Mapping[str, Any]) -> str:
    """Return what such a policy can read of an input, as JSON text."""
    asked = {member: values[member] for member in _MEMBERS if member in values}
    context = values.get("context")
    if isinstance(context, dict) and "tenant" in context:
        asked["context"] = {"tenant": context["tenant"]}
    return json.dumps(asked, separators=(",", ":"))
