"""What differs between the inputs of the last run and those of this one, for the engine to show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pulumi.runtime.proto import provider_pb2 as wire

if TYPE_CHECKING:
    from iamrange.engine.resource import Properties, ResourceType

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def changed_inputs(kind: ResourceType[Any], old: Properties, new: Properties) -> frozenset[str]:
    """Return the implemented inputs whose meaning differs."""
    return frozenset(
        key
        for key in kind.inputs
        if kind.value(old, key) != kind.value(new, key)
        # what is not set is left as it is, to the cloud or to whoever else manages it
        and not (key in kind.exclusive | kind.filled_in and new.get(key) is None)
    )


def detailed(
    old: Properties, new: Properties, changed: frozenset[str], replacing: frozenset[str]
) -> dict[str, wire.PropertyDiff]:
    """Return the paths that differ under the changed properties."""
    result = {}
    for key in sorted(changed):
        # equal spellings that differ only by default have no path of their own
        paths = list(_paths(key, old.get(key), new.get(key))) or [(key, "UPDATE")]
        for path, kind in paths:
            name = f"{kind}_REPLACE" if key in replacing else kind
            value = wire.PropertyDiff.Kind.Value(name)
            result[path] = wire.PropertyDiff(kind=value, inputDiff=True)
    return result


def _paths(path: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    if old == new:
        return
    if old is None:
        yield path, "ADD"
    elif new is None:
        yield path, "DELETE"
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            step = f".{key}" if _PLAIN.fullmatch(key) else f'["{key}"]'
            yield from _paths(path + step, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            yield from _paths(f"{path}[{index}]", before, after)
    else:
        yield path, "UPDATE"
