"""Findings: one row a kind of over-privilege, with what it names; and grants that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome, Statement
from iamrange.credentials.privileges.check import proposals_for
from iamrange.credentials.privileges.escalations import ESCALATIONS, Gain, Target
from iamrange.credentials.privileges.estate import Document, Estate, Identity, Resource
from iamrange.credentials.privileges.findings import assumptions_of, findings_of
from iamrange.credentials.privileges.model import Finding, Kind, Use, Window
from iamrange.credentials.privileges.used import uses_on_aws, window_of

ACCOUNT = "111122223333"
ME = f"arn:aws:iam::{ACCOUNT}:role/agent"
BIG = f"arn:aws:iam::{ACCOUNT}:role/big"
USER = f"arn:aws:iam::{ACCOUNT}:user/backup"
SECRETS = tuple(
    f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:{name}-a1B2c3" for name in ("mine", "other")
)
MINE, OTHER = SECRETS
SERVICES = ("lambda", "ec2", "ecs-tasks", "glue", "cloudformation", "sagemaker", "codebuild")
TRUSTS = [f"{name}.amazonaws.com" for name in (*SERVICES, "states", "datapipeline")]
WINDOW = Window(since=100.0, until=160.0, source="a test", decisions=7)
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def estate_of(
    *granted: dict[str, Any],
    boundary: tuple[dict[str, Any], ...] | None = None,
    scp: tuple[dict[str, Any], ...] | None = None,
    rcp: tuple[dict[str, Any], ...] | None = None,
    big_trusts: dict[str, Any] | None = None,
    managed: bool = False,
) -> Estate:
    name = f"arn:aws:iam::{ACCOUNT}:policy/mine" if managed else "inline:p"
    trusted = big_trusts or {"Service": TRUSTS}
    me = Identity(
        arn=ME,
        policies=(Document(name, text(*granted)),),
        boundary=None if boundary is None else Document("boundary", text(*boundary)),
        tags={"team": "a"},
    )
    big = Identity(
        arn=BIG,
        policies=(Document("inline:big", text(EVERYTHING)),),
        trust=Document(
            BIG, text({"Effect": "Allow", "Principal": trusted, "Action": "sts:AssumeRole"})
        ),
    )
    user = Identity(arn=USER, policies=(Document("inline:user", text(EVERYTHING)),))
    full = (Document("full", text(EVERYTHING)),)
    rcp_full = (
        Document("rcp-full", text({**EVERYTHING, "Principal": "*"})),
        *(() if rcp is None else (Document("rcp", text(*rcp)),)),
    )
    return Estate(
        identities={one.arn: one for one in (me, big, user)},
        resources={
            arn: Resource(arn=arn, account=ACCOUNT, known_as=f"secret:{arn}") for arn in SECRETS
        },
        scps={} if scp is None else {ACCOUNT: (full, (*full, Document("scp", text(*scp))))},
        rcps={} if rcp is None else {ACCOUNT: (rcp_full,)},
        source_ip="10.0.0.1",
    )


def used(action: str, resource: str, statement: str = "S") -> Use:
    return Use(
        principal=ME,
        action=action,
        resource=resource,
        policy="inline:p",
        statement=statement,
        count=2,
        last=150.0,
    )


def found(estate: Estate, *uses: Use) -> list[Finding]:
    return list(findings_of(estate, estate.identities[ME], "agent", uses, WINDOW))


READ = "secretsmanager:GetSecretValue"


def grant(action: Any, resource: Any = MINE, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"Sid": "S", "Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statement", "kind", "what"),
    [
        (grant([READ, "s3:GetObject"]), Kind.UNUSED_ACTION, ("s3:GetObject",)),
        (grant(READ, [MINE, OTHER]), Kind.UNUSED_RESOURCE, (OTHER,)),
        (grant("secretsmanager:Get*"), Kind.WILDCARD_ACTION, ("secretsmanager:Get*",)),
        (grant(READ, "arn:aws:secretsmanager:*:*:secret:m*"), Kind.WILDCARD_RESOURCE, None),
        (grant(READ, "*"), Kind.WILDCARD_RESOURCE, ("*",)),
        (
            {"Sid": "S", "Effect": "Allow", "NotAction": "iam:*", "Resource": MINE},
            Kind.NOT_ACTION,
            ("iam:*",),
        ),
        (
            {"Sid": "S", "Effect": "Allow", "Action": READ, "NotResource": OTHER},
            Kind.NOT_RESOURCE,
            (OTHER,),
        ),
    ],
    ids=["idle", "spare", "wild action", "wild name", "star", "NotAction", "NotResource"],
)
def test_a_grant_that_need_not_be_is_found_and_named(
    statement: dict[str, Any], kind: Kind, what: tuple[str, ...] | None
) -> None:
    (finding,) = [one for one in found(estate_of(statement), used(READ, MINE)) if one.kind is kind]
    assert (finding.agent, finding.principal) == ("agent", ME)
    assert (finding.policy, finding.statement) == ("inline:p", "S")
    assert what is None or finding.what == what
    assert finding.way_out
    if kind in (Kind.UNUSED_ACTION, Kind.UNUSED_RESOURCE):
        assert "watched for 60 s" in finding.detail


@pytest.mark.parametrize(
    "statement",
    [
        grant(READ),
        grant(READ, MINE[:-6] + "??????"),
        grant("iam:ListRoles", "*"),
        {"Sid": "S", "Effect": "Deny", "Action": "*", "Resource": "*"},
    ],
    ids=["exact", "a secret's suffix", "an action about no resource", "a denial"],
)
def test_what_is_needed_and_cannot_be_said_closer_is_no_finding(statement: dict[str, Any]) -> None:
    action = statement["Action"]
    use = used(action, "*" if action.startswith("iam") else MINE)
    assert found(estate_of(statement), use) == []


def test_an_unused_action_that_other_layers_refuse_is_said_to_be_refused() -> None:
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}
    estate = estate_of(grant([READ, "s3:ListAllMyBuckets"], "*"), scp=(deny,))
    (finding,) = [one for one in found(estate, used(READ, MINE)) if one.kind is Kind.UNUSED_ACTION]
    assert "refused today all the same, by other layers: s3:ListAllMyBuckets" in finding.detail


def paths(estate: Estate) -> set[str]:
    return {one.path for one in found(estate) if one.kind is Kind.ESCALATION}


@pytest.mark.parametrize("escalation", ESCALATIONS, ids=lambda one: one.id)
def test_every_way_is_found_where_its_steps_are_granted_and_not_without_one_of_them(
    escalation: Any,  # noqa: ANN401 - a row of the table
) -> None:
    own = [step for step in escalation.steps if step.on not in (Target.REWRITTEN, Target.FEDERATED)]
    actions = [step.action for step in own]
    managed = any(step.on is Target.OWN_POLICY for step in escalation.steps)
    trusts = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"} if escalation.id == "AssumeRole" else None
    boundary = None
    if escalation.gain is Gain.UNBOUND:
        # what the boundary caps is what is had without it
        boundary = ({"Effect": "Allow", "Action": ["iam:*Boundary", READ], "Resource": "*"},)
        actions.append("iam:PutRolePolicy")
    granted = grant(actions, "*")
    estate = estate_of(granted, boundary=boundary, big_trusts=trusts, managed=managed)
    assert escalation.id in paths(estate)
    for missing in (step.action for step in own):
        fewer = [action for action in actions if action != missing] or ["sts:GetCallerIdentity"]
        less = estate_of(grant(fewer, "*"), boundary=boundary, big_trusts=trusts, managed=managed)
        assert escalation.id not in paths(less)


@pytest.mark.parametrize(
    ("granted", "layers", "path"),
    [
        ("iam:PutRolePolicy", {"boundary": (grant("iam:PutRolePolicy", "*"),)}, "a boundary"),
        (
            "iam:CreateAccessKey",
            {"scp": ({"Effect": "Deny", "Action": "iam:CreateAccessKey", "Resource": "*"},)},
            "an SCP",
        ),
        (
            "iam:UpdateAssumeRolePolicy",
            {
                "rcp": (
                    {
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "sts:AssumeRole",
                        "Resource": "*",
                    },
                )
            },
            "an RCP",
        ),
    ],
)
def test_a_way_that_another_layer_closes_is_no_finding(
    granted: str, layers: dict[str, Any], path: str
) -> None:
    assert path
    assert paths(estate_of(grant(granted, "*")))
    assert paths(estate_of(grant(granted, "*"), **layers)) == set()


def test_a_condition_that_the_caller_can_meet_closes_no_way() -> None:
    service = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    estate = estate_of(
        grant("iam:PassRole", BIG, Condition=service),
        {**grant(["lambda:CreateFunction", "lambda:InvokeFunction"], "*"), "Sid": "T"},
    )
    assert "PassRole+lambda" in paths(estate)


def test_a_condition_on_who_one_is_closes_the_way() -> None:
    other = {"StringEquals": {"aws:PrincipalTag/team": "b"}}
    assert paths(estate_of(grant("iam:PutRolePolicy", "*", Condition=other))) == set()


def test_who_may_be_assumed_is_told_with_how_often_it_was() -> None:
    estate = estate_of(
        grant("sts:AssumeRole", BIG), big_trusts={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    )
    (one,) = assumptions_of(estate, estate.identities[ME], [used("sts:AssumeRole", BIG)])
    assert (one.role, one.used) == (BIG, 2)
    assert one.by == f"inline:p/S, {BIG}/#0"
    apart = estate_of(grant("sts:AssumeRole", BIG))
    assert list(assumptions_of(apart, apart.identities[ME], [])) == []


def record(
    *,
    identity: Effect = Effect.ALLOW,
    resource: str = "not-applicable",
    **changed: Any,  # noqa: ANN401 - a record's members
) -> DecisionRecord:
    by = Statement("inline:p", "S") if identity is Effect.ALLOW else None
    layers = (
        LayerAnswer("identity", identity, "x", decided_by=by),
        LayerAnswer("resource", Effect(resource), changed.pop("named", "no-resource-policy")),
    )
    values: dict[str, Any] = {
        "request_id": "r",
        "time": 120.0,
        "point": "aws.authorize",
        "action": READ,
        "resource": MINE,
        "principal": f"arn:aws:sts::{ACCOUNT}:assumed-role/agent/session",
        "outcome": Outcome.ALLOW,
        "reason": "identity-allows",
        "layers": layers,
        "account": ACCOUNT,
        "facts": {"resource_account": ACCOUNT},
        **changed,
    }
    return DecisionRecord(**values)


def test_uses_are_counted_with_the_last_time_and_the_statement() -> None:
    estate = estate_of(grant(READ))
    (use,) = uses_on_aws([record(), record(time=130.0), record(time=90.0)], estate)
    assert (use.principal, use.action, use.resource) == (ME, READ, MINE)
    assert (use.policy, use.statement, use.count, use.last) == ("inline:p", "S", 3, 130.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"outcome": Outcome.DENY},
        {"point": "aws.limits"},
        {"principal": f"arn:aws:sts::{ACCOUNT}:assumed-role/nobody/session"},
        {"identity": Effect.IMPLICIT_DENY, "resource": "allow", "named": "allows-session-arn"},
        {"resource": "allow", "named": "allows-session-arn"},
    ],
    ids=["refused", "another point", "unknown role", "not granted", "granted but not needed"],
)
def test_what_was_not_allowed_or_not_needed_is_no_use(changed: dict[str, Any]) -> None:
    assert uses_on_aws([record(**changed)], estate_of(grant(READ))) == ()


def test_a_grant_that_a_delegating_resource_policy_needs_is_a_use() -> None:
    delegated = record(resource="allow", named="allows-account")
    assert len(uses_on_aws([delegated], estate_of(grant(READ)))) == 1


def test_the_window_begins_with_the_first_record_unless_it_is_known() -> None:
    records = [record(time=110.0), record(time=105.0)]
    window = window_of(records, source="s", since=None, until=165.0)
    assert (window.seconds, window.decisions) == (60.0, 2)
    assert window_of(records, source="s", since=100.0, until=165.0).seconds == 65.0


def test_proposals_are_checked_by_the_decider_and_only_smaller_ones_made() -> None:
    estate = estate_of(grant("secretsmanager:*", "*"))
    (proposal,) = proposals_for(estate, estate.identities[ME], [used(READ, MINE)])
    assert proposal.faults == ()
    assert proposal.document is not None
    assert proposal.document["Statement"][0]["Action"] == READ
    exact = estate_of(grant(READ, MINE[:-6] + "??????"))
    assert proposals_for(exact, exact.identities[ME], [used(READ, MINE)]) == ()


def test_an_agent_that_was_never_seen_is_proposed_nothing() -> None:
    estate = estate_of(grant("secretsmanager:*", "*"))
    assert proposals_for(estate, estate.identities[ME], []) == ()
    assert [one.kind for one in found(estate)].count(Kind.UNUSED_ACTION) == 1
