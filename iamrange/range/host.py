"""The world's server process: clouds, issuer, broker, network, and a channel to control it.

- One thread, one event loop. A fork happens while the loop stands still: the child leaves the old
  loop and its sockets behind, and listens with an authority and ports of its own.
- Commands come as JSON lines over a unix socket that only its owner opens, and each carries the
  key that the runner alone holds: an attack runs under the same user, and finds the socket.
- The process dies with its parent, whichever way that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hmac
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from iamrange.clouds.fetch import FetchError
from iamrange.core.decision import record_from_json
from iamrange.identity.issuer import IssuerError
from iamrange.identity.names import ISSUER
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.keys import AuthorityKeysError
from iamrange.range.config import AgentRegistration, WorldConfig
from iamrange.range.content import Content
from iamrange.range.lifeline import CHANNEL, die_with_parent, exit_orphaned, thread_count
from iamrange.range.listeners import Listeners
from iamrange.range.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTROL_SOCKET = "control.sock"
MESH_FOLDER = "m"
"""Holds the sockets of our own services: beside the control socket, whose path is short."""

LOG_FILE = "host.log"
_LINE_LIMIT = 1 << 20
_END_SECONDS = 2.0
_ABANDONED: list[object] = []
"""What belongs to a fork's parent: kept alive, because to collect it would act on it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a world's files, its control socket and its database are, and the key to commands."""

    folder: Path
    control: Path
    database: Path
    key: str = field(repr=False)


class CommandError(Exception):
    """A command that cannot be obeyed; the message goes back over the channel."""


class Host:
    """One world in this process."""

    def __init__(self, content: Content, place: Place) -> None:
        """Take what the world holds and where its files go."""
        self._content = content
        self._place = place
        self._folder = place.folder
        self._socket_path = place.control
        sockets = place.control.with_name(MESH_FOLDER)
        sockets.mkdir(mode=0o700)
        self._listeners = Listeners(content, place.folder, sockets, place.database)
        self._pause: asyncio.Future[_Fork | None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._commands: Mapping[str, Callable[..., Any]] = {
            "describe": self._describe,
            "clock": self._clock,
            "register_agent": self._register_agent,
            "change_agent": self._change_agent,
            "issue_svid": self._issue_svid,
            "withdraw_certificates": self._withdraw_certificates,
            "issue_jwt_svid": self._issue_jwt_svid,
            "trust_bundle": self._trust_bundle,
            "revocation_lists": self._revocation_lists,
            "switch": self._switch,
            "plant": self._plant,
            "plant_in_database": self._plant_in_database,
            "mesh_was_dialled": self._was_dialled,
            "collect": self._collect,
            "egress_refused": self._egress_refused,
            "declared": self._declared,
            "off": self._off,
            "record": self._record,
            "dropped": self._dropped,
            "service_log": self._service_log,
            "redaction_mark": self._redaction_mark,
            "policy_status": self._policy_status,
            "gateway_status": self._gateway_status,
            "token_keys": self._token_keys,
            "rotate_token_keys": self._rotate_token_keys,
            "withdraw_token_key": self._withdraw_token_key,
            "rotate_keys": self._rotate_keys,
            "withdraw_key": self._withdraw_key,
            "rogue": self._rogue,
        }

    async def start(self) -> None:
        """Listen on the network and on the control channel."""
        await self._listeners.start()
        before = os.umask(0o177)  # the socket is private from its first moment
        try:
            await asyncio.start_unix_server(self._serve, self._socket_path, limit=_LINE_LIMIT)
        finally:
            os.umask(before)
        policy = self._content.identity.gateway.followed
        if policy is not None:
            # held here: a loop alone does not keep a task
            self._following = asyncio.get_running_loop().create_task(policy.follow())

    async def run(self) -> _Fork | None:
        """Serve until the loop must stand still for a fork, or (None) until told to stop."""
        self._pause = asyncio.get_running_loop().create_future()
        return await self._pause

    def close(self) -> None:
        """Take the control channel away; what listens ends with the process."""
        self._socket_path.unlink(missing_ok=True)

    async def end_children(self) -> None:
        """End the processes that the world has started; what listens here ends with it."""
        if self._listeners.mesh is not None:
            await self._listeners.mesh.stop()
        if self._listeners.vault is not None:
            await self._listeners.vault.stop()
        if self._listeners.database is not None:
            await self._listeners.database.stop()

    def fork_content(self) -> Content:
        """Return the content, for the fork to carry on with."""
        return self._content

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            order = json.loads(line)
            if not hmac.compare_digest(
                str(order.pop("key", "")).encode(), self._place.key.encode()
            ):
                return {"error": "the key expected is the runner's"}
            name = order.pop("command")
            if name == "stop":
                return self._stop()
            if name == "fork":
                return {"ok": await self._fork(**order)}
            return {"ok": self._command(name)(**order)}
        except (CommandError, IssuerError, FetchError, StoreDownError, AuthorityKeysError) as error:
            return {"error": str(error)}
        except (ValueError, TypeError, KeyError, AttributeError, ImportError, OSError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _command(self, name: str) -> Callable[..., Any]:
        if name not in self._commands:
            known = ", ".join(sorted([*self._commands, "fork", "stop"]))
            raise CommandError(f"command {name!r}: known are {known}")
        return self._commands[name]

    def _describe(self) -> Mapping[str, Any]:
        content = self._content
        description = dict(self._listeners.description())
        return description | {
            "pid": os.getpid(),
            "folder": str(self._folder),
            "control": str(self._socket_path),
            "run_id": content.config.run_id,
            "clock_offset": content.clock.offset,
            "issuer": ISSUER,
            "issuer_keys": content.issuer.kids,
            "aws_keys": content.aws_keys,
            "gcp_tokens": content.gcp_tokens,
            "vault_token": content.vault.administrator,
            "agents": {agent.id: agent.state.value for agent in content.agents},
        }

    def _clock(self, offset: float) -> float:
        self._content.clock.offset = float(offset)
        return self._content.clock.offset

    def _register_agent(self, **registration: Any) -> str:  # noqa: ANN401 - an AgentRegistration's members
        content = self._content
        agent = content.agents.register(
            AgentRegistration.from_json(registration),
            withdraws=content.identity.rotation_withdraws,
        )
        # whoever is enrolled again gets another certificate too
        self._withdraw_certificates(agent.id)
        return agent.id

    def _change_agent(self, name: str, transition: str) -> None:
        self._content.agents.change(name, transition)
        self._content.identity.follow_directory()
        self._refresh_lists()

    def _withdraw_certificates(self, agent_id: str) -> int:
        """Withdraw what an agent or a service has; return how many certificates that are."""
        withdrawn = self._content.identity.withdraw_certificates(agent_id)
        self._refresh_lists()
        return withdrawn

    def _refresh_lists(self) -> None:
        if self._listeners.mesh is not None:
            self._listeners.mesh.refresh_lists()

    def _issue_svid(self, agent_id: str, public_key_pem: str) -> str:
        if agent_id not in {service.spiffe_id for service in SERVICES.values()}:
            self._check_usable(agent_id)
        return self._content.identity.issue_svid(agent_id, public_key_pem)

    def _issue_jwt_svid(self, agent_id: str) -> str:
        self._check_usable(agent_id)
        return self._content.identity.issue_jwt_svid(agent_id)

    def _trust_bundle(self) -> str:
        return self._content.identity.trust_bundle_pem

    def _revocation_lists(self) -> str:
        return self._content.identity.trust_bundle().lists_pem

    def _check_usable(self, agent_id: str) -> None:
        """Refuse to certify whom the directory would give nothing."""
        agent = self._content.agents.by_id(agent_id)
        if agent is None or not agent.usable(self._content.clock.now()):
            raise CommandError(f"agent {agent_id!r}: expected one that is registered and active")

    def _switch(self, off: list[str]) -> None:
        self._content.switch(off)
        if self._listeners.mesh is not None:
            self._listeners.mesh.switched()

    def _was_dialled(self) -> bool:
        mesh = self._listeners.mesh
        return mesh is not None and mesh.was_dialled()

    def _collect(self) -> None:
        if self._listeners.mesh is not None:
            self._listeners.mesh.collect()

    def _egress_refused(self, agent_id: str, target: str, reason: str) -> str:
        return self._listeners.record_egress(agent_id, target, reason)

    def _declared(self, agent_id: str) -> Mapping[str, Any] | None:
        """Return what an agent is registered for, and in which state it is."""
        agent = self._content.agents.by_id(agent_id)
        if agent is None:
            return None
        return {
            "scopes": sorted(agent.scopes),
            "classification": agent.classification.value,
            "state": agent.state.value,
        }

    def _off(self) -> list[str]:
        return sorted(self._content.identity.off)

    def _record(self, record: Mapping[str, Any]) -> None:
        """Keep a record of somebody outside the world, by the world's own clock."""
        self._content.records(record_from_json({**record, "time": self._content.clock.now()}))

    def _dropped(self) -> list[str]:
        return self._listeners.drop.texts()

    def _service_log(self) -> str:
        return self._content.identity.gateway.log.text()

    def _redaction_mark(self, kind: str, secret: str) -> str:
        return self._content.redactor.mark(kind, secret)

    def _policy_status(self) -> Mapping[str, Any]:
        return self._content.identity.gateway.policy_status()

    def _gateway_status(self) -> Mapping[str, Any]:
        """Return what is off in the world's own services, and where its Envoy is."""
        mesh = self._listeners.mesh
        if mesh is None:
            raise CommandError("gateway: this world has none")
        sockets = self._socket_path.with_name(MESH_FOLDER)
        off = sorted(self._content.identity.off)
        return {"off": off, "sockets": str(sockets), "folder": str(mesh.folder)}

    def _plant(self, url: str, value: str, owner: str | None = None) -> None:
        self._content.identity.plant(url, value, owner)

    def _plant_in_database(self, reader: str, value: str) -> None:
        self._content.database.plant(reader, value)

    def _token_keys(self) -> tuple[str, ...]:
        return self._content.identity.keys.kids

    def _rotate_token_keys(self) -> str:
        return self._content.identity.keys.rotate()

    def _withdraw_token_key(self, kid: str) -> None:
        self._content.identity.keys.withdraw(kid)

    def _rotate_keys(self) -> str:
        return self._content.issuer.rotate()

    def _withdraw_key(self, kid: str) -> None:
        self._content.issuer.withdraw(kid)

    def _rogue(self, name: str | None, arguments: Mapping[str, Any] | None = None) -> None:
        self._content.tamper.switch(name, arguments)

    def _stop(self) -> Mapping[str, Any]:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._resume, None)  # after the answer is written
        return {"ok": None}

    async def _fork(  # noqa: PLR0913 - keyword-only members of one order
        self,
        *,
        folder: str,
        control: str,
        database: str,
        new_key: str,
        rogue: str | None = None,
        rogue_arguments: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - the child's description
        if thread_count() != 1:
            raise CommandError(f"fork: {thread_count()} threads in the world's process")
        if not Path(folder).is_dir():  # noqa: ASYNC240 - one stat, and nobody else is served here
            raise CommandError(f"fork: no folder {folder!r}")
        read, write = os.pipe()
        place = Place(Path(folder), Path(control), Path(database), new_key)
        fork = _Fork(place, rogue, rogue_arguments, write)
        try:
            self._content.agents.copy_to(place.folder)
            self._resume(fork)
            reader = asyncio.StreamReader(limit=_LINE_LIMIT)
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb")
            )
            line = await reader.readline()
        finally:
            fork.close_in_parent()
        if not line:
            raise CommandError(f"fork: the new world broke; see {Path(folder) / LOG_FILE}")
        return json.loads(line)

    def _resume(self, fork: _Fork | None) -> None:
        if self._pause is None or self._pause.done():
            raise CommandError("fork: another one is under way")
        self._pause.set_result(fork)


