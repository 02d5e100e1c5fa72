"""PartiQL for DynamoDB in permissions: simple statements on one table, and nothing else.

- A statement that is not of one of four plain forms is not read: the store's own parser could take
  another table out of it than this one.
- The partition key's values are told where the statement pins the key to one; otherwise they are
  unknown, so that a condition on leading keys refuses.
- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TABLE: Final = r"(?:\"(?P<quoted>[A-Za-z0-9_.-]{3,255})\"|(?P<plain>[A-Za-z_][A-Za-z0-9_]{2,254}))"
_INDEX: Final = r"(?:\.\"(?P<index>[A-Za-z0-9_.-]{3,255})\")?"
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    kind: re.compile(form + r"\s*;?\s*\Z", re.IGNORECASE | re.DOTALL | re.ASCII)
    for kind, form in {
        "Select": (
            rf"\s*SELECT\s+(?P<what>.+?)\s+FROM\s+{_TABLE}{_INDEX}(?:\s+WHERE\s+(?P<where>.+?))?"
        ),
        "Insert": rf"\s*INSERT\s+INTO\s+{_TABLE}\s+VALUE\s+(?P<what>\{{.*\}})",
        "Update": rf"\s*UPDATE\s+{_TABLE}\s+(?P<what>(?:SET|REMOVE)\s.+?)\s+WHERE\s+(?P<where>.+?)",
        "Delete": rf"\s*DELETE\s+FROM\s+{_TABLE}\s+WHERE\s+(?P<where>.+?)(?P<what>)",
    }.items()
}
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'")
_KEYWORD: Final = re.compile(
    r"\b(?:SELECT|FROM|INTO|JOIN|UNION|INSERT|UPDATE|DELETE)\b", re.IGNORECASE
)
_KEYWORDS: Final = {"Select": 2, "Insert": 2, "Update": 1, "Delete": 2}
_PINNED: Final = re.compile(
    r"\"?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\"?\s*=\s*(?P<value>\?|'(?:[^']|'')*'|-?\d+(?:\.\d+)?)\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement, as far as permissions turn on it."""

    kind: str
    table: str
    index: str | None
    where: str | None
    before_where: int
    """How many placeholders stand before the condition."""

    @property
    def action(self) -> str:
        """The action that the statement needs."""
        return f"dynamodb:PartiQL{self.kind}"

    def leading_key(self, hash_key: str, parameters: Sequence[Mapping[str, Any]]) -> str | None:
        """Return the partition key's one value; None when the statement does not pin it to one."""
        if self.where is None:
            return None
        bare = _LITERAL.sub("''", self.where)
        if re.search(r"\b(?:OR|NOT|IN|BETWEEN)\b|[()]", bare, re.IGNORECASE):
            return None
        used = self.before_where
        for part in re.split(r"\s+AND\s+", self.where, flags=re.IGNORECASE):
            found = _PINNED.match(part.strip())
            if found is not None and found["name"] == hash_key:
                return _value(found["value"], used, parameters)
            used += _LITERAL.sub("''", part).count("?")
        return None


def read(text: str) -> Statement | None:
    """Read a statement; None if it is not of a plain form."""
    bare = _LITERAL.sub("''", text)
    if "--" in bare or "/*" in bare or "`" in bare or bare.count("'") % 2:
        return None
    for kind, form in _FORMS.items():
        found = form.match(text)
        if found is None:
            continue
        if len(_KEYWORD.findall(bare)) != _KEYWORDS[kind]:
            return None
        named = found.groupdict()
        return Statement(
            kind=kind,
            table=named["quoted"] or named["plain"],
            index=named.get("index"),
            where=named.get("where"),
            before_where=_LITERAL.sub("''", named["what"] or "").count("?"),
        )
    return None


def _value(text: str, used: int, parameters: Sequence[Mapping[str, Any]]) -> str | None:
    if text != "?":
        return text[1:-1].replace("''", "'") if text.startswith("'") else text
    given = parameters[used] if used < len(parameters) else {}
    return str(next(iter(given.values()))) if len(given) == 1 else None
