"""The life of an Envoy: start, rotation, death, and the processes around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from iamrange.network import envoy as envoy_module
from iamrange.network import envoy_folder
from iamrange.network.ca import CertificateAuthority
from iamrange.network.envoy import (
    EnvoyConfig,
    EnvoyDiedError,
    EnvoyProcess,
    EnvoyStartError,
    Upstream,
    validate,
)
from iamrange.network.envoy_bootstrap import TLS_FILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Served = Any  # conftest's: tests are no packages, so that it cannot be imported
AUTH = "auth.iamrange.example"


def envoys() -> list[psutil.Process]:
    """Return this process's Envoys: other tests' servers may be its children too."""
    return [child for child in psutil.Process().children() if child.name() == "envoy"]


def config(folder: Path) -> EnvoyConfig:
    authority = CertificateAuthority.create("test")
    return EnvoyConfig(
        upstreams=(Upstream((AUTH,), folder / "a.sock"),),
        certificate=authority.server_certificate([AUTH]),
    )


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_envoy_itself_finds_the_configuration_good(tmp_path: Path) -> None:
    asyncio.run(validate(config(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_envoy_leaves_no_process_port_or_file(tmp_path: Path) -> None:
    async def live() -> EnvoyProcess:
        envoy = await EnvoyProcess.start(config(tmp_path), tmp_path)
        envoy.check()
        assert not refuses_connections(envoy.port)
        await envoy.stop()
        await envoy.stop()
        return envoy

    envoy = asyncio.run(live())
    assert not psutil.pid_exists(envoy.pid)
    assert refuses_connections(envoy.port)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EnvoyDiedError):
        envoy.check()


def files(folder: Path) -> dict[str, str]:
    """Return the texts of the folder's files, which only their owner reads."""
    paths = list(folder.iterdir())
    assert [path for path in paths if path.stat().st_mode & 0o077] == []
    return {path.name: path.read_text() for path in paths}


def test_the_secret_is_in_no_file_argument_or_environment(tmp_path: Path) -> None:
    wanted = config(tmp_path)

    async def live() -> None:
        envoy = await EnvoyProcess.start(wanted, tmp_path)
        try:
            process = psutil.Process(envoy.pid)
            assert process.environ() == {}
            assert wanted.secret not in " ".join(process.cmdline())
            texts = files(tmp_path)
            assert TLS_FILE in texts
            assert wanted.secret not in "".join(texts.values())
            assert wanted.secret not in repr(wanted)
            assert "PRIVATE KEY" not in repr(wanted)
        finally:
            await envoy.stop()

    asyncio.run(live())


def test_it_listens_on_loopback_alone_and_has_no_admin_interface(tmp_path: Path) -> None:
    async def live() -> None:
        envoy = await EnvoyProcess.start(config(tmp_path), tmp_path)
        try:
            listening = [
                connection.laddr
                for connection in psutil.Process(envoy.pid).net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            ]
            unix = psutil.Process(envoy.pid).net_connections("unix")
            assert listening == [("127.0.0.1", envoy.port)]
            assert {str(connection.laddr) for connection in unix} <= {""}
        finally:
            await envoy.stop()

    asyncio.run(live())


def test_a_killed_envoy_is_noticed(tmp_path: Path) -> None:
    async def live() -> None:
        envoy = await EnvoyProcess.start(config(tmp_path), tmp_path)
        os.kill(envoy.pid, signal.SIGKILL)
        with pytest.raises(EnvoyDiedError):  # noqa: PT012 - it ends a moment later
            while True:
                envoy.check()
                await asyncio.sleep(0.005)
        await envoy.stop()

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", ""),
        ('echo bad config; cat "$2"; exit 1', "bad config"),
        ('cat "$2"; exit 1', "[secret]"),
    ],
)
def test_one_that_does_not_come_up_says_why_without_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    program = tmp_path / "envoy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr(envoy_module, "find_envoy", lambda: program)
    monkeypatch.setattr(envoy_folder, "_LAST_WORDS", 1 << 20)
    folder = tmp_path / "state"
    folder.mkdir()
    wanted = config(tmp_path)
    with pytest.raises(EnvoyStartError) as raised:
        asyncio.run(EnvoyProcess.start(wanted, folder))
    assert wanted.secret not in str(raised.value)
    assert wanted.secret not in (folder / "envoy.log").read_text()
    assert not (folder / TLS_FILE).exists()
    assert words in (folder / "envoy.log").read_text()


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EnvoyStartError, match="nowhere"):
        asyncio.run(EnvoyProcess.start(config(tmp_path), tmp_path / "nowhere"))


def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async def live() -> None:
        start = asyncio.create_task(EnvoyProcess.start(config(tmp_path), tmp_path))
        await asyncio.sleep(0.01)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start

    asyncio.run(live())
    assert envoys() == []
    assert not (tmp_path / TLS_FILE).exists()


