"""What a fresh clone relies on: locked files, no address or machine path, every test collected."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
# Spelled in parts, so that this file does not contain what it looks for.
REGISTRIES = (
    *(f"{name}.org" for name in ("pypi", "pythonhosted", "npmjs", "proxy.golang", "sum.golang")),
    *(f"{name}.io" for name in ("crates", "goproxy")),
    "repo.maven" + ".apache",
    "deb." + "debian",
)
MACHINE_PATHS = tuple(f"/{name}/" for name in ("root", "work", "opt/wheels", "tmp/w"))


def committed_files() -> list[Path]:
    answer = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - git from PATH, as everywhere
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    return [(path, path.read_text(errors="ignore")) for path in committed_files()]


def test_no_committed_file_names_a_registry_or_a_machines_path() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path, text in texts()
        for word in (*REGISTRIES, *MACHINE_PATHS)
        if word in text
    ]
    assert len(texts()) > 100
    assert found == []


def locked(path: Path) -> dict[str, list[str]]:
    """Return each locked requirement with its hashes."""
    entries: dict[str, list[str]] = {}
    current = ""
    for line in path.read_text().splitlines():
        text = line.strip().removesuffix("\\").strip()
        if text.startswith("--hash="):
            entries[current].append(text.removeprefix("--hash="))
        else:
            current = text
            entries[current] = []
    return entries


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_locked_requirement_has_a_version_and_hashes(path: Path) -> None:
    entries = locked(path)
    assert entries
    for requirement, hashes in entries.items():
        assert re.match(r"[a-z0-9-]+==[^ ]+( ; .+)?$", requirement), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


def canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=<>! ;]", requirement, maxsplit=1)[0]).lower()


def test_everything_that_the_project_names_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    entries = locked(ROOT / "requirements" / "lock.txt")
    versions = {canonical(entry): entry for entry in entries}
    assert {canonical(one) for one in named} <= set(versions)
    for requirement in named:
        pinned = requirement.partition(";")[0]
        if "==" in pinned:
            expected = pinned.split("==")[1].strip()
            assert f"=={expected}" in versions[canonical(requirement)], requirement


def test_every_test_file_is_collected() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["pytest"]["testpaths"] == ["tests"]
    asserting = {
        path
        for path, text in texts()
        if path.suffix == ".py"
        and re.search(r"^(?:class Test|(?:async )?def test_)", text, re.MULTILINE)
    }
    assert Path(__file__) in asserting
    for path in asserting:
        assert path.is_relative_to(ROOT / "tests"), path
        assert path.name.startswith("test_"), path


def test_every_room_is_in_the_import_contracts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    rooms = {
        path.name
        for path in (ROOT / "iamrange").iterdir()
        if (path / "__init__.py").exists() and path.name != "core"
    }
    (core,) = (contract for contract in contracts if contract["id"] == "core")
    assert rooms <= {name.removeprefix("iamrange.") for name in core["forbidden_modules"]}
    sources = {name for contract in contracts for name in contract.get("source_modules", ())}
    assert {f"iamrange.{room}" for room in rooms - {"range"}} <= sources


def test_ci_runs_the_make_targets_that_people_use() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert re.findall(r"^make (\w+)$", script, re.MULTILINE)[:3] == ["check", "run", "test"]
    assert "set -euo pipefail" in script


def test_make_lists_the_targets_that_people_use() -> None:
    answer = subprocess.run(
        ["make", "--no-print-directory"],  # noqa: S607 - make from PATH, as everywhere
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = {line.split()[0] for line in answer.stdout.splitlines()}
    wanted = "help setup run test fmt lint types check docs bench up down"
    assert set(wanted.split()) <= listed
