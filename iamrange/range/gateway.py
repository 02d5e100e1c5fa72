"""The gateway of a world: the services behind it, who decides each call, and people's approvals.

- All of it answers from the world's one process; Envoy asks it over a unix socket.
- Approvals lie in the directory's database, and go with it into a fork.
- A range left running follows its policy's folder; where attacks are judged, the policy stays as
  it was: a verdict is about one policy.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iamrange.access.approvals.declared import describe
from iamrange.access.approvals.service import Approvals
from iamrange.access.approvals.settings import ApprovalSettings
from iamrange.access.approvals.sql_store import SqlApprovalStore
from iamrange.access.approvals.views import Views
from iamrange.access.decider import GatewayDecider
from iamrange.access.gateway_counters import GatewayCounters
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.access.policy_bundle import PolicyChange, PolicyFolder
from iamrange.access.policy_engine import PACKAGE, PolicyEngine
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.identity.names import service_resource
from iamrange.identity.stores.ports import Rate
from iamrange.range.service_app import ServiceApp
from iamrange.range.service_log import ServiceLog
from iamrange.range.services import APPROVALS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp

    from iamrange.access.record_tap import RecordTap
    from iamrange.core.clock import Clock
    from iamrange.core.decision import Tamper
    from iamrange.credentials.redaction.redactor import Redactor
    from iamrange.identity.protected import TokenVerifier
    from iamrange.range.lapses import Lapse
    from iamrange.range.world_directory import WorldDirectory

POLICY = Path(str(resources.files("iamrange.access") / "policy"))
POLICY_POINT = "gateway.policy"
"""Where a changed policy is taken or refused."""

_LOG = logging.getLogger(__name__)
_LONGEST_REFUSAL = 300
POLL_SECONDS = 1
"""How often an agent may ask whether it has been approved: its people are quick here."""

AGENT_RATE = Rate(amount=40, seconds=10)
"""What one agent may call in the range: its daily work is a handful."""


class WorldGateway:
    """The services and their gateway."""

    def __init__(  # noqa: PLR0913 - keyword-only ports
        self,
        *,
        agents: WorldDirectory,
        clock: Clock,
        records: RecordTap,
        tamper: Tamper,
        redactor: Redactor,
        policy: Path | None = None,
    ) -> None:
        """Make the services, which keep nothing yet. `policy` is a folder to follow.

        Raises:
            PolicyError: there is no policy that could be taken.
        """
        self._agents = agents
        self._clock = clock
        self._records = records
        self._tamper = tamper
        self._limiter = GatewayCounters()
        self._store = SqlApprovalStore(agents.url)
        self._store_url = agents.url
        self.followed = None if policy is None else PolicyFolder(policy, tell=self._policy_changed)
        self._policy = _fixed(POLICY) if self.followed is None else self.followed.current
        self.log = ServiceLog(redactor)
        self.services = {
            service.host: ServiceApp(
                service, clock=clock, records=records, tamper=tamper, log=self.log
            )
            for service in SERVICES.values()
        }

    def switch(self, lapse: Lapse, verifiers: Callable[[str], TokenVerifier]) -> None:
        """Decide from now on with exactly these settings left out."""
        asked: dict[str, Any] = dict(lapse.approvals)
        self.log.unsafe_as_given = bool(lapse.log.get("unsafe_as_given"))
        if self._store_url != self._agents.url:  # in a fork, the approvals lie in its own database
            self._store_url = self._agents.url
            self._store = SqlApprovalStore(self._store_url)
        people = self._agents.directory
        self.views = Views(self._store, people, clock=self._clock, origin=APPROVALS.resource)
        self.approvals = Approvals(
            self._store,
            people,
            describe,
            clock=self._clock,
            settings=replace(ApprovalSettings(interval=POLL_SECONDS), **asked),
            records=self._records,
            tamper=self._tamper,
        )
        settings: dict[str, Any] = dict(lapse.gateway)
        self.decider = GatewayDecider(
            verifiers=lambda name: verifiers(service_resource(name)),
            agents=self._agents,
            policy=self._policy,
            approvals=self.approvals,
            limits=self._limiter,
            clock=self._clock,
            records=self._records,
            tamper=self._tamper,
            settings=replace(GatewaySettings(agent_rate=AGENT_RATE), **settings),
        )

    def policy_status(self) -> Mapping[str, Any]:
        """Return which policy is in use; `folder` is None where none is followed."""
        if self.followed is not None:
            return asdict(self.followed.status())
        engine = self._policy()
        return {
            "folder": None,
            "digest": engine.digest,
            "files": tuple(engine.texts),
            "refusal": "",
        }

    def _policy_changed(self, change: PolicyChange) -> None:
        """Say what became of a changed folder, in the log and among the records."""
        taken = not change.refusal
        reason = "policy-taken" if taken else "policy-refused"
        detail = change.refusal[:_LONGEST_REFUSAL]
        if taken:
            _LOG.warning("policy %s is in use", change.digest)
        else:
            _LOG.error("a changed policy is refused, %s stays: %s", change.digest, detail)
        effect = Effect.ALLOW if taken else Effect.DENY
        self._records(
            DecisionRecord(
                request_id=str(uuid.uuid4()),
                time=self._clock.now(),
                point=POLICY_POINT,
                action="policy:Update",
                resource=PACKAGE,
                principal="",
                outcome=Outcome.ALLOW if taken else Outcome.DENY,
                reason=reason,
                layers=(LayerAnswer("policy", effect, reason, detail=detail),),
                facts={"policy": change.digest},
            )
        )

    def app(self, host: str) -> ASGIApp | None:
        """Return the service of that name, or of its name in the mesh."""
        name = host.replace(".mesh.", ".", 1)
        return self.services.get(name)


def _fixed(folder: Path) -> Callable[[], PolicyEngine]:
    engine = PolicyEngine.from_folder(folder)
    return lambda: engine
