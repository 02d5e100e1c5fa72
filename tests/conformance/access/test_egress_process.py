"""What a jail does with the process in it: the door, the end, the bounds, and what is left."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.range import jail
from iamrange.range.jail import Finished, Job, NetworkNamespace, NotJailed, Open, machine_jails
from iamrange.range.jail_enter import DOOR_URL
from tests.conformance.access.egress_host import ELSEWHERE, GATEWAY, Host

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    if isinstance(unable := machine_jails(), NotJailed):
        pytest.skip(f"not-evaluated: no jail on this machine: {unable}")
    with contextlib.closing(Host(tmp_path_factory.mktemp("world"))) as running:
        yield running


def run(host: Host, source: str, *arguments: str, **settings: Any) -> Finished:  # noqa: ANN401 - Job's own
    job = Job(
        argv=(sys.executable, "-c", source, *arguments),
        env=host.environment(),
        allowed_hosts=(GATEWAY,),
        **{"readable": (str(host.ca_file),), **settings},
    )
    done = NetworkNamespace(host.address).run(job)
    assert isinstance(done, Finished)
    return done


REQUESTS = "import requests, sys; print(requests.get(sys.argv[1], timeout=20).text)"


def test_unmodified_client_reaches_the_gateway_through_the_door(host: Host) -> None:
    done = run(host, REQUESTS, f"https://{GATEWAY}/records/latest")
    assert done.stdout.decode().strip() == f"{GATEWAY} from {host.proxy.address}", done.stderr
    assert done.status == 0
    assert done.turned_away == ()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl_reaches_the_gateway_through_the_door(host: Host) -> None:
    done = NetworkNamespace(host.address).run(
        Job(
            argv=("curl", "-sS", f"https://{GATEWAY}/"),
            env=host.environment(),
            allowed_hosts=(GATEWAY,),
            readable=(str(host.ca_file),),
        )
    )
    assert isinstance(done, Finished)
    assert done.stdout.startswith(GATEWAY.encode()), done.stderr


@pytest.mark.parametrize(
    ("url", "target", "reason"),
    [
        (f"https://{ELSEWHERE}/", f"{ELSEWHERE}:443", "not-let-out"),
        ("https://evil.example/", "evil.example:443", "not-let-out"),
        (f"https://{GATEWAY}:8443/", f"{GATEWAY}:8443", "not-let-out"),
        (f"https://{GATEWAY}.evil.example/", f"{GATEWAY}.evil.example:443", "not-let-out"),
        (f"https://mesh.{GATEWAY}/", f"mesh.{GATEWAY}:443", "not-let-out"),
        ("https://192.0.2.1/", "192.0.2.1:443", "not-let-out"),
        ("https://[2001:db8::1]/", "[2001:db8::1]:443", "unknown-name"),
        ("http://evil.example/", "evil.example", "plain-http"),
    ],
)
def test_door_turns_away_what_is_not_on_the_list(
    host: Host, url: str, target: str, reason: str
) -> None:
    before = len(host.refusals)
    done = run(host, REQUESTS, url)
    # Plain HTTP is answered by the door itself, as by any proxy: the page says that it was refused.
    assert (b"ProxyError" in done.stderr) is (reason != "plain-http")
    assert (done.stdout == b"jail: plain-http\n\n") is (reason == "plain-http")
    assert [(away.target, away.reason) for away in done.turned_away] == [(target, reason)]
    assert len(host.refusals) == before  # the world's own proxy was not even asked


RAW = """
import socket, sys
with socket.create_connection(("127.0.0.1", 3128), 20) as door:
    door.sendall(bytes.fromhex(sys.argv[1])); door.shutdown(socket.SHUT_WR)
    while data := door.recv(4096): sys.stdout.write(data.decode("latin-1"))
"""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: " + GATEWAY.encode() + b"\r\n\r\n", 403),
        (b"CONNECT " + GATEWAY.encode() + b":443@evil.example:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT " + GATEWAY.encode() + b"\x00.evil.example:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT " + GATEWAY.encode() + b":443 HTTP/1.1 x\r\n\r\n", 400),
        (b"GET http://" + GATEWAY.encode() + b"/ HTTP/1.1\r\n\r\n", 403),
        (b"\x05\x01\x00" + b"\r\n\r\n", 400),
        (b"CONNECT", 400),
        (b"A" * 20000 + b"\r\n\r\n", 431),
    ],
)
def test_door_answers_nothing_but_a_well_formed_connect(
    host: Host, sent: bytes, status: int
) -> None:
    answer = run(host, RAW, sent.hex()).stdout
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_names_cannot_be_resolved_and_the_answer_comes_at_once(host: Host) -> None:
    done = run(
        host,
        f"import socket\ntry: print(socket.getaddrinfo({GATEWAY!r}, 443))\n"
        "except socket.gaierror as error: print('gaierror')",
        timeout=20,
    )
    assert (done.stdout, done.timed_out) == (b"gaierror\n", False)


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.abort()", -6),
    ],
)
def test_exit_status_is_the_programs_own(host: Host, source: str, status: int) -> None:
    assert run(host, source).status == status


def test_program_that_is_not_there_is_said_to_be_so(host: Host) -> None:
    job = Job(argv=("/no/such/program",), env={}, allowed_hosts=())
    done = NetworkNamespace(host.address).run(job)
    assert isinstance(done, Finished)
    assert done.status == 127
    assert b"/no/such/program" in done.stderr


def test_output_is_bounded_and_the_rest_is_read_and_dropped(host: Host) -> None:
    flood = "import sys\nfor _ in range(300): sys.stdout.write('x' * 10000)\nsys.exit('y')"
    done = run(host, flood, output_limit=1000)
    assert (done.status, done.truncated) == (1, True)
    assert done.stdout == b"x" * 1000
    assert done.stderr == b"y\n"


LEAVE_MANY = """
import os, signal, sys, time
for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        sleep = [sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]]
        os.execv(sleep[0], sleep)
