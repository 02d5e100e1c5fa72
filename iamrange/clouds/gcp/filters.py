"""List filters of Secret Manager, as far as they are served: terms joined by AND. Pure.

A term is `FIELD:TEXT` (contains, without case), `FIELD=TEXT` or `FIELD!=TEXT`, where FIELD is
`name`, `state`, `labels.KEY` or `annotations.KEY`; a bare word looks in the name
(cloud.google.com/secret-manager/docs/filtering). Anything else is refused, never ignored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TERM: Final = re.compile(
    r"(?:(?P<field>name|state|(?:labels|annotations)\.[A-Za-z0-9_-]+)\s*(?P<operator>:|!=|=)\s*)?"
    r"(?P<text>\"[^\"]*\"|[^\s\"=:()<>!]+)"
)


def parse_filter(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells whether a resource, as the API shows it, fits the filter.

    Raises:
        ApiError: 501, for a filter of another form.
    """
    terms = [_term(part) for part in re.split(r"\s+AND\s+", text.strip())]
    return lambda resource: all(fits(resource) for fits in terms)


def _term(text: str) -> Callable[[Mapping[str, Any]], bool]:
    match = _TERM.fullmatch(text)
    if match is None or match["text"] in ("OR", "NOT"):
        raise ApiError("UNIMPLEMENTED", f"The filter {text[:100]!r} is of a form not served here.")
    field, operator, wanted = match["field"] or "name", match["operator"], match["text"].strip('"')

    def fits(resource: Mapping[str, Any]) -> bool:
        value = _value(resource, field)
        if operator == "!=":
            return value != wanted
        if operator == "=":
            return value == wanted
        return value is not None and (wanted == "*" or wanted.lower() in value.lower())

    return fits


def _value(resource: Mapping[str, Any], field: str) -> str | None:
    container, _, key = field.partition(".")
    value = resource.get(container)
    if key:
        value = value.get(key) if isinstance(value, dict) else None
    elif field == "name" and value is not None:
        # the last part alone: a project's name in the path must not match
        value = str(value).rpartition("/")[2]
    return None if value is None else str(value)
