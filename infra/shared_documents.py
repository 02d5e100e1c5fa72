"""What agents share: the roles on the way to a project's records, and the key of data keys."""

from __future__ import annotations

from infra import documents, names

_PROJECT_OF_CALLER = "${aws:PrincipalTag/project}"
_AGENT_OF_CALLER = "${aws:PrincipalTag/agent}"
_KEY_ADMINISTRATION = (
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:Encrypt",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
)

EXTERNAL_ID = "sts:ExternalId"
TRANSITIVE = "sts:TransitiveTagKeys"
DATA_KEY_CONTEXT = "kms:EncryptionContext:agent"


def worker_trust(place: documents.Place) -> documents.Document:
    """Let agents become their project's worker, tagged with their own project for good.

    A transitive tag goes along every further hop, and no hop can bring another value for it.
    """
    return documents.Document(
        (
            documents.Statement(
                sid="OwnProjectForGood",
                principal={"AWS": f"arn:aws:iam::{place.account}:root"},
                actions=documents.ASSUME_TAGGED,
                condition={
                    "ArnLike": {
                        "aws:PrincipalArn": f"arn:aws:iam::{place.account}:role{names.AGENT_PATH}*"
                    },
                    "StringEquals": {"aws:RequestTag/project": _PROJECT_OF_CALLER},
                    "ForAnyValue:StringEquals": {TRANSITIVE: "project"},
                },
            ),
        )
    )


def worker_policy(place: documents.Place) -> documents.Document:
    """Let a worker go on to where records are read."""
    reader = names.shared_role_arn(place.account, names.RECORDS_ROLE)
    return documents.Document(
        (
            documents.Statement(
                sid="OnToRecords", actions=documents.ASSUME_TAGGED, resources=(reader,)
            ),
        )
    )


def reader_trust(worker_arn: str) -> documents.Document:
    """Let workers come, with whatever project their sessions carry."""
    return documents.Document(
        (
            documents.Statement(
                sid="Workers", principal={"AWS": worker_arn}, actions=documents.ASSUME_TAGGED
            ),
        )
    )


def reader_policy(place: documents.Place) -> documents.Document:
    """Let a reader read the records of the project that its session is tagged with."""
    return documents.Document((documents.project_records(place),))


def vendor_trust(account: str, external_id: str) -> documents.Document:
    """Let a vendor's account come, on the business that it has with us.

    The vendor goes wherever its customers send it. Our external id is how it says for whom: the
    vendor gives each customer another, and lets none of them choose.
    """
    return documents.Document(
        (
            documents.Statement(
                sid="VendorForUs",
                principal={"AWS": f"arn:aws:iam::{account}:root"},
                actions=("sts:AssumeRole",),
                condition={"StringEquals": {EXTERNAL_ID: external_id}},
            ),
        )
    )


def google_trust(subject: str) -> documents.Document:
    """Let one service account of Google Cloud come, with an ID token made for AWS.

    Google signs for everybody who has a service account. The subject is the account's number,
    which no other account ever gets; the audience that the token was asked for stands under
    `oaud`, because `aud` is the account once more.
    """
    host = documents.condition_prefix(names.GOOGLE_ISSUER)
    return documents.Document(
        (
            documents.Statement(
                sid="OneGoogleAccount",
                principal={"Federated": host},
                actions=("sts:AssumeRoleWithWebIdentity",),
                condition={
                    "StringEquals": {f"{host}:oaud": names.AWS_AUDIENCE, f"{host}:sub": subject}
                },
            ),
        )
    )


def data_key_policy(place: documents.Place) -> documents.Document:
    """Let an agent open the data keys that were wrapped for it.

    What they were wrapped for is their encryption context: KMS opens none under another one, and
    this policy lets nobody name another agent's. The account's own policies decide the rest.
    """
    account = {"AWS": f"arn:aws:iam::{place.account}:root"}
    return documents.Document(
        (
            documents.Statement(
                sid="Administration",
                principal=account,
                actions=_KEY_ADMINISTRATION,
                resources=("*",),
            ),
            documents.Statement(
                sid="OwnDataKeys",
                principal=account,
                actions=documents.DATA_KEY_OPEN,
                resources=("*",),
                condition={"StringEquals": {DATA_KEY_CONTEXT: _AGENT_OF_CALLER}},
            ),
        )
    )
