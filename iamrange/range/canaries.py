"""Canaries: a random value for every asset of a run, planted with the range's own credentials.

- Made anew for each run; known to the runner alone, and to whoever really reads the asset.
- Planted in a process of its own, which is told what to plant where.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

from iamrange.core.scenario import Asset, AssetKind
from iamrange.range.services import OUR_SERVICES
from iamrange.range.written import LIES_NOWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.range.landing import Landing
    from iamrange.range.stage import Stage
    from iamrange.range.world import World

_TIMEOUT = 30


def canaries_for(stage: Stage) -> dict[Asset, str]:
    """Return a value for each asset of the stage; assets in one place share theirs."""
    by_place: dict[tuple[AssetKind, str], str] = {}
    return {
        asset: by_place.setdefault(
            (asset.kind, stage.place_of(asset)), f"canary-{secrets.token_urlsafe(24)}"
        )
        for asset in stage.assets()
    }


def planting(
    world: World, landing: Landing, stage: Stage, canaries: Mapping[Asset, str]
) -> dict[str, Any]:
    """Return the orders for `plant`."""
    return {
        "aws_endpoint": world.aws_endpoint,
        "aws_key": dict(world.aws_keys[landing.workloads]),
        "region": landing.region,
        "data_keys": {
            "table": stage.aws["data_keys_table"],
            "key": stage.aws["data_key_arn"],
        },
        "vault_endpoint": world.vault_endpoint,
        "vault_token": world.vault_token,
        "vault_store": stage.vault["store"],
        "gcp_endpoint": world.gcp_endpoint,
        "gcp_token": world.gcp_tokens[landing.project],
        "values": sorted(
            {
                (asset.kind.value, stage.place_of(asset), value)
                for asset, value in canaries.items()
                # what the world's own services keep, the world is told; a power lies nowhere
                if asset.kind not in (*OUR_SERVICES, *LIES_NOWHERE, AssetKind.DATABASE_RECORDS)
            }
        ),
    }


def plant(spec: Mapping[str, Any]) -> int:
    """Write every value to its place; return how many were written.

    Raises:
        botocore.exceptions.ClientError, requests.HTTPError: a place did not take it.
    """
    import boto3  # noqa: PLC0415 - the runner itself needs no SDK
    import requests  # noqa: PLC0415 - same

    session = boto3.Session(
        aws_access_key_id=spec["aws_key"]["access_key_id"],
        aws_secret_access_key=spec["aws_key"]["secret_access_key"],
        region_name=spec["region"],
    )
    vault = session.client("secretsmanager", endpoint_url=spec["aws_endpoint"])
    tables = session.client("dynamodb", endpoint_url=spec["aws_endpoint"])
    keys = session.client("kms", endpoint_url=spec["aws_endpoint"])
    for kind, place, value in spec["values"]:
        if kind == AssetKind.AWS_RECORDS:
            tables.put_item(TableName=place, Item={"id": {"S": "latest"}, "value": {"S": value}})
        elif kind == AssetKind.AWS_DATA_KEY:
            wrapped = keys.encrypt(
                KeyId=spec["data_keys"]["key"], Plaintext=value, EncryptionContext={"agent": place}
            )["CiphertextBlob"]
            item = {"id": {"S": place}, "wrapped": {"B": wrapped}}
            tables.put_item(TableName=spec["data_keys"]["table"], Item=item)
        elif kind in (AssetKind.VAULT_SECRET, AssetKind.VAULT_BOOTSTRAP):
            answer = requests.post(
                f"{spec['vault_endpoint']}/v1/{spec['vault_store']}/data/{place}",
                json={"data": {"value": value}},
                headers={"X-Vault-Token": spec["vault_token"]},
                timeout=_TIMEOUT,
            )
            answer.raise_for_status()
            answer = requests.post(
                f"{spec['vault_endpoint']}/v1/{spec['vault_store']}/metadata/{place}",
                json={"custom_metadata": {"agent": place.partition("/")[0]}},
                headers={"X-Vault-Token": spec["vault_token"]},
                timeout=_TIMEOUT,
            )
            answer.raise_for_status()
        elif kind in (AssetKind.GCP_SECRET, AssetKind.GCP_BACKUP_SECRET):
            answer = requests.post(
                f"{spec['gcp_endpoint']}/v1/{place}:addVersion",
                json={"payload": {"data": base64.b64encode(value.encode()).decode()}},
                headers={"Authorization": f"Bearer {spec['gcp_token']}"},
                timeout=_TIMEOUT,
            )
            answer.raise_for_status()
        else:
            vault.put_secret_value(SecretId=place, SecretString=value)
    return len(spec["values"])
