"""What a person reads of a request: the declared route first, then the parsed body. Pure.

- Nothing here is the agent's own words about what it does: route and action are ours, names and
  values are what the service will be given.
- A body that is not what its content type says is opaque: length, hash and first bytes. So is one
  that two parsers could read in two ways (a member given twice, a number out of range).
- Whatever is left out is said, in a warning that the person's signature covers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from iamrange.access.approvals.model import Row, Summary
from iamrange.access.approvals.shown import doubtful, shown
from iamrange.jose.gate import DocumentError, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_ROWS: Final = 60
_FIRST_BYTES: Final = 32
_FORM: Final = "application/x-www-form-urlencoded"
_TITLES: Final = {
    "deploy": "Deployment",
    "delete": "Deletion of data",
    "transfer": "Transfer of money",
    "execute": "Execution of a command",
    "write": "Change of data",
    "read": "Reading of data",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredCall:
    """A call as our own table of routes declares it; `url` is canonical."""

    method: str
    url: str
    service: str
    action: str
    type: str
    classification: str
    environment: str | None
    high_impact: bool
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as it was written: what a parser makes of it may differ."""

    text: str


class _OpaqueError(Exception):
    """The body is not what its content type says."""


def summarise(
    call: DeclaredCall, *, agent: str, owner: str, body: bytes, content_type: str
) -> Summary:
    """Return what a person reads of this call."""
    warnings: list[str] = []
    where = f" in {call.environment}" if call.environment else ""
    rows = [
        Row("agent", agent),
        _row("agent's owner", owner),
        Row("action", call.action),
        Row("service", call.service),
        Row("data", f"{call.type}, {call.classification}"),
        _row("call", f"{call.method} {call.url}"),
        *(_row(f"route: {name}", value) for name, value in call.parameters.items()),
    ]
    query = urlsplit(call.url).query
    if query:
        rows.append(_row("query", query))
    rows.extend(_body_rows(body, content_type, warnings))
    if any(row.doubtful for row in rows):
        warnings.append("some text is cut, or holds characters that are not what they seem")
    title = f"{_TITLES.get(call.action, call.action)}{where}: {call.method} on {call.service}"
    return Summary(title=title, rows=tuple(rows), warnings=tuple(warnings))


def media_type(content_type: str) -> tuple[str, str]:
    """Return the type and its charset, both lower case; the charset is utf-8 if none is named."""
    kind, *parameters = (part.strip() for part in content_type.lower().split(";"))
    given = dict(part.partition("=")[::2] for part in parameters)
    return kind, given.get("charset", "utf-8").strip('"')


def _row(name: str, text: str) -> Row:
    return Row(name, shown(text), doubtful(text))


def _body_rows(body: bytes, content_type: str, warnings: list[str]) -> list[Row]:
    if not body:
        return [Row("body", "none")]
    kind, charset = media_type(content_type)
    try:
        rows = _parsed(body, kind, charset)
    except _OpaqueError:
        warnings.append("the body is not what its content type says: it cannot be shown")
        rows = _opaque(body)
    if len(rows) > MOST_ROWS:
        warnings.append(f"{len(rows) - MOST_ROWS} of {len(rows)} members are not shown")
        rows = rows[:MOST_ROWS]
    kind_row = _row("body is", f"{content_type or 'of no type'}, {len(body)} bytes")
    return [kind_row, Row("body SHA-256", hashlib.sha256(body).hexdigest()), *rows]


def _parsed(body: bytes, kind: str, charset: str) -> list[Row]:
    if charset not in {"utf-8", "us-ascii"}:
        raise _OpaqueError
    if kind == "application/json" or kind.endswith("+json"):
        return list(_flat(_json(body), ()))
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise _OpaqueError from None
    if kind == "text/plain":
        return [_row("body text", text)]
    if kind != _FORM:
        raise _OpaqueError
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=1000
        )
    except ValueError:
        raise _OpaqueError from None
    return [_member((name,), value) for name, value in pairs]


def _json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        read_json(body)  # the gate's strictness; its numbers are a parser's, though
        return json.loads(body, parse_float=_Number, parse_int=_Number)
    except (DocumentError, ValueError):
        raise _OpaqueError from None


def _flat(value: Any, path: tuple[str, ...]) -> Iterator[Row]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict) and value:
        for name, member in value.items():
            yield from _flat(member, (*path, name))
    elif isinstance(value, list) and value:
        for index, member in enumerate(value):
            yield from _flat(member, (*path, f"[{index}]"))
    elif isinstance(value, str):
        yield _member(path, value)
    else:
        text = value.text if isinstance(value, _Number) else json.dumps(value)
        yield Row(_name(path), shown(text), doubtful(text))


def _member(path: tuple[str, ...], text: str) -> Row:
    # quoted: the text "true" is not the value true
    unclear = doubtful(text) or any(doubtful(part) for part in path)
    quoted = shown(text).replace('"', '\\"')
    return Row(_name(path), f'"{quoted}"', unclear)


def _name(path: tuple[str, ...]) -> str:
    return " → ".join(("body", *(shown(part) for part in path)))


def _opaque(body: bytes) -> list[Row]:
    more = " ..." if len(body) > _FIRST_BYTES else ""
    return [Row("body begins with", body[:_FIRST_BYTES].hex(" ") + more, doubtful=True)]
