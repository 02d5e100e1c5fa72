"""What the policy is asked: the committed schema, the routes and the agents agree."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # no stubs are installed
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iamrange.access
from iamrange.access.approvals.model import ApprovalFacts
from iamrange.access.policy_engine import PolicyEngine, read_folder
from iamrange.access.policy_input import CallContext, policy_input, policy_values
from iamrange.access.routes import ROUTES, SERVICES, Matched, Route, match
from iamrange.access.vocabulary import Action
from iamrange.identity.directory.model import Agent, AgentState, Classification

POLICY = Path(iamrange.access.__file__).parent / "policy"
SCHEMA: dict[str, Any] = json.loads((POLICY / "input.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
ENGINE = PolicyEngine.from_folder(POLICY)
CONTEXT = CallContext(time=1_800_000_000.0, peer="127.0.0.9", actors=("a",), tenant="iamrange")
APPROVAL = ApprovalFacts(
    id="ap-1",
    approver="spiffe://iamrange.example/person/mia",
    agent="spiffe://iamrange.example/agent/somebody",
    manager_signed=True,
    expires=1_800_000_300.0,
)

# role -> project, ceiling, the service whose latest record is its daily work
DAILY = {
    "data-analyst": ("analytics", "public", "customers"),
    "log-writer": ("analytics", "internal", "logs"),
    "hr-assistant": ("people", "confidential", "hr"),
    "payments-agent": ("payments", "restricted", "payments"),
    "deploy-bot": ("platform", "internal", "deployments"),
    "platform-admin": ("platform", "restricted", "deployments"),
    "credential-broker": ("platform", "internal", "logs"),
    "fleet-sensor": ("fleet", "internal", "telemetry"),
    "support-llm": ("support", "public", "customers"),
}
# what each may read besides, among the services' latest records
BESIDES = {
    "data-analyst": {"logs"},  # public data, of whatever service
}
STATES = st.sampled_from(AgentState)


def agent(role: str, name: str = "somebody") -> Agent:
    project, ceiling, _ = DAILY[role]
    return Agent(
        name=name,
        owner="ana@iamrange.example",
        roles=frozenset({role}),
        project=project,
        classification=Classification(ceiling),
        state=AgentState.ACTIVE,
    )


def latest(service: str) -> Matched:
    found = match(service, "GET", "/records/latest")
    assert isinstance(found, Matched)
    return found


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("role", DAILY)
def test_daily_work_is_allowed_and_no_other_service_is_read(role: str) -> None:
    service = DAILY[role][2]
    allowed = {
        other
        for other in SERVICES
        if ENGINE.evaluate(policy_input(agent(role), latest(other), None, CONTEXT)).allow
    }
    assert allowed == {service} | BESIDES.get(role, set())


@pytest.mark.parametrize("role", DAILY)
def test_renaming_an_agent_changes_no_answer(role: str) -> None:
    for route in ROUTES:
        call = Matched(route, {})
        answers = {
            ENGINE.evaluate(policy_input(agent(role, name), call, None, CONTEXT))
            for name in ("somebody", "platform-admin", "x1")
        }
        assert len(answers) == 1


def allowed_routes(approval: ApprovalFacts | None) -> dict[str, set[str]]:
    return {
        role: {
            f"{route.action} {route.service} {route.type}"
            + (f" {route.environment}" if route.environment else "")
            for route in ROUTES
            if ENGINE.evaluate(
                policy_input(agent(role), Matched(route, {}), approval, CONTEXT)
            ).allow
        }
        for role in DAILY
    }


def test_what_each_role_may_do_unapproved_is_exactly_this() -> None:
    assert allowed_routes(None) == {
        "data-analyst": {
            "read customers customer-analytics",
            "read logs log-status",
            "read deployments deployment-status",
        },
        "log-writer": {
            "read logs log-status",
            "read logs log-entries",
            "read logs log-database",
            "write logs log-status",
            "write logs log-entries",
        },
        "hr-assistant": {"read hr hr-records", "read hr hr-directory"},
        "payments-agent": {
            "read payments payment-records",
            "read payments payment-totals",
            "read hr hr-directory",
        },
        "deploy-bot": {
            "read deployments deployment-records",
            "read deployments deployment-status",
            "write deployments deployment-records",
            "write deployments deployment-status",
            "deploy deployments deployment development",
            "deploy deployments deployment staging",
        },
        "platform-admin": {
            "read deployments deployment-records",
            "read deployments deployment-status",
            "read deployments deployment-secrets",
            *(f"execute {service} administration" for service in SERVICES),
        },
        "credential-broker": {"read logs log-status"},
        "fleet-sensor": {
            "read telemetry telemetry-records",
            "write telemetry telemetry-records",
        },
        "support-llm": {"read customers customer-analytics"},
    }


def test_what_an_approval_adds_is_exactly_this() -> None:
    without, approved = allowed_routes(None), allowed_routes(APPROVAL)
    assert {role: approved[role] - without[role] for role in DAILY} == {
        "data-analyst": {
            "write customers customer-analytics",
            "write customers customer-segments",
            "write customers customer-profiles",
            "write logs log-status",
            "write logs log-entries",
            "write logs log-traces",
            "write deployments deployment-status",
        },
        "log-writer": {"delete logs log-status", "delete logs log-entries"},
        "hr-assistant": {"delete hr hr-records", "delete hr hr-directory"},
        "payments-agent": {"transfer payments money"},
        "deploy-bot": {"deploy deployments deployment production"},
        "platform-admin": {
            "delete customers customer-analytics",
            "delete logs log-status",
            "delete deployments deployment-records",
            "delete deployments deployment-status",
            "delete deployments deployment-secrets",
        },
        "credential-broker": set(),
        "fleet-sensor": set(),
        "support-llm": set(),
    }


@settings(deadline=None)
@given(
    st.sampled_from(sorted(DAILY)),
    st.sampled_from(ROUTES),
    st.sampled_from([None, APPROVAL]),
    st.text(max_size=20),
    STATES,
)
def test_every_input_is_of_the_schema_and_uses_nothing_else(
    role: str, route: Route, approval: ApprovalFacts | None, parameter: str, state: AgentState
) -> None:
    asked = dataclasses.replace(agent(role), state=state)
    values = json.loads(policy_input(asked, Matched(route, {"id": parameter}), approval, CONTEXT))
    VALIDATOR.validate(values)
    assert values.keys() == SCHEMA["properties"].keys()
    for name, described in SCHEMA["properties"].items():
        if isinstance(values[name], dict):
            # one role as text is for inputs written by hand
            assert values[name].keys() == described["properties"].keys() - {"role"}


def test_the_schema_and_the_policy_speak_of_the_same_actions_and_labels() -> None:
    roles = read_folder(POLICY)["roles.rego"]
    actions = re.search(r"^actions := \[(.+)\]", roles, re.MULTILINE)
    levels = re.search(r"^levels := \{(.+)\}", roles, re.MULTILINE)
    assert actions is not None
    assert levels is not None
    assert set(json.loads(f"[{actions[1]}]")) == set(Action)
    assert set(SCHEMA["properties"]["action"]["enum"]) == set(Action)
    assert json.loads(f"{{{levels[1]}}}") == {label.value: label.level for label in Classification}
    assert SCHEMA["$defs"]["classification"]["enum"] == [label.value for label in Classification]
    assert SCHEMA["properties"]["agent"]["properties"]["state"]["enum"] == list(AgentState)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"action": "drop"}, True),
        ({"approval": {"manager_signed": "true"}}, True),
        ({"agent": {}}, True),
        ({"agent": {"role": "x"}}, False),
        ({"resource": {}}, True),
        ({"resource": {"classification": "secret"}}, True),
        ({"resource": {"classification": "public"}}, False),
        ({"approval": None}, False),
    ],
)
def test_the_schema_refuses_what_the_policy_calls_malformed(
    change: dict[str, Any],
    refused: bool,  # noqa: FBT001 - a column of the table
) -> None:
    values = policy_values(agent("data-analyst"), latest("customers"), None, CONTEXT) | change
    assert VALIDATOR.is_valid(values) is not refused


@pytest.mark.parametrize("claimed", [1, "true", "yes", object(), None, [True]])
def test_only_true_is_signed(claimed: object) -> None:
    believed: Any = claimed
    facts = dataclasses.replace(APPROVAL, manager_signed=believed)
    values = policy_values(agent("data-analyst"), latest("customers"), facts, CONTEXT)
    assert values["approval"]["manager_signed"] is False


def test_only_an_active_agent_is_let_through() -> None:
    for state in AgentState:
        asked = dataclasses.replace(agent("data-analyst"), state=state)
        answer = ENGINE.evaluate(policy_input(asked, latest("customers"), None, CONTEXT))
        assert answer.allow is (state is AgentState.ACTIVE)


def test_a_namesake_of_another_tenant_is_refused() -> None:
    namesake = dataclasses.replace(agent("data-analyst"), tenant="elsewhere")
    answer = ENGINE.evaluate(policy_input(namesake, latest("customers"), None, CONTEXT))
    assert answer.deny == ("other-tenant",)