time.sleep(float(sys.argv[2]))
print(os.readlink("/proc/self/ns/net"))
"""


def running_with(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
    return found


def in_network(name: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str((entry / "ns/net").readlink()) == name:
                found.append(entry.name)
    return found


@pytest.mark.parametrize("egress", ["jailed", "open"])
@pytest.mark.parametrize(("seconds", "timeout"), [("0.5", 60.0), ("600", 3.0)])
def test_nothing_is_left_of_what_ran_however_it_ended(
    host: Host, egress: str, seconds: str, timeout: float
) -> None:
    marker = f"marker-{secrets.token_hex(8)}"
    mounts = Path("/proc/self/mounts").read_text()
    files = set(Path(tempfile.gettempdir()).iterdir())
    adapter = NetworkNamespace(host.address) if egress == "jailed" else Open()
    done = adapter.run(
        Job(
            argv=(sys.executable, "-c", LEAVE_MANY, marker, seconds),
            env=host.environment(),
            allowed_hosts=(),
            timeout=timeout,
        )
    )
    assert isinstance(done, Finished)
    assert done.timed_out is (seconds == "600")
    assert (done.status is None) is done.timed_out
    assert running_with(marker) == []
    if not done.timed_out and egress == "jailed":
        assert in_network(done.stdout.decode().strip()) == []
    assert Path("/proc/self/mounts").read_text() == mounts
    assert not {p for p in set(Path(tempfile.gettempdir()).iterdir()) - files if "jail" in p.name}


def test_program_that_closes_its_output_is_ended_at_the_timeout_too(host: Host) -> None:
    done = run(host, "import os, time; os.close(1); os.close(2); time.sleep(600)", timeout=2)
    assert (done.timed_out, done.status) == (True, None)


def test_fork_bomb_ends_with_its_time(host: Host) -> None:
    marker = f"marker-{secrets.token_hex(8)}"
    bomb = "import os, time\nfor _ in range(7): os.fork()\ntime.sleep(600)"
    assert run(host, bomb, marker, timeout=3).timed_out
    assert running_with(marker) == []


def test_jails_run_side_by_side(host: Host) -> None:
    def one(number: int) -> tuple[int | None, bytes]:
        done = run(host, f"print({number})")
        return done.status, done.stdout

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(one, range(30)))
    assert outcomes == [(0, f"{number}\n".encode()) for number in range(30)]


@pytest.mark.parametrize("victim", ["supervisor", "warden"])
def test_jail_ends_with_the_process_that_keeps_it(host: Host, victim: str) -> None:
    marker = f"marker-{secrets.token_hex(8)}"
    outcome: list[Any] = []

    def jailed() -> None:
        try:
            outcome.append(run(host, "import time; time.sleep(600)", marker, timeout=60))
        except jail.JailBrokeError as error:
            outcome.append(error)

    thread = threading.Thread(target=jailed)
    thread.start()
    deadline = time.monotonic() + 20
    while not (inside := running_with(marker)) and time.monotonic() < deadline:
        time.sleep(0.01)
    first = parent_of(inside[0])
    warden = parent_of(first)
    os.kill(int(parent_of(warden) if victim == "supervisor" else warden), signal.SIGKILL)
    thread.join(20)
    assert not thread.is_alive()
    deadline = time.monotonic() + 10
    while running_with(marker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running_with(marker) == []
    (end,) = outcome
    if victim == "supervisor":
        assert isinstance(end, jail.JailBrokeError)
    else:
        assert end.status is None


def parent_of(pid: str) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]


def test_work_folder_is_writable_and_what_is_readable_is_not(host: Host, tmp_path: Path) -> None:
    given = tmp_path / "given.txt"
    given.write_text("given")
    folder = tmp_path / "work"
    folder.mkdir()
    done = run(
        host,
        "import sys; given = open(sys.argv[1]).read(); open('made.txt', 'w').write(given)\n"
        "open('/tmp/own', 'w').write('x')\n"
        "try: open(sys.argv[1], 'w')\nexcept OSError as error: print(error.errno)",
        str(given),
        cwd=str(folder),
        readable=(str(given),),
    )
    assert (done.status, done.stdout) == (0, b"30\n"), done.stderr
    assert (folder / "made.txt").read_text() == "given"


def test_environment_is_the_one_given_with_the_door_in_the_place_of_the_proxy(host: Host) -> None:
    done = run(host, "import json, os; print(json.dumps(dict(os.environ)))")
    seen = json.loads(done.stdout)
    assert seen.pop("HTTPS_PROXY") == DOOR_URL
    assert host.proxy.url not in seen.values()
    assert set(seen) <= set(host.environment()) | {"LC_CTYPE"}


def test_no_descriptor_but_the_streams_is_inherited(host: Host) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # noqa: FBT003 - the only way to say it
    try:
        done = run(host, "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])")
    finally:
        os.close(reading)
        os.close(writing)
    assert done.stdout == b"[0, 1, 2]\n"


def test_where_no_jail_can_be_made_nothing_is_run_and_the_reason_is_said(host: Host) -> None:
    """Inside a jail no other can be made: the same code there has to say so."""
    done = run(
        host,
        "import sys; from iamrange.range.jail import *\n"
        "egress = NetworkNamespace(('127.0.0.1', 9))\n"
        "print(machine_jails())\n"
        "print(egress.run(Job(argv=('touch', '/tmp/ran'), env={}, allowed_hosts=())))\n"
        "from pathlib import Path; print(Path('/tmp/ran').exists())",
    )
    first, second, third = done.stdout.decode().splitlines()
    assert first.startswith("NotJailed(step='namespaces', detail='PermissionError")
    assert (second, third) == (first, "False")


@pytest.mark.parametrize(
    ("wrong", "step"), [("filter", "seccomp"), ("readable", "order"), ("proc", "root")]
)
def test_a_jail_that_fails_half_way_runs_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str, step: str
) -> None:
    code = {
        "filter": "import iamrange.range.jail_filter as f; f.ARCHITECTURES = {}",
        "readable": "",
        "proc": "import iamrange.range.jail_root as r; r.DEVICES = ('no-such-device',)",
    }[wrong]
    (tmp_path / "broken.py").write_text(
        f"import sys\n{code}\nfrom iamrange.range import jail_supervisor\n"
        "sys.exit(jail_supervisor.main())"
    )
    start = subprocess.Popen

    def broken(arguments: list[str], **settings: Any) -> Any:  # noqa: ANN401 - Popen's own
        return start([sys.executable, str(tmp_path / "broken.py"), arguments[-1]], **settings)

    monkeypatch.setattr(subprocess, "Popen", broken)
    marker = tmp_path / "ran"
    done = NetworkNamespace(host.address).run(
        Job(
            argv=("touch", str(marker)),
            env={"PATH": os.environ["PATH"]},
            allowed_hosts=(),
            readable=("relative",) if wrong == "readable" else (),
            writable=(str(tmp_path),),
        )
    )
    assert isinstance(done, NotJailed)
    assert done.step == step
    assert not marker.exists()


def python_for_all() -> str | None:
    """Return an interpreter that a user without privileges can start."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        real = Path(candidate).resolve()
        if real.exists() and all(folder.stat().st_mode & 0o001 for folder in (real, *real.parents)):
            return candidate
    return None


