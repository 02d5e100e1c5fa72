"""The controls that keep nobody from anything, and find out."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core.control import Control, Layer, Refusal, SwitchedIn
from iamrange.core.decision import Effect

AUDIT = "audit.verify"
"""The decision point of whoever verifies the audit log."""

AUDIT_CHAIN = Control(
    id="detect.audit-chain",
    layer=Layer.DETECT,
    summary="Each record of the audit log is sealed to the one before; heads are kept elsewhere.",
    without_it="The log is a file like any other: what stands in it is what was written last.",
    refusal=Refusal(point=AUDIT, layer="chain", effect=Effect.DENY),
    touches=frozenset(),
    maps_to=(fw.AU_9, fw.ASI10, fw.T1685_002),
    switched_in=SwitchedIn.WORLD,
    detects=True,
)
CONTROLS: tuple[Control, ...] = (AUDIT_CHAIN,)
