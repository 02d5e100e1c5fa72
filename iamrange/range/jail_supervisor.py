"""The process outside a jail: it keeps the door, waits for the end, and leaves nothing behind.

It is told what to run over a socket, and reports there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from iamrange.range import jail_kernel as kernel
from iamrange.range.jail_enter import JailError, JailOrder, Outside, ended_with, go_inside
from iamrange.range.jail_relay import Relay, TurnedAway

if TYPE_CHECKING:
    from collections.abc import Mapping

CANNOT_START = 127
"""The exit status of a program that there was no way to start, as a shell has it."""
_ORDER_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Ended:
    """How what ran inside ended: its exit status (negative: the signal; None: taken down)."""

    status: int | None
    turned_away: tuple[TurnedAway, ...]


async def supervise(outside: Outside, order: JailOrder, *, until: socket.socket) -> Ended:
    """Keep the door until the inside ends, or until the other end of `until` is closed."""
    relay = Relay(outside.door, order)
    await relay.start()
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    watched = (outside.news, until)
    for connection in watched:
        loop.add_reader(connection, over.set)
    try:
        await over.wait()
    finally:
        for connection in watched:
            loop.remove_reader(connection)
        status = ended_with(outside.news)
        await relay.stop()
        end_descendants()
        outside.news.close()
    return Ended(status, tuple(relay.turned_away))


def end_descendants() -> None:
    """Kill every child, and every child that this leaves to us, until there is none."""
    while True:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    own, found = os.getpid(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in brackets may hold anything; the state and the parent come after it.
                if int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1]) == own:
                    found.append(int(entry.name))
    return found


def main() -> int:
    """Run what is told on the socket whose number is the first argument; report there."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        control.set_inheritable(False)
        with control.makefile("rb") as lines:
            told = json.loads(lines.readline(_ORDER_LIMIT))
        kernel.adopt_orphans()
        try:
            report = _run(told, control)
        except JailError as error:
            report = {"failed": error.step, "detail": error.detail}
        except (ValueError, KeyError) as error:
            report = {"failed": "order", "detail": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(OSError):
            control.sendall(json.dumps(report).encode() + b"\n")
    return 0


def _run(told: Mapping[str, Any], control: socket.socket) -> dict[str, Any]:
    if told["order"] is None:
        return _run_open(told, control)
    order = JailOrder.from_json(told["order"])
    outside = go_inside(order)
    if outside is None:
        _become(told)
    return asdict(asyncio.run(supervise(outside, order, until=control)))


def _run_open(told: Mapping[str, Any], control: socket.socket) -> dict[str, Any]:
    program = os.fork()
    if program == 0:
        os.setsid()
        _become(told)
    process = os.pidfd_open(program)
    readable, _, _ = select.select([process, control.fileno()], [], [])
    status: int | None = None
    if process in readable:
        status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    os.close(process)
    end_descendants()
    return asdict(Ended(status, ()))


def _become(told: Mapping[str, Any]) -> NoReturn:
    """Turn this process into the program that was asked for."""
    status = CANNOT_START
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; a program need not
            signal.signal(number, signal.SIG_DFL)
        os.chdir(told["cwd"])
        os.execvpe(told["argv"][0], told["argv"], told["env"])  # noqa: S606 - what the runner asked
    except OSError as error:
        os.write(2, f"cannot start '{told['argv'][0]}': {error.strerror}\n".encode())
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
