"""The range left running, as whoever wants something of it finds it.

- What is known of it is one private file, which the process that holds it writes (`service`).
- A range that broke is not taken for one that is not there: the error says what ended.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iamrange.core.control import SwitchedIn
from iamrange.core.controls import UnknownNameError, control_named
from iamrange.core.scenario import Part
from iamrange.engine.run import Engine
from iamrange.engine.workspace import Workspace
from iamrange.identity.agent import write_private
from iamrange.identity.agent_home import agent_environment
from iamrange.range.processes import ProcessError
from iamrange.range.service_socket import SOCKET_FILE, order
from iamrange.range.sweep import ProcessMark, sweep, worlds_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.engine.events import Step

STATE_FILE = "running.json"
WATCH_FILE = "behaviour.json"


class NotRunningError(Exception):
    """No range is left running; the message says how to start one."""


class AlreadyRunningError(Exception):
    """A range is running already."""


class BrokenRangeError(ProcessError):
    """The range left running broke and was taken down; the message says what ended."""


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of the range left running."""

    state: Mapping[str, Any]
    mark: ProcessMark

    def environment(self, agent: str | None = None, network: str | None = None) -> dict[str, str]:
        """Return the variables for a shell that works as this agent, from this network.

        Raises:
            UnknownNameError: no such agent or network; the error names the nearest.
        """
        networks: Mapping[str, Mapping[str, str]] = self.state["networks"]
        network = network or next(iter(networks))
        if network not in networks:
            raise UnknownNameError("network", network, tuple(networks))
        part = Part.DATA_ANALYST.value if agent is None else self._part(agent)
        return {
            **networks[network],
            **agent_environment(Path(self.state["homes"][part])),
            **self.state["engine"],
        }

    def identity(self, agent: str) -> tuple[str, str]:
        """Return an agent's name and SPIFFE id.

        Raises:
            UnknownNameError: no such agent; the error names the nearest.
        """
        part = self._part(agent)
        return self.state["names"][part], self.state["facts"][part]["spiffe_id"]

    def _part(self, agent: str) -> str:
        homes: Mapping[str, str] = self.state["homes"]
        names: Mapping[str, str] = self.state["names"]
        # An agent may bear the name of another one's part: names go first.
        parts = {**{part: part for part in homes}, **{names[part]: part for part in homes}}
        if agent not in parts:
            raise UnknownNameError("agent", agent, tuple(names.values()))
        return parts[agent]


def state_file() -> Path:
    """Return the file by which a running range is found."""
    return worlds_folder().parent / STATE_FILE


def watch_file() -> Path:
    """Return the file in which the watch over the agents keeps what it knows, range after range."""
    return worlds_folder().parent / WATCH_FILE


def running() -> Running:
    """Return the range left running.

    Raises:
        NotRunningError: there is none.
        BrokenRangeError: there was one, and it broke.
    """
    try:
        state = json.loads(state_file().read_text())
        broke = state.get("broke")
        mark = None if broke else ProcessMark(**state["process"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise NotRunningError("no range is running; `iamrange up` starts one") from None
    if mark is not None and mark.alive:
        return Running(state, mark)
    if mark is not None:
        broke = f"service: its process ({mark.pid}) ended"
        note_broken(broke)
        sweep()
    raise BrokenRangeError(f"the range that was running broke: {broke}; `iamrange up` starts one")


def note_broken(how: str) -> None:
    """Leave word of what broke, for whoever asks next."""
    write_private(state_file(), json.dumps({"broke": how}))


@dataclass(frozen=True, slots=True)
class Switched:
    """What switching a control changed: resources of the stack, or (none) a setting."""

    changed: tuple[Step, ...]
    seconds: float


def switch(name: str, *, on: bool) -> Switched:
    """Switch a control on the running range, in its own copy of the config.

    What is provisioned changes by a real `pulumi up`, what the range serves itself at once.

    Raises:
        UnknownNameError: there is no such control.
        NotRunningError: no range is running.
        EngineError: the engine failed.
        OrderRefusedError: the range did not take the order.
    """
    control = control_named(name)
    state = running().state
    began = time.monotonic()
    workspace = Workspace(Path(state["state_dir"]), state["project"], state["stack"])
    providers = {"PULUMI_DEBUG_PROVIDERS": state["engine"]["PULUMI_DEBUG_PROVIDERS"]}
    engine = Engine(Path(state["cli"]), workspace, providers)
    controls = dict(workspace.config().get("iamrange:controls") or {})
    controls.pop(control.id, None)
    if not on:
        controls[control.id] = False
    engine.set_config({"iamrange:controls": controls})
    if control.switched_in is SwitchedIn.WORLD:
        off = sorted(name for name, is_on in controls.items() if is_on is False)
        order(orders_socket(), "switch", off=off)
        return Switched((), time.monotonic() - began)
    result = engine.up()
    return Switched(tuple(result.changed), result.seconds)


def policy_status() -> Mapping[str, Any]:
    """Return which policy the running range's gateway goes by: folder, digest, files, refusal.

    Raises:
        NotRunningError: no range is running.
        OrderRefusedError: the range did not answer.
    """
    running()
    status: Mapping[str, Any] = order(orders_socket(), "policy_status")
    return status


def gateway_status() -> Mapping[str, Any]:
    """Return the running range's name, what is off in its own services, and where its Envoy is.

    Raises:
        NotRunningError: no range is running.
        OrderRefusedError: the range did not answer.
    """
    world = running().state["world"]
    return {"world": world, **order(orders_socket(), "gateway_status")}


def orders_socket() -> Path:
    """Return the socket at which the running range takes orders."""
    return worlds_folder().parent / SOCKET_FILE
