"""What the declared documents decide, asked of the pure deciders of both clouds.

Each attack is refused by its control on the hardened stack, and let through without that control;
the agents' own work is allowed throughout.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.clouds.aws.decide import (
    CompiledPolicy,
    Decision,
    PolicyKind,
    PolicySet,
    Principal,
    Request,
    compile_policy,
    decide,
)
from iamrange.clouds.gcp.mapping import apply_mapping, condition_holds
from iamrange.clouds.gcp.provider_rules import compile_attribute_condition, compile_mapping
from iamrange.core.controls import CONTROLS
from iamrange.core.decision import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Plan = Any
Declare = Any

ACCOUNT = "100000000002"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
ALLOW_ALL_RCP = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*",'
    '"Resource":"*"}}'
)
ORGANISATION_POLICY = "aws:organizations/policy:Policy"
CONTROL_POLICIES = {
    "SERVICE_CONTROL_POLICY": PolicyKind.SCP,
    "RESOURCE_CONTROL_POLICY": PolicyKind.RCP,
}
SECRET_POLICY = "aws:secretsmanager/secretPolicy:SecretPolicy"
POOL_PROVIDER = "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"
INCIDENT = {"log-writer": "2026-11-25T15:00:00Z"}
ALLOW_ALL = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
SECRETS = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret"
OWN_NETWORK = "127.10.0.1"


@dataclass(frozen=True)
class Call:
    """A call of one part's role session; `context` is what the case is about."""

    part: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    self_granted: bool = False


def _decide(plan: Plan, call: Call) -> Decision:
    role = plan.only(ROLE, call.part)
    tags = role.inputs["tags"]
    name = role.inputs["name"]
    arn = f"arn:aws:iam::{ACCOUNT}:role/agents/{name}"
    documents = [
        p.inputs["policy"] for p in plan.of(ROLE_POLICY).values() if p.inputs["role"] == name
    ]
    if call.self_granted:
        documents.append(ALLOW_ALL)
    identity = tuple(
        compile_policy(text, kind=PolicyKind.IDENTITY, name=f"inline:{number}")
        for number, text in enumerate(documents)
    )
    level = _level(plan, PolicyKind.SCP)
    boundary = None
    if role.inputs.get("permissionsBoundary"):
        named = role.inputs["permissionsBoundary"].rsplit("/", 1)[1]
        (policy,) = (
            p for p in plan.of("aws:iam/policy:Policy").values() if p.inputs["name"] == named
        )
        boundary = compile_policy(
            policy.inputs["policy"], kind=PolicyKind.BOUNDARY, name="boundary"
        )
    request = Request(
        action=call.action,
        resource=call.resource,
        principal=Principal(
            "assumed-role",
            f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/session",
            role_arn=arn,
            account=ACCOUNT,
        ),
        resource_account=ACCOUNT,
        context={
            "aws:PrincipalArn": arn,
            "aws:PrincipalAccount": ACCOUNT,
            "aws:SourceIp": OWN_NETWORK,
            "aws:ViaAWSService": "false",
            "aws:TokenIssueTime": "2026-11-25T15:00:00Z",
            **{f"aws:PrincipalTag/{key}": value for key, value in tags.items()},
            **call.context,
        },
    )
    return decide(
        request,
        PolicySet(
            identity=identity,
            boundary=boundary,
            scps=level,
            resource=_resource_policy(plan, call.resource),
        ),
    )


