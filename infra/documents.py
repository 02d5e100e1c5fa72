"""The policy documents and conditions of the hardened range, as pure functions of values.

- Everything here is the strong form. A form with a control left out is made in `unsafe.py` only.
- A document is a value: equal inputs give equal text, so that an unchanged stack shows no change.
- A Sid is a hint for people who read a decision; nothing decides by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra import names

Condition = Mapping[str, Mapping[str, str | tuple[str, ...]]]

LAMBDA = "lambda.amazonaws.com"
PROJECT_TAG = "aws:ResourceTag/project"
SECRET_READ = ("secretsmanager:GetSecretValue",)
RECORDS_READ = ("dynamodb:GetItem", "dynamodb:Query")
ROLE_POLICY_WRITE = ("iam:DeleteRolePolicy", "iam:GetRolePolicy", "iam:PutRolePolicy")
ACCESS_KEY_WRITE = ("iam:CreateAccessKey", "iam:GetUser", "iam:ListAccessKeys")
DATA_KEY_READ = ("dynamodb:GetItem",)
DATA_KEY_OPEN = ("kms:Decrypt",)
FUNCTION_DEPLOY = (
    "lambda:CreateFunction",
    "lambda:DeleteFunction",
    "lambda:GetFunction",
    "lambda:InvokeFunction",
    "lambda:UpdateFunctionCode",
)
ASSUME_TAGGED = ("sts:AssumeRole", "sts:TagSession")
ACCOUNT_ADMINISTRATION = (
    "cloudtrail:DeleteTrail",
    "cloudtrail:GetTrailStatus",
    "cloudtrail:StartLogging",
    "cloudtrail:StopLogging",
    "iam:CreateOpenIDConnectProvider",
    "iam:ListOpenIDConnectProviders",
    "iam:UpdateAssumeRolePolicy",
    "organizations:DescribeOrganization",
    "organizations:LeaveOrganization",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of an AWS policy document."""

    sid: str
    effect: str = "Allow"
    principal: Mapping[str, str] | str | None = None
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ()
    condition: Condition = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the statement in IAM's grammar; absent elements are left out, never empty."""
        body: dict[str, object] = {"Sid": self.sid, "Effect": self.effect}
        if self.principal is not None:
            named = self.principal
            body["Principal"] = named if isinstance(named, str) else dict(named)
        body["Action"] = _one_or_many(self.actions)
        if self.resources:
            body["Resource"] = _one_or_many(self.resources)
        if self.condition:
            body["Condition"] = {
                operator: {key: _one_or_many(value) for key, value in keys.items()}
                for operator, keys in self.condition.items()
            }
        return body


@dataclass(frozen=True, slots=True)
class Document:
    """An AWS policy document."""

    statements: tuple[Statement, ...]

    def to_json(self) -> str:
        """Return the document's text, the same for the same document."""
        return json.dumps(
            {"Version": "2012-10-17", "Statement": [s.to_json() for s in self.statements]}
        )


def _one_or_many(values: str | Sequence[str]) -> str | list[str]:
    if isinstance(values, str):
        return values
    return values[0] if len(values) == 1 else list(values)


def condition_prefix(issuer: str) -> str:
    """Return what IAM's condition keys of this issuer begin with: host and path, no scheme.

    The path counts, and so does a trailing slash: another spelling is another key, which is absent.
    """
    return issuer.removeprefix("https://")


