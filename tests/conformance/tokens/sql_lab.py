"""The same world on a real directory and SQL stores: SQLite, or a PostgreSQL of our own."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from iamrange.core.clock import SystemClock
from iamrange.identity.directory import (
    Agent,
    AgentSpec,
    AgentState,
    Directory,
    DirectoryRefusal,
    DirectoryView,
)
from iamrange.identity.stores.directory import DirectoryRevocation
from iamrange.identity.stores.sql import SqlReplay, SqlRevocation
from tests.conformance.tokens.lab import House

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SPEC = (
    "name",
    "owner",
    "project",
    "classification",
    "scopes",
    "keys",
    "may_act",
    "certificates",
    "tls_subject",
)


class SqlAgents:
    """The directory's own commands, behind what a test asks for."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.view = DirectoryView(directory, staleness=0)

    def by_id(self, agent_id: str) -> Agent | None:
        return self.view.by_id(agent_id)

    def put(self, agent: Agent) -> None:
        spec = AgentSpec(**{name: getattr(agent, name) for name in _SPEC})
        done = self.directory.register(spec, actor="test", activate=True)
        assert isinstance(done, Agent), done

    def change(self, agent_id: str, **changes: Any) -> None:  # noqa: ANN401 - members
        done: object = None
        state = changes.pop("state", None)
        if state is AgentState.QUARANTINED:
            done = self.directory.quarantine(agent_id, actor="test")
        elif state is AgentState.RETIRED:
            done = self.directory.retire(agent_id, actor="test")
        elif changes.pop("epoch", None):
            done = self.directory.revoke(agent_id, actor="test")
        elif "expires" in changes:
            soon = time.time() + 0.05
            done = self.directory.recertify(agent_id, expires=soon, actor="test")
            time.sleep(0.06)
        elif changes == {"keys": ()}:
            agent = self.by_id(agent_id)
            assert agent is not None
            for key in agent.keys:
                done = self.directory.withdraw(agent_id, key.kid, actor="test")
        else:
            done = self.directory.update(agent_id, actor="test", **changes)
        assert not isinstance(done, DirectoryRefusal), done


@contextmanager
def sql_house(url: str, home: Path, **ports: Any) -> Iterator[House]:  # noqa: ANN401 - ports
    """Run a world whose directory, replays and revocations are in one database."""
    home.mkdir(parents=True, exist_ok=True)
    directory = Directory.open(url, home)
    replay, revoked = SqlReplay(url), SqlRevocation(url)
    agents = SqlAgents(directory)
    revocation = _Both(agents, revoked)
    try:
        yield House(agents=agents, replay=replay, revocation=revocation, **ports)
    finally:
        replay.close()
        revoked.close()
        directory.close()


class _Both(DirectoryRevocation):
    """Epochs and states from the directory, revoked tokens from their own table."""

    def __init__(self, agents: SqlAgents, revoked: SqlRevocation) -> None:
        super().__init__(agents, revoked, clock=SystemClock())
        self._store = revoked

    def revoke(self, jti: str, *, expires: float) -> None:
        self._store.revoke(jti, expires=expires)

    def raise_epoch(self, agent_id: str, epoch: int) -> None:
        self._store.raise_epoch(agent_id, epoch)
