"""The limits that a service's own model puts on parameters: length, range, pattern, enumeration.

- AWS's clients check minima only; the rest is refused by the service, so by us.
- All faults are reported at once, in AWS's manner; a sensitive value is never repeated.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from iamrange.clouds.aws.model import AwsError, AwsRequest
from iamrange.clouds.aws.protocol import service_model

_SHOWN = 64


def violation(request: AwsRequest, code: str = "ValidationError") -> AwsError | None:
    """Return the refusal of a request whose parameters break the model's limits, or None."""
    shape = service_model(request.service).operation_model(request.operation).input_shape
    if shape is None:
        return None
    faults = list(_structure(shape, request.parameters, ""))
    if not faults:
        return None
    plural = "s" if len(faults) > 1 else ""
    message = f"{len(faults)} validation error{plural} detected: {'; '.join(faults)}"
    return AwsError(code=code, message=message, status=400)


def _structure(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:  # noqa: ANN401 - botocore publishes no types
    for name, member in shape.members.items():
        where = f"{path}.{_lower(name)}" if path else _lower(name)
        if name in value:
            yield from _member(member, value[name], where)
        elif name in shape.required_members:
            yield _fault(None, where, "Member must not be null")


def _member(shape: Any, value: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - botocore publishes no types
    if shape.type_name == "structure" and isinstance(value, Mapping):
        yield from _structure(shape, value, path)
    elif shape.type_name == "list" and isinstance(value, list):
        yield from _length(shape, value, path)
        for position, item in enumerate(value, start=1):
            yield from _member(shape.member, item, f"{path}.{position}.member")
    elif shape.type_name == "string" and isinstance(value, str):
        yield from _length(shape, value, path)
        yield from _text(shape, value, path)
    elif shape.type_name in ("integer", "long") and isinstance(value, int):
        yield from _range(shape, value, path)


def _length(shape: Any, value: str | list[Any], path: str) -> Iterator[str]:  # noqa: ANN401 - botocore publishes no types
    limits = shape.metadata
    shown = None if limits.get("sensitive") else value
    if len(value) > limits.get("max", len(value)):
        limit = f"Member must have length less than or equal to {limits['max']}"
        yield _fault(shown, path, limit)
    if len(value) < limits.get("min", 0):
        limit = f"Member must have length greater than or equal to {limits['min']}"
        yield _fault(shown, path, limit)


def _text(shape: Any, value: str, path: str) -> Iterator[str]:  # noqa: ANN401 - botocore publishes no types
    pattern = shape.metadata.get("pattern")
    shown = None if shape.metadata.get("sensitive") else value
    compiled = _compiled(pattern) if pattern else None
    if compiled is not None and not compiled.fullmatch(value):
        yield _fault(shown, path, f"Member must satisfy regular expression pattern: {pattern}")
    enumeration = shape.metadata.get("enum")
    if enumeration and value not in enumeration:
        choices = ", ".join(enumeration)
        yield _fault(shown, path, f"Member must satisfy enum value set: [{choices}]")


def _range(shape: Any, value: int, path: str) -> Iterator[str]:  # noqa: ANN401 - botocore publishes no types
    limits = shape.metadata
    if value > limits.get("max", value):
        limit = f"Member must have value less than or equal to {limits['max']}"
        yield _fault(value, path, limit)
    if value < limits.get("min", value):
        limit = f"Member must have value greater than or equal to {limits['min']}"
        yield _fault(value, path, limit)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    r"""Compile a model's pattern; the models write it for Java, where `\\w` is ASCII.

    Python knows no `\\p{L}`: such a pattern (names and tags for people) is not held against anyone.
    """
    try:
        return re.compile(pattern, re.ASCII)
    except re.error:
        return None


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _fault(value: object, path: str, constraint: str) -> str:
    shown = "" if value is None else f" '{str(value)[:_SHOWN]}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {constraint}"
