"""The process that plain `pulumi` starts to run the infrastructure's program.

- It prints its port on the first line of standard output, as every Pulumi plugin does.
- The engine ends it with SIGINT; after a `kill -9` of the engine it notices that its parent is
  gone and ends by itself.
- The launcher `pulumi-language-python`, next to the engine, starts it (see `pulumi_cli`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from iamrange.engine.language_server import serve

if TYPE_CHECKING:
    from types import FrameType

PARENT_CHECK_SECONDS = 0.5


def end_with_parent_or_signal(parent: int) -> None:
    """Block until a signal asks for the end, or the parent process is gone."""
    asked = threading.Event()

    def note(_signal: int, _frame: FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, note)
    while not asked.wait(PARENT_CHECK_SECONDS) and os.getppid() == parent:
        pass


def main() -> None:
    """Serve until the engine says stop, or dies."""
    parent = os.getppid()
    server, port = serve()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    end_with_parent_or_signal(parent)
    server.stop(grace=None)
    sys.stdout.flush()
    sys.stderr.flush()
    # A run that still waits for the engine would hold the interpreter's normal exit for ever.
    os._exit(0)


if __name__ == "__main__":
    main()
