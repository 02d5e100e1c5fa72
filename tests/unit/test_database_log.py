"""The log of those whom the database refused: joined to what clients are told, and kept short."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.credentials.database import login_log
from iamrange.credentials.database.login_log import LoginLog

if TYPE_CHECKING:
    from pathlib import Path


def line(user: str, code: str = "28P01", **more: str) -> bytes:
    entry = {"user": user, "state_code": code, "error_severity": "FATAL", **more}
    return json.dumps(entry).encode() + b"\n"


def take(log: LoginLog, user: str, code: str = "28P01") -> Any:  # noqa: ANN401 - an entry
    return asyncio.run(log.take(user, code, 0.0))


def test_entry_is_taken_once_by_its_login_and_code(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line("one", detail="first") + line("two") + line("one", detail="second"))
    log = LoginLog(path)
    assert take(log, "one", "28000") == {}
    assert [take(log, "one").get("detail") for _ in range(3)] == ["first", "second", None]
    assert take(log, "two")["user"] == "two"


def test_entry_that_is_half_written_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    whole = line("one")
    path.write_bytes(whole[:10])
    log = LoginLog(path)
    assert take(log, "one") == {}
    path.write_bytes(whole)
    assert take(log, "one")["user"] == "one"


@pytest.mark.parametrize(
    "written", [b"no json\n", b"[]\n", b"null\n", b"\xff\n", line("one", error_severity="LOG")]
)
def test_line_that_is_no_refusal_is_passed_over(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(written + line("one", detail="mine"))
    assert take(LoginLog(path), "one")["detail"] == "mine"


def test_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert take(LoginLog(tmp_path / "none"), "one") == {}


def test_log_of_a_new_server_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line("one", detail="of the server before"))
    log = LoginLog(path)
    take(log, "one")
    path.write_bytes(line("one"))
    assert take(log, "one")["user"] == "one"


def test_log_that_grew_long_is_emptied_and_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_log, "_MAX_BYTES", 100)
    path = tmp_path / "log"
    path.write_bytes(line("one") * 3)
    log = LoginLog(path)
    assert take(log, "one")["user"] == "one"
    assert path.stat().st_size == 0
    with path.open("ab") as file:
        file.write(line("two"))
    assert take(log, "two")["user"] == "two"
