"""The controls that keep credentials from lying around."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core.control import Control, Layer, Refusal, SwitchedIn
from iamrange.core.decision import Effect

SEARCHED = "repository.search"
"""The decision point of whoever searches what an attacker has searched, and finds a decoy alone."""

NO_HARD_CODED_CREDENTIALS = Control(
    id="secrets.no-hard-coded-credentials",
    layer=Layer.SECRETS,
    summary="An agent's key lies in its home alone: its repository and configuration hold none.",
    without_it="The key was written down where it is copied: in a file that agents share, or in a "
    "commit, where it stays when the next commit deletes it.",
    refusal=Refusal(point=SEARCHED, layer="search", effect=Effect.DENY),
    touches=frozenset(),
    maps_to=(fw.NHI2, fw.T1552_001, fw.IA_5_7),
    switched_in=SwitchedIn.WORLD,
)
CONTROLS: tuple[Control, ...] = (NO_HARD_CODED_CREDENTIALS,)
