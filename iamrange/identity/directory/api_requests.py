"""Reads what a request asks, against the schemas of its operation. Pure.

- An error says where and which rule, never the value: it may hold a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # publishes no types

from iamrange.identity.directory.operations import OPERATIONS, SCHEMAS, Operation, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_NUMBER = 16


class RequestError(Exception):
    """The request is not what its operation takes."""


def _validator(schema: Schema) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": {"schemas": SCHEMAS}})


_BODIES = {name: _validator({"$ref": f"#/components/schemas/{name}"}) for name in SCHEMAS}
_QUERIES = {
    (operation.id, name): _validator(schema)
    for operation in OPERATIONS
    for name, schema in operation.query.items()
}


def check_body(name: str, value: object) -> dict[str, Any]:
    """Return the body if it fits its schema.

    Raises:
        RequestError: it does not.
    """
    error = next(iter(_BODIES[name].iter_errors(value)), None)
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path if isinstance(part, int | str))
        raise RequestError(f"body {where[:60] or 'as a whole'!r}: {error.validator}")
    assert isinstance(value, dict)  # noqa: S101 - every body's schema says so
    return value


def read_query(operation: Operation, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the query's values by their types, defaults filled in.

    Raises:
        RequestError: one is unknown, given twice, or not of its schema.
    """
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in operation.query:
            raise RequestError("query: unknown parameter")
        if name in values:
            raise RequestError(f"query {name!r}: given twice")
        schema = operation.query[name]
        value = _typed(text, schema.get("type"))
        if not _QUERIES[operation.id, name].is_valid(value):
            raise RequestError(f"query {name!r}: not as declared")
        values[name] = value
    return {
        name: schema["default"] for name, schema in operation.query.items() if "default" in schema
    } | values


def _typed(text: str, kind: object) -> object:
    if kind == "integer" and text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER:
        return int(text)
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text
