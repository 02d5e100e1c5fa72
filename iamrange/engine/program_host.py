"""Language servers for worlds that the runner drives: forked from one process that is warm.

- The warm process has the SDK imported and no thread running, so each run of the program is a
  fork: fresh modules, fresh SDK state, and side by side with other worlds' runs.
- Each server lives as long as one operation of the engine, and dies with the warm process; the
  warm process dies with its owner, since its standard input then ends.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from iamrange.engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_START_SECONDS = 60.0
_END_SECONDS = 5.0
_SDK = "pulumi"


class ProgramHost:
    """Owner of the warm process; one is enough for any number of engines."""

    def __init__(self, *, preload: Sequence[str] = (_SDK,), log: Path | None = None) -> None:
        """Start the warm process, with these modules imported.

        What programs print goes to `log`, or nowhere.
        """
        self._lock = threading.Lock()
        environment = {**os.environ, "PULUMI_ERROR_OUTPUT_STRING": "true"}
        with contextlib.ExitStack() as files:
            sink: Any = subprocess.DEVNULL if log is None else files.enter_context(log.open("ab"))
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", __name__, *preload],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                env=environment,
                process_group=0,
            )

    @contextmanager
    def server(self) -> Iterator[str]:
        """Yield the address of a fresh language server that lives as long as the block.

        Raises:
            EngineError: the warm process is gone.
        """
        answer = self._ask({"do": "start"})
        try:
            yield f"127.0.0.1:{answer['port']}"
        finally:
            with contextlib.suppress(EngineError):
                self._ask({"do": "end", "pid": answer["pid"]})

    def close(self) -> None:
        """End the warm process and every server that is left."""
        process = self._process
        if process.stdin is not None and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Self:
        """Return the host itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    def _ask(self, request: dict[str, object]) -> dict[str, int]:
        with self._lock:
            stdin, stdout = self._process.stdin, self._process.stdout
            if stdin is None or stdout is None or stdin.closed:
                raise EngineError("program host: it has been closed")
            try:
                stdin.write(json.dumps(request).encode() + b"\n")
                stdin.flush()
                line = stdout.readline()
            except BrokenPipeError:
                line = b""
            if not line:
                raise EngineError(
                    f"program host: its process ended (exit {self._process.poll()}); "
                    "way out: run again, with a log file to see what it said"
                )
            answer = json.loads(line)
            if "error" in answer:
                raise EngineError(f"program host: {answer['error']}")
            return dict(answer)


def imported_sdks(program: Path) -> tuple[str, ...]:
    """Return the SDK modules that a program's source files use, for `preload`."""
    found = {_SDK}
    for source in sorted(program.rglob("*.py")):
        tree = ast.parse(source.read_bytes())
        aliases: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
                aliases.update({one.asname or one.name: one.name for one in node.names})
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
        # `aws.iam.Role`: the SDKs load `iam` when it is first touched.
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found.add(f"{aliases.get(node.value.id, '')}.{node.attr}")
    wanted = {name for name in found if name.startswith(f"{_SDK}_")}
    # The first part of each name is a module; the second may be one or not, and then is skipped.
    return tuple(sorted({_SDK, *wanted, *(name.split(".")[0] for name in wanted)}))


def _serve_until_ended(reply: int) -> None:
    """Serve one operation in a forked process, then end with it."""
    # Imported in the fork only: gRPC's threads must not exist in the process that forks.
    from iamrange.engine.language_host import end_with_parent_or_signal  # noqa: PLC0415
    from iamrange.engine.language_server import serve  # noqa: PLC0415

    parent = os.getppid()
    server, port = serve()
    os.write(reply, f"{port}\n".encode())
    os.close(reply)
    end_with_parent_or_signal(parent)
    server.stop(grace=None)


def _start() -> dict[str, object]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            # Commands and answers belong to the warm process; a program's output does not.
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(2, 1)
            os.close(ours)
            _serve_until_ended(theirs)
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:  # noqa: PTH123 - a file descriptor
        ready = select.select([pipe], [], [], _START_SECONDS)[0]
        line = pipe.readline() if ready else b""
    if not line:
        _end(pid)
        return {"error": "a language server did not start"}
    return {"port": int(line), "pid": pid}


def _end(pid: int) -> dict[str, object]:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _END_SECONDS
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
    return {"pid": pid}


def main(preload: Sequence[str]) -> None:
    """Fork a language server for each request, until standard input ends."""
    for name in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    running: set[int] = set()
    try:
        for line in sys.stdin.buffer:
            request = json.loads(line)
            if request["do"] == "start":
                answer = _start()
                running.add(int(str(answer.get("pid", 0))))
            else:
                pid = int(request["pid"])
                answer = _end(pid) if pid in running else {"error": f"no server {pid}"}
                running.discard(pid)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        for pid in running - {0}:
            _end(pid)


if __name__ == "__main__":
    main(sys.argv[1:])