class _Fork:
    """An order to fork, and the pipe by which the child says that it is ready."""

    def __init__(
        self,
        place: Place,
        rogue: str | None,
        rogue_arguments: Mapping[str, Any] | None,
        ready: int,
    ) -> None:
        self.place = place
        self.rogue = rogue
        self.rogue_arguments = rogue_arguments
        self.ready = ready
        self._closed = False

    def close_in_parent(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self.ready)


def serve_world(  # noqa: PLR0913 - keyword-only places
    *,
    ready: Callable[[Any], None],
    config: Mapping[str, Any],
    folder: str,
    control: str,
    database: str,
    key: str,
) -> None:
    """Run a world in this process, until it is told to stop. Started by the zygote.

    `ready` is called with the world's description once everything listens.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks are reaped by the kernel
    content = Content(WorldConfig.from_json(config), Path(folder))
    _serve(content, Place(Path(folder), Path(control), Path(database), key), ready, CHANNEL)


def _serve(
    content: Content,
    place: Place,
    ready: Callable[[Any], None],
    lifeline: int,
) -> NoReturn:
    """Serve one world on a new loop, forking others off between its runs; never return."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    host = Host(content, place)
    loop.run_until_complete(host.start())
    loop.add_reader(lifeline, exit_orphaned)
    ready(host._describe())  # noqa: SLF001 - the same module
    # One pipe for all forks: they hold its reading end, and it ends when this process does.
    forks_lifeline, _ = os.pipe()
    while True:
        fork = loop.run_until_complete(host.run())
        if fork is None:
            host.close()
            with contextlib.suppress(TimeoutError, OSError):
                loop.run_until_complete(asyncio.wait_for(host.end_children(), _END_SECONDS))
            _leave(0)
        parent = os.getpid()
        # A collection would copy every page that it looks at, here and in the child: what lives
        # now is never looked at again. The young garbage goes first.
        gc.collect(1)
        gc.freeze()
        if os.fork() == 0:
            _ABANDONED.extend((loop, host))
            _fork_world(host.fork_content(), fork, parent, forks_lifeline)
        fork.close_in_parent()


