"""Every control and every invariant of the range, declared once.

- A control is one mechanism that an operator can really leave out. It is on unless switched off.
- An invariant is what the platform guarantees and nobody can switch off; a rogue cloud that lacks
  it stands in for the world without it.
- Many controls refuse by *absence* (no statement allows). A Sid is a hint for readers and is never
  used for attribution: a refusal is recognised by decision point, layer, effect and condition key.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from iamrange.core import frameworks as fw
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome, Statement

if TYPE_CHECKING:
    from collections.abc import Mapping


class Layer(StrEnum):
    """Where a control works."""

    AWS = "aws"
    GCP = "gcp"


class SwitchedIn(StrEnum):
    """Where a control is switched: `iamrange:controls` of the stack, or a world's settings."""

    STACK = "stack"
    WORLD = "world"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a control's refusal looks like in a decision record.

    `action` and `condition_key` are patterns (`*` matches any run of characters, keys in lower
    case). Without `condition_key`, an implicit deny must be one of plain absence: no statement
    that named the action and the resource failed on a condition alone.
    """

    point: str
    layer: str
    effect: Effect
    action: str = "*"
    condition_key: str | None = None
    reason: str = "*"

    def answer_in(self, record: DecisionRecord) -> LayerAnswer | None:
        """Return the layer answer in `record` that is this refusal, or None."""
        if record.outcome is not Outcome.DENY:
            return None
        if not fnmatchcase(record.action.lower(), self.action.lower()):
            return None
        return next((a for a in record.layers if self.is_answer(record.point, a)), None)

    def is_answer(self, point: str, answer: LayerAnswer) -> bool:
        """Tell whether this answer of one layer at `point` is this refusal, whatever the action."""
        if (point, answer.layer, answer.effect) != (self.point, self.layer, self.effect):
            return False
        if not fnmatchcase(answer.reason, self.reason):
            return False
        if self.condition_key is not None:
            return any(fnmatchcase(key, self.condition_key) for key in _keys_behind(answer))
        return not (self.effect is Effect.IMPLICIT_DENY and answer.near_misses)


def _keys_behind(answer: LayerAnswer) -> tuple[str, ...]:
    statements: tuple[Statement, ...] = answer.near_misses
    if answer.decided_by is not None:
        statements = (answer.decided_by, *statements)
    return tuple(key for statement in statements for key in statement.condition_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One mechanism that an operator can leave out.

    `touches` are the Pulumi resource types that switching it may change, and no other.
    """

    id: str
    layer: Layer
    summary: str
    without_it: str
    refusal: Refusal
    touches: frozenset[str]
    maps_to: tuple[fw.Reference, ...]
    switched_in: SwitchedIn = SwitchedIn.STACK

    def __post_init__(self) -> None:
        """Refuse a control that could never be switched or recognised."""
        if self.switched_in is SwitchedIn.STACK and not self.touches:
            msg = f"control '{self.id}': touches expected at least one resource type, got none"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """What a platform guarantees; `rogue` names the cloud that lacks it.

    `lacks` are the refusals that the rogue does not make. They can be more than `refusal`: a cloud
    that skips the signature also never misses the key that would have checked it.
    """

    id: str
    layer: Layer
    summary: str
    refusal: Refusal
    rogue: str
    lacks: tuple[Refusal, ...]
    maps_to: tuple[fw.Reference, ...] = field(default=(fw.NHI4, fw.IA_13_2))


_ROLE = "aws:iam/role:Role"
_ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
_ATTACHMENT = "aws:organizations/policyAttachment:PolicyAttachment"

