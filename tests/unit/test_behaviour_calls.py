"""Which decision records are calls by agents, and which count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.detect.behaviour import CLASSES, NO_DATA
from iamrange.identity.directory.model import Classification
from iamrange.range.behaviour_calls import Calls, declared_of

AGENT = "spiffe://iamrange.example/agent/ana"
CALLS = Calls(
    [
        {
            "spiffe_id": AGENT,
            "name": "ana",
            "aws_role_arn": "arn:aws:iam::111122223333:role/agents/ana-role",
            "gcp_service_account": "ana@p.iam.gserviceaccount.com",
        }
    ],
    {"corporate": "127.10.0.1"},
    domain="iamrange.example",
    projects=("1",),
)
ADMITTED = LayerAnswer("token", Effect.ALLOW, "admitted")
AT_GATEWAY = DecisionRecord(
    request_id="r",
    time=5.0,
    point="gateway.call",
    action="read",
    resource="https://hr.iamrange.example/colleagues/all",
    principal=AGENT,
    outcome=Outcome.ALLOW,
    reason="admitted",
    layers=(ADMITTED,),
    source_ip="127.10.0.1",
    facts={"service": "hr", "method": "GET", "route": "/colleagues/{id}"},
)
IN_AWS = replace(
    AT_GATEWAY,
    point="aws.authorize",
    action="secretsmanager:GetSecretValue",
    principal="arn:aws:sts::111122223333:assumed-role/ana-role/session",
    facts={},
)


def test_a_call_at_the_gateway_says_service_route_label_and_place() -> None:
    call = CALLS.call(AT_GATEWAY)
    assert call is not None
    assert (call.agent, call.service, call.operation) == (AGENT, "hr", "GET /colleagues/{id}")
    assert (call.level, call.place) == (CLASSES.index("internal"), "corporate")
    assert (call.allowed, call.authenticated) == (True, True)


@pytest.mark.parametrize(
    ("token", "counts"),
    [
        (ADMITTED, True),
        (LayerAnswer("token", Effect.DENY, "insufficient-scope", detail="scope"), True),
        (LayerAnswer("token", Effect.DENY, "bad-signature", detail="signature"), False),
        (LayerAnswer("token", Effect.DENY, "missing-proof", detail="proof"), False),
        (LayerAnswer("token", Effect.NOT_APPLICABLE, "not-evaluated"), False),
        (LayerAnswer("agent", Effect.ALLOW, "active"), False),
    ],
)
def test_only_a_token_that_was_proved_counts_against_the_agent_that_it_names(
    token: LayerAnswer, *, counts: bool
) -> None:
    call = CALLS.call(replace(AT_GATEWAY, layers=(token,), outcome=Outcome.DENY))
    assert call is not None
    assert call.authenticated is counts


def test_a_path_that_nothing_serves_is_a_call_of_its_service() -> None:
    call = CALLS.call(
        replace(AT_GATEWAY, resource="https://hr.iamrange.example", facts={"method": "GET"})
    )
    assert call is not None
    assert (call.service, call.operation, call.level) == ("hr", "no such route", NO_DATA)


@pytest.mark.parametrize(
    ("point", "action", "principal", "service"),
    [
        (
            "aws.authorize",
            "iam:ListRoles",
            "arn:aws:sts::111122223333:assumed-role/ana-role/any",
            "aws:iam",
        ),
        (
            "gcp.authorize",
            "secretmanager.versions.access",
            "serviceAccount:ana@p.iam.gserviceaccount.com",
            "gcp:secretmanager",
        ),
        (
            "gcp.authorize",
            "iam.serviceAccounts.getAccessToken",
            "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/subject/ana",
            "gcp:iam",
        ),
        ("vault.authorize", "vault:GET", AGENT, "vault:agents"),
    ],
)
def test_a_cloud_call_is_the_agents_whose_role_or_account_it_is(
    point: str, action: str, principal: str, service: str
) -> None:
    resource = "agents/data/ana"
    record = replace(IN_AWS, point=point, action=action, principal=principal, resource=resource)
    call = CALLS.call(record)
    assert call is not None
    assert (call.agent, call.service, call.authenticated) == (AGENT, service, True)


@pytest.mark.parametrize(
    "record",
    [
        replace(AT_GATEWAY, point="rs.token"),
        replace(AT_GATEWAY, principal="spiffe://other.example/agent/ana"),
        replace(AT_GATEWAY, resource="https://nowhere.example/"),
        replace(IN_AWS, principal="arn:aws:sts::999999999999:assumed-role/ana-role/session"),
        replace(IN_AWS, principal="arn:aws:iam::111122223333:user/ana-role"),
        replace(IN_AWS, principal=""),
        replace(IN_AWS, point="gcp.authorize", principal="serviceAccount:eve@p"),
        replace(
            IN_AWS,
            point="gcp.authorize",
            principal="principal://iam.googleapis.com/projects/2/locations/global"
            "/workloadIdentityPools/a/subject/ana",
        ),
    ],
)
def test_other_records_are_no_call_of_an_agent_of_ours(record: DecisionRecord) -> None:
    assert CALLS.call(record) is None


def test_where_data_carries_no_labels_the_watch_sees_none() -> None:
    calls = Calls([], {}, domain="iamrange.example")
    calls.labelled = False
    call = calls.call(AT_GATEWAY)
    assert call is not None
    assert call.level == NO_DATA


def test_what_is_declared_comes_from_scopes_and_classification() -> None:
    found = declared_of(
        {"scopes": ["read:database", "read:hr", "unknown"], "classification": "internal"},
        ["corporate"],
    )
    assert found.services == {"logs", "hr"}
    assert CLASSES[found.level] == "internal"


def test_labels_are_the_directorys_in_its_order() -> None:
    assert tuple(label.value for label in Classification) == CLASSES
