"""The shell scripts that start the language host and a world's pulumi."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from iamrange.engine.launcher import write_language_host, write_world_pulumi

if TYPE_CHECKING:
    from pathlib import Path


def fake(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho {says} "$@"\n')
    path.chmod(0o755)
    return path


def run(script: Path, *arguments: str, cwd: Path, environment: dict[str, str]) -> str:
    answer = subprocess.run(  # noqa: S603 - the script under test
        [str(script), *arguments],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or answer.stderr.strip()


@pytest.mark.parametrize("chosen", ["environment", "checkout", "baked-in"])
def test_the_language_host_runs_in_the_environment_that_has_iamrange(
    tmp_path: Path, chosen: str
) -> None:
    script = write_language_host(tmp_path, str(fake(tmp_path / "baked in" / "python", "baked-in")))
    inside = tmp_path / "checkout" / "infra"
    inside.mkdir(parents=True)
    environment = {}
    if chosen != "baked-in":
        fake(tmp_path / "checkout" / ".venv" / "bin" / "iamrange", "cli")
        fake(tmp_path / "checkout" / ".venv" / "bin" / "python", "checkout")
    if chosen == "environment":
        named = fake(tmp_path / "named" / "python", "environment")
        environment["IAMRANGE_PYTHON"] = str(named)
    said = run(script, "127.0.0.1:1", cwd=inside, environment=environment)
    assert said == f"{chosen} -P -m iamrange.engine.language_host 127.0.0.1:1"


def test_the_language_host_says_what_to_do_without_a_python(tmp_path: Path) -> None:
    script = write_language_host(tmp_path, "/nowhere/python")
    assert "make setup" in run(script, cwd=tmp_path, environment={})


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("check out", "real --cwd {world} up --yes"),
        ("check out/infra", "real --cwd {world} up --yes"),
        ("elsewhere", "real up --yes"),
        ("check out beside", "real up --yes"),
    ],
)
def test_the_worlds_pulumi_takes_the_worlds_config_inside_the_checkout_only(
    tmp_path: Path, where: str, says: str
) -> None:
    world = tmp_path / "world's own"
    world.mkdir()
    cli = fake(tmp_path / "real", "real")
    script = write_world_pulumi(
        tmp_path / "bin", cli=cli, directory=world, checkout=tmp_path / "check out"
    )
    (tmp_path / where).mkdir(parents=True)
    said = run(script, "up", "--yes", cwd=tmp_path / where, environment={})
    assert said == says.format(world=world)
