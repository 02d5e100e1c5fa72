"""Every control and every invariant of the range: the one list of them.

Each layer's are declared in a module of its own.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from iamrange.core import (
    access_controls,
    aws_controls,
    detect_controls,
    gcp_controls,
    identity_controls,
    invariants,
    secrets_controls,
)
from iamrange.core.control import Control, Invariant, Layer, Refusal, SwitchedIn

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONTROLS",
    "INVARIANTS",
    "Control",
    "Invariant",
    "Layer",
    "Refusal",
    "SwitchedIn",
    "UnknownNameError",
    "control_named",
]

CONTROLS: Mapping[str, Control] = {
    control.id: control
    for control in (
        *aws_controls.CONTROLS,
        *gcp_controls.CONTROLS,
        *identity_controls.CONTROLS,
        *access_controls.CONTROLS,
        *secrets_controls.CONTROLS,
        *detect_controls.CONTROLS,
    )
}
INVARIANTS: Mapping[str, Invariant] = {
    invariant.id: invariant for invariant in invariants.INVARIANTS
}


class UnknownNameError(Exception):
    """A name that the range does not know, with the nearest that it does."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        """Say what kind of thing `name` was taken for and what comes near it."""
        nearest = get_close_matches(name, known, n=3, cutoff=0.0)
        listed = f"; `iamrange {kind}s` lists them all" if kind in ("scenario", "control") else ""
        super().__init__(f"unknown {kind} '{name}'; nearest: {', '.join(nearest)}{listed}")
        self.nearest = tuple(nearest)


def control_named(name: str) -> Control:
    """Return the control of that id.

    Raises:
        UnknownNameError: there is none; the error names the nearest ids.
    """
    try:
        return CONTROLS[name]
    except KeyError:
        raise UnknownNameError("control", name, tuple(CONTROLS)) from None
