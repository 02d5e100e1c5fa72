"""The audit log of a running range, by the command line: sealed as it goes, and named where not."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from iamrange.range.running import orders_socket, state_file
from iamrange.range.service_socket import OrderRefusedError, order

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    class Said(Protocol):
        status: int
        out: str
        err: str

    class CommandLine(Protocol):
        def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


PATIENCE = 20.0


@pytest.fixture(scope="module")
def running(iamrange: CommandLine, state_home: Path) -> Iterator[Mapping[str, Any]]:
    assert state_home.is_dir()
    assert iamrange("up").status == 0
    try:
        state: dict[str, Any] = json.loads(state_file().read_text())
        yield state
    finally:
        iamrange("down")


def until_logged(iamrange: CommandLine, *conditions: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE
    while True:
        said = iamrange("audit", "query", *conditions, "--json")
        assert said.status == 0, said.err
        if said.out:
            return [json.loads(line) for line in said.out.splitlines()]
        assert time.monotonic() < deadline, conditions
        time.sleep(0.2)


def test_changes_of_the_directory_and_orders_are_in_the_log_with_who_made_them(
    running: Mapping[str, Any], iamrange: CommandLine
) -> None:
    assert running
    assert iamrange("agents", "register", "newcomer", "--owner", "o").status == 0
    (registered,) = until_logged(
        iamrange, "class_uid=3004", "api.operation=register", "entity.uid=*newcomer"
    )
    assert (registered["activity_id"], registered["status_id"]) == (1, 1)
    assert registered["actor"]["user"]["uid"]
    assert iamrange("controls", "off", "identity.private-key-jwt").status == 0
    (off,) = until_logged(iamrange, "api.operation=switch", "comment=*identity.private-key-jwt*")
    assert off["actor"]["user"]["uid"] == f"uid:{os.getuid()}"
    assert iamrange("controls", "on", "identity.private-key-jwt").status == 0
    until_logged(iamrange, "api.operation=switch", "comment=off: none")
    assert iamrange("tokens", "withdraw-key", "nobodys").status == 1
    (refused,) = until_logged(iamrange, "api.operation=withdraw_token_key")
    assert (refused["entity"]["uid"], refused["status_id"]) == ("nobodys", 2)
    assert "expected one of" in refused["status_detail"]
    with pytest.raises(OrderRefusedError, match="known are"):
        order(orders_socket(), "burn")
    until_logged(iamrange, "api.operation=burn", "status_id=2")


def test_log_of_a_range_is_verified_kept_apart_and_tampering_is_named(
    running: Mapping[str, Any], iamrange: CommandLine, tmp_path: Path
) -> None:
    """One life of a log: the order of its parts is the point."""
    events = until_logged(iamrange, "api.service.name=aws.authorize")
    assert {event["class_uid"] for event in events} == {6003}
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    good = iamrange("audit", "verify")
    assert good.status == 0, good.err
    assert good.out.startswith("as it was written: ")
    tailed = iamrange("audit", "tail", "-n", "2")
    assert len(tailed.out.splitlines()) == 2

    kept = tmp_path / "head.jws"
    kept.write_text(iamrange("audit", "head").out)
    folder, anchor = Path(running["audit"]["log"]), Path(running["audit"]["anchor"])
    assert iamrange("down").status == 0
    place = (str(folder), "--anchor", str(anchor))
    ended = iamrange("audit", "verify", *place, "--head", str(kept))
    assert ended.status == 0, ended.err

    log = folder / "audit.jsonl"
    whole = log.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(whole) if n > 3 and b'"action_id":1' in line)
    changed = whole[at].replace(b'"action_id":1', b'"action_id":2')
    log.write_bytes(b"".join([*whole[:at], changed]))
    broken = iamrange("audit", "verify", *place, "--json")
    assert broken.status == 1
    assert json.loads(broken.out) == {
        "ok": False,
        "record": at,
        "last": None,
        "flaw": "changed",
        "detail": "",
    }
    log.write_bytes(b"".join(whole[:at]))
    (folder / "heads.jws").write_text("")
    assert iamrange("audit", "verify", *place).status == 0  # nobody who has the folder alone knows
    short = iamrange("audit", "verify", *place, "--head", str(kept))
    assert short.status == 1
    assert f"record {at}: truncated" in short.out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("verify",), 2, "no range is running"),
        (("verify", "FOLDER", "--anchor", "nothing.json"), 2, "anchor 'nothing.json'"),
        (("tail", "FOLDER"), 3, "No such file"),
        (("head", "FOLDER"), 2, "heads.jws"),
        (("query", "status_code", "--folder", "FOLDER"), 2, "expected MEMBER=VALUE"),
    ],
)
def test_misuse_is_told_with_the_way_out(
    iamrange: CommandLine, tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    answer = iamrange("audit", *(str(tmp_path) if word == "FOLDER" else word for word in arguments))
    assert said in answer.err
    assert answer.status == status
