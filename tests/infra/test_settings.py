"""Reading the stack file: what is taken, and what each wrong value is told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from infra.expectations import SettingsError
from infra.settings import Power, Settings, settings_from

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def values(lab_config: Mapping[str, Any]) -> dict[str, Any]:
    own = {
        key.removeprefix("iamrange:"): value
        for key, value in lab_config.items()
        if key.startswith("iamrange:")
    }
    return copy.deepcopy(own)


def _read(values: Mapping[str, Any]) -> Settings:
    return settings_from(values, region="us-east-1")


def test_lab_stack_is_read(values: dict[str, Any]) -> None:
    settings = _read(values)
    assert settings.left_out == frozenset()
    assert settings.corporate_networks == ("127.10.0.1/32",)
    assert settings.projects == (
        "analytics",
        "fleet",
        "payments",
        "people",
        "platform",
        "support",
    )
    powers = {agent.part: agent.powers for agent in settings.agents if agent.powers}
    assert [agent.part for agent in settings.querying] == ["data-analyst", "log-writer"]
    assert powers == {
        "data-analyst": {Power.QUERY_DATABASE},
        "log-writer": {Power.QUERY_DATABASE},
        "deploy-bot": {Power.DEPLOY_ROLE_POLICIES, Power.DEPLOY_FUNCTIONS},
        "platform-admin": {Power.MANAGE_SERVICE_KEYS, Power.ADMINISTER_ACCOUNT},
    }


def test_agent_is_named_after_its_part_unless_it_says_otherwise(values: dict[str, Any]) -> None:
    values["agents"][0]["name"] = "analyst-7"
    agents = _read(values).agents
    assert (agents[0].part, agents[0].name) == ("data-analyst", "analyst-7")
    assert (agents[1].part, agents[1].name) == ("log-writer", "log-writer")


def test_control_may_be_left_out_where_it_is_allowed(values: dict[str, Any]) -> None:
    values["controls"] = {"aws.least-privilege": False, "gcp.attribute-condition": True}
    assert _read(values).left_out == {"aws.least-privilege"}


@pytest.mark.parametrize(
    ("control", "allowed"),
    [
        ("aws.least-privilege", []),
        ("aws.least-privilege", ["iamrange-agents", "100000000001"]),
        ("gcp.attribute-condition", ["100000000002"]),
    ],
)
def test_control_is_not_left_out_where_nobody_allowed_it(
    values: dict[str, Any], control: str, allowed: list[str]
) -> None:
    values["controls"] = {control: False}
    values["allow-unsafe-in"] = allowed
    with pytest.raises(SettingsError, match=r"weakens '.*name it in iamrange:allow-unsafe-in"):
        _read(values)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-25T15:00:00Z", "2026-11-25T15:00:00Z"),
        ("2026-11-25T16:00:00+01:00", "2026-11-25T15:00:00Z"),
        ("2026-11-25T15:00:00.001Z", "2026-11-25T15:00:01Z"),
    ],
)
def test_incident_is_read_as_utc_and_rounded_up(
    values: dict[str, Any], written: str, read: str
) -> None:
    values["incidents"] = {"log-writer": written}
    assert _read(values).incidents == {"log-writer": read}


REFUSED: Mapping[str, tuple[Change, str]] = {
    "issuer-with-port": (
        lambda v: v.update(issuer="https://idp.example.com:8443"),
        r"iamrange:issuer: expected an https URL without port and query, got 'https://idp.exam",
    ),
    "issuer-over-http": (lambda v: v.update(issuer="http://idp.example.com"), "iamrange:issuer"),
    "issuer-missing": (lambda v: v.pop("issuer"), r"iamrange:issuer: .* got nothing; write"),
    "trust-domain": (lambda v: v.update({"trust-domain": "a/b"}), "iamrange:trust-domain"),
    "tenant-with-quote": (lambda v: v.update(tenant="a' || true"), "iamrange:tenant"),
    "account-without-quotes": (
        lambda v: v["accounts"].update(workloads=100000000002),
        r"iamrange:accounts\.workloads: expected an AWS account id of 12 digits in quotes, got 1",
    ),
    "account-missing": (
        lambda v: v["accounts"].pop("security"),
        r"iamrange:accounts\.security: expected a value, got nothing; write `security:` there",
    ),
    "vault-over-http": (
        lambda v: v["vault"].update(address="http://vault.example.com"),
        r"iamrange:vault\.address: expected an https URL of a host alone",
    ),
    "vault-with-a-port": (
        lambda v: v["vault"].update(address="https://vault.example.com:8200"),
        r"iamrange:vault\.address: expected an https URL of a host alone",
    ),
    "vault-without-an-address": (
        lambda v: v["vault"].pop("address"),
        r"iamrange:vault\.address: expected a value, got nothing",
    ),
    "vault-lease-in-words": (
        lambda v: v["vault"].update(lease="4s"),
        r"iamrange:vault\.lease: expected a number of seconds",
    ),
    "vault-lease-for-a-month": (
        lambda v: v["vault"].update(lease=2764800),
        r"iamrange:vault\.lease: expected 1 to 3600 seconds",
    ),
    "vault-lease-of-nought": (
        lambda v: v["vault"].update(lease=0),
        r"iamrange:vault\.lease: expected 1 to 3600 seconds",
    ),
    "database-with-a-password": (
        lambda v: v["vault"].update(database="postgresql://vault:hunter2@db.example.com/records"),
        r"iamrange:vault\.database: expected a postgresql:// URL with \{\{username\}\}",
    ),
    "database-of-another-kind": (
        lambda v: v["vault"].update(database="mysql://{{username}}:{{password}}@/records"),
        r"iamrange:vault\.database: expected a postgresql:// URL",
    ),
    "vendor-of-ours": (
        lambda v: v["vendor"].update(account="100000000003"),
        r"iamrange:vendor\.account: expected an account that is not ours",
    ),
    "vendor-without-external-id": (
        lambda v: v["vendor"].pop("external-id"),
        r"iamrange:vendor\.external-id: expected a value, got nothing",
    ),
    "external-id-too-short": (
        lambda v: v["vendor"].update({"external-id": "customer-1"}),
        r"iamrange:vendor\.external-id: expected 16 to 1224 characters",
    ),
    "account-misspelt": (
        lambda v: v["accounts"].update(workload="100000000002"),
        r"iamrange:accounts\.workload: .*nearest: workloads",
    ),
    "accounts-the-same": (
        lambda v: v["accounts"].update(workloads="100000000001"),
        "iamrange:accounts: expected three different accounts",
    ),
    "accounts-no-object": (lambda v: v.update(accounts="x"), "iamrange:accounts: expected an obj"),
    "project-id": (lambda v: v["gcp"].update(project="P"), r"iamrange:gcp\.project: expected a"),
    "project-number": (
        lambda v: v["gcp"].update({"project-number": "iamrange-agents"}),
        r"iamrange:gcp\.project-number: expected a number in quotes",
    ),
    "network-with-host-bits": (
        lambda v: v.update({"corporate-networks": ["192.0.2.1/24"]}),
        r"iamrange:corporate-networks\[0\]: .*host bits set",
    ),
    "network-without-length": (
        lambda v: v.update({"corporate-networks": ["192.0.2.1"]}),
        r"iamrange:corporate-networks\[0\]: expected a network in CIDR form",
    ),
    "no-network": (
        lambda v: v.update({"corporate-networks": []}),
        "iamrange:corporate-networks: expected a list of 1 or more",
    ),
    "networks-no-list": (
        lambda v: v.update({"corporate-networks": "192.0.2.0/24"}),
        "iamrange:corporate-networks: expected a list",
    ),
    "no-agent": (lambda v: v.update(agents=[]), "iamrange:agents: expected a list of 1 or more"),
    "agent-name": (
        lambda v: v["agents"][1].update(name="Log_Writer"),
        r"iamrange:agents\[1\]\.name: expected a lower-case DNS label",
    ),
    "agent-name-too-long": (
        lambda v: v["agents"][1].update(name="a" * 41),
        r"iamrange:agents\[1\]\.name: .*at most 40",
    ),
    "agent-member": (
        lambda v: v["agents"][0].update(ownr="x"),
        r"iamrange:agents\[0\]\.ownr: .*nearest: owner",
    ),
    "agent-classification": (
        lambda v: v["agents"][0].update(classification="confidental"),
        r"iamrange:agents\[0\]\.classification: .*nearest: confidential",
    ),
    "agent-power": (
        lambda v: v["agents"][0].update(powers=["everything"]),
        r"iamrange:agents\[0\]\.powers\[0\]: expected a known power",
    ),
    "agent-task": (
        lambda v: v["agents"][0].update(task="read-own-secrets"),
        r"iamrange:agents\[0\]\.task: expected a known task, .*nearest: read-own-secret",
    ),
    "agent-owner": (lambda v: v["agents"][0].update(owner="a<b>"), r"agents\[0\]\.owner"),
    "agent-purpose": (lambda v: v["agents"][0].update(purpose="x" * 121), r"agents\[0\]\.purpose"),
    "agent-expires": (
        lambda v: v["agents"][0].update(expires="2027-02-30"),
        r"iamrange:agents\[0\]\.expires: expected a day of the calendar",
    ),
    "agent-expires-in-words": (
        lambda v: v["agents"][0].update(expires="soon"),
        r"iamrange:agents\[0\]\.expires: expected a day, got 'soon'",
    ),
    "two-agents-of-one-part": (
        lambda v: v["agents"][1].update(part="data-analyst", name="other"),
        "iamrange:agents: expected one agent per part, got 'data-analyst'",
    ),
    "two-agents-of-one-name": (
        lambda v: v["agents"][1].update(name="data-analyst"),
        "one agent per name, got 'data-analyst' for 'data-analyst' and 'log-writer'",
    ),
    "incident-of-nobody": (
        lambda v: v.update(incidents={"log-writr": "2026-11-25T15:00:00Z"}),
        r"iamrange:incidents\.log-writr: expected a known agent part, .*nearest: log-writer",
    ),
    "incident-without-zone": (
        lambda v: v.update(incidents={"log-writer": "2026-11-25T15:00:00"}),
        r"iamrange:incidents\.log-writer: expected a time with its zone",
    ),
    "incident-not-a-time": (
        lambda v: v.update(incidents={"log-writer": "2026-13-45T15:00:00Z"}),
        r"iamrange:incidents\.log-writer: expected a time with its zone",
    ),
    "control-unknown": (
        lambda v: v.update(controls={"aws.trust-pins-subjects": False}),
        r'iamrange:controls\["aws\.trust-pins-subjects"\]: .*nearest: aws\.trust-pins-subject',
    ),
    "control-in-words": (
        lambda v: v.update(controls={"aws.trust-pins-subject": "false"}),
        r'iamrange:controls\["aws\.trust-pins-subject"\]: expected true or false, got \'false\'',
    ),
    "controls-as-a-list": (
        lambda v: v.update(controls=["aws.trust-pins-subject"]),
        "iamrange:controls: expected an object",
    ),
    "allowed-place-without-quotes": (
        lambda v: v.update({"allow-unsafe-in": [100000000002]}),
        r"iamrange:allow-unsafe-in\[0\]: expected an account or project id in quotes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_value_is_refused_by_name(values: dict[str, Any], case: str) -> None:
    change, message = REFUSED[case]
    _read(values)
    change(values)
    with pytest.raises(SettingsError, match=message):
        _read(values)


def test_missing_region_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"aws:region: .*pulumi config set aws:region"):
        settings_from(values, region=None)


def test_unknown_setting_is_refused(declare: Callable[..., Any]) -> None:
    with pytest.raises(SettingsError, match=r"iamrange:incident: .*nearest: incidents"):
        declare(incident={"log-writer": "2026-11-25T15:00:00Z"})