TRUST_PINS_SUBJECT = Control(
    id="aws.trust-pins-subject",
    layer=Layer.AWS,
    summary="A role's trust policy names the one subject that may assume it with a web identity.",
    without_it="The trust policy checks the issuer and the audience only, "
    "so any agent of that issuer may assume the role.",
    refusal=Refusal(
        point="aws.authorize",
        layer="trust",
        effect=Effect.IMPLICIT_DENY,
        action="sts:AssumeRoleWithWebIdentity",
        condition_key="*:sub",
    ),
    touches=frozenset({_ROLE}),
    maps_to=(fw.NHI4, fw.NHI6, fw.ASI03, fw.IA_9),
)
TRUST_PINS_AUDIENCE = Control(
    id="aws.trust-pins-audience",
    layer=Layer.AWS,
    summary="A role's trust policy accepts tokens made for AWS only.",
    without_it="The trust policy has no condition on the audience, "
    "so a token made for another relying party is taken.",
    refusal=Refusal(
        point="aws.authorize",
        layer="trust",
        effect=Effect.IMPLICIT_DENY,
        action="sts:AssumeRoleWithWebIdentity",
        condition_key="*:aud",
    ),
    touches=frozenset({_ROLE}),
    maps_to=(fw.NHI4, fw.NHI9, fw.IA_13_2),
)
PROVIDER_CLIENT_IDS = Control(
    id="aws.provider-client-ids",
    layer=Layer.AWS,
    summary="The OIDC provider's list of client ids holds AWS's own audience and no other.",
    without_it="The list also holds the other cloud's audience, added once to make a call work.",
    refusal=Refusal(
        point="aws.web-identity",
        layer="audience",
        effect=Effect.DENY,
        reason="client-id-not-registered",
    ),
    touches=frozenset({"aws:iam/openIdConnectProvider:OpenIdConnectProvider"}),
    maps_to=(fw.NHI4, fw.NHI9, fw.IA_13_2),
)
LEAST_PRIVILEGE = Control(
    id="aws.least-privilege",
    layer=Layer.AWS,
    summary="An agent's policy names its own secret, not all agents' secrets.",
    without_it="The policy allows reading every secret below the agents' common prefix.",
    refusal=Refusal(
        point="aws.authorize",
        layer="identity",
        effect=Effect.IMPLICIT_DENY,
        action="secretsmanager:GetSecretValue",
    ),
    touches=frozenset({_ROLE_POLICY}),
    maps_to=(fw.NHI5, fw.ASI03, fw.AC_6),
)
PERMISSIONS_BOUNDARY = Control(
    id="aws.permissions-boundary",
    layer=Layer.AWS,
    summary="Whatever policies an agent's role is given, a boundary caps what they can grant.",
    without_it="The role has no boundary: who may write its policies may grant it anything.",
    refusal=Refusal(
        point="aws.authorize",
        layer="permissions-boundary",
        effect=Effect.IMPLICIT_DENY,
    ),
    touches=frozenset({_ROLE}),
    maps_to=(fw.NHI5, fw.ASI03, fw.AC_6),
)
ABAC_PROJECT_TAG = Control(
    id="aws.abac-project-tag",
    layer=Layer.AWS,
    summary="Project records are readable only where the agent's project tag is the record's own.",
    without_it="The statement on project records has no condition on tags.",
    refusal=Refusal(
        point="aws.authorize",
        layer="identity",
        effect=Effect.IMPLICIT_DENY,
        condition_key="*:resourcetag/project",
    ),
    touches=frozenset({_ROLE_POLICY}),
    maps_to=(fw.NHI5, fw.NHI8, fw.AC_3_13),
)
NETWORK_PERIMETER = Control(
    id="aws.network-perimeter",
    layer=Layer.AWS,
    summary="The organisation refuses agents' calls that do not come from its own networks.",
    without_it="No policy looks at where a call comes from, so stolen sessions work anywhere.",
    refusal=Refusal(
        point="aws.authorize",
        layer="scp",
        effect=Effect.DENY,
        condition_key="aws:sourceip",
        reason="statement-denies",
    ),
    touches=frozenset({_ATTACHMENT}),
    maps_to=(fw.NHI8, fw.ASI03, fw.SC_23),
)
REVOKE_OLDER_SESSIONS = Control(
    id="aws.revoke-older-sessions",
    layer=Layer.AWS,
    summary="Incident response denies each session of the role issued before the incident.",
    without_it="Incident response rotates the agent's key and leaves its live sessions alone.",
    refusal=Refusal(
        point="aws.authorize",
        layer="identity",
        effect=Effect.DENY,
        condition_key="aws:tokenissuetime",
        reason="statement-denies",
    ),
    touches=frozenset({_ROLE_POLICY}),
    maps_to=(fw.NHI1, fw.ASI10, fw.AC_3_8),
)
ORG_NO_LONG_LIVED_KEYS = Control(
    id="aws.org-no-long-lived-keys",
    layer=Layer.AWS,
    summary="The organisation refuses the making of access keys, whoever asks in the account.",
    without_it="No organisation policy names iam:CreateAccessKey.",
    refusal=Refusal(
        point="aws.authorize",
        layer="scp",
        effect=Effect.DENY,
        action="iam:CreateAccessKey",
        reason="statement-denies",
    ),
    touches=frozenset({_ATTACHMENT}),
    maps_to=(fw.NHI7, fw.IA_5_7),
)
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

