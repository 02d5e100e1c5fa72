"""What tests of the whole range share: a state folder of their own, projects, the command line."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import yaml

from iamrange.range.progress import NoProgress
from iamrange.range.runner import RunOptions, workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iamrange.range.deployment import Tools

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep worlds in a folder of this module's own, so that what is left there is its doing."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def tools(state_home: Path) -> Iterator[Tools]:
    """Return the processes that worlds are made with; the engine and SDKs are warm."""
    assert state_home.is_dir()
    with workshop(RunOptions(), NoProgress()) as made:
        yield made


@dataclass(frozen=True)
class Said:
    """What a command line said, and how it ended."""

    status: int
    out: str
    err: str


class CommandLine(Protocol):
    """Runs `iamrange` with these arguments to its end."""

    def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


@pytest.fixture(scope="module")
def iamrange(state_home: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """Return the command line, run in a process of its own outside the checkout."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Said:
        answer = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "iamrange.cli", *arguments],
            cwd=elsewhere,
            env={**os.environ, "XDG_STATE_HOME": str(state_home), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Said(answer.returncode, answer.stdout, answer.stderr)

    return run


class ProjectCopies(Protocol):
    """Copies the project, its stack's config changed by the function."""

    def __call__(self, change: Callable[[dict[str, Any]], None] | None = None) -> Path: ...


@pytest.fixture(scope="session")
def committed_config() -> Mapping[str, Any]:
    """Return the committed configuration of the lab stack."""
    document = yaml.safe_load((ROOT / "Pulumi.lab.yaml").read_text())
    assert document["config"]
    return dict(document["config"])


@pytest.fixture
def project_copy(tmp_path: Path, committed_config: Mapping[str, Any]) -> ProjectCopies:
    """Return a function that lays out a project folder on the real program."""

    def make(change: Callable[[dict[str, Any]], None] | None = None) -> Path:
        folder = tmp_path / "project"
        folder.mkdir()
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        project["main"] = str(ROOT / project["main"])
        config = copy.deepcopy(dict(committed_config))
        if change is not None:
            change(config)
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        (folder / "Pulumi.lab.yaml").write_text(yaml.safe_dump({"config": config}))
        return folder

    return make
