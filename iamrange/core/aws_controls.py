"""The controls that work in AWS."""

from __future__ import annotations

from iamrange.core import frameworks as fw
from iamrange.core.control import Control, Layer, Refusal, SwitchedIn
from iamrange.core.decision import Effect

_ROLE = "aws:iam/role:Role"
_ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
_ATTACHMENT = "aws:organizations/policyAttachment:PolicyAttachment"
_SECRET_POLICY = "aws:secretsmanager/secretPolicy:SecretPolicy"  # noqa: S105 - a type token

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
ORG_KEEP_LOGGING = Control(
    id="aws.org-keep-logging",
    layer=Layer.AWS,
    summary="The organisation refuses to stop, change or delete its accounts' audit trails.",
    without_it="No organisation policy names cloudtrail:StopLogging: whoever administers an "
    "account also decides what is written down about it.",
    refusal=Refusal(
        point="aws.authorize",
        layer="scp",
        effect=Effect.DENY,
        action="cloudtrail:*",
        reason="statement-denies",
    ),
    touches=frozenset({_ATTACHMENT}),
    maps_to=(fw.ASI10, fw.AU_9, fw.AU_12),
)
ORG_STAY_IN_ORGANISATION = Control(
    id="aws.org-stay-in-organisation",
    layer=Layer.AWS,
    summary="The organisation refuses its accounts the way out of it.",
    without_it="No organisation policy names organizations:LeaveOrganization: whoever administers "
    "an account can take it out from under every other guardrail.",
    refusal=Refusal(
        point="aws.authorize",
        layer="scp",
        effect=Effect.DENY,
        action="organizations:LeaveOrganization",
        reason="statement-denies",
    ),
    touches=frozenset({_ATTACHMENT}),
    maps_to=(fw.NHI6, fw.NHI8, fw.AC_3),
)
ISSUER_ALLOW_LIST = Control(
    id="aws.issuer-allow-list",
    layer=Layer.AWS,
    summary="The organisation lets roles be assumed with tokens of its own issuers only.",
    without_it="No resource control policy asks for the issuer: a provider that somebody adds to "
    "the account is as good as ours.",
    refusal=Refusal(
        point="aws.authorize",
        layer="rcp",
        effect=Effect.DENY,
        action="sts:AssumeRoleWithWebIdentity",
        condition_key="*:aud",
        reason="statement-denies",
    ),
    touches=frozenset({_ATTACHMENT}),
    maps_to=(fw.NHI4, fw.NHI6, fw.IA_13_2),
)
ISSUER_TENANT = Control(
    id="aws.issuer-tenant",
    layer=Layer.AWS,
    summary="The organisation lets subjects of its own trust domain assume roles, read up to the "
    "delimiter.",
    without_it="The pattern for our subjects ends a little early, at a `*` inside the name of the "
    "trust domain: other tenants' names that begin like ours pass.",
    refusal=Refusal(
        point="aws.authorize",
        layer="rcp",
        effect=Effect.DENY,
        action="sts:AssumeRoleWithWebIdentity",
        condition_key="*:sub",
        reason="statement-denies",
    ),
    touches=frozenset({"aws:organizations/policy:Policy"}),
    maps_to=(fw.NHI4, fw.NHI6, fw.IA_9),
)
TAG_SESSION = Control(
    id="aws.tag-session",
    layer=Layer.AWS,
    summary="A shared role takes an agent's project as a transitive tag, which no hop changes.",
    without_it="The role's trust policy does not ask for transitive tags, so the next hop brings "
    "whatever project it likes.",
    refusal=Refusal(
        point="aws.authorize",
        layer="trust",
        effect=Effect.IMPLICIT_DENY,
        action="sts:AssumeRole",
        condition_key="sts:transitivetagkeys",
    ),
    touches=frozenset({_ROLE}),
    maps_to=(fw.NHI8, fw.ASI03, fw.AC_3_13),
)
KMS_ENCRYPTION_CONTEXT = Control(
    id="aws.kms-encryption-context",
    layer=Layer.AWS,
    summary="KMS opens a data key for the agent that its encryption context names, and no other.",
    without_it="The key's policy does not look at the encryption context, which is no secret: "
    "who may decrypt at all opens every agent's data key.",
    refusal=Refusal(
        point="aws.authorize",
        layer="resource",
        effect=Effect.IMPLICIT_DENY,
        action="kms:Decrypt",
        condition_key="kms:encryptioncontext:agent",
    ),
    touches=frozenset({"aws:kms/key:Key"}),
    maps_to=(fw.NHI5, fw.NHI8, fw.AC_3),
)
PASSROLE_SCOPED = Control(
    id="aws.passrole-scoped",
    layer=Layer.AWS,
    summary="An agent that deploys functions may pass them the one role that is made for them.",
    without_it="The statement on iam:PassRole names every role of the account, so the code of a "
    "function runs with whichever role its author fancies.",
    refusal=Refusal(
        point="aws.authorize",
        layer="identity",
        effect=Effect.IMPLICIT_DENY,
        action="iam:PassRole",
    ),
    touches=frozenset({_ROLE_POLICY}),
    maps_to=(fw.NHI5, fw.ASI03, fw.AC_6),
)
BROKER_SESSIONS = Control(
    id="aws.broker-sessions",
    layer=Layer.AWS,
    summary="Agents get their sessions from the credential broker, for fifteen minutes at a time.",
    without_it="Agents federate by themselves, and get the hour that AWS gives whoever does not "
    "ask for less.",
    refusal=Refusal(
        point="aws.authenticate",
        layer="credential",
        effect=Effect.DENY,
        reason="session-expired",
    ),
    touches=frozenset(),
    maps_to=(fw.NHI7, fw.IA_5, fw.SC_23),
    switched_in=SwitchedIn.WORLD,
)
SESSION_POLICY = Control(
    id="aws.session-policy",
    layer=Layer.AWS,
    summary="The broker cuts a session to the task that the agent is registered for.",
    without_it="The broker hands out the whole of the role, which serves other tasks too.",
    refusal=Refusal(
        point="aws.authorize",
        layer="session-policy",
        effect=Effect.IMPLICIT_DENY,
    ),
    touches=frozenset(),
    maps_to=(fw.NHI5, fw.ASI02, fw.AC_6),
    switched_in=SwitchedIn.WORLD,
)
EXTERNAL_ID = Control(
    id="aws.external-id",
    layer=Layer.AWS,
    summary="A vendor may assume its role with the external id that it has for us, not otherwise.",
    without_it="The role trusts the vendor's account as it is: whichever of its customers names "
    "our role has the vendor go there.",
    refusal=Refusal(
        point="aws.authorize",
        layer="trust",
        effect=Effect.IMPLICIT_DENY,
        action="sts:AssumeRole",
        condition_key="sts:externalid",
    ),
    touches=frozenset({_ROLE}),
    maps_to=(fw.NHI3, fw.NHI4, fw.AC_3),
)
SECRET_RESOURCE_POLICY = Control(
    id="aws.secret-resource-policy",
    layer=Layer.AWS,
    summary="The secret of an agent that handles restricted data refuses every reader but its own.",
    without_it="The secret has no policy of its own: whoever is granted secrets reads it too.",
    refusal=Refusal(
        point="aws.authorize",
        layer="resource",
        effect=Effect.DENY,
        action="secretsmanager:GetSecretValue",
        condition_key="aws:principalarn",
        reason="statement-denies",
    ),
    touches=frozenset({_SECRET_POLICY}),
    maps_to=(fw.NHI2, fw.NHI5, fw.AC_3),
)


CONTROLS = (
    TRUST_PINS_SUBJECT,
    TRUST_PINS_AUDIENCE,
    PROVIDER_CLIENT_IDS,
    LEAST_PRIVILEGE,
    PERMISSIONS_BOUNDARY,
    ABAC_PROJECT_TAG,
    NETWORK_PERIMETER,
    REVOKE_OLDER_SESSIONS,
    ORG_NO_LONG_LIVED_KEYS,
    ORG_KEEP_LOGGING,
    ORG_STAY_IN_ORGANISATION,
    SECRET_RESOURCE_POLICY,
    ISSUER_ALLOW_LIST,
    ISSUER_TENANT,
    TAG_SESSION,
    KMS_ENCRYPTION_CONTEXT,
    PASSROLE_SCOPED,
    BROKER_SESSIONS,
    SESSION_POLICY,
    EXTERNAL_ID,
)
"""All of them, in the order in which they are listed."""
