"""`iamrange gateway explain|validate` on what a range would really start, with real Envoy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from iamrange.cli import app
from iamrange.core.controls import CONTROLS
from iamrange.network.envoy_binary import EnvoyMissingError, find_envoy
from iamrange.range import mesh_config
from iamrange.range.lapses import LAPSES

if TYPE_CHECKING:
    from pathlib import Path

try:
    find_envoy()
except EnvoyMissingError as error:
    pytest.skip(str(error), allow_module_level=True)

EDGE = sorted(control.id for control, lapse in LAPSES.items() if lapse.edge)


@pytest.fixture(autouse=True)
def no_running_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def said(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["gateway", *arguments])
    return done.exit_code, done.stdout


@pytest.mark.parametrize("control", ["", *EDGE])
def test_envoy_takes_what_a_range_tells_it(control: str) -> None:
    without = ("--without", control) if control else ()
    code, text = said("validate", *without, "--json")
    assert code == 0
    assert json.loads(text)["ok"] is True
    assert control in json.loads(text)["of"]


def test_what_envoy_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = mesh_config.drawn

    def broken(*arguments: Any) -> Any:  # noqa: ANN401 - whatever it takes and returns
        config = drawn(*arguments)
        return replace(config, limits=replace(config.limits, header_kib=1 << 20))

    monkeypatch.setattr(mesh_config, "drawn", broken)
    code, text = said("validate", "--json")
    assert code == 1
    assert json.loads(text)["ok"] is False


@pytest.mark.parametrize("control", EDGE)
def test_the_explanation_names_the_lapse(control: str) -> None:
    code, text = said("explain", "--without", control, "--json")
    assert code == 0
    assert len(json.loads(text)["unsafe"]) == 1
    code, words = said("explain", "--without", control)
    assert code == 0
    assert f"UNSAFE {json.loads(text)['unsafe'][0]}" in words
    assert control in words


def test_a_control_of_elsewhere_changes_nothing_at_envoy() -> None:
    other = next(name for name in CONTROLS if name.startswith("aws."))
    assert json.loads(said("explain", "--without", other, "--json")[1])["unsafe"] == []
