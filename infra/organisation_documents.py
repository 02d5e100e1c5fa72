"""What the organisation forbids in its accounts, as documents of its control policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import documents, names

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIL_WEAKENING = (
    "cloudtrail:DeleteTrail",
    "cloudtrail:PutEventSelectors",
    "cloudtrail:RemoveTags",
    "cloudtrail:StopLogging",
    "cloudtrail:UpdateTrail",
)
LONG_LIVED = (
    "iam:CreateAccessKey",
    "iam:CreateServiceSpecificCredential",
    "iam:UploadSSHPublicKey",
    "iam:UploadSigningCertificate",
)


def no_long_lived_keys() -> documents.Document:
    """Refuse, to everybody in the account, credentials that do not expire."""
    return documents.Document(
        (
            documents.Statement(
                sid="NoLongLivedKeys", effect="Deny", actions=LONG_LIVED, resources=("*",)
            ),
        )
    )


def stay_in_organisation() -> documents.Document:
    """Refuse, to everybody in the account, to take it out of the organisation."""
    return documents.Document(
        (
            documents.Statement(
                sid="StayInOrganisation",
                effect="Deny",
                actions=("organizations:LeaveOrganization",),
                resources=("*",),
            ),
        )
    )


def keep_logging(account: str) -> documents.Document:
    """Refuse, to everybody in the account, to make its audit trail say less.

    The role by which the organisation provisions the account is spared: the trail is its own work,
    and only the management account can take that role.
    """
    provisioning = f"arn:aws:iam::{account}:role/{names.ACCESS_ROLE}"
    return documents.Document(
        (
            documents.Statement(
                sid="KeepLogging",
                effect="Deny",
                actions=TRAIL_WEAKENING,
                resources=("*",),
                condition={"ArnNotEquals": {"aws:PrincipalArn": provisioning}},
            ),
        )
    )


def issuer_allow_list(issuers: Sequence[str]) -> documents.Document:
    """Refuse, on the account's roles, tokens of every other issuer than these.

    A token brings condition keys under its issuer's own name and no other: where none of ours is
    there, the issuer is not ours, whatever providers and trust policies the account has.
    """
    return documents.Document(
        (
            documents.Statement(
                sid="OurIssuersOnly",
                effect="Deny",
                principal="*",  # the only one that a resource control policy may name
                actions=("sts:AssumeRoleWithWebIdentity",),
                resources=("*",),
                condition={
                    "Null": {
                        f"{documents.condition_prefix(issuer)}:aud": "true" for issuer in issuers
                    }
                },
            ),
        )
    )


def own_subjects_only(issuer: str, pattern: str) -> documents.Document:
    """Refuse, on the account's roles, tokens of our issuer about subjects that are not ours.

    An issuer that others share signs for them too. The condition stands for tokens that name a
    subject under this issuer, and for no others.
    """
    key = f"{documents.condition_prefix(issuer)}:sub"
    return documents.Document(
        (
            documents.Statement(
                sid="OwnSubjectsOnly",
                effect="Deny",
                principal="*",
                actions=("sts:AssumeRoleWithWebIdentity",),
                resources=("*",),
                condition={"StringNotLike": {key: pattern}, "Null": {key: "false"}},
            ),
        )
    )


def network_perimeter(account: str, networks: Sequence[str]) -> documents.Document:
    """Refuse calls of agents, and of roles that they share, from elsewhere than our own networks.

    A call that an AWS service makes for the agent has no address of ours, and is not meant;
    `...IfExists`, because the key is absent from some calls that agents make themselves.
    """
    return documents.Document(
        (
            documents.Statement(
                sid="NetworkPerimeter",
                effect="Deny",
                actions=("*",),
                resources=("*",),
                condition={
                    "ArnLike": {
                        "aws:PrincipalArn": tuple(
                            f"arn:aws:iam::{account}:role{path}*"
                            for path in (names.AGENT_PATH, names.SHARED_PATH)
                        )
                    },
                    "NotIpAddress": {"aws:SourceIp": tuple(networks)},
                    "BoolIfExists": {"aws:ViaAWSService": "false"},
                },
            ),
        )
    )