def _fork_world(content: Content, fork: _Fork, parent: int, lifeline: int) -> NoReturn:
    """Go on as another world in this new process; never return."""
    try:
        die_with_parent(parent)
        os.setsid()
        asyncio.set_event_loop(None)
        _redirect(fork.place.folder / LOG_FILE)
        _abandon_descriptors({0, 1, 2, lifeline, fork.ready})
        content.move_to(fork.place.folder)
        if fork.rogue is not None:
            content.tamper.switch(fork.rogue, fork.rogue_arguments)

        def ready(description: Any) -> None:  # noqa: ANN401 - any JSON value
            with os.fdopen(fork.ready, "wb") as pipe:
                pipe.write(json.dumps(description).encode() + b"\n")

        _serve(content, fork.place, ready, lifeline)
    except BaseException:  # noqa: BLE001 - the fork must not run on into its parent's code
        sys.excepthook(*sys.exc_info())
        _leave(1)


def _redirect(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _abandon_descriptors(kept: set[int]) -> None:
    """Turn the parent's sockets into /dev/null, in place.

    Their numbers stay taken: Python objects of the parent that still name them could otherwise
    close a descriptor of ours that had got the same number.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208 - names only
        if descriptor not in kept and descriptor != null:
            with contextlib.suppress(OSError):
                os.fstat(descriptor)  # the listing's own descriptor is closed by now
                os.dup2(null, descriptor, inheritable=False)


def _leave(status: int) -> NoReturn:
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
