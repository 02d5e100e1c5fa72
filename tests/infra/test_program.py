"""The whole program, run under mocks with the lab stack's own configuration."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from pulumi.output import Unknown

from iamrange.core.controls import CONTROLS, SwitchedIn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STACK_CONTROLS = sorted(id_ for id_, c in CONTROLS.items() if c.switched_in is SwitchedIn.STACK)
Plan = Any
INCIDENT = {"data-analyst": "2026-11-25T15:00:00Z"}
ROLE = "aws:iam/role:Role"


def test_lab_stack_declares_each_resource_once(declare: Callable[..., Any]) -> None:
    assert 100 <= len(declare().by_key()) <= 200


def test_outputs_are_what_the_runner_reads(declare: Callable[..., Any]) -> None:
    outputs = declare().outputs
    assert set(outputs) == {"agents", "aws", "gcp", "vault"}
    assert outputs["agents"]["deploy-bot"] == {
        "name": "deploy-bot",
        "spiffe_id": "spiffe://iamrange.example/agent/deploy-bot",
        "project": "platform",
        "aws_role_arn": "arn:aws:iam::100000000002:role/agents/deploy-bot-role",
        "aws_account": "100000000002",
        "aws_session_policy": "",
        "aws_secret_arn": "arn:aws:secretsmanager:us-east-1:100000000002:secret:"
        "agents/deploy-bot/credentials-AbCdEf",
        "aws_function": "deploy-bot-function",
        "aws_function_role_arn": "arn:aws:iam::100000000002:role/functions/deploy-bot-function",
        "gcp_service_account": "agent-deploy-bot@iamrange-agents.iam.gserviceaccount.com",
        "gcp_secret": "projects/iamrange-agents/secrets/agent-deploy-bot-credentials",
        "vault_role": "agent-deploy-bot",
        "vault_path": "deploy-bot/credentials",
        "vault_bootstrap": "deploy-bot/bootstrap",
    }
    assert outputs["vault"] == {
        "address": "https://vault.iamrange.example",
        "audience": "https://vault.iamrange.example",
        "store": "agents",
        "login": "jwt",
        "certificates": "certificates",
        "keys": "keys",
        "lease": "4",
        "database_engine": "database",
        "database": "records",
    }
    analyst = outputs["agents"]["data-analyst"]
    assert {name: value for name, value in analyst.items() if name.startswith("database")} == {
        "database_role": "agent-data-analyst",
        "database_static_role": "agent-data-analyst-static",
        "database_schema": "agent-data-analyst",
    }
    assert set(outputs["aws"]) == {
        "provider_arn",
        "audience",
        "region",
        "tables",
        "platform_secret_arn",
        "backup_secret_arn",
        "backup_user",
        "release_role_arn",
        "trail_arn",
        "google_role_arn",
        "vendor_role_arn",
        "vendor_external_id",
        "vendor_secret_arn",
        "worker_role_arn",
        "records_role_arn",
        "data_key_arn",
        "data_keys_table",
        "workloads_account",
    }
    assert outputs["aws"]["tables"]["people"] == "projects-people-records"
    provider = outputs["gcp"]["provider"]
    assert outputs["gcp"] == {
        "provider": provider,
        "audience": f"https://iam.googleapis.com/{provider}",
        "project": "iamrange-agents",
        "backup_service_account": "backup@iamrange-agents.iam.gserviceaccount.com",
        "backup_secret": "projects/iamrange-agents/secrets/platform-backup-key",
    }


def test_task_becomes_the_session_policy_that_the_runner_registers(
    declare: Callable[..., Any],
) -> None:
    agents = declare().outputs["agents"]
    cut = {part: a["aws_session_policy"] for part, a in agents.items() if a["aws_session_policy"]}
    assert list(cut) == ["fleet-sensor"]
    (statement,) = json.loads(cut["fleet-sensor"])["Statement"]
    assert statement["Resource"].endswith(":secret:agents/fleet-sensor/credentials-??????")


@pytest.mark.parametrize("control", STACK_CONTROLS)
def test_switching_a_control_changes_only_what_it_declares(
    declare: Callable[..., Any], control: str
) -> None:
    hardened = declare(incidents=INCIDENT).by_key()
    weak = declare(incidents=INCIDENT, controls={control: False}).by_key()
    changed = {
        key
        for key in hardened.keys() | weak.keys()
        if hardened.get(key) is None
        or weak.get(key) is None
        or hardened[key].inputs != weak[key].inputs
    }
    assert {type_ for type_, _ in changed} == CONTROLS[control].touches


@pytest.mark.parametrize("control", STACK_CONTROLS)
def test_control_written_as_true_changes_nothing(declare: Callable[..., Any], control: str) -> None:
    assert declare(controls={control: True}).by_key() == declare().by_key()


def test_all_controls_off_can_be_declared_together(declare: Callable[..., Any]) -> None:
    plan = declare(incidents=INCIDENT, controls=dict.fromkeys(STACK_CONTROLS, False))
    trust = plan.only(ROLE, "hr-assistant").document("assumeRolePolicy")
    assert "Condition" not in trust["Statement"][0]


def test_stack_without_a_vault_declares_nothing_of_it(declare: Callable[..., Any]) -> None:
    plan = declare(vault=None)
    assert not [r.type for r in plan.resources if r.type.startswith("vault:")]
    assert plan.outputs["vault"] == {}
    assert "vault_role" not in plan.outputs["agents"]["deploy-bot"]


def test_stack_without_a_database_has_no_agent_query_one(
    declare: Callable[..., Any], lab_config: Mapping[str, Any]
) -> None:
    vault = {k: v for k, v in lab_config["iamrange:vault"].items() if k != "database"}
    plan = declare(vault=vault)
    assert not [r.type for r in plan.resources if r.type.startswith("vault:database")]
    assert "database" not in plan.outputs["vault"]
    assert "database_role" not in plan.outputs["agents"]["data-analyst"]
    policies = [r.inputs["policy"] for r in plan.of("vault:index/policy:Policy").values()]
    assert policies
    assert "database/" not in "".join(policies)


def test_vault_resources_are_made_by_the_provider_of_the_stacks_own_vault(
    declare: Callable[..., Any],
) -> None:
    plan = declare()
    kinds = {r.type: r.provider for r in plan.resources if r.type.startswith("vault:")}
    assert len(kinds) == 10
    assert all("pulumi:providers:vault::vault::" in provider for provider in kinds.values())


def test_stack_without_a_vendor_lets_none_come(declare: Callable[..., Any]) -> None:
    plan = declare(vendor=None)
    assert "vendor" not in json.dumps([[r.name, r.inputs] for r in plan.resources])
    assert not [name for name in plan.outputs["aws"] if "vendor" in name]


def test_incident_ends_the_older_sessions_of_its_agent_alone(declare: Callable[..., Any]) -> None:
    before, during = declare().by_key(), declare(incidents=INCIDENT).by_key()
    added = during.keys() - before.keys()
    assert added == {("aws:iam/rolePolicy:RolePolicy", "data-analyst-revocation")}
    document = during[next(iter(added))].document("policy")
    assert document["Statement"][0]["Effect"] == "Deny"
    assert document["Statement"][0]["Condition"] == {
        "DateLessThan": {"aws:TokenIssueTime": "2026-11-25T15:00:00Z"}
    }
    changed = {key for key in before if before[key].inputs != during[key].inputs}
    assert changed == {(ROLE, "data-analyst")}


def test_renaming_all_agents_changes_names_alone(
    declare: Callable[..., Any], lab_config: Mapping[str, Any]
) -> None:
    agents = lab_config["iamrange:agents"]
    renamed = [{**agent, "name": f"zq{index}x"} for index, agent in enumerate(agents)]
    plain, other = declare(), declare(agents=renamed)
    back = {agent["name"]: old["part"] for agent, old in zip(renamed, agents, strict=True)}
    assert [dataclasses.astuple(r) for r in plain.resources] != [
        dataclasses.astuple(r) for r in other.resources
    ]
    assert _texts(other, back) == _texts(plain, {})


def _texts(plan: Plan, names: Mapping[str, str]) -> dict[tuple[str, str], str]:
    texts = {}
    for key, resource in plan.by_key().items():
        text = json.dumps(resource.inputs, sort_keys=True)
        for new, old in names.items():
            text = text.replace(new, old)
        texts[key] = text
    return texts


def test_preview_with_unknown_outputs_declares_the_same_resources(
    declare: Callable[..., Any],
) -> None:
    known, unknown = declare(), declare(unknown_outputs=True)
    assert known.by_key().keys() == unknown.by_key().keys()
    # what depends on an unknown is unknown, and what does not is there
    role = unknown.only(ROLE, "hr-assistant").inputs
    assert isinstance(role["assumeRolePolicy"], Unknown)
    assert isinstance(role["permissionsBoundary"], Unknown)
    assert role["tags"]["agent"] == "hr-assistant"


def test_member_account_and_organisation_have_different_providers(
    declare: Callable[..., Any],
) -> None:
    plan = declare()
    organisation = {r.provider for r in plan.resources if "organizations" in r.type}
    member = {r.provider for r in plan.resources if r.type.startswith("aws:") and "iam" in r.type}
    google = {r.provider for r in plan.resources if r.type.startswith("gcp:")}
    assert organisation == {""}
    assert len(member) == 1
    assert "pulumi:providers:aws::workloads" in member.pop()
    assert len(google) == 1
    assert "pulumi:providers:gcp::agents" in google.pop()


def test_powers_are_given_by_declaration_and_not_by_name(
    declare: Callable[..., Any], lab_config: Mapping[str, Any]
) -> None:
    swap = {"deploy-bot": ["manage-service-keys"], "platform-admin": ["deploy-role-policies"]}
    agents = [
        {**agent, "powers": swap.get(agent["part"], [])} for agent in lab_config["iamrange:agents"]
    ]
    plan = declare(agents=agents)
    sids = {
        name: [s["Sid"] for s in policy.document("policy")["Statement"]]
        for name, policy in plan.of("aws:iam/rolePolicy:RolePolicy").items()
    }
    everybodys = sids["hr-assistant"]
    assert everybodys[:2] == ["OwnSecret", "ProjectRecords"]
    assert sids["deploy-bot"] == [*everybodys, "ManageServiceKeys"]
    assert sids["platform-admin"] == [*everybodys, "DeployRolePolicies"]
    keys = plan.only("gcp:serviceaccount/iAMMember:IAMMember", "backup-keys-deploy-bot")
    assert keys.inputs["role"] == "roles/iam.serviceAccountKeyAdmin"
