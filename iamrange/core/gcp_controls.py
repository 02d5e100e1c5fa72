"""The controls that work in Google Cloud."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core.control import Control, Layer, Refusal
from iamrange.core.decision import Effect

ATTRIBUTE_CONDITION = Control(
    id="gcp.attribute-condition",
    layer=Layer.GCP,
    summary="The workload identity provider admits tokens of our own tenant only.",
    without_it="The provider has no attribute condition: every tenant of the issuer is admitted.",
    refusal=Refusal(
        point="gcp.sts",
        layer="attribute-condition",
        effect=Effect.DENY,
        reason="condition-*",
    ),
    touches=frozenset({"gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"}),
    maps_to=(fw.NHI4, fw.NHI6, fw.IA_9),
)
ALLOWED_AUDIENCES = Control(
    id="gcp.allowed-audiences",
    layer=Layer.GCP,
    summary="The workload identity provider accepts tokens made for itself only.",
    without_it="The list of allowed audiences also holds AWS's.",
    refusal=Refusal(
        point="gcp.sts",
        layer="audience",
        effect=Effect.DENY,
        reason="audience-mismatch",
    ),
    touches=frozenset({"gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"}),
    maps_to=(fw.NHI4, fw.NHI9, fw.IA_13_2),
)
IMPERSONATION_SCOPED = Control(
    id="gcp.impersonation-scoped",
    layer=Layer.GCP,
    summary="An agent may impersonate its own service account, granted on that account alone.",
    without_it="The grant stands on the project, and so covers every service account in it.",
    refusal=Refusal(
        point="gcp.authorize",
        layer="allow-policy",
        effect=Effect.IMPLICIT_DENY,
        action="iam.serviceAccounts.getAccessToken",
    ),
    touches=frozenset(
        {
            "gcp:serviceaccount/iAMMember:IAMMember",
            "gcp:projects/iAMMember:IAMMember",
        }
    ),
    maps_to=(fw.NHI5, fw.ASI03, fw.AC_6),
)
SECRET_LEVEL_IAM = Control(
    id="gcp.secret-level-iam",
    layer=Layer.GCP,
    summary="An agent may read its own secret, granted on that secret alone.",
    without_it="The grant stands on the project, and so covers every secret in it.",
    refusal=Refusal(
        point="gcp.authorize",
        layer="allow-policy",
        effect=Effect.IMPLICIT_DENY,
        action="secretmanager.versions.access",
    ),
    touches=frozenset(
        {
            "gcp:secretmanager/secretIamMember:SecretIamMember",
            "gcp:projects/iAMMember:IAMMember",
        }
    ),
    maps_to=(fw.NHI5, fw.NHI2, fw.AC_6),
)
NO_SERVICE_ACCOUNT_KEYS = Control(
    id="gcp.no-service-account-keys",
    layer=Layer.GCP,
    summary="The organisation policy refuses the making of service-account keys.",
    without_it="The constraint on service-account keys is not enforced.",
    refusal=Refusal(
        point="gcp.organization-policy",
        layer="constraints/iam.disableServiceAccountKeyCreation",
        effect=Effect.DENY,
        reason="constraint-violated",
    ),
    touches=frozenset({"gcp:orgpolicy/policy:Policy"}),
    maps_to=(fw.NHI7, fw.IA_5_7),
)


CONTROLS = (
    ATTRIBUTE_CONDITION,
    ALLOWED_AUDIENCES,
    IMPERSONATION_SCOPED,
    SECRET_LEVEL_IAM,
    NO_SERVICE_ACCOUNT_KEYS,
)
"""All of them, in the order in which they are listed."""