def _hop(plan: Plan, part: str, **context: str | tuple[str, ...]) -> Decision:
    """Ask for the shared worker role with a part's session, and session tags as in the context."""
    role, worker = plan.only(ROLE, part), plan.only(ROLE, "project-worker")
    arn = f"arn:aws:iam::{ACCOUNT}:role/agents/{role.inputs['name']}"
    (policy,) = (p for p in plan.of(ROLE_POLICY).values() if p.name == part)
    request = Request(
        action="sts:AssumeRole",
        resource=f"arn:aws:iam::{ACCOUNT}:role/shared/project-worker",
        principal=Principal(
            "assumed-role",
            f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.inputs['name']}/session",
            role_arn=arn,
            account=ACCOUNT,
        ),
        resource_account=ACCOUNT,
        context={
            "aws:PrincipalArn": arn,
            **{f"aws:PrincipalTag/{key}": value for key, value in role.inputs["tags"].items()},
            **{key.replace("__", ":").replace("_of_", "/"): v for key, v in context.items()},
        },
    )
    return decide(
        request,
        PolicySet(
            identity=(
                compile_policy(policy.inputs["policy"], kind=PolicyKind.IDENTITY, name="own"),
            ),
            trust=compile_policy(
                worker.inputs["assumeRolePolicy"], kind=PolicyKind.TRUST, name="trust"
            ),
        ),
    )


def _vendor(plan: Plan, **context: str) -> Decision:
    """Ask for the vendor's role with a session of the vendor's own account."""
    role = plan.only(ROLE, "vendor")
    vendor = "900000000009"
    request = Request(
        action="sts:AssumeRole",
        resource=f"arn:aws:iam::{ACCOUNT}:role/vendor/monitoring",
        principal=Principal("user", f"arn:aws:iam::{vendor}:user/collector", account=vendor),
        resource_account=ACCOUNT,
        context={key.replace("__", ":"): value for key, value in context.items()},
    )
    own = compile_policy(ALLOW_ALL, kind=PolicyKind.IDENTITY, name="the vendor's own")
    document = role.inputs["assumeRolePolicy"]
    trust = compile_policy(document, kind=PolicyKind.TRUST, name="trust")
    return decide(
        request, PolicySet(identity=(own,), trust=trust, rcps=_level(plan, PolicyKind.RCP))
    )


def _google(plan: Plan, *, number: str, audience: str = "sts.amazonaws.com") -> Decision:
    """Ask for the copier's role with an ID token of a Google account."""
    role, host = plan.only(ROLE, "google"), "accounts.google.com"
    trust = compile_policy(role.inputs["assumeRolePolicy"], kind=PolicyKind.TRUST, name="trust")
    request = Request(
        action="sts:AssumeRoleWithWebIdentity",
        resource=f"arn:aws:iam::{ACCOUNT}:role/google/backup-copier",
        principal=Principal("web-identity", number, federated=host),
        resource_account=ACCOUNT,
        context={
            f"{host}:sub": number,
            f"{host}:aud": number,
            f"{host}:oaud": audience,
            "aws:FederatedProvider": host,
        },
    )
    return decide(request, PolicySet(trust=trust, rcps=_level(plan, PolicyKind.RCP)))


def _level(plan: Plan, kind: PolicyKind) -> tuple[tuple[CompiledPolicy, ...], ...]:
    """Return the control policies of a kind over the account: root first, account last."""
    full_text = ALLOW_ALL if kind is PolicyKind.SCP else ALLOW_ALL_RCP
    full = compile_policy(full_text, kind=kind, name="full-access")
    attached = {
        a.inputs["policyId"]
        for a in plan.resources
        if a.type == "aws:organizations/policyAttachment:PolicyAttachment"
    }
    own = [
        compile_policy(p.inputs["content"], kind=kind, name=name)
        for name, p in plan.of(ORGANISATION_POLICY).items()
        if f"{name}-id" in attached and CONTROL_POLICIES[p.inputs["type"]] is kind
    ]
    return ((full,), (full, *own))


def _resource_policy(plan: Plan, resource: str) -> CompiledPolicy | None:
    """Return the policy that the plan puts onto this secret or key itself, if it does."""
    if resource == DATA_KEY:
        (key,) = plan.of("aws:kms/key:Key").values()
        return compile_policy(key.inputs["policy"], kind=PolicyKind.RESOURCE, name=key.name)
    for policy in plan.resources:
        if policy.type == SECRET_POLICY and policy.inputs["secretArn"] == resource:
            text = policy.inputs["policy"]
            return compile_policy(text, kind=PolicyKind.RESOURCE, name=policy.name)
    return None


