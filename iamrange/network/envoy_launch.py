"""Run as a program: become a server, tied to the life of the process that asked for it.

- A process of its own between the two, for a moment: to fork a process with threads and then run
  Python in the child may never end, and a world's memory is not copied for it.
- It imports nothing of the range's, so that it can run isolated.
- The server is given the environment that this process was given, and nothing else.

Arguments: the parent's process id, the program, the program's arguments.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_ORPHANED = 75


def main() -> None:
    """Ask the kernel to kill this process with its parent, and execute the program."""
    parent, program, *arguments = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a world ignores it, and that is inherited
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):  # it ended before we asked
        sys.exit(_ORPHANED)
    # Python adds a locale of its own to what it was given (PEP 538)
    environment = {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}
    os.execve(program, [program, *arguments], environment)  # noqa: S606 - a program without a shell


if __name__ == "__main__":
    main()
