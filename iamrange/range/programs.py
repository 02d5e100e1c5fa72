"""Runs the infrastructure's program in a fork of the zygote, which has the SDKs imported already.

- One process for each operation of the engine: the program's modules and the SDK's state are fresh.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.range.processes import ProcessError, Zygote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_SECONDS = 60.0
_END_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ZygotePrograms:
    """Language servers for any number of engines, side by side."""

    zygote: Zygote

    @contextlib.contextmanager
    def server(self) -> Iterator[str]:
        """Yield the address of a fresh language server that lives as long as the block.

        Raises:
            ProcessError: it did not start.
        """
        child = self.zygote.spawn(
            "iamrange.range.programs:serve_program",
            env={"PATH": os.environ.get("PATH", ""), "PULUMI_ERROR_OUTPUT_STRING": "true"},
            name="program",
            serves=True,
        )
        try:
            yield f"127.0.0.1:{child.receive(_START_SECONDS)}"
        finally:
            child.kill()
            with contextlib.suppress(ProcessError):
                child.wait(_END_SECONDS)


def serve_program(*, ready: Callable[[Any], None]) -> None:
    """Serve until ended; `ready` gets the port."""
    from iamrange.engine.language_server import serve  # noqa: PLC0415 - grpc must not run before the fork

    server, port = serve()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ready(port)
    ended.wait()
    server.stop(grace=None)
