"""A plain script of an agent, no endpoint named anywhere, does what the agent may and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests

from iamrange.core.decision import Outcome
from iamrange.identity.agent_home import (
    AwsTarget,
    GoogleTarget,
    agent_environment,
    write_agent_home,
)
from iamrange.identity.names import AWS_AUDIENCE, ISSUER
from iamrange.jose import SigningKey
from iamrange.range.config import AgentRegistration, Project, WorldConfig
from iamrange.range.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCOUNT = "100000000002"
PROJECT, NUMBER = "iamrange-agents", "340000000001"
POOL = f"projects/{NUMBER}/locations/global/workloadIdentityPools/agents"
PROVIDER = f"{POOL}/providers/idp"
SERVICE_ACCOUNT = f"analyst@{PROJECT}.iam.gserviceaccount.com"
SUBJECT = "spiffe://iamrange.example/agent/data-analyst"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/agents/data-analyst"
CONFIG = WorldConfig(
    run_id="run7",
    aws_accounts=(ACCOUNT,),
    gcp_organization="123456789012",
    gcp_projects=(Project(id=PROJECT, number=NUMBER, organization="123456789012"),),
)
PLAIN_SCRIPT = """
import boto3, google.auth
from google.cloud import secretmanager
print(boto3.client('sts').get_caller_identity()['Arn'])
secrets = boto3.client('secretsmanager')
print(secrets.get_secret_value(SecretId='own')['SecretString'])
try:
    secrets.get_secret_value(SecretId='neighbours')
except secrets.exceptions.ClientError as error:
    print(error.response['Error']['Code'])
google_secrets = secretmanager.SecretManagerServiceClient(transport='rest')
for name in ('own', 'neighbours'):
    try:
        version = f'projects/iamrange-agents/secrets/{name}/versions/latest'
        print(google_secrets.access_secret_version(name=version).payload.data.decode())
    except Exception as error:
        print(type(error).__name__)
"""
CALL_AWS = "import boto3; boto3.client('sts').get_caller_identity()"
CALL_GOOGLE = """
import google.auth
from google.auth.transport.requests import Request
google.auth.default(scopes=['https://www.googleapis.com/auth/cloud-platform'])[0].refresh(Request())
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with World.start(CONFIG) as running:
        provision_aws(running)
        provision_google(running)
        yield running


def provision_aws(world: World) -> None:
    key = world.aws_keys[ACCOUNT]

    def client(service: str) -> Any:  # noqa: ANN401 - boto3's clients are made at run time
        return boto3.client(  # type: ignore[call-overload]  # the service is a variable
            service,
            region_name="us-east-1",
            endpoint_url=world.aws_endpoint,
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
        )

    secrets, iam = client("secretsmanager"), client("iam")
    own = secrets.create_secret(Name="own", SecretString="aws-own")["ARN"]
    secrets.create_secret(Name="neighbours", SecretString="aws-neighbours")
    provider = iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=[AWS_AUDIENCE])
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": provider["OpenIDConnectProviderArn"]},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                "idp.iamrange.example:sub": SUBJECT,
                "idp.iamrange.example:aud": AWS_AUDIENCE,
            }
        },
    }
    read = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": own}
    iam.create_role(
        Path="/agents/", RoleName="data-analyst", AssumeRolePolicyDocument=document(trust)
    )
    iam.put_role_policy(RoleName="data-analyst", PolicyName="own", PolicyDocument=document(read))
    secrets.close()
    iam.close()


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def provision_google(world: World) -> None:
    def call(path: str, body: object) -> None:
        answer = requests.post(
            f"{world.gcp_endpoint}/v1/{path}",
            json=body,
            headers={"Authorization": f"Bearer {world.gcp_tokens[PROJECT]}"},
            timeout=20,
        )
        assert answer.status_code == 200, answer.text

    call(POOL.rpartition("/")[0] + "?workloadIdentityPoolId=agents", {})
    provider = {
        "attributeMapping": {"google.subject": "assertion.sub"},
        "oidc": {"issuerUri": ISSUER},
    }
    call(f"{POOL}/providers?workloadIdentityPoolProviderId=idp", provider)
    call(f"projects/{PROJECT}/serviceAccounts", {"accountId": "analyst"})
    member = f"principal://iam.googleapis.com/{POOL}/subject/{SUBJECT}"
    call(
        f"projects/{PROJECT}/serviceAccounts/{SERVICE_ACCOUNT}:setIamPolicy",
        policy("roles/iam.workloadIdentityUser", member),
    )
    for name in ("own", "neighbours"):
        secret = f"projects/{PROJECT}/secrets"
        call(f"{secret}?secretId={name}", {"replication": {"automatic": {}}})
        call(f"{secret}/{name}:addVersion", {"payload": {"data": "Z2NwLXNlY3JldA=="}})
    call(
        f"projects/{PROJECT}/secrets/own:setIamPolicy",
        policy("roles/secretmanager.secretAccessor", f"serviceAccount:{SERVICE_ACCOUNT}"),
    )


