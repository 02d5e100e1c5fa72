"""One scan of privileges from beginning to end: observe, audit, and on request prove.

- The proof is made in a fresh world, whatever was observed: nothing is changed on a running range.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.core.controls import UnknownNameError
from iamrange.credentials.privileges.peers import peer_versions
from iamrange.range.deployment import Deployment
from iamrange.range.landing import stack_config
from iamrange.range.privileges import Observed, audit, observe_at_work, observe_running
from iamrange.range.privileges_proof import Proof, prove
from iamrange.range.runner import RunOptions, workshop
from iamrange.range.running import NotRunningError, running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.credentials.privileges.model import AgentAudit, Window
    from iamrange.range.runner import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one scan found."""

    window: Window
    audits: tuple[AgentAudit, ...]
    peers: Mapping[str, str]
    proof: Proof | None = None

    @property
    def found(self) -> bool:
        """Whether anything was found, or a proposal did not hold."""
        if self.proof is not None and not self.proof.holds:
            return True
        return any(audit.findings for audit in self.audits)

    def to_json(self) -> dict[str, Any]:
        """Return the scan, JSON-ready."""
        return {
            "window": self.window.to_json(),
            "peers": dict(self.peers),
            "agents": [audit.to_json() for audit in self.audits],
            "proof": None if self.proof is None else self.proof.to_json(),
        }


def scan(
    options: RunOptions,
    progress: Progress,
    *,
    agent: str | None = None,
    proving: bool = False,
    change: Callable[[Deployment], None] | None = None,
) -> Scan:
    """Scan the range left running, or a fresh one at work; `change` is done to that one first.

    Raises:
        UnknownNameError: there is no such agent.
        BrokenRangeError, ProcessError, EngineError, DeploymentError, ReadError: the range broke.
    """
    with contextlib.ExitStack() as stack:
        base: Deployment | None = None

        def fresh() -> Deployment:
            if agent is not None:
                _check_declared(agent, options)
            tools = stack.enter_context(workshop(options, progress))
            progress.step(f"pulumi up of the stack '{tools.stack}'")
            return stack.enter_context(Deployment.create(tools, progress.resource))

        try:
            observed = observe_running(running(), progress)
        except NotRunningError:
            base = fresh()
            if change is not None:
                change(base)
            observed = observe_at_work(base, progress)
        audits = audit(observed, agent)
        proof = None
        if proving and any(one.proposals for one in audits):
            proof = _proved(base or fresh(), observed, audits, options, progress)
        return Scan(window=observed.window, audits=audits, peers=peer_versions(), proof=proof)


def _check_declared(agent: str, options: RunOptions) -> None:
    """Refuse an unknown agent before a range is made for it.

    Raises:
        UnknownNameError: the stack's config declares no agent of that name.
        LandingError: there is no such config.
    """
    declared = stack_config(options.project, options.stack).get("iamrange:agents")
    listed = declared if isinstance(declared, list) else []
    names = tuple(
        str(one.get("name") or one.get("part")) for one in listed if isinstance(one, dict)
    )
    if agent not in names:
        raise UnknownNameError("agent", agent, names)


def _proved(
    base: Deployment,
    observed: Observed,
    audits: tuple[AgentAudit, ...],
    options: RunOptions,
    progress: Progress,
) -> Proof:
    jobs = options.jobs or os.cpu_count() or 1
    return prove(base, audits, observed.estate, progress, jobs=jobs)
