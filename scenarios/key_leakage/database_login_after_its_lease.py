"""A login at the database, stolen from an agent's memory and kept for later."""

from __future__ import annotations

import time

from iamrange.core import frameworks as fw
from iamrange.core import secrets_controls
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    DatabaseLogin,
    Foothold,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import database_workloads

MOMENT = 1.5
"""How much longer than the lease the thief waits, in seconds."""


def attack(foothold: Taken) -> Loot:
    """Query with the login once its lease is over. The database goes by real time."""
    knows = foothold.knows
    time.sleep(float(knows["vault.lease"]) + MOMENT)
    login = foothold.database_login or DatabaseLogin("none", "none")
    return Loot((database_workloads.read_record(login, knows, knows["victim.database_schema"]),))


SCENARIO = Scenario(
    claim="a login at the database that was stolen is no login any more when its lease is over",
    blocked_by=(secrets_controls.DYNAMIC_DATABASE_CREDENTIALS,),
    foothold=Foothold(Part.DATA_ANALYST, Material.DATABASE_LOGIN, taken_from="process memory"),
    asset=Asset(AssetKind.DATABASE_RECORDS, Part.DATA_ANALYST),
    knows=("victim.database_schema", "vault.lease", *database_workloads.FACTS),
    legitimate=database_workloads.QUERIES_OWN_RECORDS,
    attack=attack,
    maps_to=(fw.NHI7, fw.ASI03, fw.T1555_006),
    lesson="A password that every run of an agent shares is changed by nobody, because somebody "
    "might need it. One that was made for this run can be dropped.",
)