def test_user_without_privileges_makes_the_same_jail(host: Host) -> None:
    python = python_for_all()
    if os.geteuid() != 0 or python is None:
        pytest.skip("not root, so every other test here is this one; or no interpreter for others")
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        environment = Path(folder) / "environment"
        (environment / "bin").mkdir(parents=True)
        (environment / "bin" / "python").symlink_to(Path(python).resolve())
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = environment / "lib" / version / "site-packages"
        packages.mkdir(parents=True)
        (packages / "project.pth").write_text(f"{ROOT}\n")
        (environment / "pyvenv.cfg").write_text(f"home = {Path(python).resolve().parent}\n")
        done = subprocess.run(  # noqa: S603 - our own source
            [str(environment / "bin" / "python"), "-c", UNPRIVILEGED, str(host.tcp), folder],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"supported": "None", "uid": nobody.pw_uid, "reached": 111}


UNPRIVILEGED = """
import json, sys
from iamrange.range.jail import *
tries = '''import os, socket, sys
with socket.socket() as one: print(os.getuid(), one.connect_ex(("127.0.0.1", int(sys.argv[1]))))'''
job = Job(argv=(sys.executable, "-c", tries, sys.argv[1]), env={}, allowed_hosts=())
done = NetworkNamespace(("127.0.0.1", 9)).run(job)
uid, reached = map(int, done.stdout.split()) if isinstance(done, Finished) else (done, done)
print(json.dumps({"supported": str(machine_jails()), "uid": uid, "reached": reached}, default=str))
"""
