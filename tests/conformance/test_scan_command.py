"""`iamrange scan secrets` as a program reads it: exit status, JSON, SARIF, baseline, hook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from iamrange.credentials.scan.rules import RULES
from iamrange.credentials.scan.samples import invented

ROOT = Path(__file__).resolve().parents[2]
TOKEN = invented("github-token", 3)
OTHER = invented("stripe-key", 3)


class Command:
    """Runs the command in a folder, with a state folder of its own."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder = folder
        self._state = state

    def __call__(
        self, *arguments: str, status: int, entry: tuple[str, ...] = ("scan", "secrets")
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "iamrange.cli", *entry, *arguments],
            cwd=self.folder,
            env=os.environ | {"XDG_STATE_HOME": str(self._state)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        for secret in (TOKEN, OTHER):
            assert secret not in done.stdout + done.stderr
        return done

    def read(self, *arguments: str, status: int) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self(*arguments, "--json", status=status).stdout)
        return document


@pytest.fixture
def scan(tmp_path: Path) -> Command:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.env").write_text(f"T={TOKEN}\n")
    (folder / "b.txt").write_text("nothing\n")
    return Command(folder, tmp_path / "state")


def test_findings_end_with_one_and_none_with_zero(scan: Command) -> None:
    found = scan.read(status=1)
    (finding,) = found["findings"]
    assert (finding["rule"], finding["path"], finding["line"], finding["hint"]) == (
        "github-token", "a.env", 1, "ghp_",
    )  # fmt: skip
    assert (found["files"], found["new"]) == (2, 1)
    (scan.folder / "a.env").unlink()
    assert scan.read(status=0)["findings"] == []


def test_people_are_told_what_and_where(scan: Command) -> None:
    (scan.folder / "c.zip").write_bytes(b"PK\x03\x04")
    done = scan(status=1)
    assert "github-token" in done.stdout
    assert "a.env:1" in done.stdout
    assert "1 new, 0 known, 0 stale; 2 files" in done.stdout.replace("3 files", "2 files")
    assert "not read: c.zip: archive zip: not looked into" in done.stderr


def test_a_baseline_knows_what_was_there_and_says_what_is_gone(scan: Command) -> None:
    scan("--write-baseline", "known.json", status=0)
    assert TOKEN not in (scan.folder / "known.json").read_text()
    assert scan.read("--baseline", "known.json", status=0)["new"] == 0
    (scan.folder / "b.txt").write_text(f"x\n{OTHER}\n")
    found = scan.read("--baseline", "known.json", status=1)
    assert [(one["rule"], one["known"]) for one in found["findings"]] == [
        ("github-token", True), ("stripe-key", False),
    ]  # fmt: skip
    (scan.folder / "a.env").rename(scan.folder / "moved.env")
    found = scan.read("--baseline", "known.json", status=1)
    assert [one["path"] for one in found["stale"]] == ["a.env"]
    assert found["new"] == 2, "the same value in another file is new"


def test_lines_that_move_stay_known(scan: Command) -> None:
    scan("--write-baseline", "known.json", status=0)
    (scan.folder / "a.env").write_text(f"# one\n# two\nT={TOKEN}\n")
    assert scan.read("--baseline", "known.json", status=0)["new"] == 0


def test_another_key_is_misuse_with_a_baseline_and_the_same_key_is_not(scan: Command) -> None:
    for name, text in {"one": "0" * 32, "two": "1" * 32, "short": "abc"}.items():
        (scan.folder.parent / name).write_text(f"{text}\n")
    scan("--key-file", "../one", "--write-baseline", "known.json", status=0)
    scan("--key-file", "../one", "--baseline", "known.json", status=0)
    done = scan("--key-file", "../two", "--baseline", "known.json", status=2)
    assert "give the same key with --key-file" in done.stderr
    assert "expected a key of 16 bytes" in scan("--key-file", "../short", status=2).stderr


def test_the_default_key_is_made_once_for_its_owner_alone(scan: Command, tmp_path: Path) -> None:
    first = scan.read(status=1)
    (key,) = (tmp_path / "state").rglob("scan-key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert scan.read(status=1)["key_id"] == first["key_id"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing",), "'missing': expected a file or a folder"),
        (("",), "'': expected a file or a folder"),
        (("--staged",), "git rev-parse"),
        (("--history",), "git rev-parse"),
        (("--history", "--staged"), "expected one of them"),
        (("--baseline", "b.txt"), "expected a file that --write-baseline wrote"),
        (("--baseline", "missing"), "No such file"),
        (("--key-file", "missing"), "No such file"),
        (("--verify",), "no range is running"),
        (("--sarif", "missing/x"), "No such file"),
    ],
)
def test_misuse_is_said(scan: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in scan(*arguments, status=2).stderr.replace("\n", " ")


def test_sarif_names_rule_place_and_fingerprint(scan: Command) -> None:
    (scan.folder / "a.json").write_text(json.dumps({"mcp": {"t": OTHER}}))
    (scan.folder / "ü x.txt").write_text(f"{TOKEN}\n")
    scan("--write-baseline", "known.json", status=0)
    (scan.folder / "new.txt").write_text(f"{OTHER}\n")
    (scan.folder / "c.zip").write_bytes(b"PK\x03\x04")
    scan("--baseline", "known.json", "--sarif", "out.sarif", status=1)
    text = (scan.folder / "out.sarif").read_text()
    assert TOKEN not in text
    log = json.loads(text)
    assert_sarif(log)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [rule.id for rule in RULES]
    states = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: (
            result["ruleId"], result["baselineState"],
        )
        for result in run["results"]
    }  # fmt: skip
    assert states == {
        "a.env": ("github-token", "unchanged"),
        "a.json": ("stripe-key", "unchanged"),
        "%C3%BC%20x.txt": ("github-token", "unchanged"),
        "new.txt": ("stripe-key", "new"),
    }
    (notice,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notice["message"]["text"] == "not read: archive zip: not looked into"


def assert_sarif(log: dict[str, Any]) -> None:
    """Hold a log to what the SARIF 2.1.0 schema requires of the members that we write."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        assert set(run) <= {"tool", "columnKind", "invocations", "results"}
        assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
        assert isinstance(driver["name"], str)
        for rule in driver["rules"]:
            assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
        for invocation in run["invocations"]:
            assert isinstance(invocation["executionSuccessful"], bool)
        for result in run["results"]:
            assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
            assert isinstance(result["message"]["text"], str)
            assert result["level"] in ("none", "note", "warning", "error")
            assert result["baselineState"] in ("new", "unchanged", "updated", "absent")
            assert all(isinstance(v, str) for v in result["partialFingerprints"].values())
            for location in result["locations"]:
                assert location["physicalLocation"]["region"]["startLine"] >= 1


def test_the_hook_for_pre_commit_refuses_a_commit_by_what_is_staged(
    scan: Command, tmp_path: Path
) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split()[0] == "iamrange"
    assert (hook["pass_filenames"], hook["always_run"]) == (False, True)
    entry = tuple(hook["entry"].split()[1:])
    git = ["git", "-C", str(scan.folder)]
    plain = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    subprocess.run([*git, "init", "--quiet"], check=True, env=plain)  # noqa: S603 - fixed
    scan(status=0, entry=entry)
    subprocess.run([*git, "add", "a.env"], check=True, env=plain)  # noqa: S603 - fixed
    (scan.folder / "a.env").write_text("clean\n")
    assert "a.env:1" in scan(status=1, entry=entry).stdout
    assert tmp_path.exists()
