"""The real Pulumi engine on a tiny program, through both hosts that run programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from iamrange.engine import pulumi_cli
from iamrange.engine.errors import EngineKilledError, OperationError, OperationInterruptedError
from iamrange.engine.launcher import write_language_host
from iamrange.engine.program_host import ProgramHost, imported_sdks
from iamrange.engine.run import Engine
from iamrange.engine.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from iamrange.engine.events import Step

PROGRAM = """
import pulumi
from infra import settings

class Box(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("iamrange:test:Box", name, {})
        self.register_outputs({})

for number in range(settings.boxes()):
    Box(f"box-{number}")
pulumi.export("word", settings.WORD)
pulumi.export("hidden", pulumi.Output.secret("s3cr3t-value"))
"""
SETTINGS = """
import pulumi
WORD = pulumi.Config().get("word") or "none"
def boxes(): return int(pulumi.Config().get("boxes") or 1)
"""
COMMITTED = "config:\n  tiny:word: committed\n"


@pytest.fixture(scope="module")
def cli() -> Path:
    found = pulumi_cli.find()
    assert found is not None, "no Pulumi engine: run make setup"
    return found.path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "check out"
    (folder / "infra").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: tiny\nruntime: python\nmain: infra\n")
    (folder / "Pulumi.lab.yaml").write_text(COMMITTED)
    (folder / "infra" / "__init__.py").touch()
    (folder / "infra" / "__main__.py").write_text(PROGRAM)
    (folder / "infra" / "settings.py").write_text(SETTINGS)
    return folder


@pytest.fixture(scope="module")
def warm() -> Iterator[ProgramHost]:
    with ProgramHost() as host:
        yield host


@pytest.fixture(params=["language-host", "program-host"])
def engine(
    request: pytest.FixtureRequest, cli: Path, project: Path, tmp_path: Path, warm: ProgramHost
) -> Engine:
    write_language_host(cli.parent)
    workspace = Workspace.create(project, tmp_path / "world", "lab")
    host = warm if request.param == "program-host" else None
    made = Engine(cli, workspace, program=host, timeout=120)
    made.init()
    return made


def hosts() -> set[int]:
    """Return the processes that run programs for an engine, wherever they are."""
    found = set()
    for process in psutil.process_iter(["pid", "cmdline"]):
        if "iamrange.engine.language_host" in (process.info["cmdline"] or []):
            found.add(process.info["pid"])
    return found


def write_waiting_program(project: Path, started: Path) -> None:
    """Make the program say that it runs, then wait."""
    wait = f"\nimport pathlib, time\npathlib.Path({str(started)!r}).touch()\ntime.sleep(60)\n"
    (project / "infra" / "__main__.py").write_text(PROGRAM + wait)


def when_exists(path: Path, action: Callable[[], None]) -> threading.Thread:
    """Do something as soon as a file is there."""
    done = threading.Event()

    def watch() -> None:
        while not path.exists():
            if done.wait(0.02):
                return
        action()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_stack_goes_up_stays_and_comes_down(engine: Engine) -> None:
    assert engine.up().changes == {"create": 2}
    assert engine.up().changes == {"same": 2}
    engine.set_config({"boxes": 3, "word": "changed"})
    preview = engine.preview()
    assert preview.changes == {"create": 2, "same": 2}
    assert sorted(step.name for step in preview.changed) == ["box-1", "box-2"]
    up = engine.up()
    assert up.changes == {"create": 2, "same": 2}
    assert up.outputs == {"word": "changed"}
    assert engine.outputs() == {"word": "changed", "hidden": "s3cr3t-value"}
    refreshed = engine.refresh()
    assert refreshed.changes == {"same": 4}
    assert refreshed.changed == ()
    assert engine.preview_refresh().changes == {"same": 4}
    assert engine.destroy().changes == {"delete": 4}


def test_progress_tells_each_step_before_and_after(engine: Engine) -> None:
    seen: list[Step] = []
    engine.up(progress=seen.append)
    told = [(step.operation, step.done) for step in seen if step.name == "box-0"]
    assert told[0] == ("create", False)
    assert told[-1] == ("create", True)


def test_every_run_loads_the_program_anew(engine: Engine, project: Path) -> None:
    engine.up()
    (project / "infra" / "settings.py").write_text(
        SETTINGS.replace('or "none"', 'or "none"\nWORD = WORD.upper()')
    )
    assert engine.up().outputs == {"word": "COMMITTED"}


def test_a_worlds_proxy_is_not_asked_for_loopback(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with ProgramHost() as host:
        engine.up()
        assert Engine(engine.cli, engine.workspace, program=host).up().changes == {"same": 2}


def test_the_persons_own_pulumi_settings_do_not_reach_the_engine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere")
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "token")
    assert engine.up().changes == {"create": 2}
    assert "PULUMI_ACCESS_TOKEN" not in engine.child_environment()


def test_no_committed_file_changes_and_no_secret_lies_open(engine: Engine, project: Path) -> None:
    engine.set_secret("token", "t0ken-value")
    engine.up()
    assert (project / "Pulumi.lab.yaml").read_text() == COMMITTED
    assert sorted(path.name for path in project.iterdir()) == [
        "Pulumi.lab.yaml",
        "Pulumi.yaml",
        "infra",
    ]
    for path in engine.workspace.state_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"s3cr3t-value" not in content, path
            assert b"t0ken-value" not in content, path
    exported = engine.export(show_secrets=True)
    assert "s3cr3t-value" in json.dumps(exported)


def test_a_copy_of_a_stack_goes_its_own_way(engine: Engine, tmp_path: Path) -> None:
    engine.up()
    copy = engine.copy_to(tmp_path / "copy")
    copy.set_config({"boxes": 2})
    assert copy.up().changes == {"create": 1, "same": 2}
    assert engine.up().changes == {"same": 2}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "raise ValueError('no agent named x')",
            "the program failed: ValueError: no agent named x",
        ),
        ("import nothing_here", "No module named 'nothing_here'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_program_that_fails_is_told_in_its_own_words(
    engine: Engine, project: Path, code: str, said: str
) -> None:
    (project / "infra" / "__main__.py").write_text(code)
    with pytest.raises(OperationError, match=r"pulumi up: failed") as caught:
        engine.up()
    assert said in str(caught.value)
    assert "__main__.py" in str(caught.value)
    assert "runpy" not in str(caught.value)


def test_ctrl_c_cancels_cleanly_and_the_next_up_works(
    engine: Engine, project: Path, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    write_waiting_program(project, started)
    watch = when_exists(started, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(OperationInterruptedError, match="pulumi up: cancelled"):
        engine.up()
    watch.join()
    (project / "infra" / "__main__.py").write_text(PROGRAM)
    assert "create" in engine.up().changes
    assert engine.export()["deployment"].get("pending_operations", []) == []


def test_an_engine_that_was_killed_is_told_and_leaves_no_process(
    engine: Engine, project: Path, tmp_path: Path
) -> None:
    before = hosts()
    started = tmp_path / "started"
    write_waiting_program(project, started)

    def kill_engine() -> None:
        for child in psutil.Process().children(recursive=True):
            if child.name() == "pulumi":
                child.kill()

    watch = when_exists(started, kill_engine)
    with pytest.raises(EngineKilledError, match="ended by signal 9") as caught:
        engine.up()
    watch.join()
    assert caught.value.exit_code == 3
    left = [psutil.Process(pid) for pid in hosts() - before if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, timeout=30)
    assert alive == []


def test_a_missing_engine_is_told(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="could not be started"):
        Engine(tmp_path / "nowhere" / "pulumi", engine.workspace).up()


def test_a_shells_pulumi_works_on_the_world_inside_the_checkout(
    engine: Engine, project: Path
) -> None:
    engine.up()
    engine.set_config({"boxes": 4})
    folder = engine.write_shell_commands(project)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "HOME": str(project.parent),
        **engine.shell_environment(),
    }

    def pulumi(*arguments: str) -> str:
        answer = subprocess.run(  # noqa: S603 - the engine under test
            ["/bin/sh", "-c", 'exec pulumi "$@"', "sh", *arguments],
            cwd=project / "infra",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    said = pulumi("up", "--yes", "--skip-preview")
    assert "+ 3 created" in said
    assert "Traceback" not in said
    assert "warning" not in said
    assert "2 unchanged" in said
    assert pulumi("stack", "output", "word").strip() == "committed"
    assert "- 5" in pulumi("destroy", "--yes", "--skip-preview")
    assert (project / "Pulumi.lab.yaml").read_text() == COMMITTED


def test_worlds_go_up_side_by_side(
    cli: Path, project: Path, tmp_path: Path, warm: ProgramHost
) -> None:
    engines = []
    for number in range(3):
        workspace = Workspace.create(project, tmp_path / f"world-{number}", "lab")
        engines.append(Engine(cli, workspace, program=warm))
        engines[-1].set_config({"word": f"world-{number}", "boxes": number + 1})
    outputs: dict[int, object] = {}

    def bring_up(number: int) -> None:
        engines[number].init()
        outputs[number] = engines[number].up().outputs["word"]

    threads = [threading.Thread(target=bring_up, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == {number: f"world-{number}" for number in range(3)}


def test_a_closed_program_host_leaves_no_process_and_says_so(
    cli: Path, project: Path, tmp_path: Path
) -> None:
    host = ProgramHost()
    workspace = Workspace.create(project, tmp_path / "world", "lab")
    engine = Engine(cli, workspace, program=host)
    engine.init()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with host.server():
        started = [
            child for child in psutil.Process().children(recursive=True) if child.pid not in before
        ]
        assert started
        host.close()
        _, alive = psutil.wait_procs(started, timeout=30)
        assert alive == []
    with pytest.raises(Exception, match="program host: it has been closed"):
        engine.up()


def test_the_sdk_modules_of_a_program_are_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("import pulumi_aws as aws\naws.iam.Role\nimport os\nos.path\n")
    (tmp_path / "two.py").write_text("from pulumi_gcp import serviceaccount\n")
    assert imported_sdks(tmp_path) == (
        "pulumi",
        "pulumi_aws",
        "pulumi_aws.iam",
        "pulumi_gcp",
        "pulumi_gcp.serviceaccount",
    )


def test_the_interpreter_of_the_tests_runs_the_programs(engine: Engine) -> None:
    assert engine.shell_environment()["IAMRANGE_PYTHON"] == sys.executable
