"""The whole way of an agent: token file, exchange, impersonation, secret; all clients unpatched."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from google.api_core import exceptions
from google.auth import identity_pool, pluggable
from google.cloud import secretmanager_v1

if TYPE_CHECKING:
    from pathlib import Path

World = Any  # conftest's: tests are no packages, so that it cannot be imported

IAM = "https://iam.googleapis.com/v1/projects/acme-lab"
SECRETS = "https://secretmanager.googleapis.com/v1/projects/acme-lab/secrets"
ISSUER = "https://idp.agents.example"
POOL = "projects/1234567890/locations/global/workloadIdentityPools/agents"
ACCOUNT = "planner@acme-lab.iam.gserviceaccount.com"
SUBJECT = f"principal://iam.googleapis.com/{POOL}/subject/agent:planner"


@pytest.fixture
def prepared(world: World) -> World:
    world.done(
        "POST", f"{IAM}/locations/global/workloadIdentityPools?workloadIdentityPoolId=agents"
    )
    world.done(
        "POST",
        f"{IAM}/locations/global/workloadIdentityPools/agents/providers"
        "?workloadIdentityPoolProviderId=idp",
        {"attributeMapping": {"google.subject": "assertion.sub"}, "oidc": {"issuerUri": ISSUER}},
    )
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "planner"})
    _grant(
        world,
        f"{IAM}/serviceAccounts/{ACCOUNT}",
        "roles/iam.workloadIdentityUser",
        SUBJECT,
    )
    world.done("POST", f"{SECRETS}?secretId=canary", {"replication": {"automatic": {}}})
    world.done("POST", f"{SECRETS}/canary:addVersion", {"payload": {"data": "bm9uY2U="}})
    return world


def _grant(world: World, resource: str, role: str, member: str) -> None:
    policy = {"bindings": [{"role": role, "members": [member]}]}
    world.done("POST", f"{resource}:setIamPolicy", {"policy": policy})


def _token(world: World) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "sub": "agent:planner",
        "aud": f"https://iam.googleapis.com/{POOL}/providers/idp",
        "iat": now - 60,
        "exp": now + 240,
    }
    return str(world.issuer.key.sign(claims))


def _client(
    world: World, folder: Path, *, account: str | None = ACCOUNT, source: str = "file"
) -> secretmanager_v1.SecretManagerServiceClient:
    text, document = folder / "token", folder / "token.json"
    text.write_text(_token(world))
    document.write_text(json.dumps({"id_token": text.read_text()}))
    answer = {
        "version": 1,
        "success": True,
        "token_type": "urn:ietf:params:oauth:token-type:jwt",
        "id_token": text.read_text(),
        "expiration_time": int(time.time()) + 240,
    }
    (folder / "answer.json").write_text(json.dumps(answer))
    json_format = {"type": "json", "subject_token_field_name": "id_token"}
    sources: dict[str, dict[str, Any]] = {
        "file": {"file": str(text)},
        "json-file": {"file": str(document), "format": json_format},
        "executable": {
            "executable": {"command": f"/bin/cat {folder}/answer.json", "timeout_millis": 10_000}
        },
    }
    config: dict[str, Any] = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{POOL}/providers/idp",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": sources[source],
    }
    if account:
        config["service_account_impersonation_url"] = (
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
            f"{account}:generateAccessToken"
        )
    maker: Any = pluggable.Credentials if source == "executable" else identity_pool.Credentials
    credentials = maker.from_info(config, scopes=["https://www.googleapis.com/auth/cloud-platform"])
    return secretmanager_v1.SecretManagerServiceClient(credentials=credentials, transport="rest")


NAME = "projects/acme-lab/secrets/canary/versions/latest"


@pytest.mark.parametrize("source", ["file", "json-file", "executable"])
def test_an_agent_reads_its_secret_through_its_service_account(
    prepared: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
    _grant(
        prepared,
        f"{SECRETS}/canary",
        "roles/secretmanager.secretAccessor",
        f"serviceAccount:{ACCOUNT}",
    )
    answer = _client(prepared, tmp_path, source=source).access_secret_version(name=NAME)
    assert answer.payload.data == b"nonce"
    record = prepared.last("gcp.authorize")
    assert record.layers[1].decided_by.statement == "roles/secretmanager.secretAccessor"
    assert (record.principal, record.account) == (f"serviceAccount:{ACCOUNT}", "acme-lab")


def test_an_agent_reads_its_secret_with_the_federated_token_itself(
    prepared: World, tmp_path: Path
) -> None:
    _grant(prepared, f"{SECRETS}/canary", "roles/secretmanager.secretAccessor", SUBJECT)
    client = _client(prepared, tmp_path, account=None)
    assert client.access_secret_version(name=NAME).payload.data == b"nonce"


def test_without_a_binding_on_the_secret_the_agent_is_refused(
    prepared: World, tmp_path: Path
) -> None:
    with pytest.raises(exceptions.Forbidden, match=r"secretmanager\.versions\.access"):
        _client(prepared, tmp_path).access_secret_version(name=NAME)
    record = prepared.last("gcp.authorize")
    assert (record.reason, record.layers[1].near_misses) == ("no-binding-allows", ())
