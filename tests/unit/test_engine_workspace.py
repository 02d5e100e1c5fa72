"""A world's own copy of the project file, the stack's config and the state."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
import yaml

from iamrange.engine.errors import EngineError
from iamrange.engine.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

COMMITTED = "config:\n  tiny:word: committed\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "infra").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: tiny\nruntime: python\nmain: infra\n")
    (folder / "Pulumi.lab.yaml").write_text(COMMITTED)
    return folder


def test_a_workspace_points_at_the_real_program(project: Path, tmp_path: Path) -> None:
    workspace = Workspace.create(project, tmp_path / "world", "lab")
    copied = yaml.safe_load((workspace.directory / "Pulumi.yaml").read_text())
    assert copied == {"name": "tiny", "runtime": "python", "main": str(project / "infra")}


def test_config_is_written_to_the_copy_only(project: Path, tmp_path: Path) -> None:
    workspace = Workspace.create(project, tmp_path / "world", "lab")
    workspace.set_config({"controls": {"aws.trust": False}, "aws:region": "us-east-1"})
    assert workspace.config() == {
        "tiny:word": "committed",
        "tiny:controls": {"aws.trust": False},
        "aws:region": "us-east-1",
    }
    assert (project / "Pulumi.lab.yaml").read_text() == COMMITTED


def test_none_removes_a_config_key(project: Path, tmp_path: Path) -> None:
    workspace = Workspace.create(project, tmp_path / "world", "lab")
    workspace.set_config({"word": None})
    assert workspace.config() == {}


def test_each_workspace_has_a_passphrase_of_its_own_that_only_its_owner_reads(
    project: Path, tmp_path: Path
) -> None:
    one = Workspace.create(project, tmp_path / "one", "lab")
    two = Workspace.create(project, tmp_path / "two", "lab")
    assert one.passphrase_file.read_text() != two.passphrase_file.read_text()
    assert stat.S_IMODE(one.passphrase_file.stat().st_mode) == 0o600
    assert one.passphrase_file.read_text() not in repr(one)


def test_opening_a_workspace_again_keeps_it(project: Path, tmp_path: Path) -> None:
    first = Workspace.create(project, tmp_path / "world", "lab")
    first.set_config({"word": "kept"})
    passphrase = first.passphrase_file.read_text()
    again = Workspace.create(project, tmp_path / "world", "lab")
    assert again.config() == {"tiny:word": "kept"}
    assert again.passphrase_file.read_text() == passphrase


def test_a_copy_is_apart_from_its_origin(project: Path, tmp_path: Path) -> None:
    origin = Workspace.create(project, tmp_path / "world", "lab")
    copy = origin.copy_to(tmp_path / "copy")
    copy.set_config({"word": "changed"})
    assert origin.config() == {"tiny:word": "committed"}
    assert copy.passphrase_file.read_text() == origin.passphrase_file.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected a Pulumi.yaml, got none"),
        ("runtime: python\n", "expected a name, got None"),
        ("- a\n", "expected a mapping, got list"),
    ],
)
def test_a_project_that_is_none_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "Pulumi.yaml").write_text(text)
    with pytest.raises(EngineError, match=message):
        Workspace.create(tmp_path, tmp_path / "world", "lab")
