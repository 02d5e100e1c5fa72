"""The committed stack files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from iamrange.core.scenario import Part
from infra.expectations import SettingsError
from infra.settings import settings_from

ROOT = Path(__file__).parents[2]


def _config(stack: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return config


def _own(config: dict[str, Any]) -> dict[str, Any]:
    return {k.removeprefix("iamrange:"): v for k, v in config.items() if k.startswith("iamrange:")}


def test_localstack_stack_is_the_lab_stack() -> None:
    assert _config("localstack") == _config("lab")


def test_every_part_of_the_range_has_an_agent() -> None:
    assert {agent["part"] for agent in _own(_config("lab"))["agents"]} == set(Part)


@pytest.mark.parametrize("stack", ["lab", "localstack", "cloud.example"])
def test_stack_file_is_read_with_every_control_on(stack: str) -> None:
    config = _config(stack)
    settings = settings_from(_own(config), region=config["aws:region"])
    assert settings.left_out == frozenset()
    assert config["aws:allowedAccountIds"] == [settings.accounts.management]


def test_example_for_real_accounts_lets_no_control_be_left_out() -> None:
    config = _config("cloud.example")
    own = _own(config)
    assert "allow-unsafe-in" not in own
    own["controls"] = {"aws.least-privilege": False}
    with pytest.raises(SettingsError, match="weakens '222222222222'"):
        settings_from(own, region=config["aws:region"])


def test_lab_stack_with_other_accounts_lets_no_control_be_left_out() -> None:
    config = _config("lab")
    own = _own(config)
    own["accounts"]["workloads"] = "222222222222"
    own["controls"] = {"aws.least-privilege": False}
    with pytest.raises(SettingsError, match="weakens '222222222222'"):
        settings_from(own, region=config["aws:region"])