def _web_identity(
    plan: Plan, part: str, *, subject: str, audience: str, issuer: str = "idp.iamrange.example"
) -> Decision:
    """Ask with a token of an issuer; one that is not ours was made trusted first."""
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"
    role = plan.only(ROLE, part)
    document = role.inputs["assumeRolePolicy"].replace("idp.iamrange.example", issuer)
    trust = compile_policy(document, kind=PolicyKind.TRUST, name="trust")
    request = Request(
        action="sts:AssumeRoleWithWebIdentity",
        resource=f"arn:aws:iam::{ACCOUNT}:role/agents/{role.inputs['name']}",
        principal=Principal("web-identity", subject, federated=provider),
        resource_account=ACCOUNT,
        context={
            f"{issuer}:sub": subject,
            f"{issuer}:aud": audience,
            "aws:FederatedProvider": provider,
        },
    )
    return decide(request, PolicySet(trust=trust, rcps=_level(plan, PolicyKind.RCP)))


def _secret(of: str) -> str:
    return f"{SECRETS}:agents/{of}/credentials-AbCdEf"


def _records(of: str) -> str:
    return f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/projects-{of}-records"


def _ask(call: Call) -> Callable[[Plan], Decision]:
    return lambda plan: _decide(plan, call)


GET_SECRET = "secretsmanager:GetSecretValue"
RELEASE = f"arn:aws:iam::{ACCOUNT}:role/platform/release"
FUNCTION = f"arn:aws:iam::{ACCOUNT}:role/functions/deploy-bot-function"
TRAIL = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/iamrange"
GOOGLE_NUMBER = "113000000000000000001"
DATA_KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"
OURS = "spiffe://iamrange.example/agent"
SELF = f"arn:aws:iam::{ACCOUNT}:role/agents/deploy-bot-role"
BACKUP = f"arn:aws:iam::{ACCOUNT}:user/service/backup"

ATTACKS: Mapping[str, Callable[[Plan], Decision]] = {
    "aws.trust-pins-subject": lambda plan: _web_identity(
        plan, "payments-agent", subject=f"{OURS}/support-llm", audience="sts.amazonaws.com"
    ),
    "aws.issuer-tenant": lambda plan: _web_identity(
        plan,
        "payments-agent",
        subject="spiffe://iamrange-fork.example/agent/payments-agent",
        audience="sts.amazonaws.com",
    ),
    "aws.trust-pins-audience": lambda plan: _web_identity(
        plan, "payments-agent", subject=f"{OURS}/payments-agent", audience="https://other.example"
    ),
    "aws.least-privilege": _ask(Call("support-llm", GET_SECRET, _secret("hr-assistant"))),
    "aws.permissions-boundary": _ask(
        Call("deploy-bot", GET_SECRET, f"{SECRETS}:platform/signing-key-AbCdEf", self_granted=True)
    ),
    "aws.abac-project-tag": _ask(
        Call(
            "data-analyst",
            "dynamodb:GetItem",
            _records("people"),
            {"aws:ResourceTag/project": "people"},
        )
    ),
    "aws.network-perimeter": _ask(
        Call("data-analyst", GET_SECRET, _secret("data-analyst"), {"aws:SourceIp": "127.66.0.1"})
    ),
    "aws.revoke-older-sessions": _ask(
        Call(
            "log-writer",
            GET_SECRET,
            _secret("log-writer"),
            {"aws:TokenIssueTime": "2026-11-25T14:59:59Z"},
        )
    ),
    "aws.org-no-long-lived-keys": _ask(Call("platform-admin", "iam:CreateAccessKey", BACKUP)),
    "aws.org-keep-logging": _ask(Call("platform-admin", "cloudtrail:StopLogging", TRAIL)),
    "aws.org-stay-in-organisation": _ask(
        Call("platform-admin", "organizations:LeaveOrganization", "*")
    ),
    "aws.issuer-allow-list": lambda plan: _web_identity(
        plan,
        "hr-assistant",
        subject=f"{OURS}/hr-assistant",
        audience="sts.amazonaws.com",
        issuer="idp.attacker.example",
    ),
    "aws.tag-session": lambda plan: _hop(
        plan, "data-analyst", aws__RequestTag_of_project="analytics"
    ),
    "aws.passrole-scoped": _ask(
        Call("deploy-bot", "iam:PassRole", RELEASE, {"iam:PassedToService": "lambda.amazonaws.com"})
    ),
    "aws.kms-encryption-context": _ask(
        Call(
            "support-llm", "kms:Decrypt", DATA_KEY, {"kms:EncryptionContext:agent": "hr-assistant"}
        )
    ),
    "aws.external-id": lambda plan: _vendor(plan, sts__ExternalId="another-customer-2c9e41d8"),
    "aws.secret-resource-policy": _ask(
        Call("deploy-bot", GET_SECRET, _secret("payments-agent"), self_granted=True)
    ),
}


