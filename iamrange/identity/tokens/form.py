"""The form of a token request (RFC 6749 section 3.2 and appendix B).

- Total: any body gives a form or a refusal's reason, never an exception.
- A parameter without a value counts as left out; one that is repeated makes the request invalid,
  but for those that RFC 8707 section 2 and RFC 8693 section 2.1 let a client repeat.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.identity.tokens.http import HttpRequest

MAX_FIELDS = 64
REPEATABLE = frozenset({"resource", "audience"})
_MEDIA_TYPE = "application/x-www-form-urlencoded"
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CHARSET = re.compile(r'\s*charset\s*=\s*"?utf-8"?\s*\Z', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of a request, in the order in which they came."""

    values: Mapping[str, tuple[str, ...]] = field(repr=False)
    repeated: str | None = None
    """The first parameter that may not be repeated and was."""

    def one(self, name: str) -> str | None:
        """Return a parameter's (first) value, or None if it was left out."""
        values = self.values.get(name)
        return values[0] if values else None

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter that may be repeated."""
        return self.values.get(name, ())


EMPTY = Form({})


def read_form(request: HttpRequest) -> Form | str:
    """Return the request's form, or the reason code why it has none."""
    if request.body is None:
        return "body-too-large"
    if request.query:
        # RFC 6749 section 2.3.1: credentials must not be in the request URI, where logs see them
        return "query-parameters"
    if not _is_form(request.header(b"content-type")) or request.header(b"content-encoding"):
        return "wrong-content-type"
    if not request.body.isascii() or _BAD_ESCAPE.search(request.body):
        return "malformed-form"
    fields = request.body.split(b"&") if request.body else []
    if len(fields) > MAX_FIELDS:
        return "too-many-parameters"
    return _read_fields(fields)


def _read_fields(fields: list[bytes]) -> Form | str:
    values: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    repeated: str | None = None
    for item in fields:
        name_part, equals, value_part = item.partition(b"=")
        try:
            name, value = _decode(name_part), _decode(value_part)
        except UnicodeDecodeError:
            return "not-utf-8"
        if not equals or not name or "\0" in name or "\0" in value:
            return "malformed-form"
        if name in seen and name not in REPEATABLE:
            repeated = repeated or name
        seen.add(name)
        if value:
            values[name] = (*values.get(name, ()), value)
    return Form(values, repeated)


def _decode(part: bytes) -> str:
    if b"%" in part or b"+" in part:
        part = unquote_to_bytes(part.replace(b"+", b" "))
    return part.decode("utf-8")


def _is_form(content_types: tuple[str, ...]) -> bool:
    if len(content_types) != 1:
        return False
    media_type, _, parameters = content_types[0].partition(";")
    if media_type.strip().lower() != _MEDIA_TYPE:
        return False
    return not parameters.strip() or _CHARSET.match(parameters) is not None
