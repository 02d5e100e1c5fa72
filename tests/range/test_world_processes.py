"""Whatever is killed, nothing is left running, and whoever asks is told what broke."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests

from iamrange.range.config import Project, WorldConfig
from iamrange.range.processes import ProcessError, Zygote, ZygoteBrokenError
from iamrange.range.sweep import Entry, ProcessMark, sweep, worlds_folder
from iamrange.range.world import World, WorldBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ACCOUNT = "100000000002"
CONFIG = WorldConfig(
    run_id="test",
    aws_accounts=(ACCOUNT,),
    gcp_projects=(Project(id="iamrange-agents", number="340000000001"),),
)
ACTORS = """
import os, subprocess, sys, threading, time

def surroundings(**arguments):
    return {"env": dict(os.environ), "cwd": os.getcwd(), "arguments": arguments,
            "descriptors": sorted(map(int, os.listdir("/dev/fd"))),
            "leader": os.getsid(0) == os.getpid(), "stdin": sys.stdin.read(),
            "threads": threading.active_count(), "argv": sys.argv}

def large(size): return "x" * size
def fails(): raise RuntimeError("as it was asked to")
def leaves(status): raise SystemExit(status)
def prints(): print("out"); print("err", file=sys.stderr)
def hangs(ready):
    helper = subprocess.Popen(["sleep", "600"])
    ready([os.getpid(), helper.pid])
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "actors.py").write_text(ACTORS)
    return tmp_path


@pytest.fixture
def zygote(state: Path) -> Iterator[Zygote]:
    with Zygote(log=state / "zygote.log", preload=["json"]) as running:
        yield running