def agent_trust(*, provider_arn: str, issuer: str, subject: str) -> Document:
    """Let one subject of one issuer, with a token made for AWS, assume the role.

    Both keys stand under StringEquals: an absent claim fails it, and no character is a wildcard.
    """
    prefix = condition_prefix(issuer)
    return Document(
        (
            Statement(
                sid="OneSubjectOneAudience",
                principal={"Federated": provider_arn},
                actions=("sts:AssumeRoleWithWebIdentity",),
                condition={
                    "StringEquals": {
                        f"{prefix}:aud": names.AWS_AUDIENCE,
                        f"{prefix}:sub": subject,
                    }
                },
            ),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the resources that a policy names live."""

    account: str
    region: str


def own_secret(place: Place, agent: str) -> Statement:
    """Let an agent read its own secret and no other."""
    pattern = names.secret_arn_pattern(place.region, place.account, names.secret(agent))
    return Statement(sid="OwnSecret", actions=SECRET_READ, resources=(pattern,))


def session_policy(place: Place, agent: str) -> Document:
    """Cut a session to reading the agent's own secret. It grants nothing that the role lacks."""
    return Document((own_secret(place, agent),))


def project_records(place: Place) -> Statement:
    """Let an agent read records whose project tag is the agent's own.

    The session's tag is the role's: nothing that the agent says can change it. Were the role
    without that tag, the variable would have no value and the statement would not match.
    """
    return Statement(
        sid="ProjectRecords",
        actions=RECORDS_READ,
        resources=(tables(place),),
        condition={"StringEquals": {PROJECT_TAG: "${aws:PrincipalTag/project}"}},
    )


def wrapped_data_keys(place: Place) -> tuple[Statement, Statement]:
    """Let an agent fetch wrapped data keys, and ask KMS to open them.

    Anybody's may be fetched; the key's own policy says which of them are opened for whom.
    """
    return (
        Statement(sid="WrappedDataKeys", actions=DATA_KEY_READ, resources=(data_keys(place),)),
        Statement(sid="OpenDataKeys", actions=DATA_KEY_OPEN, resources=(_keys(place),)),
    )


def work_for_project(place: Place) -> Statement:
    """Let an agent become its project's worker, with the project as the session's tag."""
    worker = names.shared_role_arn(place.account, names.WORKER_ROLE)
    return Statement(sid="WorkForProject", actions=ASSUME_TAGGED, resources=(worker,))


def deploy_role_policies(place: Place, agent: str) -> Statement:
    """Let an agent write the policies of its own role and of the roles that it deploys below it.

    This is the power that the permissions boundary exists for: the writer of a policy may grant
    itself anything that the boundary does not cap.
    """
    own = names.role_arn(place.account, agent)
    return Statement(
        sid="DeployRolePolicies", actions=ROLE_POLICY_WRITE, resources=(own, f"{own}/*")
    )


def deploy_functions(place: Place, agent: str) -> Statement:
    """Let an agent deploy and call its function."""
    arn = f"arn:aws:lambda:{place.region}:{place.account}:function:{names.function(agent)}"
    return Statement(sid="DeployFunctions", actions=FUNCTION_DEPLOY, resources=(arn,))


def pass_function_role(place: Place, agent: str) -> Statement:
    """Let an agent hand its function one role, made for that.

    Whoever deploys the code of a function has every power of the role that the function runs with.
    """
    return pass_role(names.function_role_arn(place.account, agent))


def pass_role(arn: str) -> Statement:
    """Let the holder hand a role, or what the pattern covers, to Lambda."""
    return Statement(
        sid="PassFunctionRole",
        actions=("iam:PassRole",),
        resources=(arn,),
        condition={"StringEquals": {"iam:PassedToService": LAMBDA}},
    )


def service_trust(service: str) -> Document:
    """Let a service assume the role."""
    return Document(
        (Statement(sid="OneService", principal={"Service": service}, actions=("sts:AssumeRole",)),)
    )


def trail_delivery(place: Place) -> Document:
    """Let CloudTrail deliver the account's own trail into the bucket, and nobody else's."""
    bucket = f"arn:aws:s3:::{names.trail_bucket(place.account)}"
    service = {"Service": "cloudtrail.amazonaws.com"}
    trail = f"arn:aws:cloudtrail:{place.region}:{place.account}:trail/{names.TRAIL}"
    own = {"aws:SourceArn": trail}
    return Document(
        (
            Statement(
                sid="LookAtTheBucket",
                principal=service,
                actions=("s3:GetBucketAcl",),
                resources=(bucket,),
                condition={"StringEquals": own},
            ),
            Statement(
                sid="Deliver",
                principal=service,
                actions=("s3:PutObject",),
                resources=(f"{bucket}/AWSLogs/{place.account}/*",),
                condition={"StringEquals": {**own, "s3:x-amz-acl": "bucket-owner-full-control"}},
            ),
        )
    )


def manage_service_keys(place: Place) -> Statement:
    """Let an agent look after the access keys of service users."""
    return Statement(
        sid="ManageServiceKeys", actions=ACCESS_KEY_WRITE, resources=(service_users(place),)
    )


def administer_account() -> Statement:
    """Let an agent look after the account: its trail, whom it trusts, the way out.

    Managed policies for administrators hold the way out of the organisation along with the rest.
    """
    return Statement(sid="AdministerAccount", actions=ACCOUNT_ADMINISTRATION, resources=("*",))


def only_reader(role_arn: str) -> Document:
    """Refuse the secret's value to everybody but one role, whatever they are granted.

    A role session is its role here. The policy grants nothing: the role's own policy does that.
    """
    return Document(
        (
            Statement(
                sid="OneReader",
                effect="Deny",
                principal={"AWS": "*"},
                actions=SECRET_READ,
                resources=("*",),
                condition={"ArnNotEquals": {"aws:PrincipalArn": role_arn}},
            ),
        )
    )


def revoke_older_sessions(declared: str) -> Document:
    """Refuse everything to sessions that were issued before the incident was declared.

    Sessions cannot be taken back one by one; this is what the console's own button writes.
    """
    return Document(
        (
            Statement(
                sid="RevokeOlderSessions",
                effect="Deny",
                actions=("*",),
                resources=("*",),
                condition={"DateLessThan": {"aws:TokenIssueTime": declared}},
            ),
        )
    )


def read_secret(place: Place, name: str) -> Document:
    """Let the holder read one secret."""
    return Document(
        (
            Statement(
                sid="OneSecret",
                actions=SECRET_READ,
                resources=(names.secret_arn_pattern(place.region, place.account, name),),
            ),
        )
    )


def attribute_mapping() -> dict[str, str]:
    """Map a token to a Google subject.

    A SPIFFE id may be 2048 bytes long and a subject 127, so the subject is the agent's name alone.
    That leaves out the trust domain: tenants' agents of one name would be one subject, were it not
    for `attribute_condition`, which pins the tenant.
    """
    return {
        "google.subject": "assertion.sub.extract('/agent/{agent}')",
        "attribute.tenant": "assertion.tenant",
    }


def attribute_condition(*, tenant: str, trust_domain: str) -> str:
    """Admit tokens of our own tenant whose subject is the agent that they name.

    `has()` first: to read an absent claim is an error, which refuses without saying why.
    """
    whole = names.spiffe_id(trust_domain, "")
    return (
        f"has(assertion.tenant) && assertion.tenant == '{tenant}' "
        f"&& has(assertion.agent) && assertion.sub == '{whole}' + assertion.agent"
    )


def every_agent_secret(place: Place) -> str:
    """Return the pattern that covers all agents' secrets: what a boundary caps them to."""
    return f"arn:aws:secretsmanager:{place.region}:{place.account}:secret:agents/*"


def data_keys(place: Place) -> str:
    """Return the table that holds the wrapped data keys."""
    return f"arn:aws:dynamodb:{place.region}:{place.account}:table/{names.DATA_KEYS_TABLE}"


def _keys(place: Place) -> str:
    return f"arn:aws:kms:{place.region}:{place.account}:key/*"


def tables(place: Place) -> str:
    """Return the pattern that covers the records of all projects."""
    return f"arn:aws:dynamodb:{place.region}:{place.account}:table/projects-*"


def service_users(place: Place) -> str:
    """Return the pattern that covers all service users."""
    return f"arn:aws:iam::{place.account}:user{names.SERVICE_PATH}*"
