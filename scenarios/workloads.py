"""The legitimate work that scenarios share, and the calls that agents and attackers both make.

Agents use unmodified clients on their default hostnames; who they are comes from their
environment alone (an AWS profile, Google's application default credentials).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import google.auth
from google.auth import identity_pool
from google.auth.transport.requests import Request
from google.cloud import secretmanager
from google.oauth2 import credentials as oauth2_credentials

from iamrange.core.scenario import AssetKind, AwsSession, Work, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.auth.credentials import Credentials

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


def aws_session(session: AwsSession | None) -> boto3.Session:
    """Return a boto3 session on stolen credentials, or on the process's own when None."""
    if session is None:
        return boto3.Session()
    return boto3.Session(
        aws_access_key_id=session.access_key_id,
        aws_secret_access_key=session.secret_access_key,
        aws_session_token=session.session_token,
    )


def assume_with_token(token: str | None, role_arn: str, *, name: str) -> AwsSession:
    """Exchange an OIDC token for a session of the role, as any holder of the token could."""
    answer = boto3.client("sts").assume_role_with_web_identity(
        RoleArn=role_arn, RoleSessionName=name, WebIdentityToken=token or ""
    )["Credentials"]
    return AwsSession(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


def read_aws_secret(session: boto3.Session, secret: str) -> str:
    """Read the current value of a secret in AWS Secrets Manager."""
    answer = session.client("secretsmanager").get_secret_value(SecretId=secret)
    return str(answer["SecretString"])


def read_aws_record(session: boto3.Session, table: str, key: str) -> str:
    """Read one record of a DynamoDB table; the value is its attribute `value`."""
    answer = session.client("dynamodb").get_item(TableName=table, Key={"id": {"S": key}})
    return str(answer["Item"]["value"]["S"])


class _FixedToken(identity_pool.SubjectTokenSupplier):
    """Hands google-auth a token that the holder already has."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_subject_token(self, context: object, request: object) -> str:
        del context, request
        return self._token


def federate_with_token(token: str | None, provider: str, service_account: str) -> Credentials:
    """Return credentials that exchange the token at Google STS and impersonate the account."""
    return identity_pool.Credentials(
        audience=f"//iam.googleapis.com/{provider}",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",  # noqa: S106  # a type's name
        token_url="https://sts.googleapis.com/v1/token",  # noqa: S106  # Google's own endpoint
        subject_token_supplier=_FixedToken(token or ""),
        service_account_impersonation_url=(
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
            f"{service_account}:generateAccessToken"
        ),
        scopes=[CLOUD_PLATFORM],
    )


def bearer(access_token: str | None) -> Credentials:
    """Return credentials that show a stolen access token as it is."""
    return oauth2_credentials.Credentials(token=access_token)


def read_gcp_secret(credentials: Credentials, secret: str) -> str:
    """Read the latest version of a secret in Google Secret Manager, over REST."""
    client = secretmanager.SecretManagerServiceClient(credentials=credentials, transport="rest")
    answer = client.access_secret_version(name=f"{secret}/versions/latest", timeout=10, retry=None)
    return str(answer.payload.data.decode())


def _remember_aws(session: boto3.Session) -> dict[str, str]:
    credentials = session.get_credentials()
    if credentials is None:
        msg = "the agent's AWS profile gave no credentials"
        raise RuntimeError(msg)
    frozen = credentials.get_frozen_credentials()
    return {
        "access_key_id": str(frozen.access_key),
        "secret_access_key": str(frozen.secret_key),
        "session_token": str(frozen.token),
    }


def _work_on_own_aws_secret(facts: Mapping[str, str]) -> Work:
    session = boto3.Session()
    nonce = read_aws_secret(session, facts["own.aws_secret_arn"])
    return Work(nonce, _remember_aws(session))


def _work_on_project_records(facts: Mapping[str, str]) -> Work:
    session = boto3.Session()
    nonce = read_aws_record(session, facts["own.aws_table"], "latest")
    return Work(nonce, _remember_aws(session))


def _work_on_own_gcp_secret(facts: Mapping[str, str]) -> Work:
    credentials, _ = google.auth.default(scopes=[CLOUD_PLATFORM])
    credentials.refresh(Request())
    nonce = read_gcp_secret(credentials, facts["own.gcp_secret"])
    return Work(nonce, {"access_token": str(credentials.token)})


def _deploy_within_the_boundary(facts: Mapping[str, str]) -> Work:
    session = boto3.Session()
    session.client("iam").put_role_policy(
        RoleName=facts["own.aws_role_arn"].rsplit("/", 1)[1],
        PolicyName="deployed",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Action": "secretsmanager:DescribeSecret",
                        "Resource": facts["own.aws_secret_arn"],
                    }
                ],
            }
        ),
    )
    nonce = read_aws_secret(session, facts["own.aws_secret_arn"])
    return Work(nonce, _remember_aws(session))


def _audit_access_keys(facts: Mapping[str, str]) -> Work:
    session = boto3.Session()
    session.client("iam").list_access_keys(UserName=facts["aws.backup_user"])
    nonce = read_aws_secret(session, facts["own.aws_secret_arn"])
    return Work(nonce, _remember_aws(session))


READS_OWN_AWS_SECRET = Workload(
    run=_work_on_own_aws_secret, asset_kind=AssetKind.AWS_SECRET, knows=("own.aws_secret_arn",)
)
READS_PROJECT_RECORDS = Workload(
    run=_work_on_project_records, asset_kind=AssetKind.AWS_RECORDS, knows=("own.aws_table",)
)
READS_OWN_GCP_SECRET = Workload(
    run=_work_on_own_gcp_secret, asset_kind=AssetKind.GCP_SECRET, knows=("own.gcp_secret",)
)
DEPLOYS_WITHIN_THE_BOUNDARY = Workload(
    run=_deploy_within_the_boundary,
    asset_kind=AssetKind.AWS_SECRET,
    knows=("own.aws_secret_arn", "own.aws_role_arn"),
)
AUDITS_ACCESS_KEYS = Workload(
    run=_audit_access_keys,
    asset_kind=AssetKind.AWS_SECRET,
    knows=("own.aws_secret_arn", "aws.backup_user"),
)
