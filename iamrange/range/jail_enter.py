"""Going into a jail: the process forks, and what runs inside has no network but one door.

Three processes make one jail. The *supervisor* stays outside and keeps the door. The *warden*
leaves for new namespaces and waits. The *first process* of the jail's process namespace builds
the root, gives up its powers, starts the program and buries the dead; when it ends, the kernel
kills whatever is left inside.

- The door is a listening socket that is made inside and handed out: accepting needs no address,
  so nothing of ours runs inside, and the program holds no descriptor that leads anywhere.
- A step that fails ends it all; the program is never started half-jailed.
- Each of the three dies with the one before it.

Only for single-threaded processes: it forks, and goes on in Python.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from iamrange.range import jail_filter, jail_root
from iamrange.range import jail_kernel as kernel
from iamrange.range.lifeline import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DOOR = ("127.0.0.1", 3128)
"""Where clients inside find their proxy; the namespace is new, so no port in it is taken."""

DOOR_URL = f"http://{DOOR[0]}:{DOOR[1]}"
_BACKLOG = 128
_SET_UP_SECONDS = 20.0
_FAILED = 70
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_OPEN_FILES = 1024
_ANY_NUMBER = 1 << 20
_FILE_BYTES = 256 << 20


class JailError(Exception):
    """The jail could not be made; `step` says at what, and nothing was run."""

    def __init__(self, step: str, detail: str) -> None:
        """Say at what step, and the kernel's own word."""
        super().__init__(f"{step}: {detail}")
        self.step = step
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class JailOrder:
    """What one jail is to be like. JSON in and out, so that it can cross processes.

    `proxy` is the world's CONNECT proxy, outside; `hosts` are the only patterns of names that are
    asked of it. `readable` and `writable` are let into the jail besides the interpreter's files.
    """

    proxy: tuple[str, int]
    hosts: tuple[str, ...]
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> JailOrder:
        """Read what `to_json` made.

        Raises:
            KeyError, ValueError: a member is missing or not what it should be.
        """
        host, port = value["proxy"]
        lists = {name: tuple(map(str, value[name])) for name in ("hosts", "readable", "writable")}
        return cls(proxy=(str(host), int(port)), **lists)


@dataclass(frozen=True, slots=True)
class Outside:
    """The supervisor's side: the warden's process, the door, and the news from inside."""

    warden: int
    door: socket.socket
    news: socket.socket


def go_inside(order: JailOrder) -> Outside | None:
    """Fork into a jail. Returns None inside, in a process that must end by `os._exit` or exec.

    Raises:
        JailError: the jail could not be made.
    """
    binds = jail_root.plan((*jail_root.interpreter_paths(), *order.readable), order.writable)
    program = _filter()
    news, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor = os.getpid()
    warden = os.fork()
    if warden == 0:
        news.close()
        inside = _Inside(theirs)
        inside.guarded("warden", lambda: die_with_parent(supervisor))
        inside.become_warden(binds, program)
        return None
    theirs.close()
    try:
        door = _door(news)
        _wait_for_start(news)
    except BaseException:
        news.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(warden, signal.SIGKILL)
        os.waitpid(warden, 0)
        raise
    return Outside(warden, door, news)


def ended_with(news: socket.socket) -> int | None:
    """Return the program's exit status (negative: the signal) if it has been told already."""
    news.settimeout(0)
    with contextlib.suppress(OSError):
        while data := news.recv(4096):
            told = json.loads(data)
            if "ended" in told:
                return int(told["ended"])
    return None


def _filter() -> tuple[jail_filter.Instruction, ...]:
    machine = os.uname().machine
    if machine not in jail_filter.ARCHITECTURES:
        raise JailError("seccomp", f"no filter for the architecture '{machine}'")
    return jail_filter.program_for(machine)


def _door(news: socket.socket) -> socket.socket:
    data, descriptors = _next(news)
    if len(descriptors) != 1:
        raise JailError("door", f"expected one socket, got {data}")
    return socket.socket(fileno=descriptors[0])


def _wait_for_start(news: socket.socket) -> None:
    data, _ = _next(news)
    if "started" not in data:
        raise JailError("start", f"expected the start, got {data}")