def policy(role: str, member: str) -> dict[str, Any]:
    return {"policy": {"bindings": [{"role": role, "members": [member]}]}}


def agent_home(world: World, folder: Path) -> Path:
    key = SigningKey.generate("ES256")
    google = GoogleTarget(provider=PROVIDER, service_account=SERVICE_ACCOUNT, project=PROJECT)
    world.register_agent(
        AgentRegistration(
            name="data-analyst",
            public_jwk=key.public_jwk(),
            audiences=(AWS_AUDIENCE, google.token_audience),
            aws_role_arn=ROLE,
        )
    )
    aws = AwsTarget(role_arn=ROLE, session_name="data-analyst")
    return write_agent_home(folder, name="data-analyst", key=key, aws=aws, google=google)


def run(world: World, home: Path, source: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our interpreter, this file's source
        [sys.executable, "-c", source],
        env=world.environment() | agent_environment(home),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_plain_script_works_on_both_clouds_as_the_agent(world: World, tmp_path: Path) -> None:
    home = agent_home(world, tmp_path / "a home with spaces")
    seen = [
        f"arn:aws:sts::{ACCOUNT}:assumed-role/data-analyst/data-analyst-run7",
        "aws-own",
        "AccessDeniedException",
        "gcp-secret",
        "Forbidden",
    ]
    done = run(world, home, PLAIN_SCRIPT)
    assert done.stdout.split("\n")[:-1] == seen, done.stderr
    records, _ = world.records_since()
    refused = [record for record in records if record.outcome is Outcome.DENY]
    assert [record.point for record in refused] == ["aws.authorize", "gcp.authorize"]
    # The broker calls STS from inside; everything else came through the corporate network.
    assert {r.source_ip for r in refused} == {"127.10.0.1"}
    with world.fork() as fork:  # the same home, another world: nothing in it names the first
        assert run(fork, home, PLAIN_SCRIPT).stdout.split("\n")[:-1] == seen


def test_quarantined_agent_gets_nothing_new_from_either_cloud(world: World, tmp_path: Path) -> None:
    home = agent_home(world, tmp_path / "home")
    world.change_agent("data-analyst", "quarantine")
    for script in (CALL_AWS, CALL_GOOGLE):
        assert "invalid_client" in run(world, home, script).stderr
    world.change_agent("data-analyst", "release")
    for script in (CALL_AWS, CALL_GOOGLE):
        done = run(world, home, script)
        assert done.returncode == 0, done.stderr


def test_key_rotation_disturbs_no_agent_and_a_withdrawn_key_no_new_token(
    world: World, tmp_path: Path
) -> None:
    home = agent_home(world, tmp_path / "home")
    (old,) = world.describe()["issuer_keys"]
    world.control("rotate_keys")
    assert run(world, home, CALL_AWS).returncode == 0
    world.control("withdraw_key", kid=old)
    assert run(world, home, CALL_AWS).returncode == 0
