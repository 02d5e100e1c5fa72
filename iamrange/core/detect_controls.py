"""The controls that find out, and those that cut off whom they have found out."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core.access_controls import GATEWAY
from iamrange.core.control import Control, Layer, Refusal, SwitchedIn
from iamrange.core.decision import Effect

AUDIT = "audit.verify"
"""The decision point of whoever verifies the audit log."""

WATCH = "behaviour.watch"
"""The decision point of whoever watches what agents do."""

RESPONSE = "behaviour.response"
"""Where it is written down what was done about an accused agent."""

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
BEHAVIOUR_BASELINE = Control(
    id="detect.behaviour-baseline",
    layer=Layer.DETECT,
    summary="What each agent usually does is learned, and what it never did before is accused.",
    without_it="Calls are logged, and nobody compares them with yesterday's.",
    refusal=Refusal(point=WATCH, layer="baseline", effect=Effect.DENY),
    touches=frozenset(),
    maps_to=(fw.SI_4, fw.AC_2_12, fw.ASI10),
    switched_in=SwitchedIn.WORLD,
    detects=True,
)
HARD_LIMITS = Control(
    id="detect.hard-limits",
    layer=Layer.DETECT,
    summary="Declared limits stand beside the learned ones, and no behaviour moves them.",
    without_it="Ordinary is whatever was learned: who changes slowly enough is never noticed.",
    refusal=Refusal(point=WATCH, layer="limits", effect=Effect.DENY),
    touches=frozenset(),
    maps_to=(fw.SI_4, fw.AC_2_12, fw.ASI10),
    switched_in=SwitchedIn.WORLD,
    detects=True,
)
AUTOMATIC_REVOCATION = Control(
    id="detect.automatic-revocation",
    layer=Layer.DETECT,
    summary="An accused agent is quarantined in the directory at once, and its tokens are dead.",
    without_it="An accusation waits for somebody to read it, and the agent works on.",
    refusal=Refusal(point=GATEWAY, layer="agent", effect=Effect.DENY, reason="agent-quarantined"),
    touches=frozenset(),
    maps_to=(fw.ASI10, fw.AC_2_13, fw.AC_3_8),
    switched_in=SwitchedIn.WORLD,
    contains=True,
)
ISOLATION = Control(
    id="detect.isolation",
    layer=Layer.DETECT,
    summary="An accused agent's sessions in the clouds are cut too, by each cloud's own means.",
    without_it="Its tokens with us are dead, and what it holds of a cloud's works on.",
    refusal=Refusal(
        point="gcp.authenticate",
        layer="access-token",
        effect=Effect.DENY,
        reason="account-disabled",
    ),
    touches=frozenset(),
    maps_to=(fw.ASI10, fw.AC_2_13, fw.T1078_004),
    switched_in=SwitchedIn.WORLD,
    contains=True,
)
VAULT_ISOLATION = Control(
    id="detect.vault-isolation",
    layer=Layer.DETECT,
    summary="An accused agent is disabled at the vault, and its tokens and leases there revoked.",
    without_it="Whatever it can still log in with opens the vault, for as long as that is good.",
    refusal=Refusal(
        point="vault.login",
        layer="identity",
        effect=Effect.DENY,
        reason="disabled",
    ),
    touches=frozenset(),
    maps_to=(fw.ASI10, fw.AC_2_13, fw.NHI7),
    switched_in=SwitchedIn.WORLD,
    contains=True,
)
CONTROLS: tuple[Control, ...] = (
    AUDIT_CHAIN,
    BEHAVIOUR_BASELINE,
    HARD_LIMITS,
    AUTOMATIC_REVOCATION,
    ISOLATION,
    VAULT_ISOLATION,
)