def test_another_google_account_comes_only_without_the_subject(declare: Declare) -> None:
    other = GOOGLE_NUMBER[:-1] + "2"
    lapse = {"aws.trust-pins-subject": False}
    assert _google(declare(), number=other).outcome is Outcome.DENY
    assert _google(declare(controls=lapse), number=other).outcome is Outcome.ALLOW
    elsewhere = _google(declare(), number=GOOGLE_NUMBER, audience="https://other.example")
    assert elsewhere.outcome is Outcome.DENY


# the controls that refuse the same attack too, and are off when one alone is looked at
BEHIND: Mapping[str, tuple[str, ...]] = {
    "aws.passrole-scoped": ("aws.permissions-boundary",),
    "aws.issuer-tenant": ("aws.trust-pins-subject",),
}


WORK: Mapping[str, Callable[[Plan], Decision]] = {
    "assumes its own role": lambda plan: _web_identity(
        plan, "hr-assistant", subject=f"{OURS}/hr-assistant", audience="sts.amazonaws.com"
    ),
    "reads its own secret": _ask(Call("hr-assistant", GET_SECRET, _secret("hr-assistant"))),
    "reads its project's records": _ask(
        Call(
            "data-analyst",
            "dynamodb:GetItem",
            _records("analytics"),
            {"aws:ResourceTag/project": "analytics"},
        )
    ),
    "deploys a policy to its own role": _ask(Call("deploy-bot", "iam:PutRolePolicy", SELF)),
    "deploys a policy below its role": _ask(
        Call("deploy-bot", "iam:PutRolePolicy", f"{SELF}/billing")
    ),
    "becomes its project's worker": lambda plan: _hop(
        plan,
        "data-analyst",
        aws__RequestTag_of_project="analytics",
        sts__TransitiveTagKeys=("project",),
    ),
    "passes its function's role": _ask(
        Call(
            "deploy-bot", "iam:PassRole", FUNCTION, {"iam:PassedToService": "lambda.amazonaws.com"}
        )
    ),
    "opens its own data key": _ask(
        Call("support-llm", "kms:Decrypt", DATA_KEY, {"kms:EncryptionContext:agent": "support-llm"})
    ),
    "lets Google's backup account come": lambda plan: _google(plan, number=GOOGLE_NUMBER),
    "lets the vendor come for us": lambda plan: _vendor(
        plan, sts__ExternalId="iamrange-customer-5b1d0f7a"
    ),
    "looks at the trail": _ask(Call("platform-admin", "cloudtrail:GetTrailStatus", TRAIL)),
    "looks after the account": _ask(
        Call("platform-admin", "organizations:DescribeOrganization", "*")
    ),
    "audits keys": _ask(Call("platform-admin", "iam:ListAccessKeys", BACKUP)),
    "works on with a session issued after the incident": _ask(
        Call("log-writer", GET_SECRET, _secret("log-writer"))
    ),
}