CONTROLS: Mapping[str, Control] = {
    control.id: control
    for control in (
        TRUST_PINS_SUBJECT,
        TRUST_PINS_AUDIENCE,
        PROVIDER_CLIENT_IDS,
        LEAST_PRIVILEGE,
        PERMISSIONS_BOUNDARY,
        ABAC_PROJECT_TAG,
        NETWORK_PERIMETER,
        REVOKE_OLDER_SESSIONS,
        ORG_NO_LONG_LIVED_KEYS,
        ATTRIBUTE_CONDITION,
        ALLOWED_AUDIENCES,
        IMPERSONATION_SCOPED,
        SECRET_LEVEL_IAM,
        NO_SERVICE_ACCOUNT_KEYS,
    )
}


def _token_refusal(point: str, layer: str, reason: str = "*") -> Refusal:
    return Refusal(point=point, layer=layer, effect=Effect.DENY, reason=reason)


def _platform_invariants(layer: Layer, point: str, cloud: str) -> tuple[Invariant, ...]:
    """Declare the four guarantees that both clouds' token verifiers give."""
    signature = _token_refusal(point, "signature")
    keys = _token_refusal(point, "keys")
    forged = replace(signature, reason="signature-mismatch")
    unsigned = _token_refusal(point, "token", "algorithm-not-allowed")
    expired = _token_refusal(point, "time", "expired")
    issuer = (
        _token_refusal(point, "provider", "no-provider")
        if layer is Layer.AWS
        else _token_refusal(point, "issuer", "issuer-mismatch")
    )
    return (
        Invariant(
            id=f"{layer}.verifies-signature",
            layer=layer,
            summary=f"{cloud} refuses a token that the issuer's key did not sign.",
            refusal=forged,
            rogue="UnsafeSkipsSignature",
            lacks=(signature, keys),
        ),
        Invariant(
            id=f"{layer}.refuses-unsigned",
            layer=layer,
            summary=f"{cloud} refuses a token whose algorithm is none.",
            refusal=unsigned,
            rogue="UnsafeAcceptsUnsigned",
            lacks=(unsigned, signature, keys),
        ),
        Invariant(
            id=f"{layer}.refuses-expired",
            layer=layer,
            summary=f"{cloud} refuses a token past its expiry.",
            refusal=expired,
            rogue="UnsafeSkipsExpiry",
            lacks=(expired,),
        ),
        Invariant(
            id=f"{layer}.knows-its-issuers",
            layer=layer,
            summary=f"{cloud} refuses a token of an issuer that nobody registered.",
            refusal=issuer,
            rogue="UnsafeAcceptsAnyIssuer",
            lacks=(issuer, signature, keys),
        ),
    )


INVARIANTS: Mapping[str, Invariant] = {
    invariant.id: invariant
    for invariant in (
        *_platform_invariants(Layer.AWS, "aws.web-identity", "AWS STS"),
        *_platform_invariants(Layer.GCP, "gcp.sts", "Google STS"),
    )
}


class UnknownNameError(Exception):
    """A name that the range does not know, with the nearest that it does."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        """Say what kind of thing `name` was taken for and what comes near it."""
        nearest = get_close_matches(name, known, n=3, cutoff=0.0)
        listed = f"; `iamrange {kind}s` lists them all" if kind in ("scenario", "control") else ""
        super().__init__(f"unknown {kind} '{name}'; nearest: {', '.join(nearest)}{listed}")
        self.nearest = tuple(nearest)


def control_named(name: str) -> Control:
    """Return the control of that id.

    Raises:
        UnknownNameError: there is none; the error names the nearest ids.
    """
    try:
        return CONTROLS[name]
    except KeyError:
        raise UnknownNameError("control", name, tuple(CONTROLS)) from None
