"""The zygote: one process with everything imported, which forks the range's other processes.

- Single-threaded, started with an environment of next to nothing; it never sees what its children
  are told: each child reads its orders from a channel of its own.
- A child has its own session, environment, folder and standard streams, its channel, and no other
  descriptor.
- When its controller is gone it kills its children and ends.

Why not `multiprocessing.forkserver`: its children keep the server's environment and descriptors,
re-import the parent's main module, and receive pickles that pass through the server.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any

from iamrange.range.lifeline import CHANNEL, die_with_parent, thread_count, watch_in_thread

PRELOAD = (
    "boto3",
    "google.auth",
    "google.auth.identity_pool",
    "google.auth.pluggable",
    "google.auth.transport.requests",
    "google.cloud.secretmanager",
    "requests",
    "iamrange.network.edge_protocol",
    "iamrange.identity.agent",
    "iamrange.engine.language_server",
    "iamrange.engine.server",
    "iamrange.range.actor",
    "iamrange.range.host",
    "iamrange.range.warm",
    "iamrange.clouds.aws.cloud",
    "iamrange.clouds.gcp.cloud",
    "pulumi",
    "pulumi.runtime",
)
_FAILED = 70
_MAX_MESSAGE = 4096


def main() -> int:
    """Serve the controller on the socket whose number is the first argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the controller's to handle
    preload(sys.argv[2:] or PRELOAD)
    if thread_count() != 1:
        sys.stderr.write("zygote: a preloaded module started a thread\n")
        return _FAILED
    gc.collect()
    gc.freeze()
    _Server(control).serve()
    return 0


def preload(names: tuple[str, ...] | list[str]) -> None:
    """Import what children will need; what cannot be imported here fails where it is used."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever its top level raises
            sys.stderr.write(f"zygote: {name} not preloaded: {error!r}\n")


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: set[int] = set()
        self._wake_read, wake_write = os.pipe()
        for end in (self._wake_read, wake_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        self._tell({"ready": os.getpid()})
        control = self._control.fileno()
        while True:
            readable, _, _ = select.select([control, self._wake_read], [], [])
            if self._wake_read in readable:
                with contextlib.suppress(BlockingIOError):
                    while os.read(self._wake_read, 512):
                        pass
                self._reap()
            if control in readable and not self._obey():
                for pid in self._children:
                    _kill_group(pid)
                return

    def _obey(self) -> bool:
        """Obey one order; the controller sends the next only after our answer to this."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, _MAX_MESSAGE, 3)
        except ConnectionError:
            return False
        if not message:
            return False
        order = json.loads(message)
        if order["order"] == "kill":
            pid = order["pid"]
            if pid in self._children:
                _kill_group(pid)
            self._tell({"killed": pid})
            return True
        pid = os.fork()
        if pid == 0:
            _become_child(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._children.add(pid)
        self._tell({"spawned": pid})
        return True

    def _reap(self) -> None:
        for pid in tuple(self._children):
            if hasattr(os, "waitid"):
                # Look first: until it is waited for, its group's number is not given away.
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                _kill_group(pid)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)
                self._tell({"exited": pid, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):  # the next read sees that it is gone
            self._control.sendall(json.dumps(message).encode() + b"\n")


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # it may not have made its own group yet


def _become_child(channel: int, out: int, err: int) -> None:
    """Turn the fork into the process that its orders ask for; never return."""
    status = _FAILED
    try:
        parent = os.getppid()
        os.setsid()
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _only_these_descriptors(channel, out, err)
        status = _work()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - the fork must not run on into the zygote's own code
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _only_these_descriptors(channel: int, out: int, err: int) -> None:
    """Put the streams on 0 to 2 and the channel on its own number, close all else."""
    kept = [os.dup(descriptor) for descriptor in (channel, out, err)]
    # The channel was copied first: if its number was free, its copy is there; no other copy can be.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(kept[1], 1)
    os.dup2(kept[2], 2)
    os.dup2(kept[0], CHANNEL, inheritable=False)
    os.closerange(CHANNEL + 1, max(256, max(map(int, os.listdir("/dev/fd"))) + 1))  # noqa: PTH208 - names only


def _work() -> int:
    with socket.socket(fileno=os.dup(CHANNEL)) as connection, connection.makefile("rb") as lines:
        orders = json.loads(lines.readline())
    if not orders["single_threaded"]:
        watch_in_thread(CHANNEL)
    os.environ.clear()
    os.environ.update(orders["env"])
    os.chdir(orders["cwd"])
    sys.path[:0] = orders["path"]
    sys.argv = [orders["function"]]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a killed process's last words

    def send(value: Any) -> None:  # noqa: ANN401 - any JSON value
        line = json.dumps(value).encode() + b"\n"
        while line:
            line = line[os.write(CHANNEL, line) :]

    module, _, name = orders["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    if orders["serves"]:
        function(ready=send, **orders["arguments"])
    else:
        send(function(**orders["arguments"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
