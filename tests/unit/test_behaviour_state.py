"""A watch's file, whatever has become of it: used as it was kept, or refused before it is used."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from iamrange.cli_behaviour import app
from iamrange.detect.behaviour_state import read_saved
from iamrange.detect.containment import Step
from iamrange.detect.watcher import StateError, Watcher
from tests.unit.behaviour_days import AGENT, DECLARED, after, days

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def kept() -> dict[str, Any]:
    """Return what a watch keeps that has accused an agent with a history."""
    watcher = Watcher(lambda _: DECLARED)
    for call in days(7):
        watcher.see(call)
    (said,) = watcher.see(after(7, service="payments"))[:1]
    incident = {
        "agent": AGENT,
        "time": said.time,
        "contained": True,
        "accusations": [
            {
                "rule": said.rule.value,
                "layer": said.layer,
                "seen": said.seen,
                "expected": said.expected,
                "evidence": list(said.evidence),
            }
        ],
    }
    steps = [asdict(Step(agent=AGENT, means="directory", attempts=1, done=True))]
    made = watcher.to_json()
    kept = {
        "watcher": {**made, "seen": made["seen"][-2:]},
        "containments": {"detect.automatic-revocation": steps},
        "incidents": [incident],
    }
    value: dict[str, Any] = json.loads(json.dumps(kept))
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    """Yield where something stands in a JSON value."""
    inner = value if isinstance(value, dict) else dict(enumerate(value))
    for key, one in inner.items():
        yield (*path, key)
        if isinstance(one, (dict, list)):
            yield from places(one, (*path, key))


def with_changed(value: dict[str, Any], path: tuple[Any, ...], new: object) -> dict[str, Any]:
    changed = copy.deepcopy(value)
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return changed


KEPT = kept()
ODD: tuple[Any, ...] = (
    None,
    "x",
    -7,
    [],
    {},
    [None],
    {"a": None},
    float("nan"),
    float("inf"),
    1e99,
)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_damage_at_any_place_is_refused_or_does_no_harm_later(tmp_path: Path, odd: object) -> None:
    refused = 0
    for path in places(KEPT):
        data = json.dumps(with_changed(KEPT, path, odd)).encode()
        try:
            saved = read_saved(data)
        except StateError as error:
            refused += str(error).startswith("state: expected")
            continue
        watcher = Watcher(lambda _: DECLARED)
        watcher.take(saved.watcher.to_json())
        for agent in tuple(watcher.accused):
            watcher.accept(agent)
            watcher.release(agent)
        for number, call in enumerate(days(2)):
            later = replace(call, id=f"later {number}", time=call.time + 8 * 86_400)
            assert all(str(one) for one in watcher.see(later)), path
        json.dumps(watcher.to_json())
        (tmp_path / "state.json").write_bytes(data)
        for command in ("baseline", "incidents"):
            told = CliRunner().invoke(app, [command, "--state", str(tmp_path / "state.json")])
            assert told.exit_code == 0, (path, told.exception)
    assert refused > 50


def test_what_was_kept_comes_back() -> None:
    saved = read_saved(json.dumps(KEPT).encode())
    assert json.loads(json.dumps(saved.watcher.to_json())) == KEPT["watcher"]
    assert (saved.containments, saved.incidents) == (KEPT["containments"], KEPT["incidents"])


def of_version_1() -> dict[str, Any]:
    value = copy.deepcopy(KEPT)
    value["watcher"]["version"] = 1
    for agent in value["watcher"]["agents"].values():
        agent["rates"] = [agent["rates"]["60"], agent["rates"]["3600"]]
        del agent["anchors"]
    return value


def of_the_release_before() -> dict[str, Any]:
    value = copy.deepcopy(KEPT)
    for agent in value["watcher"]["agents"].values():
        del agent["anchors"]
    return value


@pytest.mark.parametrize("older", [of_version_1, of_the_release_before])
@pytest.mark.parametrize("command", ["baseline", "incidents"])
def test_a_file_of_an_older_release_is_read(tmp_path: Path, older: Any, command: str) -> None:  # noqa: ANN401 - one of two functions
    (tmp_path / "state.json").write_text(json.dumps(older()))
    told = CliRunner().invoke(app, [command, "--state", str(tmp_path / "state.json"), "--json"])
    assert told.exit_code == 0, told.exception
    (one,) = json.loads(told.stdout)
    assert one["agent"] == AGENT


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff\x00",
        b"[" * 100_000,
        json.dumps({**KEPT, "watcher": {**KEPT["watcher"], "version": 9}}).encode(),
        json.dumps(KEPT).encode()[:-40],
    ],
    ids=["empty", "list", "object", "null", "no text", "too deep", "of a later release", "cut"],
)
@pytest.mark.parametrize("command", ["baseline", "incidents"])
def test_a_file_that_is_none_is_told_and_breaks_nothing(
    tmp_path: Path, broken: bytes, command: str
) -> None:
    (tmp_path / "state.json").write_bytes(broken)
    told = CliRunner().invoke(app, [command, "--state", str(tmp_path / "state.json")])
    assert isinstance(told.exception, SystemExit), told.exception
    assert told.exit_code == 3


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["baseline", "--state", str(tmp_path / "nothing.json")])
    assert told.exit_code == 3


@pytest.mark.parametrize("odd", ["[/red]", "[bold]x", "\x1b[2J\x9b2J", "a\nb\u202ec", "\ud800"])
def test_what_an_agent_chose_moves_no_cursor_and_is_no_markup(tmp_path: Path, odd: str) -> None:
    value = copy.deepcopy(KEPT)
    value["incidents"][0]["accusations"][0]["seen"] = f"vault:{odd}"
    value["watcher"]["agents"][AGENT]["services"][f"vault:{odd}"] = 1
    (tmp_path / "state.json").write_text(json.dumps(value))
    for command in ("baseline", "incidents"):
        told = CliRunner().invoke(app, [command, "--state", str(tmp_path / "state.json")])
        assert told.exit_code == 0, told.exception
        assert told.stdout.replace("\n", "").isprintable()
        assert "vault:" in told.stdout
