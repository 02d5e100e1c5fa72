"""The control that ends a value once it leaked."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core.control import Layer, own_control

ROTATION = own_control(
    Layer.SECRETS,
    "rotation",
    summary="A secret that leaked is replaced, and its old value is refused before that is done.",
    without_it="The vault has a new value; nobody ends the old one where it is accepted.",
    point="as.token",
    layer="client",
    reason="wrong-secret",
    maps_to=(fw.NHI7, fw.NHI2, fw.IA_5),
)
CONTROLS = (ROTATION,)
"""All of them, in the order in which they are listed."""