# beyond what a control stands for: nobody has these, with or without any one control
NEVER: Mapping[str, Callable[[Plan], Decision]] = {
    "reads the platform's secret": _ask(
        Call("platform-admin", GET_SECRET, f"{SECRETS}:platform/signing-key-AbCdEf")
    ),
    "writes a neighbour's policy": _ask(
        Call("deploy-bot", "iam:PutRolePolicy", SELF.replace("deploy-bot", "hr-assistant"))
    ),
    "becomes another project's worker": lambda plan: _hop(
        plan,
        "data-analyst",
        aws__RequestTag_of_project="people",
        sts__TransitiveTagKeys=("project",),
    ),
    "passes its function's role to a machine": _ask(
        Call("deploy-bot", "iam:PassRole", FUNCTION, {"iam:PassedToService": "ec2.amazonaws.com"})
    ),
    "opens a data key of nobody's": _ask(Call("support-llm", "kms:Decrypt", DATA_KEY)),
    "writes policies without the power": _ask(Call("support-llm", "iam:PutRolePolicy", SELF)),
    "reads a secret that is no agent's credentials": _ask(
        Call("support-llm", GET_SECRET, f"{SECRETS}:agents/support-llm/credentials-old-AbCdEf")
    ),
}


# what a control alone stands for comes with its lapse
EVEN_SO = (
    ("reads a secret", "aws.least-privilege"),
    ("opens a data key", "aws.kms-encryption-context"),
)


@pytest.mark.parametrize("control", ATTACKS)
def test_attack_is_refused_by_its_control_and_by_nothing_else(
    declare: Declare, control: str
) -> None:
    off = dict.fromkeys(BEHIND.get(control, ()), False)
    decision = ATTACKS[control](declare(incidents=INCIDENT, controls=off))
    assert decision.outcome is Outcome.DENY
    assert decision.unevaluated == ()
    refusal = CONTROLS[control].refusal
    refusing = [layer for layer in decision.layers if layer.refuses]
    assert [refusal.is_answer(refusal.point, layer) for layer in refusing] == [True]


@pytest.mark.parametrize("control", ATTACKS)
def test_attack_is_let_through_without_its_control(declare: Declare, control: str) -> None:
    off = dict.fromkeys((control, *BEHIND.get(control, ())), False)
    decision = ATTACKS[control](declare(incidents=INCIDENT, controls=off))
    assert decision.outcome is Outcome.ALLOW


@pytest.mark.parametrize("work", WORK)
def test_work_is_allowed_on_the_hardened_stack(declare: Declare, work: str) -> None:
    decision = WORK[work](declare(incidents=INCIDENT))
    assert decision.outcome is Outcome.ALLOW, [d for d in decision.layers if d.refuses]


@pytest.mark.parametrize("case", NEVER)
def test_what_nobody_was_given_is_refused_whatever_control_is_left_out(
    declare: Declare, case: str
) -> None:
    for left_out in ({}, *({control: False} for control in ATTACKS)):
        if any(
            case.startswith(beginning) and control in left_out for beginning, control in EVEN_SO
        ):
            continue
        assert NEVER[case](declare(controls=left_out)).outcome is Outcome.DENY, left_out


TOKEN = {"sub": f"{OURS}/planner", "agent": "planner", "tenant": "iamrange"}
ADMITTED: Mapping[str, tuple[dict[str, str], bool]] = {
    "ours": (TOKEN, True),
    "of another tenant": (
        {"sub": "spiffe://vendor.example/agent/planner", "agent": "planner", "tenant": "vendor"},
        False,
    ),
    "of another trust domain": (TOKEN | {"sub": "spiffe://vendor.example/agent/planner"}, False),
    "tenant in another case": (TOKEN | {"tenant": "IAMRANGE"}, False),
    "tenant with a suffix": (TOKEN | {"tenant": "iamrange-2"}, False),
    "no tenant": ({k: v for k, v in TOKEN.items() if k != "tenant"}, False),
    "no agent": ({k: v for k, v in TOKEN.items() if k != "agent"}, False),
    "agent other than the subject": (TOKEN | {"agent": "admin"}, False),
    "subject with a path before it": (
        TOKEN | {"sub": "spiffe://iamrange.example/x/agent/planner"},
        False,
    ),
}


