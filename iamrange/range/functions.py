"""Runs Lambda functions of a world, each in a process of its own.

- The process has the function's code, its own variables, the session of the role that the function
  was passed, and the world's network: nothing else.
- It ends by itself when its time is over, and is killed when it does not.
- No thread and no child watcher: the world's process may fork at any moment in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iamrange.clouds.aws.functions import Ran

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.functions import Function, FunctionRunner
    from iamrange.clouds.aws.model import Session

_MAIN: Final = Path(__file__).with_name("function_main.py")
_LONGEST_CODE: Final = 16 << 20
_LONGEST_ANSWER: Final = 6 << 20
_LONGEST_SECONDS: Final = 30
_GRACE: Final = 2.0


class SwitchedFunctions:
    """Runs functions with whatever the world's listeners are now."""

    def __init__(self) -> None:
        """Start without a network to run them in."""
        self.target: FunctionRunner | None = None

    async def run(self, function: Function, event: bytes, session: Session) -> Ran:
        """Return what the function returned."""
        if self.target is None:
            return _failed("the world does not listen yet")
        return await self.target.run(function, event, session)


class FunctionProcesses:
    """Runs each function in a process, in a folder below the given one."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Take where code is unpacked, and what a client in the functions' network is given."""
        self._folder = folder
        self._environment = dict(environment)

    async def run(self, function: Function, event: bytes, session: Session) -> Ran:
        """Return what the function returned, or that it failed."""
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="function-") as folder:
            code = Path(folder) / "code"
            given = Path(folder) / "event"
            try:
                _unpack(function.code, code)
                json.loads(event)
            except (ValueError, zipfile.BadZipFile, OSError) as error:
                return _failed(type(error).__name__)
            given.write_bytes(event)
            seconds = min(function.seconds, _LONGEST_SECONDS)
            with given.open("rb") as stdin:
                process = subprocess.Popen(  # noqa: ASYNC220, S603 - starting it waits for nothing; the caller was authorised to have this run
                    [sys.executable, "-B", "-s", str(_MAIN), function.handler, str(seconds)],
                    cwd=code,
                    env={**function.environment, **self._environment_of(function, session)},
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            try:
                return await _answer_of(process, seconds + _GRACE)
            finally:
                _end(process)

    def _environment_of(self, function: Function, session: Session) -> dict[str, str]:
        return self._environment | {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
            "FUNCTION": function.name,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_ACCESS_KEY_ID": session.access_key_id,
            "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
            "AWS_SESSION_TOKEN": session.session_token,
        }


async def _answer_of(process: subprocess.Popen[bytes], seconds: float) -> Ran:
    """Read the answer without holding the world up."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stdout
    )
    try:
        async with asyncio.timeout(seconds):
            text = await _to_its_end(reader)
    except TimeoutError:
        return _failed("Task timed out")
    finally:
        transport.close()
    try:
        answer = json.loads(text)
    except ValueError:
        return _failed("Runtime exited without an answer")
    if "returned" in answer:
        return Ran(json.dumps(answer["returned"]).encode())
    return _failed(str(answer.get("raised")))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, if it is there still; never another one with its number."""
    if not sys.platform.startswith("linux"):
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, OSError):
        handle = os.pidfd_open(process.pid)
        try:
            if os.getsid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
        finally:
            os.close(handle)
    # the kernel reaps the children of a world: there is nothing to wait for
    process.returncode = process.returncode or 0


async def _to_its_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the end, or nothing when that is too much."""
    text = bytearray()
    while chunk := await reader.read(1 << 16):
        text += chunk
        if len(text) > _LONGEST_ANSWER:
            return b""
    return bytes(text)


def _unpack(code: bytes, folder: Path) -> None:
    """Unpack a zip file.

    Raises:
        zipfile.BadZipFile, OSError: it is none.
        ValueError: it is too large.
    """
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        if sum(member.file_size for member in archive.infolist()) > _LONGEST_CODE:
            raise ValueError("the code is too large")
        archive.extractall(folder)  # the module keeps members below the folder


def _failed(what: str) -> Ran:
    return Ran(json.dumps({"errorType": what, "errorMessage": what}).encode(), failed=True)
