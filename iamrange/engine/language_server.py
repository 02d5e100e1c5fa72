"""Run the entry point of a Python Pulumi project for the engine.

- One run happens in a process of its own: the program's modules, its working directory and the
  SDK's global state are fresh each time.
- The engine puts the program's folder itself on the path. If that folder is a package, its parent
  goes on the path too, so that `infra.settings` is a module of the very tree that is run.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.automation._server import LanguageServer
from pulumi.errors import RunError
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

# A world's shell has a proxy in its environment; the engine's own channels are loopback and must
# never go through it (gRPC's C core, unlike Go, makes no exception for 127.0.0.1).
NO_PROXY_VARIABLE = "no_grpc_proxy"
LOOPBACK = "127.0.0.1,localhost,::1"


class ProgramServer(LanguageServer):
    """The SDK's language server, made to run a project's entry point instead of a function."""

    def __init__(self) -> None:
        """Start without a program: each `Run` names its own."""
        super().__init__(_no_program)

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: ANN401, ARG002, N802 - gRPC stub
        """Accept the engine's greeting."""
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: ANN401, ARG002, N802 - same
        """Name no version: this host is part of the range."""
        return plugin_pb2.PluginInfo()

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:  # noqa: ANN401, ARG002, N802 - same
        """Ask for nothing."""
        return language_pb2.RuntimeOptionsResponse()

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:  # noqa: ANN401, ARG002, N802 - same
        """List no dependencies: they are locked in requirements/."""
        return language_pb2.GetProgramDependenciesResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Any:  # noqa: ANN401, ARG002, N802 - same
        """Install nothing: `make setup` does."""
        yield language_pb2.InstallDependenciesResponse(
            stdout=b"dependencies are installed by make setup\n"
        )

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: ANN401, ARG002, N802 - same
        """Take note; the engine ends this process next."""
        return Empty()

    def Run(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802 - same
        """Run the project's entry point."""
        directory, entry = program_location(request)
        self.program = lambda: run_entry_point(directory, entry)
        return super().Run(request, context)  # type: ignore[no-untyped-call] # the SDK types no servicer


def _no_program() -> None:
    raise RunError("no program was named")


def program_location(request: Any) -> tuple[Path, Path]:  # noqa: ANN401 - a protobuf message
    """Return the folder that a run request's program works in, and its entry point."""
    directory = Path(request.pwd or request.info.program_directory or ".").resolve()
    entry = (directory / (request.info.entry_point or request.program or ".")).resolve()
    return directory, entry


def run_entry_point(directory: Path, entry: Path) -> None:
    """Execute a Pulumi program as `__main__`.

    Raises:
        RunError: the program failed; the text is its own traceback, without ours.
    """
    os.chdir(directory)
    folder = entry if entry.is_dir() else entry.parent
    added = [str(folder)]
    if (folder / "__init__.py").exists():
        added.append(str(folder.parent))
    sys.path[:0] = [name for name in added if name not in sys.path]
    try:
        runpy.run_path(str(entry), run_name="__main__")
    except RunError:
        raise
    except (Exception, SystemExit) as error:
        raise RunError(_explain(error, folder)) from error


def _explain(error: BaseException, folder: Path) -> str:
    """Render a program's failure from its first own frame on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [number for number, frame in enumerate(frames) if frame.filename.startswith(str(folder))]
    shown = traceback.format_list(frames[own[0] :] if own else frames[-1:])
    last = "".join(traceback.format_exception_only(error)).strip()
    return f"the program failed: {last}\n{''.join(shown)}"


def serve() -> tuple[grpc.Server, int]:
    """Start a language server on a loopback port that the kernel picks; return it and its port."""
    os.environ[NO_PROXY_VARIABLE] = LOOPBACK
    server = grpc.server(
        ThreadPoolExecutor(max_workers=4),
        options=[*_GRPC_CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)],
    )
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(ProgramServer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port
