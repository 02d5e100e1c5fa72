"""Kinds of decisions: which policies, who asks, and what AWS would answer, layer by layer."""

# A table reads best with one case a line.
# ruff: noqa: E501

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from iamrange.clouds.aws.decide import (
    LAYERS,
    CompiledPolicy,
    Decision,
    PolicyKind,
    PolicySet,
    Principal,
    Request,
    compile_policy,
    decide,
    evaluate,
)
from iamrange.core.decision import Effect, LayerAnswer, Outcome, Statement

Json = Any
"""What json.loads may return."""

HOME, AWAY = "100000000002", "200000000001"
ROOT = f"arn:aws:iam::{HOME}:root"
USER_ARN = f"arn:aws:iam::{HOME}:user/staff/alice"
ROLE_ARN = f"arn:aws:iam::{HOME}:role/agents/analyst"
SESSION_ARN = f"arn:aws:sts::{HOME}:assumed-role/analyst/run-1"
FEDERATED_ARN = f"arn:aws:sts::{HOME}:federated-user/alice"
PROVIDER = f"arn:aws:iam::{HOME}:oidc-provider/idp.iamrange.example"
SECRET = f"arn:aws:secretsmanager:us-east-1:{HOME}:secret:agents/analyst/db-AbCdEf"
OTHER = f"arn:aws:secretsmanager:us-east-1:{HOME}:secret:agents/planner/db-AbCdEf"
KEY = f"arn:aws:kms:us-east-1:{HOME}:key/1"
READ = "secretsmanager:GetSecretValue"

USER = Principal("user", USER_ARN, None, HOME)
SESSION = Principal("assumed-role", SESSION_ARN, ROLE_ARN, HOME)
ROLE = Principal("role", ROLE_ARN, None, HOME)
ROOT_USER = Principal("root", ROOT, None, HOME)
FEDERATED = Principal("federated", FEDERATED_ARN, None, HOME, user_arn=USER_ARN)
WEB = Principal("web-identity", "idp.iamrange.example:agent", federated=PROVIDER)
SERVICE = Principal("service", "lambda.amazonaws.com")
ANONYMOUS = Principal("anonymous", "anonymous")
LINKED = Principal(
    "assumed-role",
    f"arn:aws:sts::{HOME}:assumed-role/AWSServiceRoleForX/s",
    f"arn:aws:iam::{HOME}:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX",
    HOME,
)


def policy(kind: PolicyKind, *statements: dict[str, Any], **top: Json) -> CompiledPolicy:
    document = {"Version": "2012-10-17", "Statement": list(statements), **top}
    return compile_policy(document, kind=kind, name=kind.value)


def s(
    effect: str = "Allow", action: Json = READ, resource: Json = "*", **more: Json
) -> dict[str, Any]:
    named = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return {name: value for name, value in named.items() if value is not None}


def identity(*statements: dict[str, Any], **top: Json) -> tuple[CompiledPolicy, ...]:
    return (policy(PolicyKind.IDENTITY, *statements, **top),)


def boundary(*statements: dict[str, Any]) -> CompiledPolicy:
    return policy(PolicyKind.BOUNDARY, *statements)


def session(*statements: dict[str, Any]) -> tuple[CompiledPolicy, ...]:
    return (policy(PolicyKind.SESSION, *statements),)


def resource(principal: Json = "*", **changes: Json) -> CompiledPolicy:
    return policy(PolicyKind.RESOURCE, s(**{"Principal": principal, **changes}))


def trust(principal: Json, **changes: Json) -> CompiledPolicy:
    base = {"action": "sts:AssumeRole", "resource": None, "Principal": principal, **changes}
    return policy(PolicyKind.TRUST, s(**base))


FULL_SCP = policy(PolicyKind.SCP, s(action="*"))
FULL_RCP = policy(PolicyKind.RCP, s(action="*", Principal="*"))
ALL = s(action="*")
NOTHING = s(action="sns:Publish")


def ask(
    policies: PolicySet,
    principal: Principal = USER,
    action: str = READ,
    target: str = SECRET,
    account: str | None = HOME,
    **context: Json,
) -> Decision:
    keys = {name.replace("__", ":").replace("_slash_", "/"): v for name, v in context.items()}
    return decide(Request(action, target, principal, account, keys), policies)


def layer(decision: Decision, name: str) -> LayerAnswer:
    return next(answer for answer in decision.layers if answer.layer == name)


