"""What the range reads of a stack's config, and what it says of one that it cannot read."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from iamrange.core.controls import UnknownNameError
from iamrange.core.scenario import Part
from iamrange.range.landing import LandingError, landing_of, stack_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALID: dict[str, Any] = yaml.safe_load("""
aws:region: eu-west-1
iamrange:accounts: {management: "100000000001", workloads: "100000000002", security: "100000000003"}
iamrange:gcp: {organization: "123456789012", project: agents-here, project-number: "340000000001"}
iamrange:controls: {aws.least-privilege: false, gcp.secret-level-iam: true}
iamrange:agents:
  - part: data-analyst
  - part: log-writer
  - part: deploy-bot
  - part: hr-assistant
  - part: payments-agent
  - part: fleet-sensor
  - part: credential-broker
  - part: support-llm
  - part: platform-admin
""")


def test_a_landing_zone_is_what_the_config_says() -> None:
    landing = landing_of(VALID)
    assert landing.region == "eu-west-1"
    assert landing.management == "100000000001"
    assert set(landing.members) == {"100000000002", "100000000003"}
    assert landing.workloads == "100000000002"
    assert landing.project == "agents-here"
    assert landing.off == {"aws.least-privilege"}
    world = landing.world_config("run")
    assert world.aws_organization == landing.management
    assert [project.number for project in world.gcp_projects] == ["340000000001"]


def test_a_vendors_account_is_there_and_not_ours() -> None:
    landing = landing_of({**VALID, "iamrange:vendor": {"account": "900000000009"}})
    world = landing.world_config("run")
    assert "900000000009" in world.aws_accounts
    assert "900000000009" not in world.aws_members
    assert landing_of(VALID).vendor is None


def test_a_control_that_is_not_listed_is_on() -> None:
    config = {key: value for key, value in VALID.items() if key != "iamrange:controls"}
    assert landing_of(config).off == frozenset()


def test_agents_are_what_the_config_declares() -> None:
    config = copy.deepcopy(VALID)
    config["iamrange:agents"][0] |= {"scopes": ["read:logs"], "expires": "2027-06-30", "owner": "o"}
    agent = landing_of(config).agents[Part.DATA_ANALYST]
    assert (agent.scopes, agent.owner) == (("read:logs",), "o")
    assert agent.expires is not None
    assert datetime.fromtimestamp(agent.expires, UTC).isoformat().startswith("2027-06-30T23:59:59")


def without(path: str) -> Callable[[dict[str, Any]], None]:
    key, _, member = path.partition("/")

    def change(config: dict[str, Any]) -> None:
        if member:
            del config[key][member]
        else:
            del config[key]

    return change


def with_value(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    key, _, member = path.partition("/")

    def change(config: dict[str, Any]) -> None:
        if member:
            config[key][member] = value
        else:
            config[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("iamrange:accounts"), r"'iamrange:accounts' expected an object, got None"),
        (with_value("iamrange:accounts", []), r"'iamrange:accounts' expected an object"),
        (without("iamrange:accounts/management"), r"management expected text, got None"),
        (with_value("iamrange:accounts/workloads", 100000000002), r"workloads expected text"),
        (with_value("iamrange:accounts/workloads", "12"), r"workloads expected 12 digits"),
        (with_value("iamrange:accounts/security", 7), r"security expected text, got 7"),
        (without("iamrange:gcp"), r"'iamrange:gcp' expected an object"),
        (without("iamrange:gcp/project-number"), r"project-number expected text"),
        (with_value("iamrange:controls", ["aws.least-privilege"]), r"expected an object"),
        (
            with_value("iamrange:controls/aws.least-privilege", "false"),
            r"aws.least-privilege expected true or false, got 'false'",
        ),
        (with_value("iamrange:controls/aws.least-privilege", None), r"expected true or false"),
        (without("iamrange:agents"), r"'iamrange:agents' expected a list, got None"),
        (with_value("iamrange:agents", []), r"got none for data-analyst, log-writer"),
        (
            lambda config: config["iamrange:agents"][0].update(expires="30.06.2027"),
            r"expires expected a day like \"2027-06-30\", got '30.06.2027'",
        ),
        (
            lambda config: config["iamrange:agents"].pop(2),
            r"expected an agent for each part, got none for deploy-bot",
        ),
        (
            lambda config: config["iamrange:agents"][0].update(part="data-analist"),
            r"got none for data-analyst",
        ),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_and_named(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    config = copy.deepcopy(VALID)
    change(config)
    with pytest.raises(LandingError, match=said):
        landing_of(config)


def test_an_unknown_control_is_refused_with_the_nearest_names() -> None:
    config = {**VALID, "iamrange:controls": {"aws.least-priviledge": False}}
    with pytest.raises(UnknownNameError, match=r"'aws.least-priviledge'; nearest: aws\.least-priv"):
        landing_of(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"Pulumi\.lab\.yaml' expected, not found"),
        ("config: {a: [", r"expected YAML, got an error: .*line 1"),
        ("", r"config expected an object, got None"),
        ("- a", r"config expected an object, got None"),
        ("config: 3", r"config expected an object, got 3"),
    ],
)
def test_a_stack_file_that_cannot_be_read_is_named(
    tmp_path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "Pulumi.lab.yaml").write_text(text)
    with pytest.raises(LandingError, match=said):
        stack_config(tmp_path, "lab")


def test_a_stack_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.lab.yaml").write_text(yaml.safe_dump({"config": VALID}))
    assert stack_config(tmp_path, "lab") == VALID