def _next(news: socket.socket) -> tuple[dict[str, Any], list[int]]:
    news.settimeout(_SET_UP_SECONDS)
    try:
        message, descriptors, _, _ = socket.recv_fds(news, 4096, 1)
    except TimeoutError:
        raise JailError("set-up", f"silent for {_SET_UP_SECONDS} s") from None
    if not message:
        raise JailError("set-up", "ended before it said why")
    told: dict[str, Any] = json.loads(message)
    if "failed" in told:
        raise JailError(told["failed"], told["detail"])
    return told, descriptors


class _Inside:
    """The warden's and the first process's side."""

    def __init__(self, news: socket.socket) -> None:
        self._news = news

    def guarded(self, step: str, action: Callable[[], object]) -> None:
        """Do one step; when it fails say so, and end this process."""
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - a fork that fails must not run on
            self._fail(step, error)

    def become_warden(
        self,
        binds: tuple[jail_root.Bind, ...],
        program: tuple[jail_filter.Instruction, ...],
    ) -> None:
        """Make the namespaces and the door; return in the jailed program alone."""
        user, group = os.geteuid(), os.getegid()
        self.guarded("namespaces", lambda: _leave(user, group))
        self.guarded("loopback", _loopback_up)
        self.guarded("door", self._hand_out_the_door)
        alive, held = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        first = os.fork()
        if first:
            # It is in the same mount namespace, whose root the first process is about to change:
            # no path means anything to it from here on.
            _keep_only(held, null)
            _wait_and_exit(first)
        os.close(held)
        os.close(null)
        self.guarded("first-process", lambda: _die_with_warden(alive))
        self.guarded("root", lambda: jail_root.build(binds))
        self.guarded("privileges", kernel.drop_privileges)
        self.guarded("seccomp", lambda: kernel.filter_system_calls(program))
        self.guarded("limits", _limit)
        self.guarded("first-process", lambda: _die_with_warden(alive))
        self._start(alive)

    def _hand_out_the_door(self) -> None:
        with socket.create_server(DOOR, backlog=_BACKLOG) as door:
            socket.send_fds(self._news, [b'{"door": true}'], [door.fileno()])

    def _start(self, alive: int) -> None:
        program = os.fork()
        if program == 0:
            self._news.close()
            os.close(alive)
            os.setsid()
            return
        self._news.send(b'{"started": true}')
        _keep_only(self._news.fileno(), os.open(os.devnull, os.O_RDWR))
        while True:
            ended, status = os.wait()
            if ended == program:
                break
        told = {"ended": os.waitstatus_to_exitcode(status)}
        with contextlib.suppress(OSError):
            self._news.send(json.dumps(told).encode())
        os._exit(0)  # and the kernel ends whatever the program has left

    def _fail(self, step: str, error: BaseException) -> NoReturn:
        with contextlib.suppress(OSError):
            detail = f"{type(error).__name__}: {error}"[:500]
            self._news.send(json.dumps({"failed": step, "detail": detail}).encode())
        os._exit(_FAILED)


def _leave(user: int, group: int) -> None:
    """Go into new namespaces, under the same user's and group's numbers.

    In a user namespace of its own even for root: the process then has no power over anything
    that was made outside, before it gives up the powers that it has inside.
    """
    if user == 0:
        os.setgroups([])
    kernel.unshare(kernel.ALL_NAMESPACES)
    # setgroups has to be given up before a user without privileges may map its group
    # (user_namespaces(7)).
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def _limit() -> None:
    for what, wanted in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
    ):
        hard = resource.getrlimit(what)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (limit, limit))


def _die_with_warden(alive: int) -> None:
    """Ask for the end with the warden's; it holds the pipe's other end.

    Its number means nothing in the process namespace, so the pipe tells whether it lives still.
    """
    die_with_parent(os.getppid())
    if select.select([alive], [], [], 0)[0]:
        os._exit(_FAILED)


def _keep_only(descriptor: int, null: int) -> None:
    """Close all else: whoever reads the program's output or channel waits for its end, not ours."""
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, _ANY_NUMBER)


def _wait_and_exit(first: int) -> NoReturn:
    while True:
        with contextlib.suppress(InterruptedError):
            ended, _ = os.waitpid(first, 0)
            if ended == first:
                os._exit(0)
