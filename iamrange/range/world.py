"""The runner's handle on a world: start it, fork it, steer it, read its records, end it.

- A world's clients get `environment(network)` and nothing else; the handle stays with the runner.
- A base must outlive its forks: a process dies with its parent.
- A world whose process ended is broken for good: every call says so, naming the process.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from iamrange.core.decision import record_to_json
from iamrange.range.host import CONTROL_SOCKET, LOG_FILE
from iamrange.range.processes import ProcessError, Zygote, last_words
from iamrange.range.records import read_records
from iamrange.range.sweep import Entry, ProcessMark
from iamrange.range.world_commands import MESH_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.core.decision import DecisionRecord
    from iamrange.range.config import AgentRegistration, WorldConfig
    from iamrange.range.processes import Child

ENVOY_LOG_SECONDS = 0.4
"""Envoy writes its log in batches; longer than they are apart."""

_START_TIMEOUT = 60.0
_COMMAND_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0
_LINE_LIMIT = 1 << 24


class WorldBrokenError(ProcessError):
    """A process of a world ended or stopped answering; the message names it."""


class CommandRefusedError(Exception):
    """The world could not do what it was told; it runs on."""


class World:
    """One running world; a context manager."""

    def __init__(self, entry: Entry, description: Mapping[str, Any], name: str, key: str) -> None:
        """Use `start` or `fork`.

        Raises:
            WorldBrokenError: its process has ended already.
        """
        self.name = name
        self._key = key
        self._entry = entry
        self._description = dict(description)
        self._child: Child | None = None
        self._own_zygote: Zygote | None = None
        self._lock = threading.Lock()
        self._stopped = False
        mark = entry.add_process(f"world {name}", description["pid"])
        if mark is None:
            raise WorldBrokenError(f"world {name!r}: its process ({description['pid']}) ended")
        self._mark: ProcessMark = mark
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._channel.settimeout(_COMMAND_TIMEOUT)
        self._channel.connect(description["control"])
        self._answers = self._channel.makefile("rb")

    @classmethod
    def start(
        cls,
        config: WorldConfig,
        *,
        zygote: Zygote | None = None,
        name: str = "world",
        path: Sequence[str] = (),
    ) -> World:
        """Start a world from nothing, under the given zygote or one of its own.

        `path` are folders from which rogues and clouds may be imported too.

        Raises:
            WorldBrokenError: it did not come up.
        """
        entry = Entry.create(name=name)
        parent = zygote or Zygote(log=entry.folder / "zygote.log")
        own = parent if zygote is None else None
        child: Child | None = None
        key = secrets.token_urlsafe(32)
        try:
            entry.add_process("zygote", parent.pid)
            control = entry.socket_path(CONTROL_SOCKET)
            child = parent.spawn(
                "iamrange.range.host:serve_world",
                {
                    "config": config.to_json(),
                    "folder": str(entry.folder),
                    "control": str(control),
                    "database": str(entry.short_folder()),
                    "key": key,
                },
                cwd=entry.folder,
                name=f"world {name}",
                stdout=entry.folder / LOG_FILE,
                stderr=entry.folder / LOG_FILE,
                path=path,
                serves=True,
                single_threaded=True,
            )
            world = cls(entry, child.receive(_START_TIMEOUT), name, key)
        except BaseException as error:
            words = last_words(entry.folder / LOG_FILE)
            if child is not None:
                child.kill()
                child.close()
            if own is not None:
                own.stop()
            entry.forget("zygote")
            entry.remove()
            if isinstance(error, (ProcessError, OSError)):
                raise WorldBrokenError(f"world {name!r}: did not start: {error}{words}") from error
            raise
        world._child = child
        world._own_zygote = own
        return world

    def fork(
        self,
        *,
        name: str = "fork",
        rogue: str | None = None,
        rogue_arguments: Mapping[str, Any] | None = None,
    ) -> World:
        """Snapshot the world as it is now into another, with its own authority, ports and records.

        Raises:
            WorldBrokenError: this world or the new one broke.
            CommandRefusedError: the world refused.
        """
        entry = Entry.create(name=name)
        key = secrets.token_urlsafe(32)
        try:
            description = self.control(
                "fork",
                folder=str(entry.folder),
                control=str(entry.socket_path(CONTROL_SOCKET)),
                database=str(entry.short_folder()),
                new_key=key,
                rogue=rogue,
                rogue_arguments=None if rogue_arguments is None else dict(rogue_arguments),
            )
            return World(entry, description, name, key)
        except BaseException:
            entry.remove()
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def folder(self) -> Path:
        """The world's state folder; it goes when the world stops."""
        return self._entry.folder

    @property
    def sockets(self) -> Path:
        """The folder in which our services and each Envoy of the world have their files."""
        return Path(self._description["control"]).with_name(MESH_FOLDER)

    @property
    def pid(self) -> int:
        """The world's server process."""
        return self._mark.pid

    @property
    def ca_file(self) -> str:
        """The PEM file of the world's certificate authority."""
        return str(self._description["ca_file"])

    @property
    def aws_endpoint(self) -> str:
        """The plain http endpoint of the AWS cloud, on loopback."""
        return str(self._description["aws"]["endpoint"])

    @property
    def gcp_endpoint(self) -> str:
        """The plain http endpoint of the Google cloud, on loopback."""
        return str(self._description["gcp"]["endpoint"])

    @property
    def vault_endpoint(self) -> str:
        """The plain http endpoint of the vault, on loopback."""
        return str(self._description["vault"]["endpoint"])

    @property
    def vault_token(self) -> str:
        """The token of the vault's administrator."""
        return str(self._description["vault_token"])

    @property
    def aws_keys(self) -> Mapping[str, Mapping[str, str]]:
        """An administrator's access key for each account."""
        keys: Mapping[str, Mapping[str, str]] = self._description["aws_keys"]
        return keys

    @property
    def gcp_tokens(self) -> Mapping[str, str]:
        """An administrator's access token for each project."""
        tokens: Mapping[str, str] = self._description["gcp_tokens"]
        return tokens

    def environment(self, network: str = "corporate") -> dict[str, str]:
        """Return what a client in that network is given, besides its own credentials."""
        return dict(self._description["networks"][network]["env"])

    def describe(self) -> Mapping[str, Any]:
        """Return the world's own description, as it is now."""
        description: Mapping[str, Any] = self.control("describe")
        return description

    def set_clock(self, offset: float) -> None:
        """Move the world's clock to this many seconds from real time."""
        self.control("clock", offset=offset)

    def register_agent(self, registration: AgentRegistration) -> str:
        """Register an agent, or replace its registration; return its SPIFFE id."""
        return str(self.control("register_agent", **asdict(registration)))

    def change_agent(self, name: str, transition: str) -> None:
        """Have an agent quarantined, released, retired, or its tokens revoked."""
        self.control("change_agent", name=name, transition=transition)

    def collect_handshakes(self) -> None:
        """Have the handshakes that sidecars refused recorded, if there can be any."""
        if self.control("mesh_was_dialled"):
            time.sleep(ENVOY_LOG_SECONDS)
            self.control("collect")

    def record_egress(self, agent_id: str, target: str, reason: str) -> str:
        """Have recorded that an agent's process was not let out; return the record's request id."""
        return str(self.control("egress_refused", agent_id=agent_id, target=target, reason=reason))

    def declared(self, agent_id: str) -> Mapping[str, Any] | None:
        """Return an agent's `scopes`, `classification` and `state`; None: it is not registered."""
        found: Mapping[str, Any] | None = self.control("declared", agent_id=agent_id)
        return found

    def off(self) -> frozenset[str]:
        """Return the controls of the world's own services that are off now."""
        return frozenset(self.control("off"))

    def record(self, record: DecisionRecord) -> None:
        """Have a record kept among the world's own; its time is the world's, when it is kept."""
        self.control("record", record=record_to_json(record))

    def dropped(self) -> tuple[str, ...]:
        """Return what lies at the attacker's drop, in the order in which it came."""
        return tuple(self.control("dropped"))

    def set_rogue(self, name: str | None, arguments: Mapping[str, Any] | None = None) -> None:
        """Switch a declared rogue on, or all of them off."""
        self.control("rogue", name=name, arguments=None if arguments is None else dict(arguments))

    def control(self, command: str, **parameters: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Send one command over the control channel and return its answer.

        Raises:
            WorldBrokenError: the process ended, or did not answer.
            CommandRefusedError: the world refused the command.
        """
        line = json.dumps({"key": self._key, "command": command, **parameters}).encode() + b"\n"
        with self._lock:
            try:
                self._channel.sendall(line)
                answer = self._answers.readline(_LINE_LIMIT)
            except (OSError, ValueError) as error:
                raise self._broken(f"{type(error).__name__} at {command!r}") from error
        if not answer.endswith(b"\n"):
            raise self._broken(f"ended at {command!r}")
        value = json.loads(answer)
        if "error" in value:
            raise CommandRefusedError(f"world {self.name!r}: {command}: {value['error']}")
        return value["ok"]

    def check(self) -> None:
        """Raise if the world's process is gone.

        Raises:
            WorldBrokenError: it is.
        """
        if not self._mark.alive:
            raise self._broken("ended")

    def records_since(self, offset: int = 0) -> tuple[list[DecisionRecord], int]:
        """Return the records written after the offset, and the offset after them.

        A record is written before its request is answered.

        Raises:
            RecordsGoneError: some after the offset are no longer kept.
        """
        return read_records(self.folder, offset)

    def stop(self) -> None:
        """End the world and remove what it had. May be called again."""
        if self._stopped:
            return
        self._stopped = True
        with contextlib.suppress(ProcessError, CommandRefusedError):
            self._channel.settimeout(_STOP_TIMEOUT)
            self.control("stop")
        deadline = time.monotonic() + _STOP_TIMEOUT
        while self._mark.alive and time.monotonic() < deadline:
            time.sleep(0.005)
        self._answers.close()
        self._channel.close()
        self._mark.kill()
        if self._child is not None:
            self._child.close()
        if self._own_zygote is not None:
            self._own_zygote.stop()
        # The zygote is in the entry for the sweep alone: it may serve other worlds.
        self._entry.forget("zygote")
        self._entry.remove()

    def _broken(self, how: str) -> WorldBrokenError:
        words = last_words(self.folder / LOG_FILE)
        return WorldBrokenError(f"world {self.name!r}: its process ({self.pid}): {how}{words}")
