"""What Envoy does when too much is asked of it: it refuses, and does not grow.

- Connections have a number; memory has a size. Bodies that wait for their end are the one thing
  that strangers can make large: the streams that hold most are reset first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_headers import TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.network.envoy_config import Limits

_MONITORS = "envoy.resource_monitors."
_ACTIONS = "envoy.overload_actions."
_HEAP = f"{_MONITORS}fixed_heap"
_TRACKED = 15
"""Streams that hold less than two to this power of bytes are not among those reset."""


def overload_manager(limits: Limits) -> Mapping[str, Any]:
    """Return the limits of the whole process."""
    return {
        "refresh_interval": "0.100s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": _TRACKED},
        "resource_monitors": [
            {
                "name": f"{_MONITORS}global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{TYPES}resource_monitors.downstream_connections.v3"
                    ".DownstreamConnectionsConfig",
                    "max_active_downstream_connections": limits.connections,
                },
            },
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{TYPES}resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": limits.memory_bytes,
                },
            },
        ],
        "actions": [
            _action("shrink_heap", 0.8),
            {
                "name": f"{_ACTIONS}reset_high_memory_stream",
                "triggers": [
                    {
                        "name": _HEAP,
                        "scaled": {"scaling_threshold": 0.8, "saturation_threshold": 0.95},
                    }
                ],
            },
            _action("stop_accepting_requests", 0.95),
            _action("stop_accepting_connections", 0.98),
        ],
    }


def _action(name: str, at: float) -> Mapping[str, Any]:
    return {
        "name": f"{_ACTIONS}{name}",
        "triggers": [{"name": _HEAP, "threshold": {"value": at}}],
    }
