"""What another agent's call has left in the services' log of one world, and who searches it too.

- The agent sends a service what it works with: settings of a deployment, with its AWS session. The
  service logs what it was called with.
- With the control on there is a mark in the place of the key: that is the decoy. Whoever comes home
  with it has looked where the key had been.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from iamrange.core.clock import SystemClock
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.core.secrets_controls import LOG_SEARCHED
from iamrange.credentials.scan.rules_types import Flavour
from iamrange.credentials.scan.text import find
from iamrange.range.work import FootholdError, do_work
from iamrange.range.workloads import WORKLOADS

if TYPE_CHECKING:
    from iamrange.core.scenario import Scenario
    from iamrange.range.deployment import Deployment

_WORK = "DEPLOYS_WITH_ITS_OWN_SESSION"
_SECRET = ("secret_access_key", "session_token")
_KIND = "aws-secret-access-key"
_TIMES = 2
"""In how many lines the same session is: they are joined by its mark."""

_NOTHING_ELSE = "nothing-but-marks"


class Logged:
    """The services' log after the work of the agent that the scenario's asset belongs to."""

    def __init__(self, world: Deployment, scenario: Scenario) -> None:
        """Have the agent work.

        Raises:
            FootholdError: it did not, or what it sent was not logged.
        """
        author = scenario.asset.of
        if author is None:
            raise FootholdError(f"'{scenario.claim}': whose secret is logged?")
        work, memory = do_work(world, author, WORKLOADS[_WORK], "before")
        if not work.ok:
            raise FootholdError(f"{author} could not do its work: {work.detail}")
        self._world = world
        self._secrets = tuple(memory[name] for name in _SECRET)
        self.decoy = str(world.world.control("redaction_mark", kind=_KIND, secret=self._secrets[0]))
        if not self._written():
            raise FootholdError(f"{author}: the services' log has nothing of its call")

    def searched(self) -> DecisionRecord | None:
        """Search as an operator does; return that there are marks alone, as a record.

        Raises:
            FootholdError: the mark is not there either, or the lines say too little to debug by.
        """
        lines = self._written()
        text = "\n".join(lines)
        found = {match.secret for match in find(text, Flavour.CONFIGURATION).matches}
        if any(secret in text for secret in self._secrets) or found & set(self._secrets):
            return None
        marked = [line for line in lines if self.decoy in line]
        if len(marked) < _TIMES:
            raise FootholdError(f"services' log: expected the mark in {_TIMES} lines that it joins")
        if not all(json.loads(line)["request_id"] for line in marked):
            raise FootholdError("services' log: redaction took the ids of requests with it")
        detail = f"{len(lines)} lines: {len(marked)} with the key's mark, none with the key"
        answer = LayerAnswer("search", Effect.DENY, _NOTHING_ELSE, detail=detail)
        return DecisionRecord(
            request_id=str(uuid.uuid4()),
            time=SystemClock().now(),
            point=LOG_SEARCHED,
            action="log:Search",
            resource="services' log",
            principal="",
            outcome=Outcome.DENY,
            reason=_NOTHING_ELSE,
            layers=(answer,),
        )

    def _written(self) -> list[str]:
        text = str(self._world.world.control("service_log"))
        return [line for line in text.splitlines() if "called_with" in json.loads(line)]