PRELUDE = """
    import asyncio, os, signal, sys, time
    from pathlib import Path
    from iamrange.network.ca import CertificateAuthority
    from iamrange.network.envoy import EnvoyConfig, EnvoyDiedError, EnvoyProcess, Upstream
    folder = Path(sys.argv[1])
    authority = CertificateAuthority.create("test")
    config = EnvoyConfig(
        upstreams=(Upstream(("auth.iamrange.example",), folder / "a.sock"),),
        certificate=authority.server_certificate(["auth.iamrange.example"]),
    )
    loop = asyncio.new_event_loop()
"""


def run_world(tmp_path: Path, script: str) -> subprocess.Popen[str]:
    program = textwrap.dedent(PRELUDE) + textwrap.dedent(script)
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_it_dies_with_the_process_that_started_it(tmp_path: Path, ending: str) -> None:
    script = f"""
        envoy = loop.run_until_complete(EnvoyProcess.start(config, folder))
        print(envoy.pid, envoy.port, flush=True)
        {ending}
    """
    with run_world(tmp_path, script) as world:
        assert world.stdout is not None
        pid, port = map(int, world.stdout.readline().split())
        world.wait(20)
    eventually(lambda: gone(pid))
    eventually(lambda: refuses_connections(port))


def test_a_fork_neither_uses_nor_ends_its_parents_envoy_and_starts_its_own(
    tmp_path: Path,
) -> None:
    """As a world does: one thread, SIGCHLD ignored, a fork while the loop stands still."""
    script = """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        envoy = loop.run_until_complete(EnvoyProcess.start(config, folder))
        assert len(os.listdir("/proc/self/task")) == 1
        read, write = os.pipe()
        parent = os.getpid()
        if os.fork() == 0:
            kept = loop
            asyncio.set_event_loop(None)
            loop = asyncio.new_event_loop()
            try:
                envoy.check()
            except EnvoyDiedError:
                pass
            else:
                os._exit(1)
            loop.run_until_complete(envoy.stop())
            own_folder = folder / "fork"
            own_folder.mkdir()
            own = loop.run_until_complete(EnvoyProcess.start(config, own_folder))
            own.check()
            assert own.port != envoy.port
            loop.run_until_complete(own.stop())
            assert list(own_folder.iterdir()) == []
            os.write(write, b"done")
            os._exit(0)
        os.close(write)
        assert os.read(read, 10) == b"done"
        envoy.check()
        print("alive", envoy.pid, flush=True)
        os.kill(envoy.pid, signal.SIGKILL)
        while True:
            try:
                envoy.check()
            except EnvoyDiedError:
                break
            time.sleep(0.005)
        print("noticed", flush=True)
        loop.run_until_complete(envoy.stop())
        print("stopped", flush=True)
    """
    with run_world(tmp_path, script) as world:
        out, _ = world.communicate(timeout=60)
    assert [line.split()[0] for line in out.splitlines()] == ["alive", "noticed", "stopped"]
    assert world.returncode == 0


def serial_shown(served: Served) -> str:
    context = ssl.create_default_context(cafile=str(served.ca_file))
    with served.connect(context) as connection:
        shown = connection.getpeercert()
    return str(shown["serialNumber"]).lower().lstrip("0")


def test_a_certificate_is_replaced_under_load_and_nothing_is_dropped(served: Served) -> None:
    stop = threading.Event()
    statuses: list[int] = []
    failures: list[str] = []

    def load() -> None:
        while not stop.is_set():
            try:
                statuses.append(served.get().status_code)
            except Exception as error:  # noqa: BLE001 - the test counts whatever goes wrong
                failures.append(repr(error))

    held = served.connect()
    workers = [threading.Thread(target=load) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(5):
            new = served.ca.server_certificate([AUTH, "api.iamrange.example"])
            served.envoy.replace_certificate(new)
            eventually(lambda new=new: serial_shown(served) == new.serial)  # type: ignore[misc]  # bound at once
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert failures == []
    assert set(statuses) == {200}
    with held:
        held.sendall(f"GET / HTTP/1.1\r\nHost: {AUTH}\r\n\r\n".encode())
        assert held.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_certificate_that_does_not_load_leaves_the_old_one_in_place(served: Served) -> None:
    before = serial_shown(served)
    path = served.state / TLS_FILE
    good = path.read_text()
    for broken in ("{", json.dumps({"version_info": "9", "resources": []})):
        new = served.state / "new"
        new.write_text(broken)
        new.rename(path)
        time.sleep(0.3)  # nothing tells that a file was not taken
        assert serial_shown(served) == before
    (served.state / "new").write_text(good)
    (served.state / "new").rename(path)


def test_many_starts_leave_no_descriptor(tmp_path: Path) -> None:
    async def cycle() -> None:
        envoy = await EnvoyProcess.start(config(tmp_path), tmp_path)
        await envoy.stop()

    asyncio.run(cycle())
    before = psutil.Process().num_fds()
    for _ in range(5):
        asyncio.run(cycle())
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert psutil.Process().num_fds() <= before
