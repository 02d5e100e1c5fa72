"""The legitimate work that scenarios share, and the calls that agents and attackers both make.

Agents use unmodified clients on their default hostnames; who they are comes from their
environment alone (an AWS profile, Google's application default credentials).
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import boto3
import botocore.loaders
import botocore.session
import google.auth
from google.auth import identity_pool
from google.auth.transport.requests import Request
from google.cloud import secretmanager
from google.oauth2 import credentials as oauth2_credentials

from iamrange.core.scenario import AssetKind, AwsSession, Work, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.auth.credentials import Credentials

LOADER = botocore.loaders.create_loader()
"""One loader for a process: the models of AWS's services are large, and the same for everybody."""

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


def own_session() -> boto3.Session:
    """Return a boto3 session on the process's own credentials, as its environment gives them."""
    core = botocore.session.get_session()
    core.register_component("data_loader", LOADER)
    return boto3.Session(botocore_session=core)


def aws_session(session: AwsSession | None) -> boto3.Session:
    """Return a boto3 session on credentials that somebody got hold of.

    Raises:
        ValueError: there are none; the process's own must not be taken instead.
    """
    if session is None:
        msg = "no AWS session was taken"
        raise ValueError(msg)
    core = botocore.session.get_session()
    core.register_component("data_loader", LOADER)
    return boto3.Session(
        botocore_session=core,
        aws_access_key_id=session.access_key_id,
        aws_secret_access_key=session.secret_access_key,
        aws_session_token=session.session_token,
    )


def session_of(credentials: Mapping[str, Any]) -> boto3.Session:
    """Return a boto3 session on the credentials of an answer of STS."""
    return aws_session(
        AwsSession(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
        )
    )


def assume_with_token(token: str | None, role_arn: str, *, name: str) -> AwsSession:
    """Exchange an OIDC token for a session of the role, as any holder of the token could."""
    answer = (
        own_session()
        .client("sts")
        .assume_role_with_web_identity(
            RoleArn=role_arn, RoleSessionName=name, WebIdentityToken=token or ""
        )["Credentials"]
    )
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


def exchange_at_google(token: str | None, provider: str) -> str:
    """Exchange an OIDC token at Google STS for a federated access token, and go no further."""
    credentials = identity_pool.Credentials(
        audience=f"//iam.googleapis.com/{provider}",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",  # noqa: S106  # a type's name
        token_url="https://sts.googleapis.com/v1/token",  # noqa: S106  # Google's own endpoint
        subject_token_supplier=_FixedToken(token or ""),
        scopes=[CLOUD_PLATFORM],
    )
    credentials.refresh(Request())
    return str(credentials.token)


def bearer(access_token: str | None) -> Credentials:
    """Return credentials that show a stolen access token as it is."""
    return oauth2_credentials.Credentials(token=access_token)


def read_gcp_secret(credentials: Credentials, secret: str) -> str:
    """Read the latest version of a secret in Google Secret Manager, over REST."""
    client = secretmanager.SecretManagerServiceClient(credentials=credentials, transport="rest")
    answer = client.access_secret_version(name=f"{secret}/versions/latest", timeout=10, retry=None)
    return str(answer.payload.data.decode())


def one_session() -> AwsSession:
    """Take one session for the whole job, from wherever the agent's profile gets them.

    boto3 renews credentials that have less than 15 minutes left at each use, which sessions of 15
    minutes always have: an agent that kept the profile's own would ask its broker at every call.
    """
    credentials = own_session().get_credentials()
    if credentials is None:
        msg = "the agent's AWS profile gave no credentials"
        raise RuntimeError(msg)
    frozen = credentials.get_frozen_credentials()
    return AwsSession(str(frozen.access_key), str(frozen.secret_key), str(frozen.token))


def in_memory(session: AwsSession) -> dict[str, str]:
    """Return what of a session lies in a process's memory, by the names of `AwsSession`."""
    return {
        "access_key_id": session.access_key_id,
        "secret_access_key": session.secret_access_key,
        "session_token": session.session_token or "",
    }


def _work_on_own_aws_secret(facts: Mapping[str, str]) -> Work:
    session = one_session()
    nonce = read_aws_secret(aws_session(session), facts["own.aws_secret_arn"])
    return Work(nonce, in_memory(session))


def _work_on_project_records(facts: Mapping[str, str]) -> Work:
    session = one_session()
    nonce = read_aws_record(aws_session(session), facts["own.aws_table"], "latest")
    return Work(nonce, in_memory(session))


def _work_on_own_gcp_secret(facts: Mapping[str, str]) -> Work:
    credentials, _ = google.auth.default(scopes=[CLOUD_PLATFORM])
    credentials.refresh(Request())
    nonce = read_gcp_secret(credentials, facts["own.gcp_secret"])
    return Work(nonce, {"access_token": str(credentials.token)})


