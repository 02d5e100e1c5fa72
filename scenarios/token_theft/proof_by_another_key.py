"""A stolen access token, with a faultless proof by the key of the thief."""

from __future__ import annotations

from iamrange.core import controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import oauth, service_workloads


def attack(foothold: Taken) -> Loot:
    """Make a new key, and prove possession of that one."""
    token = oauth.dpop_token(foothold.oauth["access_token"], oauth.new_key())
    return Loot((oauth.read_record(foothold.knows["victim.service"] + oauth.RECORD, auth=token),))


SCENARIO = Scenario(
    claim="a proof of possession is taken from the key that the token is bound to alone",
    blocked_by=(controls.INVARIANTS["identity.compares-keys"],),
    foothold=Foothold(Part.DATA_ANALYST, Material.ACCESS_TOKEN, taken_from="a debug log"),
    asset=Asset(AssetKind.SERVICE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.service",),
    legitimate=service_workloads.READS_SERVICE_RECORDS,
    attack=attack,
    maps_to=(fw.NHI4, fw.T1528),
    lesson="Everybody can prove to hold some key; the question is whether it is the token's.",
)
