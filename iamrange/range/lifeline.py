"""Processes that die with their parent.

- Linux: the kernel kills the child (PR_SET_PDEATHSIG), however the parent ended.
- Elsewhere: the end of a pipe or socket that only the parent holds open tells the child.
- PR_SET_PDEATHSIG follows the *thread* that forked: it is used under single-threaded parents only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
_ORPHANED = 75
CHANNEL = 3
"""The descriptor of a zygote's child's channel to the controller; it ends when that does."""


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; no-op where it cannot.

    Raises:
        OSError: Linux refused.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before we asked
        os._exit(_ORPHANED)


def watch_in_thread(descriptor: int) -> None:
    """Exit when the descriptor reaches its end; only where the kernel does not do it for us."""
    if sys.platform.startswith("linux"):
        return

    def watch() -> None:
        while os.read(descriptor, 1):
            pass
        os._exit(_ORPHANED)

    threading.Thread(target=watch, daemon=True, name="lifeline").start()


def exit_orphaned() -> None:
    """End this process at once, because its parent is gone."""
    os._exit(_ORPHANED)


def thread_count() -> int:
    """Count this process's threads: the kernel's count on Linux, Python's elsewhere."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names only
    except FileNotFoundError:
        return threading.active_count()
