"""What a resource's state and inputs become after the cloud was read.

- A live value that means the same as the one written keeps the spelling as written.
- Inputs are what a program could have written: defaults and what others manage are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iamrange.engine.resource import Properties, ResourceType


def merged_tags(kind: ResourceType[Any], inputs: Properties, defaults: Mapping[str, str]) -> Any:  # noqa: ANN401 - a map, or unknown
    """Return the resource's tags with the provider's default ones beneath."""
    own = inputs.get(kind.tagging.own) if kind.tagging else None
    if own is None:
        return dict(defaults)
    return {**defaults, **own} if isinstance(own, Mapping) else own


def wanted(
    kind: ResourceType[Any], inputs: Properties, defaults: Mapping[str, str]
) -> dict[str, Any]:
    """Return the inputs as a handler takes them: defaults filled in, all tags merged."""
    result = kind.filled(inputs)
    if kind.tagging:
        result[kind.tagging.all] = merged_tags(kind, inputs, defaults)
    return result


def settled(  # noqa: PLR0913 - the reading, and all that it is compared with
    kind: ResourceType[Any],
    live: Properties,
    old_inputs: Properties,
    old_state: Properties,
    defaults: Mapping[str, str],
    *,
    importing: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (inputs, state) of a resource whose live properties were just read.

    An import takes over what others might manage as well: the program's own inputs then decide.
    """
    live = _with_own_tags(kind, live, old_inputs, defaults)
    inputs: dict[str, Any] = {}
    state: dict[str, Any] = {}
    for key in kind.inputs:
        old = old_inputs.get(key)
        if key in kind.settings or key not in live:
            # not in the cloud: what was asked for is all there is
            value = old
        elif key in kind.exclusive | kind.filled_in and old is None and not importing:
            if key in kind.filled_in:
                state[key] = live[key]
            continue
        elif kind.value(live, key) == kind.value(old_inputs, key):
            # same meaning: as written, and what was never written stays out of the inputs
            value = old
            state[key] = live[key]
        else:
            value = live[key]
        if value is not None:
            inputs[key] = state[key] = value
        elif key in kind.exclusive:
            # not owned by the program: a later delete must leave it alone
            state.pop(key, None)
    for key in kind.computed:
        state[key] = live.get(key)
    for key in kind.kept:
        state[key] = old_state.get(key)
    return inputs, {key: value for key, value in state.items() if value is not None}


def _with_own_tags(
    kind: ResourceType[Any], live: Properties, old_inputs: Properties, defaults: Mapping[str, str]
) -> Properties:
    """Tell the resource's own tags from those that come from the provider's defaults."""
    if kind.tagging is None:
        return live
    everything = live.get(kind.tagging.all) or {}
    written = old_inputs.get(kind.tagging.own) or {}
    own = {k: v for k, v in everything.items() if k in written or defaults.get(k) != v}
    also = dict.fromkeys(kind.tagging.also, everything)
    return {**live, kind.tagging.own: own or None, kind.tagging.all: everything, **also}
