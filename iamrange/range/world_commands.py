"""The orders that a world takes from its runner, apart from the channel they come by (`host`).

- An order is a method; its members are the method's arguments.
- What cannot be obeyed is an error whose message goes back; the world runs on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.core.decision import record_from_json
from iamrange.identity.names import ISSUER
from iamrange.range.config import AgentRegistration
from iamrange.range.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from iamrange.range.content import Content
    from iamrange.range.listeners import Listeners

MESH_FOLDER = "m"
"""Holds the sockets of our own services: beside the control socket, whose path is short."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a world's files, its control socket and its database are, and the key to commands."""

    folder: Path
    control: Path
    database: Path
    key: str = field(repr=False)

    @property
    def sockets(self) -> Path:
        """The folder of the sockets of our own services."""
        return self.control.with_name(MESH_FOLDER)


class CommandError(Exception):
    """A command that cannot be obeyed; the message goes back over the channel."""


class Commands:
    """The orders of one world."""

    def __init__(self, content: Content, listeners: Listeners, place: Place) -> None:
        """Take what the world holds, what listens for it, and where its files are."""
        self._content = content
        self._listeners = listeners
        self._place = place
        self._known: Mapping[str, Callable[..., Any]] = {
            "describe": self.describe,
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

    def named(self, name: str) -> Callable[..., Any]:
        """Return what obeys an order.

        Raises:
            CommandError: there is none of this name.
        """
        if name not in self._known:
            known = ", ".join(sorted([*self._known, "fork", "stop"]))
            raise CommandError(f"command {name!r}: known are {known}")
        return self._known[name]

    def describe(self) -> Mapping[str, Any]:
        """Return what a runner must know of the world."""
        content = self._content
        description = dict(self._listeners.description())
        return description | {
            "pid": os.getpid(),
            "folder": str(self._place.folder),
            "control": str(self._place.control),
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
        sockets = self._place.sockets
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