def _deploy_within_the_boundary(facts: Mapping[str, str]) -> Work:
    session = one_session()
    own = aws_session(session)
    own.client("iam").put_role_policy(
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
    nonce = read_aws_secret(own, facts["own.aws_secret_arn"])
    return Work(nonce, in_memory(session))


def _audit_access_keys(facts: Mapping[str, str]) -> Work:
    session = one_session()
    own = aws_session(session)
    own.client("iam").list_access_keys(UserName=facts["aws.backup_user"])
    nonce = read_aws_secret(own, facts["own.aws_secret_arn"])
    return Work(nonce, in_memory(session))


def _look_after_the_account(facts: Mapping[str, str]) -> Work:
    session = one_session()
    own = aws_session(session)
    own.client("organizations").describe_organization()
    own.client("iam").list_open_id_connect_providers()
    own.client("cloudtrail").get_trail_status(Name=facts["aws.trail_arn"])
    nonce = read_aws_secret(own, facts["own.aws_secret_arn"])
    return Work(nonce, in_memory(session))


def assume_tagged(
    session: AwsSession | None, role_arn: str, *, project: str | None, transitive: bool = False
) -> AwsSession:
    """Go on to another role with a session, tagged with a project or with what it inherits."""
    tags: dict[str, Any] = {}
    if project is not None:
        tags["Tags"] = [{"Key": "project", "Value": project}]
    if transitive:
        tags["TransitiveTagKeys"] = ["project"]
    answer = (
        aws_session(session)
        .client("sts")
        .assume_role(RoleArn=role_arn, RoleSessionName="for-project", **tags)["Credentials"]
    )
    return AwsSession(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


def _work_for_project(facts: Mapping[str, str]) -> Work:
    session = one_session()
    worker = assume_tagged(
        session, facts["aws.worker_role_arn"], project=facts["own.project"], transitive=True
    )
    reader = assume_tagged(worker, facts["aws.records_role_arn"], project=None)
    nonce = read_aws_record(aws_session(reader), facts["own.aws_table"], "latest")
    return Work(nonce, in_memory(session))


def open_data_key(session: boto3.Session, table: str, agent: str) -> str:
    """Fetch an agent's wrapped data key, and have KMS open it as that agent's."""
    item = session.client("dynamodb").get_item(TableName=table, Key={"id": {"S": agent}})["Item"]
    answer = session.client("kms").decrypt(
        CiphertextBlob=item["wrapped"]["B"], EncryptionContext={"agent": agent}
    )
    return bytes(answer["Plaintext"]).decode()


def _open_own_data_key(facts: Mapping[str, str]) -> Work:
    session = one_session()
    nonce = open_data_key(aws_session(session), facts["aws.data_keys_table"], facts["own.name"])
    return Work(nonce, in_memory(session))


FUNCTION_CODE = """
import boto3

def handler(event, context):
    return boto3.client("secretsmanager").get_secret_value(SecretId=event["secret"])["SecretString"]
"""


def run_function(session: boto3.Session, *, name: str, role_arn: str, secret: str) -> str:
    """Deploy a function that reads a secret, with a role; call it and take it away again.

    Raises:
        RuntimeError: the function failed.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", FUNCTION_CODE)
    functions = session.client("lambda")
    functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role_arn,
        Handler="index.handler",
        Timeout=20,
        Code={"ZipFile": packed.getvalue()},
    )
    answer = functions.invoke(FunctionName=name, Payload=json.dumps({"secret": secret}).encode())
    returned = answer["Payload"].read()
    functions.delete_function(FunctionName=name)
    if "FunctionError" in answer:
        msg = "the function failed"
        raise RuntimeError(msg)
    return str(json.loads(returned))


def _deploy_a_function(facts: Mapping[str, str]) -> Work:
    session = one_session()
    nonce = run_function(
        aws_session(session),
        name=facts["own.aws_function"],
        role_arn=facts["own.aws_function_role_arn"],
        secret=facts["own.aws_secret_arn"],
    )
    return Work(nonce, in_memory(session))


def _collect_for_us(facts: Mapping[str, str]) -> Work:
    """Do a vendor's work for us: with its own key, in our account, under the name that it has."""
    answer = own_session().client("sts").get_session_token()["Credentials"]
    own = AwsSession(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
    session = come_as_vendor(
        own, facts["aws.vendor_role_arn"], external_id=facts["aws.vendor_external_id"]
    )
    nonce = read_aws_secret(aws_session(session), facts["aws.vendor_secret_arn"])
    return Work(nonce, in_memory(own))


def come_as_vendor(session: AwsSession | None, role_arn: str, *, external_id: str) -> AwsSession:
    """Go into a customer's account, saying for which customer."""
    answer = (
        aws_session(session)
        .client("sts")
        .assume_role(RoleArn=role_arn, RoleSessionName="monitoring", ExternalId=external_id)
    )["Credentials"]
    return AwsSession(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


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
LOOKS_AFTER_THE_ACCOUNT = Workload(
    run=_look_after_the_account,
    asset_kind=AssetKind.AWS_SECRET,
    knows=("own.aws_secret_arn", "aws.trail_arn"),
)
WORKS_FOR_PROJECT = Workload(
    run=_work_for_project,
    asset_kind=AssetKind.AWS_RECORDS,
    knows=("own.project", "own.aws_table", "aws.worker_role_arn", "aws.records_role_arn"),
)
OPENS_OWN_DATA_KEY = Workload(
    run=_open_own_data_key,
    asset_kind=AssetKind.AWS_DATA_KEY,
    knows=("own.name", "aws.data_keys_table"),
)
DEPLOYS_A_FUNCTION = Workload(
    run=_deploy_a_function,
    asset_kind=AssetKind.AWS_SECRET,
    knows=("own.aws_function", "own.aws_function_role_arn", "own.aws_secret_arn"),
)
COLLECTS_FOR_US = Workload(
    run=_collect_for_us,
    asset_kind=AssetKind.AWS_VENDOR_REPORT,
    knows=("aws.vendor_role_arn", "aws.vendor_external_id", "aws.vendor_secret_arn"),
)
