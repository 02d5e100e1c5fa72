"""Common Expression Language as Google Cloud uses it, in mappings and in conditions.

- Any evaluation error is a value (`Failed`), and every caller treats it as "does not match": an
  absent claim never opens a door (`assertion.org != 'evil'` without an `org` is an error).
- An expression is checked when it is written: syntax, names and functions.
- `extract` is Google's own (cloud.google.com/iam/docs/conditions-attribute-reference#extract).
- The engine's own `size` counts a text's bytes and cannot be replaced: calls are sent to ours.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import cel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# the engine logs the text of an error inside a function, which may hold a claim's value
logging.getLogger("cel").addHandler(logging.NullHandler())
logging.getLogger("cel").propagate = False

_MAX_COMPREHENSIONS: Final = 4
_TYPES: Final = frozenset(
    ("int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type")
)
_NATIVE: Final = frozenset(
    {"contains", "endsWith", "matches", "startsWith"}
    | {"type", "dyn", "double", "uint", "bytes", "duration"}
)
_COMPREHENSION: Final = re.compile(r"\.(?:all|exists|exists_one|filter|map)\(\s*([A-Za-z_]\w*)\s*,")
_LITERAL: Final = re.compile(r"""[rRbB]?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""")
_MEMBER: Final = re.compile(r"\b(?:assertion|attribute|google)\s*(?:\.\s*[A-Za-z_]|\[)")
_DOTTED: Final = re.compile(
    r"\b((?:api|assertion|attribute|destination|google|request|resource)(?:\.[A-Za-z_]\w*)+)"
)
_SIZE: Final = re.compile(r"\bsize(?=\s*\()")
_OWN_SIZE: Final = "size_of"
_ZONE: Final = re.compile(r"([+-])(\d\d):(\d\d)")


@dataclass(frozen=True, slots=True)
class Failed:
    """An expression that gave no value. `detail` holds no claim's value."""

    detail: str


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression."""

    text: str
    names: frozenset[str]
    functions: frozenset[str]
    _program: Any = field(repr=False, compare=False)

    def evaluate(
        self,
        variables: Mapping[str, Any],
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value, or `Failed`."""
        try:
            context = cel.Context(
                variables=dict(variables), functions={**_FUNCTIONS, **(functions or {})}
            )
            return self._program.execute(context)
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            return Failed(type(error).__name__)

    def holds(
        self,
        variables: Mapping[str, Any],
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> bool | Failed:
        """Return the truth of a condition, or `Failed` when it has none."""
        value = self.evaluate(variables, functions)
        if isinstance(value, bool | Failed):
            return value
        return Failed("NotBoolean")

    def reads_a_claim(self) -> bool:
        """Tell whether the expression reads a member of `assertion`, `attribute` or `google`."""
        return bool(self.names & {"assertion", "attribute", "google"}) and bool(
            _MEMBER.search(_LITERAL.sub("''", self.text))
        )

    def members_read(self) -> tuple[str, ...]:
        """Return the dotted names that the expression reads, lower case: the condition's keys."""
        bare = _LITERAL.sub("''", self.text)
        names = _DOTTED.findall(bare)
        return tuple(dict.fromkeys(_without_call(name, bare).lower() for name in names))


@lru_cache(maxsize=4096)
def compile_expression(text: str, allowed: frozenset[str]) -> Expression | Failed:
    """Return the checked expression, or why it is none. `allowed` are the names it may read."""
    bound = _COMPREHENSION.findall(_LITERAL.sub("''", text))
    if len(bound) > _MAX_COMPREHENSIONS:
        return Failed("the expression is too costly: too many comprehensions")
    try:
        program = cel.compile(_with_own_size(text))
        names = frozenset(program.variables()) - _TYPES - set(bound)
        functions = frozenset(program.functions())
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return Failed("syntax error in the expression")
    if unknown := sorted(names - allowed):
        return Failed(f"undeclared reference to '{unknown[0]}'")
    called = {name for name in functions if re.match(r"[A-Za-z]", name)}
    if unknown := sorted(called - _NATIVE - _FUNCTIONS.keys()):
        return Failed(f"undeclared reference to function '{unknown[0]}'")
    return Expression(text, names, frozenset(called), program)


def compile_condition(text: str, allowed: frozenset[str]) -> Expression | Failed:
    """Return a checked condition: an expression that can be true or false."""
    expression = compile_expression(text, allowed)
    if isinstance(expression, Failed) or expression.names:
        return expression
    value = expression.evaluate({})
    if not isinstance(value, bool | Failed):
        return Failed("the expression's type is not boolean")
    return expression


def extract(text: str, template: str) -> str:
    """Return what stands in the template's placeholder, or nothing where it does not fit.

    Raises:
        ValueError: the template has no placeholder, or more than one.
    """
    parts = re.split(r"\{[A-Za-z_]\w*\}", template)
    if len(parts) != 2 or "{" in "".join(parts):  # noqa: PLR2004 - the shape says it
        raise ValueError("extract: the template needs exactly one placeholder")
    prefix, suffix = parts
    start = text.find(prefix)
    if start < 0:
        return ""
    start += len(prefix)
    end = text.find(suffix, start) if suffix else len(text)
    return text[start:end] if end >= 0 else ""


def _with_own_size(text: str) -> str:
    """Call our `size`, which counts characters, wherever the text calls it outside a literal."""
    kept = _LITERAL.finditer(text)
    parts, start = [], 0
    for literal in kept:
        parts += [_SIZE.sub(_OWN_SIZE, text[start : literal.start()]), literal[0]]
        start = literal.end()
    return "".join([*parts, _SIZE.sub(_OWN_SIZE, text[start:])])


def _without_call(name: str, bare: str) -> str:
    """Drop the last part of a dotted name where it is a method call on a member."""
    if name.count(".") > 1 and re.search(re.escape(name) + r"\s*\(", bare):
        return name.rpartition(".")[0]
    return name


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no such overload")
    return value


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    parts = list(_text(text)) if separator == "" else _text(text).split(_text(separator))
    if limit == 0:
        return []
    if 0 < limit < len(parts):
        return [*parts[: limit - 1], separator.join(parts[limit - 1 :])]
    return parts


def _join(items: list[str], separator: str = "") -> str:
    if not isinstance(items, list):
        raise TypeError("no such overload")
    return _text(separator).join(_text(item) for item in items)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return _text(text).replace(_text(old), _text(new), limit)


def _ascii_case(change: Callable[[str], str]) -> Callable[[str], str]:
    def changed(text: str) -> str:
        return "".join(change(c) if c.isascii() else c for c in _text(text))

    return changed


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(_text(text)) if end is None else end
    if not 0 <= start <= end <= len(text):
        raise ValueError("substring: out of range")
    return text[start:end]


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(_text(text)):
        raise ValueError("charAt: out of range")
    return text[index : index + 1]


def _string(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, str | int):
        return str(value)
    raise TypeError("no such overload")


def _int(value: object) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    raise TypeError("no such overload")


def _timestamp(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("timestamp: a zone is expected")
    return moment


def _zone(name: str) -> tzinfo:
    if offset := _ZONE.fullmatch(name):
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes))
    return ZoneInfo(name)