# (subject, audience) that look like the agent's own and are not
MISSES: Mapping[str, tuple[str, str]] = {
    "one character more": (f"{OURS}/planners", "sts.amazonaws.com"),
    "one character less": (f"{OURS}/planne", "sts.amazonaws.com"),
    "another case": (f"{OURS}/Planner", "sts.amazonaws.com"),
    "another case of the scheme": (
        f"{OURS}/planner".replace("spiffe", "SPIFFE"),
        "sts.amazonaws.com",
    ),
    "a path before": ("spiffe://iamrange.example/x/agent/planner", "sts.amazonaws.com"),
    "a path behind": (f"{OURS}/planner/x", "sts.amazonaws.com"),
    "a trailing slash": (f"{OURS}/planner/", "sts.amazonaws.com"),
    "another trust domain": ("spiffe://iamrange.example.org/agent/planner", "sts.amazonaws.com"),
    "a wildcard for a name": (f"{OURS}/*", "sts.amazonaws.com"),
    "a wildcard for a character": (f"{OURS}/planne?", "sts.amazonaws.com"),
    "white space behind": (f"{OURS}/planner ", "sts.amazonaws.com"),
    "an audience that is a character short": (f"{OURS}/planner", "sts.amazonaws.co"),
    "the audience that people mistype": (f"{OURS}/planner", "sts.amazon.com"),
}


@pytest.mark.parametrize("case", MISSES)
def test_role_takes_nothing_that_misses_by_a_character(
    declare: Declare, lab_config: Mapping[str, Any], case: str
) -> None:
    agents = [{**lab_config["iamrange:agents"][0], "name": "planner"}]
    plan, part = declare(agents=agents), agents[0]["part"]
    subject, audience = MISSES[case]
    right = _web_identity(plan, part, subject=f"{OURS}/planner", audience="sts.amazonaws.com")
    wrong = _web_identity(plan, part, subject=subject, audience=audience)
    assert (right.outcome, wrong.outcome) == (Outcome.ALLOW, Outcome.DENY)


@pytest.mark.parametrize("case", ADMITTED)
def test_pool_admits_our_agents_alone(declare: Declare, case: str) -> None:
    claims, admitted = ADMITTED[case]
    document = declare().of(POOL_PROVIDER)["agents"].inputs
    mapping, condition = compile_mapping(document), compile_attribute_condition(document)
    assert condition is not None
    mapped = apply_mapping(mapping, claims)
    assert (condition_holds(condition, claims, mapped) is True) is admitted
    if admitted:
        assert mapped.refusal is None
        assert mapped.subject == "planner"


def test_tenants_would_share_a_subject_without_the_condition(declare: Declare) -> None:
    document = declare(controls={"gcp.attribute-condition": False}).of(POOL_PROVIDER)["agents"]
    assert compile_attribute_condition(dict(document.inputs)) is None
    mapping = compile_mapping(document.inputs)
    subjects = {
        apply_mapping(mapping, ADMITTED[case][0]).subject for case in ("ours", "of another tenant")
    }
    assert subjects == {"planner"}


def test_every_document_is_one_that_aws_would_store(declare: Declare) -> None:
    stored = 0
    for resource in declare(incidents=INCIDENT).resources:
        kinds = KINDS.get(resource.type, {})
        if resource.type == ORGANISATION_POLICY:
            kinds = {"content": CONTROL_POLICIES[resource.inputs["type"]]}
        for name, kind in kinds.items():
            compile_policy(resource.inputs[name], kind=kind, name=resource.name)
            assert len(json.dumps(json.loads(resource.inputs[name]))) < 5120
            stored += 1
    assert stored >= 20


KINDS: Mapping[str, Mapping[str, PolicyKind]] = {
    ROLE: {"assumeRolePolicy": PolicyKind.TRUST},
    ROLE_POLICY: {"policy": PolicyKind.IDENTITY},
    "aws:iam/userPolicy:UserPolicy": {"policy": PolicyKind.IDENTITY},
    "aws:iam/policy:Policy": {"policy": PolicyKind.BOUNDARY},
    SECRET_POLICY: {"policy": PolicyKind.RESOURCE},
    "aws:s3/bucketPolicy:BucketPolicy": {"policy": PolicyKind.RESOURCE},
    "aws:kms/key:Key": {"policy": PolicyKind.RESOURCE},
}