def gone(pids: Iterable[int]) -> bool:
    """Wait until none of the processes runs; zombies of our own do not count as running."""

    def running(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    wanted = list(pids)
    assert wanted
    deadline = time.monotonic() + 20
    while any(map(running, wanted)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(running, wanted))


def test_actor_has_what_it_was_given_and_nothing_else(
    zygote: Zygote, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNNERS_SECRET", "secret")
    with (state / "held-open").open("w"):
        child = zygote.spawn(
            "actors:surroundings", {"a": [1]}, env={"ONLY": "this"}, cwd=state, path=[str(state)]
        )
        seen = child.receive(20)
    assert child.wait(20).status == 0
    # 3 is its own channel, 4 the listing itself
    assert set(seen.pop("descriptors")) <= {0, 1, 2, 3, 4}
    assert seen == {
        "env": {"ONLY": "this"},
        "cwd": str(state),
        "arguments": {"a": [1]},
        "leader": True,
        "stdin": "",
        "threads": 1,
        "argv": ["actors:surroundings"],
    }


def test_zygote_holds_nothing_of_the_runners_environment(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNNERS_SECRET", "secret")
    with Zygote(preload=["json"]) as zygote:
        zygote.spawn("actors:large", {"size": 1}, path=[str(state)]).wait(20)
        environment = psutil.Process(zygote.pid).environ()
    assert "LANG" in environment
    assert environment.keys() <= {"PATH", "TMPDIR", "LANG", "LC_CTYPE"}


def test_actor_sends_back_more_than_a_pipe_holds(zygote: Zygote, state: Path) -> None:
    child = zygote.spawn("actors:large", {"size": 3_000_000}, path=[str(state)])
    assert len(child.receive(20)) == 3_000_000
    assert child.wait(20).status == 0


def test_actor_writes_its_streams_where_it_was_told(zygote: Zygote, state: Path) -> None:
    out, err = state / "out", state / "err"
    child = zygote.spawn("actors:prints", path=[str(state)], stdout=out, stderr=err)
    child.wait(20)
    assert (out.read_text(), err.read_text()) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("function", "arguments", "status"),
    [("fails", {}, 70), ("leaves", {"status": 3}, 3), ("no_such", {}, 70)],
)
def test_actor_that_fails_has_its_status(
    zygote: Zygote, state: Path, function: str, arguments: dict[str, Any], status: int
) -> None:
    child = zygote.spawn(f"actors:{function}", arguments, path=[str(state)])
    with pytest.raises(ProcessError, match=f"'actors:{function}'.*ended with status {status}"):
        child.receive(20)
    assert child.wait(20).status == status


def test_actor_that_hangs_is_killed_with_what_it_started(zygote: Zygote, state: Path) -> None:
    child = zygote.spawn("actors:hangs", path=[str(state)], serves=True)
    pids = child.receive(20)
    ended = child.wait(0.05)
    assert (ended.timed_out, ended.status) == (True, -signal.SIGKILL)
    assert gone(pids)


def test_killed_zygote_takes_its_children_along_and_says_so(zygote: Zygote, state: Path) -> None:
    child = zygote.spawn("actors:hangs", path=[str(state)], serves=True)
    pids = child.receive(20)
    os.kill(zygote.pid, signal.SIGKILL)
    with pytest.raises(ZygoteBrokenError, match="actors:hangs"):
        child.wait(20)
    assert gone(pids)
    with pytest.raises(ZygoteBrokenError, match="not running"):
        zygote.spawn("actors:large", {"size": 1})


def test_stopped_zygote_takes_its_children_along(zygote: Zygote, state: Path) -> None:
    child = zygote.spawn("actors:hangs", path=[str(state)], serves=True)
    pids = child.receive(20)
    zygote.stop()
    assert gone([*pids, zygote.pid])
    child.close()


def test_killed_world_is_named_to_whoever_asks_and_takes_its_forks_along() -> None:
    with World.start(CONFIG, name="base") as base, base.fork(name="cell") as fork:
        os.kill(base.pid, signal.SIGKILL)
        assert gone([base.pid, fork.pid])
        for world, name in ((base, "base"), (fork, "cell")):
            with pytest.raises(WorldBrokenError, match=rf"world '{name}': .*{world.pid}"):
                world.check()
            with pytest.raises(WorldBrokenError, match=rf"world '{name}': .*{world.pid}"):
                world.describe()
    assert not list(worlds_folder().glob("*-*"))


def test_killed_fork_leaves_its_base_running() -> None:
    with World.start(CONFIG) as base, base.fork() as fork:
        os.kill(fork.pid, signal.SIGKILL)
        assert gone([fork.pid])
        base.check()
        assert base.describe()["pid"] == base.pid
        with base.fork() as again:
            again.check()


def test_killed_zygote_of_a_world_breaks_the_world_clearly(zygote: Zygote) -> None:
    with World.start(CONFIG, zygote=zygote) as world, world.fork() as fork:
        os.kill(zygote.pid, signal.SIGKILL)
        assert gone([world.pid, fork.pid])
        with pytest.raises(WorldBrokenError, match="its process"):
            world.check()
    assert not list(worlds_folder().glob("*-*"))


def test_stopped_world_leaves_no_process_port_or_file() -> None:
    world = World.start(CONFIG)
    fork = world.fork()
    pids = [world.pid, fork.pid]
    endpoints = [world.aws_endpoint, fork.gcp_endpoint]
    fork.stop()
    world.stop()
    world.stop()
    assert gone(pids)
    for endpoint in endpoints:
        with pytest.raises(requests.ConnectionError):
            requests.get(endpoint, timeout=5)
    assert not list(worlds_folder().glob("*-*"))


RUNNER = """
import json, sys, time
from iamrange.range.config import Project, WorldConfig
from iamrange.range.processes import Zygote
from iamrange.range.world import World
config = WorldConfig.from_json(json.loads(sys.argv[1]))
zygote = Zygote()
world = World.start(config, zygote=zygote)
fork = world.fork()
actor = zygote.spawn("actors:hangs", path=[sys.argv[2]], serves=True)
print(json.dumps([zygote.pid, world.pid, fork.pid, actor.receive(20)[0]]), flush=True)
time.sleep(600)
"""


def test_killed_runner_leaves_nothing_running_and_the_next_start_sweeps(state: Path) -> None:
    arguments = [sys.executable, "-c", RUNNER, json.dumps(CONFIG.to_json()), str(state)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as runner:  # noqa: S603 - our interpreter
        assert runner.stdout is not None
        pids = json.loads(runner.stdout.readline())
        assert sweep() == ()  # its maker lives
        runner.kill()
    assert gone(pids)
    assert len(list(worlds_folder().glob("*-*"))) == 2
    swept = sweep()
    assert sorted(name.partition("-")[0] for name in swept) == ["fork", "world"]
    assert not list(worlds_folder().glob("*-*"))


def abandoned(process: ProcessMark | None) -> Entry:
    """Register a world as a creator that is gone by now would have left it."""
    entry = Entry.create()
    value = json.loads((entry.folder / "world.json").read_text())
    value["creator"]["started"] = "another moment"
    value["processes"] = [] if process is None else [vars_of(process)]
    (entry.folder / "world.json").write_text(json.dumps(value))
    return entry


def vars_of(mark: ProcessMark) -> dict[str, object]:
    return {"name": mark.name, "pid": mark.pid, "started": mark.started}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:  # noqa: S607 - any sleep
        yield process
        process.kill()


def test_sweep_kills_what_an_abandoned_world_left_running(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    entry = abandoned(ProcessMark.of("left", sleeper.pid))
    assert sweep() == (entry.folder.name,)
    assert sleeper.wait(20) == -signal.SIGKILL
    assert not entry.folder.exists()
    assert tmp_path.exists()


def test_sweep_spares_a_process_that_got_an_old_ones_number(
    sleeper: subprocess.Popen[bytes],
) -> None:
    entry = abandoned(ProcessMark("left", sleeper.pid, "another moment"))
    assert sweep() == (entry.folder.name,)
    assert sleeper.poll() is None


def test_sweep_spares_the_world_of_a_running_creator() -> None:
    entry = Entry.create()
    assert sweep() == ()
    assert entry.folder.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"creator": {}}'])
def test_sweep_removes_an_entry_that_cannot_be_read(content: str) -> None:
    entry = Entry.create()
    (entry.folder / "world.json").write_text(content)
    assert sweep() == (entry.folder.name,)


def test_sweep_removes_the_folders_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    entry = abandoned(None)
    value = json.loads((entry.folder / "world.json").read_text())
    value["folders"] = [str(elsewhere)]
    (entry.folder / "world.json").write_text(json.dumps(value))
    assert sweep() == (entry.folder.name,)
    assert not elsewhere.exists()


def test_world_in_a_folder_too_deep_for_a_socket_still_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ("deep" * 20) / ("er" * 40)))
    with World.start(CONFIG) as world:
        control = world.describe()["control"]
        assert control.startswith("/tmp/iamrange-")  # noqa: S108 - where it must be
    assert not os.path.lexists(os.path.dirname(control))  # noqa: PTH120 - one line


def test_scan_of_a_worlds_ports_without_credentials_gets_nothing() -> None:
    with World.start(CONFIG) as world:
        secrets = [key["secret_access_key"] for key in world.aws_keys.values()]
        secrets += [*world.gcp_tokens.values(), world.vault_token]
        listening = [
            connection.laddr
            for connection in psutil.Process(world.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert len(listening) == 7
        assert all(address.ip.startswith("127.") for address in listening)
        seen = b""
        for address in listening:
            for request in PROBES:
                seen += probe(address.ip, address.port, request)
        assert b"HTTP/1.1 403" in seen
        assert b"HTTP/1.1 200" not in seen
        assert not any(secret.encode() in seen for secret in secrets)
        control = world.describe()["control"]
        assert os.stat(control).st_mode & 0o777 == 0o600  # noqa: PTH116 - one line
        for line in ('{"command": "describe"}', '{"command": "describe", "key": "x"}', "[]", "x"):
            assert "error" in told(control, line)
        assert "pid" in world.describe()


def told(control: str, line: str) -> dict[str, Any]:
    """Send one line to a control socket, as any process of the same user could."""
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as lines:
        connection.connect(control)
        connection.sendall(line.encode() + b"\n")
        answer: dict[str, Any] = json.loads(lines.readline())
        return answer


CLOSING = b"\r\nConnection: close\r\n\r\n"
PROBES = (
    b"GET / HTTP/1.1\r\nHost: x" + CLOSING,
    b"GET /?Action=ListUsers&Version=2010-05-08 HTTP/1.1\r\nHost: iam.amazonaws.com" + CLOSING,
    b"GET /v1/projects/iamrange-agents/secrets HTTP/1.1\r\nHost: x" + CLOSING,
    b"GET /v1/sys/mounts HTTP/1.1\r\nHost: vault.iamrange.example" + CLOSING,
    b"GET /moto-api/data.json HTTP/1.1\r\nHost: x" + CLOSING,
    b"POST /moto-api/reset HTTP/1.1\r\nHost: x\r\nContent-Length: 0" + CLOSING,
    b'{"command": "describe"}\n\r\n\r\n',
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x00\x05hello\r\n\r\n",
)


def probe(address: str, port: int, request: bytes) -> bytes:
    """Send bytes and return whatever comes back."""
    with socket.create_connection((address, port), timeout=5) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while data := connection.recv(65536):
                answer += data
        except (ConnectionError, TimeoutError):
            pass
        return answer