IDENTITY_ROWS: list[tuple[str, list[dict[str, Any]], str, str]] = [
    ("exact ARN", [s(resource=SECRET)], SECRET, "allow"),
    ("nothing", [NOTHING], SECRET, "deny"),
    ("deny beats allow", [ALL, s("Deny")], SECRET, "deny"),
    ("deny beats allow in any order", [s("Deny"), ALL], SECRET, "deny"),
    ("unmet deny is neutral", [ALL, s("Deny", Condition={"Bool": {"a:b": "true"}})], SECRET, "allow"),
    ("wildcard", [s(resource=f"{SECRET[:-9]}*")], SECRET, "allow"),
    ("wildcard elsewhere", [s(resource=f"{SECRET[:-9]}*")], OTHER, "deny"),
    ("action wildcard", [s(action="secretsmanager:Get*")], SECRET, "allow"),
    ("action in another case", [s(action="SECRETSMANAGER:getsecretvalue")], SECRET, "allow"),
    ("NotAction covers others", [s(action=None, NotAction="iam:*")], SECRET, "allow"),
    ("NotAction leaves out", [s(action=None, NotAction=["secretsmanager:*"])], SECRET, "deny"),
    ("Deny NotAction", [ALL, s("Deny", action=None, NotAction="s3:*")], SECRET, "deny"),
    ("Deny NotResource hits", [ALL, s("Deny", resource=None, NotResource=SECRET)], OTHER, "deny"),
    ("Deny NotResource spares", [ALL, s("Deny", resource=None, NotResource=SECRET)], SECRET, "allow"),
    ("Allow NotResource", [s(resource=None, NotResource=f"{OTHER[:-9]}*")], SECRET, "allow"),
    ("Allow NotResource out", [s(resource=None, NotResource=f"{OTHER[:-9]}*")], OTHER, "deny"),
    ("NotResource of all", [s(resource=None, NotResource="*")], SECRET, "deny"),
    ("second resource of a list", [s(resource=[OTHER, SECRET])], SECRET, "allow"),
    ("no resource type needs a star", [s(resource=SECRET)], "*", "deny"),
    ("no resource type with a star", [s()], "*", "allow"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("statements", "target", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in IDENTITY_ROWS],
)
def test_identity_policy(statements: list[dict[str, Any]], target: str, expected: str) -> None:
    assert ask(PolicySet(identity=identity(*statements)), target=target).outcome == expected


VARIABLE = f"arn:aws:secretsmanager:us-east-1:{HOME}:secret:agents/${{aws:username}}/*"
LITERAL = VARIABLE.replace("${aws:username}", "${*}")

VARIABLE_ROWS: list[tuple[str, list[dict[str, Any]], dict[str, Any], str]] = [
    ("own", [s(resource=VARIABLE)], {"aws__username": "analyst"}, "allow"),
    ("other", [s(resource=VARIABLE)], {"aws__username": "planner"}, "deny"),
    ("a star in the value is literal", [s(resource=VARIABLE)], {"aws__username": "*"}, "deny"),
    ("unresolved allows nothing", [s(resource=VARIABLE)], {}, "deny"),
    ("several values are unresolved", [s(resource=VARIABLE)], {"aws__username": ["analyst"]}, "deny"),
    ("default", [s(resource=VARIABLE.replace("}", ", 'analyst'}"))], {}, "allow"),
    ("unresolved beside a match", [s(resource=[VARIABLE, SECRET])], {}, "allow"),
    ("deny own", [ALL, s("Deny", resource=VARIABLE)], {"aws__username": "analyst"}, "deny"),
    ("deny of an unresolved text", [ALL, s("Deny", resource=VARIABLE)], {}, "allow"),
    ("Deny NotResource own", [ALL, s("Deny", resource=None, NotResource=VARIABLE)], {"aws__username": "analyst"}, "allow"),
    ("Deny NotResource unresolved", [ALL, s("Deny", resource=None, NotResource=VARIABLE)], {}, "deny"),
    ("Allow NotResource other", [s(resource=None, NotResource=VARIABLE)], {"aws__username": "planner"}, "allow"),
    ("Allow NotResource unresolved", [s(resource=None, NotResource=VARIABLE)], {}, "deny"),
    ("escape is no wildcard", [s(resource=LITERAL)], {"aws__username": "analyst"}, "deny"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("statements", "context", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in VARIABLE_ROWS],
)
def test_variable_in_a_resource(
    statements: list[dict[str, Any]], context: dict[str, Any], expected: str
) -> None:
    assert ask(PolicySet(identity=identity(*statements)), **context).outcome == expected


def test_variable_in_a_document_of_2008_is_text() -> None:
    old = PolicySet(identity=identity(s(resource=VARIABLE), Version="2008-10-17"))
    assert ask(old, aws__username="analyst").outcome == Outcome.DENY
    literal = VARIABLE.replace("*", "x")
    assert ask(old, target=literal, aws__username="analyst").outcome == Outcome.ALLOW


OWN_TEAM = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
OTHER_TEAM = {"StringNotEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
BLUE = {"aws__PrincipalTag_slash_team": "blue", "aws__ResourceTag_slash_team": "blue"}
RED = {**BLUE, "aws__ResourceTag_slash_team": "red"}

ABAC_ROWS: list[tuple[str, PolicySet, dict[str, Any], str]] = [
    ("match", PolicySet(identity=identity(s(Condition=OWN_TEAM))), BLUE, "allow"),
    ("mismatch", PolicySet(identity=identity(s(Condition=OWN_TEAM))), RED, "deny"),
    ("no tags", PolicySet(identity=identity(s(Condition=OWN_TEAM))), {}, "deny"),
    ("boundary match", PolicySet(identity=identity(ALL), boundary=boundary(s(Condition=OWN_TEAM))), BLUE, "allow"),
    ("boundary mismatch", PolicySet(identity=identity(ALL), boundary=boundary(s(Condition=OWN_TEAM))), RED, "deny"),
    ("inverted allow on equal", PolicySet(identity=identity(s(Condition=OTHER_TEAM))), BLUE, "deny"),
    ("inverted deny on equal", PolicySet(identity=identity(ALL, s("Deny", Condition=OTHER_TEAM))), BLUE, "allow"),
    ("inverted deny on unequal", PolicySet(identity=identity(ALL, s("Deny", Condition=OTHER_TEAM))), RED, "deny"),
    ("inverted deny on no tags", PolicySet(identity=identity(ALL, s("Deny", Condition=OTHER_TEAM))), {}, "deny"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policies", "context", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ABAC_ROWS]
)
def test_attributes_decide(policies: PolicySet, context: dict[str, Any], expected: str) -> None:
    assert ask(policies, **context).outcome == expected


ACCOUNT = {"AWS": ROOT}
ROLE_NAMED = {"AWS": ROLE_ARN}
SESSION_NAMED = {"AWS": SESSION_ARN}
USER_NAMED = {"AWS": USER_ARN}
FEDERATED_NAMED = {"AWS": FEDERATED_ARN}
NARROW = boundary(NOTHING)
NARROW_SESSION = session(NOTHING)

SAME_ACCOUNT_ROWS: list[tuple[str, PolicySet, Principal, str]] = [
    ("boundary excludes", PolicySet(identity=identity(ALL), boundary=NARROW), USER, "permissions-boundary-does-not-allow"),
    ("boundary alone grants nothing", PolicySet(boundary=boundary(ALL)), USER, "identity-does-not-allow"),
    ("boundary denies", PolicySet(identity=identity(ALL), boundary=boundary(ALL, s("Deny"))), USER, "permissions-boundary-denies"),
    ("session narrows", PolicySet(identity=identity(ALL), session=NARROW_SESSION), SESSION, "session-policy-does-not-allow"),
    ("session alone grants nothing", PolicySet(session=session(ALL)), SESSION, "identity-does-not-allow"),
    ("session of nothing", PolicySet(identity=identity(ALL), session=()), FEDERATED, "session-policy-does-not-allow"),
    ("session and identity", PolicySet(identity=identity(ALL), session=session(ALL)), SESSION, "identity-allows"),
    ("secret's policy alone, user", PolicySet(resource=resource(USER_NAMED)), USER, "resource-allows"),
    ("secret's policy alone, role", PolicySet(resource=resource(ROLE_NAMED)), SESSION, "resource-allows"),
    ("secret's policy alone, session", PolicySet(resource=resource(SESSION_NAMED)), SESSION, "resource-allows"),
    ("secret's policy alone, everyone", PolicySet(resource=resource("*")), SESSION, "resource-allows"),
    ("secret's policy alone, AWS everyone", PolicySet(resource=resource({"AWS": "*"})), USER, "resource-allows"),
    ("secret's policy alone, account", PolicySet(resource=resource(ACCOUNT)), USER, "identity-does-not-allow"),
    ("secret's policy alone, account id", PolicySet(resource=resource({"AWS": HOME})), USER, "identity-does-not-allow"),
    ("account and identity", PolicySet(identity=identity(ALL), resource=resource(ACCOUNT)), USER, "identity-allows"),
    ("another account", PolicySet(resource=resource({"AWS": AWAY})), USER, "identity-does-not-allow"),
    ("policy silent, identity allows", PolicySet(identity=identity(ALL), resource=resource(USER_NAMED)), SESSION, "identity-allows"),
    ("policy denies", PolicySet(identity=identity(ALL), resource=resource("*", effect="Deny")), USER, "resource-denies"),
    ("policy denies on a condition that is not met", PolicySet(identity=identity(ALL), resource=resource("*", effect="Deny", Condition={"Bool": {"a:b": "true"}})), USER, "identity-allows"),
    ("policy denies another", PolicySet(identity=identity(ALL), resource=resource(ROLE_NAMED, effect="Deny")), USER, "identity-allows"),
    ("user ARN passes the boundary", PolicySet(resource=resource(USER_NAMED), boundary=NARROW), USER, "resource-allows"),
    ("role ARN stays in the boundary", PolicySet(resource=resource(ROLE_NAMED), boundary=NARROW), SESSION, "permissions-boundary-does-not-allow"),
    ("role ARN stays in the session", PolicySet(resource=resource(ROLE_NAMED), session=NARROW_SESSION), SESSION, "session-policy-does-not-allow"),
    ("role ARN in a wide boundary", PolicySet(resource=resource(ROLE_NAMED), boundary=boundary(ALL), session=session(ALL)), SESSION, "resource-allows"),
    ("session ARN passes both", PolicySet(resource=resource(SESSION_NAMED), boundary=NARROW, session=NARROW_SESSION), SESSION, "resource-allows"),
    ("everyone passes both", PolicySet(resource=resource("*"), boundary=NARROW, session=NARROW_SESSION), SESSION, "resource-allows"),
    ("explicit deny in the boundary holds", PolicySet(resource=resource(SESSION_NAMED), boundary=boundary(s("Deny"))), SESSION, "permissions-boundary-denies"),
    ("federated ARN passes the session", PolicySet(resource=resource(FEDERATED_NAMED), session=()), FEDERATED, "resource-allows"),
    ("user ARN behind a federated session", PolicySet(resource=resource(USER_NAMED), session=NARROW_SESSION), FEDERATED, "session-policy-does-not-allow"),
    ("role without a session", PolicySet(resource=resource(ROLE_NAMED)), ROLE, "resource-allows"),
    ("root user", PolicySet(), ROOT_USER, "account-root-allows"),
    ("root user, policy denies", PolicySet(resource=resource("*", effect="Deny")), ROOT_USER, "resource-denies"),
    ("root user, policy silent", PolicySet(resource=resource(USER_NAMED)), ROOT_USER, "account-root-allows"),
    ("anonymous", PolicySet(), ANONYMOUS, "resource-does-not-allow"),
    ("anonymous, everyone", PolicySet(resource=resource("*")), ANONYMOUS, "resource-allows"),
    ("anonymous, AWS everyone", PolicySet(resource=resource({"AWS": "*"})), ANONYMOUS, "resource-allows"),
    ("anonymous, account", PolicySet(resource=resource(ACCOUNT)), ANONYMOUS, "resource-does-not-allow"),
    ("service named", PolicySet(resource=resource({"Service": "lambda.amazonaws.com"})), SERVICE, "resource-allows"),
    ("another service", PolicySet(resource=resource({"Service": "ec2.amazonaws.com"})), SERVICE, "resource-does-not-allow"),
    ("all services", PolicySet(resource=resource({"Service": "*"})), SERVICE, "resource-allows"),
    ("service is no AWS principal", PolicySet(resource=resource({"AWS": "*"})), SERVICE, "resource-does-not-allow"),
    ("but a Deny for all hits it", PolicySet(resource=policy(PolicyKind.RESOURCE, s(Principal={"Service": "*"}), s("Deny", Principal={"AWS": "*"}))), SERVICE, "resource-denies"),
    ("canonical user", PolicySet(resource=resource({"CanonicalUser": "c1"})), replace(USER, canonical_user="c1"), "resource-allows"),
    ("another canonical user", PolicySet(resource=resource({"CanonicalUser": "c1"})), replace(USER, canonical_user="c2"), "identity-does-not-allow"),
    ("unknown canonical user", PolicySet(resource=resource({"CanonicalUser": "c1"})), USER, "identity-does-not-allow"),
    ("unknown canonical user denied", PolicySet(identity=identity(ALL), resource=resource({"CanonicalUser": "c1"}, effect="Deny")), USER, "resource-denies"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policies", "principal", "reason"),
    [pytest.param(*row[1:], id=row[0]) for row in SAME_ACCOUNT_ROWS],
)
def test_within_an_account(policies: PolicySet, principal: Principal, reason: str) -> None:
    decision = ask(policies, principal)
    assert decision.reason == reason
    assert (decision.outcome is Outcome.ALLOW) == reason.endswith("-allows")


CROSS_ROWS: list[tuple[str, PolicySet, Principal, str]] = [
    ("both", PolicySet(identity=identity(ALL), resource=resource(USER_NAMED)), USER, "resource-allows"),
    ("both, by account", PolicySet(identity=identity(ALL), resource=resource(ACCOUNT)), USER, "resource-allows"),
    ("both, by session", PolicySet(identity=identity(ALL), resource=resource(SESSION_NAMED)), SESSION, "resource-allows"),
    ("only identity", PolicySet(identity=identity(ALL)), USER, "resource-does-not-allow"),
    ("identity, silent policy", PolicySet(identity=identity(ALL), resource=resource({"AWS": AWAY})), USER, "resource-does-not-allow"),
    ("only the policy", PolicySet(resource=resource(USER_NAMED)), USER, "identity-does-not-allow"),
    ("only the policy, everyone", PolicySet(resource=resource("*")), SESSION, "identity-does-not-allow"),
    ("boundary narrows", PolicySet(identity=identity(ALL), boundary=NARROW, resource=resource("*")), USER, "permissions-boundary-does-not-allow"),
    ("root user, policy", PolicySet(resource=resource(ACCOUNT)), ROOT_USER, "resource-allows"),
    ("root user, no policy", PolicySet(), ROOT_USER, "resource-does-not-allow"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policies", "principal", "reason"), [pytest.param(*row[1:], id=row[0]) for row in CROSS_ROWS]
)
def test_across_accounts(policies: PolicySet, principal: Principal, reason: str) -> None:
    assert ask(policies, principal, account=AWAY).reason == reason


DECRYPT = {"action": "kms:*"}
KMS_ROWS: list[tuple[str, PolicySet, Principal, str]] = [
    ("default policy and identity", PolicySet(identity=identity(ALL), resource=resource(ACCOUNT, **DECRYPT)), USER, "identity-allows"),
    ("default policy, no identity", PolicySet(resource=resource(ACCOUNT, **DECRYPT)), USER, "identity-does-not-allow"),
    ("identity, no account in the policy", PolicySet(identity=identity(ALL), resource=resource(ROLE_NAMED, **DECRYPT)), USER, "resource-does-not-allow"),
    ("named in the policy", PolicySet(resource=resource(USER_NAMED, **DECRYPT)), USER, "resource-allows"),
    ("root user, default policy", PolicySet(resource=resource(ACCOUNT, **DECRYPT)), ROOT_USER, "resource-allows"),
    ("root user, locked out", PolicySet(resource=resource(USER_NAMED, **DECRYPT)), ROOT_USER, "resource-does-not-allow"),
    ("no key, no policy", PolicySet(identity=identity(ALL)), USER, "identity-allows"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policies", "principal", "reason"), [pytest.param(*row[1:], id=row[0]) for row in KMS_ROWS]
)
def test_key_policy_must_allow(policies: PolicySet, principal: Principal, reason: str) -> None:
    assert ask(policies, principal, "kms:Decrypt", KEY).reason == reason


FEDERATED_TRUST = trust(
    {"Federated": PROVIDER},
    action=["sts:AssumeRoleWithWebIdentity", "sts:TagSession"],
    Condition={"StringEquals": {"idp.iamrange.example:sub": "agent:planner"}},
)
WEB_ACTION = "sts:AssumeRoleWithWebIdentity"

TRUST_ROWS: list[tuple[str, PolicySet, Principal, str | None, str]] = [
    ("account and identity", PolicySet(identity=identity(ALL), trust=trust(ACCOUNT)), USER, HOME, "identity-allows"),
    ("account, no identity", PolicySet(trust=trust(ACCOUNT)), USER, HOME, "identity-does-not-allow"),
    ("user named, no identity", PolicySet(trust=trust(USER_NAMED)), USER, HOME, "trust-allows"),
    ("role named, chaining", PolicySet(trust=trust(ROLE_NAMED)), SESSION, HOME, "trust-allows"),
    ("session named", PolicySet(trust=trust(SESSION_NAMED)), SESSION, HOME, "trust-allows"),
    ("identity, not trusted", PolicySet(identity=identity(ALL), trust=trust(ROLE_NAMED)), USER, HOME, "trust-does-not-allow"),
    ("explicit deny", PolicySet(identity=identity(ALL), trust=trust("*", effect="Deny")), USER, HOME, "trust-denies"),
    ("role named, boundary", PolicySet(trust=trust(ROLE_NAMED), boundary=NARROW), SESSION, HOME, "permissions-boundary-does-not-allow"),
    ("across, both", PolicySet(identity=identity(ALL), trust=trust(ACCOUNT)), USER, AWAY, "trust-allows"),
    ("across, no identity", PolicySet(trust=trust(USER_NAMED)), USER, AWAY, "identity-does-not-allow"),
    ("across, not trusted", PolicySet(identity=identity(ALL), trust=trust({"AWS": AWAY})), USER, AWAY, "trust-does-not-allow"),
    ("root user", PolicySet(trust=trust(ACCOUNT)), ROOT_USER, HOME, "root-may-not-assume-roles"),
    ("service", PolicySet(trust=trust({"Service": "lambda.amazonaws.com"})), SERVICE, HOME, "trust-allows"),
    ("another service", PolicySet(trust=trust({"Service": "ec2.amazonaws.com"})), SERVICE, HOME, "trust-does-not-allow"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policies", "principal", "account", "reason"),
    [pytest.param(*row[1:], id=row[0]) for row in TRUST_ROWS],
)
def test_assume_role(
    policies: PolicySet, principal: Principal, account: str | None, reason: str
) -> None:
    role = f"arn:aws:iam::{account}:role/target"
    assert ask(policies, principal, "sts:AssumeRole", role, account).reason == reason


@pytest.mark.parametrize(
    ("principal", "action", "subject", "reason"),
    [
        (WEB, WEB_ACTION, "agent:planner", "trust-allows"),
        (WEB, "sts:TagSession", "agent:planner", "trust-allows"),
        (WEB, WEB_ACTION, "agent:analyst", "trust-does-not-allow"),
        (WEB, "sts:AssumeRole", "agent:planner", "trust-does-not-allow"),
        (replace(WEB, federated=PROVIDER + "/"), WEB_ACTION, "agent:planner", "trust-does-not-allow"),
        (replace(WEB, federated=None), WEB_ACTION, "agent:planner", "trust-does-not-allow"),
        (USER, WEB_ACTION, "agent:planner", "trust-does-not-allow"),
    ],
)  # fmt: skip
def test_web_identity_needs_the_trust_policy_alone(
    principal: Principal, action: str, subject: str, reason: str
) -> None:
    policies = PolicySet(identity=identity(ALL), trust=FEDERATED_TRUST)
    key = {"idp.iamrange.example:sub": subject}
    decision = decide(Request(action, ROLE_ARN, principal, HOME, key), policies)
    assert decision.reason == reason


@pytest.mark.parametrize(
    ("principal", "reason"),
    [("*", "trust-allows"), ({"Federated": "*"}, "trust-allows"), ({"AWS": "*"}, "trust-does-not-allow")],
)  # fmt: skip
def test_web_identity_is_everyone_but_no_aws_principal(principal: Json, reason: str) -> None:
    policies = PolicySet(trust=trust(principal, action=WEB_ACTION))
    assert ask(policies, WEB, WEB_ACTION, ROLE_ARN).reason == reason


DENY_READ = policy(PolicyKind.SCP, s("Deny"))
ONLY_SNS = policy(PolicyKind.SCP, NOTHING)
DENY_SECRETS = policy(PolicyKind.RCP, s("Deny", Principal="*"))

ORGANISATION_ROWS: list[tuple[str, PolicySet, Principal, str]] = [
    ("every level allows", PolicySet(identity=identity(ALL), scps=((FULL_SCP,), (FULL_SCP,))), USER, "identity-allows"),
    ("SCP grants nothing", PolicySet(scps=((FULL_SCP,),)), USER, "identity-does-not-allow"),
    ("a level denies", PolicySet(identity=identity(ALL), scps=((FULL_SCP, DENY_READ), (FULL_SCP,))), USER, "scp-denies"),
    ("a lower level denies", PolicySet(identity=identity(ALL), scps=((ONLY_SNS,), (FULL_SCP, DENY_READ))), USER, "scp-denies"),
    ("a level is silent", PolicySet(identity=identity(ALL), scps=((FULL_SCP,), (ONLY_SNS,), (FULL_SCP,))), USER, "scp-does-not-allow"),
    ("a level is empty", PolicySet(identity=identity(ALL), scps=((FULL_SCP,), ())), USER, "scp-does-not-allow"),
    ("binds the root user", PolicySet(scps=((FULL_SCP, DENY_READ),)), ROOT_USER, "scp-denies"),
    ("binds sessions", PolicySet(identity=identity(ALL), scps=((ONLY_SNS,),)), SESSION, "scp-does-not-allow"),
    ("binds a user named in the policy", PolicySet(resource=resource(USER_NAMED), scps=((ONLY_SNS,),)), USER, "scp-does-not-allow"),
    ("binds no service", PolicySet(resource=resource({"Service": "*"}), scps=((DENY_READ,),)), SERVICE, "resource-allows"),
    ("binds no anonymous caller", PolicySet(resource=resource("*"), scps=((DENY_READ,),)), ANONYMOUS, "resource-allows"),
    ("binds no service-linked role", PolicySet(identity=identity(ALL), scps=((DENY_READ,),), rcps=((DENY_SECRETS,),)), LINKED, "identity-allows"),
    ("RCP allows", PolicySet(identity=identity(ALL), rcps=((FULL_RCP,), (FULL_RCP,))), USER, "identity-allows"),
    ("RCP grants nothing", PolicySet(rcps=((FULL_RCP,),)), USER, "identity-does-not-allow"),
    ("RCP denies", PolicySet(identity=identity(ALL), rcps=((FULL_RCP,), (FULL_RCP, DENY_SECRETS))), USER, "rcp-denies"),
    ("RCP binds the root user", PolicySet(rcps=((FULL_RCP, DENY_SECRETS),)), ROOT_USER, "rcp-denies"),
    ("RCP binds anonymous callers", PolicySet(resource=resource("*"), rcps=((FULL_RCP, DENY_SECRETS),)), ANONYMOUS, "rcp-denies"),
    ("RCP binds services", PolicySet(resource=resource({"Service": "*"}), rcps=((FULL_RCP, DENY_SECRETS),)), SERVICE, "rcp-denies"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policies", "principal", "reason"),
    [pytest.param(*row[1:], id=row[0]) for row in ORGANISATION_ROWS],
)
def test_organisation_policies(policies: PolicySet, principal: Principal, reason: str) -> None:
    assert ask(policies, principal).reason == reason


def test_rcp_binds_web_identities_at_the_trust_policy() -> None:
    rcp = policy(PolicyKind.RCP, s("Deny", action=WEB_ACTION, Principal="*"))
    policies = PolicySet(
        trust=trust({"Federated": PROVIDER}, action=WEB_ACTION), rcps=((FULL_RCP, rcp),)
    )
    assert ask(policies, WEB, WEB_ACTION, ROLE_ARN).reason == "rcp-denies"


def test_rcp_leaves_other_services_and_resources_of_aws_alone() -> None:
    rcp = policy(PolicyKind.RCP, s("Deny", action=["iam:*", "kms:*"], Principal="*"))
    policies = PolicySet(identity=identity(ALL), rcps=((FULL_RCP, rcp),))
    assert ask(policies, action="iam:GetRole", target=ROLE_ARN).reason == "identity-allows"
    request = Request("kms:Decrypt", KEY, USER, HOME, {}, aws_owned_resource=True)
    assert decide(request, policies).reason == "identity-allows"
    owned = replace(request, aws_owned_resource=False)
    assert decide(owned, policies).reason == "rcp-denies"
    assert decide(replace(owned, action="kms:RetireGrant"), policies).reason == "identity-allows"


NOT_PRINCIPAL_ROWS: list[tuple[str, list[str] | str, Principal, str]] = [
    ("session, role and account", [SESSION_ARN, ROLE_ARN, ROOT], SESSION, "allow"),
    ("no session", [ROLE_ARN, ROOT], SESSION, "deny"),
    ("no role", [SESSION_ARN, ROOT], SESSION, "deny"),
    ("no account", [SESSION_ARN, ROLE_ARN], SESSION, "deny"),
    ("user and account", [USER_ARN, HOME], USER, "allow"),
    ("user alone", [USER_ARN], USER, "deny"),
    ("account alone", [ROOT], USER, "deny"),
    ("another user", [USER_ARN.replace("alice", "bob"), ROOT], USER, "deny"),
    ("root user", [ROOT], ROOT_USER, "allow"),
    ("root user of another account", [AWAY], ROOT_USER, "deny"),
    ("federated, user and account", [FEDERATED_ARN, USER_ARN, ROOT], FEDERATED, "allow"),
    ("federated without its user", [FEDERATED_ARN, ROOT], FEDERATED, "deny"),
    ("everyone", "*", SESSION, "allow"),
]


@pytest.mark.parametrize(
    ("listed", "principal", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in NOT_PRINCIPAL_ROWS],
)
def test_deny_for_all_but_those_listed(
    listed: list[str] | str, principal: Principal, expected: str
) -> None:
    denied = policy(PolicyKind.RESOURCE, s("Deny", NotPrincipal={"AWS": listed}))
    assert ask(PolicySet(identity=identity(ALL), resource=denied), principal).outcome == expected


@pytest.mark.parametrize(
    ("listed", "principal", "expected"),
    [
        ({"Service": "lambda.amazonaws.com"}, SERVICE, "allow"),
        ({"Service": "ec2.amazonaws.com"}, SERVICE, "deny"),
        ({"Federated": PROVIDER}, WEB, "allow"),
        ({"AWS": HOME}, WEB, "deny"),
        ({"AWS": HOME}, ANONYMOUS, "deny"),
        ("*", ANONYMOUS, "allow"),
    ],
)
def test_deny_for_all_but_those_listed_who_are_no_aws_principals(
    listed: Json, principal: Principal, expected: str
) -> None:
    both = policy(PolicyKind.RESOURCE, s(Principal="*"), s("Deny", NotPrincipal=listed))
    assert ask(PolicySet(resource=both), principal).outcome == expected


def test_deny_for_all_but_those_listed_hits_every_principal_with_a_boundary() -> None:
    denied = policy(PolicyKind.RESOURCE, s("Deny", NotPrincipal={"AWS": [USER_ARN, ROOT]}))
    policies = PolicySet(identity=identity(ALL), resource=denied, boundary=boundary(ALL))
    assert ask(policies).reason == "resource-denies"


def test_every_layer_answers_after_one_has_refused() -> None:
    policies = PolicySet(
        identity=identity(NOTHING),
        boundary=NARROW,
        session=NARROW_SESSION,
        resource=resource("*", effect="Deny"),
        trust=trust(ROLE_NAMED),
        scps=((DENY_READ,),),
        rcps=((DENY_SECRETS,),),
    )
    decision = ask(policies, SESSION)
    assert tuple(answer.layer for answer in decision.layers) == LAYERS
    assert all(answer.refuses for answer in decision.layers)


def test_layers_without_a_policy_have_no_say() -> None:
    layers = evaluate(Request(READ, SECRET, ANONYMOUS), PolicySet()).layers
    assert {answer.layer: answer.effect for answer in layers} == dict.fromkeys(
        LAYERS, Effect.NOT_APPLICABLE
    )


def test_implicit_deny_by_absence_has_no_near_miss() -> None:
    answer = layer(ask(PolicySet(identity=identity(s(resource=OTHER), NOTHING))), "identity")
    assert answer == LayerAnswer("identity", Effect.IMPLICIT_DENY, "no-statement-allows")


def test_near_miss_names_statement_and_failed_keys_in_lower_case() -> None:
    condition = {
        "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
        "StringEquals": {"aws:PrincipalTag/Team": "blue", "aws:username": "alice"},
    }
    decision = ask(
        PolicySet(identity=identity(s(Sid="Own", Condition=condition), s(resource=OTHER))),
        aws__username="alice",
        aws__SourceIp="192.0.2.1",
    )
    assert layer(decision, "identity").near_misses == (
        Statement("identity", "Own", ("aws:sourceip", "aws:principaltag/team")),
    )


def test_near_miss_of_a_resource_policy_names_only_statements_for_the_caller() -> None:
    condition = {"Bool": {"aws:SecureTransport": "true"}}
    both = policy(
        PolicyKind.RESOURCE,
        s(Principal=ROLE_NAMED, Condition=condition),
        s(Principal=USER_NAMED, Condition=condition),
        s(Principal=USER_NAMED, resource=OTHER, Condition=condition),
    )
    decision = ask(PolicySet(resource=both), aws__SecureTransport="false")
    assert layer(decision, "resource").near_misses == (
        Statement("resource", "#1", ("aws:securetransport",)),
    )


def test_near_miss_at_a_level_of_the_organisation_is_kept() -> None:
    scp = policy(
        PolicyKind.SCP, s(Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}})
    )
    decision = ask(PolicySet(identity=identity(ALL), scps=((FULL_SCP,), (scp,))))
    answer = layer(decision, "scp")
    assert answer.near_misses == (Statement("scp", "#0", ("aws:requestedregion",)),)
    assert answer.detail == "level 1 below the root"


def test_answer_names_the_statement_that_decides() -> None:
    statements = (s(Sid="A", resource=OTHER), s(Sid="B"), s("Deny", Sid="C", resource=OTHER))
    policies = PolicySet(identity=identity(*statements))
    assert layer(ask(policies), "identity").decided_by == Statement("identity", "B")
    assert layer(ask(policies, target=OTHER), "identity").decided_by == Statement("identity", "C")


def test_resource_policy_reports_the_strongest_way_it_names_the_caller() -> None:
    both = policy(
        PolicyKind.RESOURCE,
        s(Principal=ACCOUNT),
        s(Principal=ROLE_NAMED),
        s(Principal=SESSION_NAMED),
        s(Principal="*", Condition={"Bool": {"a:b": "true"}}),
        s(Principal=ACCOUNT),
    )
    answer = layer(ask(PolicySet(resource=both), SESSION), "resource")
    assert (answer.effect, answer.reason) == (Effect.ALLOW, "allows-session-arn")
    assert answer.decided_by == Statement("resource", "#2")


def test_first_of_equally_strong_statements_decides() -> None:
    both = policy(PolicyKind.RESOURCE, s(Principal=USER_NAMED), s(Principal=USER_NAMED))
    answer = layer(ask(PolicySet(resource=both)), "resource")
    assert answer.decided_by == Statement("resource", "#0")


def test_explicit_deny_of_a_resource_policy_is_told_from_one_that_cannot_be_evaluated() -> None:
    answer = layer(ask(PolicySet(resource=resource("*", effect="Deny"))), "resource")
    assert answer == LayerAnswer(
        "resource", Effect.DENY, "statement-denies", Statement("resource", "#0")
    )


def test_highest_level_of_the_organisation_that_is_silent_is_named() -> None:
    policies = PolicySet(identity=identity(ALL), scps=((ONLY_SNS,), (FULL_SCP,), (ONLY_SNS,)))
    assert layer(ask(policies), "scp").detail == "level of the root"


MANY = {"s3:max-keys": "many"}
ODD_NUMBER = {"NumericLessThan": {"s3:max-keys": "10"}}


def test_deny_that_cannot_be_evaluated_denies_and_is_listed() -> None:
    policies = PolicySet(identity=identity(ALL, s("Deny", Sid="Few", Condition=ODD_NUMBER)))
    decision = ask(policies, USER, READ, SECRET, HOME, **MANY)
    assert decision.reason == "identity-denies"
    assert decision.unevaluated == ("identity/Few: NumericLessThan s3:max-keys",)
    answer = layer(decision, "identity")
    assert answer.reason == "statement-not-evaluable"
    assert answer.decided_by == Statement("identity", "Few", ("s3:max-keys",))


def test_deny_of_a_resource_policy_that_cannot_be_evaluated_denies_and_is_listed() -> None:
    denied = resource("*", effect="Deny", Condition=ODD_NUMBER)
    decision = ask(
        PolicySet(identity=identity(ALL), resource=denied), USER, READ, SECRET, HOME, **MANY
    )
    assert decision.reason == "resource-denies"
    assert decision.unevaluated == ("resource/#0: NumericLessThan s3:max-keys",)


def test_deny_that_fails_otherwise_is_not_held_up_by_what_cannot_be_evaluated() -> None:
    condition = {**ODD_NUMBER, "Bool": {"a:b": "true"}}
    decision = ask(
        PolicySet(identity=identity(ALL, s("Deny", Condition=condition))),
        USER,
        READ,
        SECRET,
        HOME,
        **MANY,
    )
    assert (decision.outcome, decision.unevaluated) == (Outcome.ALLOW, ())


def test_allow_that_cannot_be_evaluated_allows_nothing_and_is_listed() -> None:
    policies = PolicySet(identity=identity(s(Condition=ODD_NUMBER)))
    decision = ask(policies, USER, READ, SECRET, HOME, **MANY)
    assert decision.outcome is Outcome.DENY
    assert decision.unevaluated == ("identity/#0: NumericLessThan s3:max-keys",)


def test_unknown_canonical_user_is_listed_when_it_denies() -> None:
    denied = resource({"CanonicalUser": "c1"}, effect="Deny")
    decision = ask(PolicySet(identity=identity(ALL), resource=denied))
    assert decision.unevaluated == ("resource/#0: CanonicalUser",)


def test_context_given_to_decide_takes_the_place_of_the_requests_own() -> None:
    policies = PolicySet(identity=identity(s(Condition={"Bool": {"a:b": "true"}})))
    request = Request(READ, SECRET, USER, HOME, {"a:b": "false"})
    assert decide(request, policies).outcome is Outcome.DENY
    assert decide(request, policies, {"A:B": "true"}).outcome is Outcome.ALLOW


def test_resource_account_left_open_is_the_principals_own() -> None:
    assert ask(PolicySet(identity=identity(ALL)), account=None).outcome is Outcome.ALLOW


def test_policy_keeps_no_more_actions_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iamrange.clouds.aws.policy._KEPT_ACTIONS", 2)
    policies = PolicySet(identity=identity(s(action="a:*")))
    outcomes = [ask(policies, action=f"a:B{number}").outcome for number in range(5)]
    assert outcomes == [Outcome.ALLOW] * 5