def _part(
    of_time: Callable[[datetime], int], of_span: Callable[[timedelta], int] | None = None
) -> Callable[..., int]:
    def part(value: object, zone: str = "UTC") -> int:
        if isinstance(value, timedelta) and of_span is not None:
            return of_span(value)
        if not isinstance(value, datetime):
            raise TypeError("no such overload")
        return of_time(value.astimezone(_zone(zone)))

    return part


def _size(value: object) -> int:
    if not isinstance(value, str | bytes | list | dict):
        raise TypeError("no such overload")
    return len(value)


def _has_only(items: list[str], allowed: list[str]) -> bool:
    return set(items) <= set(allowed)


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "extract": lambda text, template: extract(_text(text), _text(template)),
    "split": _split,
    "join": _join,
    "replace": _replace,
    "lowerAscii": _ascii_case(str.lower),
    "upperAscii": _ascii_case(str.upper),
    "trim": lambda text: _text(text).strip(),
    "substring": _substring,
    "charAt": _char_at,
    "indexOf": lambda text, part, start=0: _text(text).find(_text(part), start),
    "lastIndexOf": lambda text, part: _text(text).rfind(_text(part)),
    "startsWith": lambda text, part: _text(text).startswith(_text(part)),
    "endsWith": lambda text, part: _text(text).endswith(_text(part)),
    "string": _string,
    "int": _int,
    "timestamp": _timestamp,
    "date": lambda text: _timestamp(f"{_text(text)}T00:00:00+00:00"),
    "getFullYear": _part(lambda t: t.year),
    # CEL counts months and days of the month and year from zero, days of the week from Sunday
    "getMonth": _part(lambda t: t.month - 1),
    "getDate": _part(lambda t: t.day),
    "getDayOfMonth": _part(lambda t: t.day - 1),
    "getDayOfWeek": _part(lambda t: t.isoweekday() % 7),
    "getDayOfYear": _part(lambda t: t.timetuple().tm_yday - 1),
    "getHours": _part(lambda t: t.hour, lambda d: int(d.total_seconds() // 3600)),
    "getMinutes": _part(lambda t: t.minute, lambda d: int(d.total_seconds() // 60)),
    "getSeconds": _part(lambda t: t.second, lambda d: int(d.total_seconds())),
    "getMilliseconds": _part(lambda t: t.microsecond // 1000),
    "hasOnly": _has_only,
    _OWN_SIZE: _size,
    # bound to the request by the decider; without one there is no attribute and no tag
    "getAttribute": lambda _api, _name, default: default,
    "matchTag": lambda _resource, _key, _value: False,
    "matchTagId": lambda _resource, _key, _value: False,
    "hasTagKey": lambda _resource, _key: False,
    "hasTagKeyId": lambda _resource, _key: False,
}
