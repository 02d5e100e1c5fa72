"""Proof of smaller policies: in a fresh world they take the place of what was granted.

- The agents' legitimate work of the scenarios is done again and must pass; a refused call is named.
- The scenarios' attacks on these agents in the clouds are run again and must all be refused.
- Attacks that work with a control over agents' own grants off are run in such a world with the
  proposals put in place: how many are refused now is what the proposals are worth.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.clouds.gcp import authorize
from iamrange.core.control import Control
from iamrange.core.decision import Outcome
from iamrange.core.verdict import Verdict
from iamrange.credentials.privileges.used import POINT
from iamrange.credentials.vault.decisions import AUTHORIZE
from iamrange.range.ablation import prove_scenario
from iamrange.range.catalogue import catalogue
from iamrange.range.lab import Lab
from iamrange.range.privileges import read_deployed, work_of_all
from iamrange.range.privileges_put import put, translated
from iamrange.range.runner import lacking
from iamrange.range.work import do_work
from iamrange.range.workloads import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iamrange.core.decision import DecisionRecord
    from iamrange.core.scenario import Part
    from iamrange.core.verdict import Trial
    from iamrange.credentials.privileges.estate import Estate
    from iamrange.credentials.privileges.model import AgentAudit
    from iamrange.range.catalogue import Entry
    from iamrange.range.deployment import Deployment
    from iamrange.range.runner import Progress

GRANTS = frozenset(
    {
        "aws:iam/rolePolicy:RolePolicy",
        "gcp:projects/iAMMember:IAMMember",
        "gcp:secretmanager/secretIamMember:SecretIamMember",
        "gcp:serviceaccount/iAMMember:IAMMember",
        "vault:index/policy:Policy",
    }
)
"""What a control touches that is about the extent of agents' own grants and about nothing else."""


_POINTS = frozenset({POINT, authorize.POINT, AUTHORIZE})
_IN_VAULT = "vault:"
"""What the types of resources begin with that a vault keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDone:
    """One piece of legitimate work under the proposals; `missing` are the calls refused to it."""

    agent: str
    workload: str
    ok: bool
    detail: str = ""
    missing: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it, JSON-ready."""
        return {
            "agent": self.agent,
            "workload": self.workload,
            "ok": self.ok,
            "detail": self.detail,
            "missing": list(self.missing),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """One attack: what was off, what became of it as granted (where tried) and as proposed."""

    agent: str
    scenario: str
    off: tuple[str, ...]
    proposed: Verdict
    granted: Verdict | None = None
    detail: str = ""

    @property
    def refused(self) -> bool:
        """Whether the attack was refused under the proposals."""
        return self.proposed in (Verdict.BLOCKED, Verdict.BLOCKED_ELSEWHERE)

    def to_json(self) -> dict[str, Any]:
        """Return it, JSON-ready."""
        return {
            "agent": self.agent,
            "scenario": self.scenario,
            "off": list(self.off),
            "granted": self.granted.value if self.granted else None,
            "proposed": self.proposed.value,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was seen in the fresh world.

    `skipped` are scenarios that this machine cannot run, `faulty` proposals that were not put in
    place since our decider holds something against them.
    """

    work: tuple[WorkDone, ...]
    attacks: tuple[Attacked, ...]
    opened: tuple[Attacked, ...]
    skipped: tuple[str, ...] = field(default=())
    faulty: tuple[str, ...] = field(default=())

    @property
    def broke(self) -> tuple[str, ...]:
        """What neither worked nor was refused: the range broke there."""
        return tuple(
            f"{one.scenario}: {one.detail}"
            for one in (*self.attacks, *self.opened)
            if one.proposed is Verdict.ERROR
        )

    @property
    def holds(self) -> bool:
        """Whether all work passed and all attacks were refused; nothing tried proves nothing."""
        worked = bool(self.work) and not self.faulty and all(one.ok for one in self.work)
        return worked and all(one.refused for one in self.attacks)

    def to_json(self) -> dict[str, Any]:
        """Return the proof, JSON-ready."""
        return {
            "holds": self.holds,
            "work": [one.to_json() for one in self.work],
            "attacks": [one.to_json() for one in self.attacks],
            "with_controls_off": [one.to_json() for one in self.opened],
            "skipped": list(self.skipped),
            "faulty": list(self.faulty),
        }


def prove(
    base: Deployment,
    audits: Sequence[AgentAudit],
    observed: Estate,
    progress: Progress,
    *,
    jobs: int,
) -> Proof:
    """Prove the proposals of these audits, all at once, in forks of a fresh deployment.

    Raises:
        ProcessError: a proposal names what the fresh world has no counterpart of.
        ReadError, EngineError, DeploymentError: the range broke.
    """
    names = {part: facts["name"] for part, facts in base.stage.agents.items()}
    audited = {audit.agent for audit in audits if audit.proposals}
    parts = frozenset(part for part, name in names.items() if name in audited)
    made = [proposal for audit in audits for proposal in audit.proposals]
    sound = [proposal for proposal in made if not proposal.faults]
    proposals = translated(sound, observed, read_deployed(base))
    with base.fork() as world:
        progress.step(f"put {len(proposals)} proposed policies in place")
        put(world, proposals)
        work = tuple(_work(world, parts, names, progress))
        entries = [entry for entry in catalogue().values() if _on(entry, parts)]
        target = "embedded" if base.tools.emulator is None else "localstack"
        able = [entry for entry in entries if not lacking(entry, target)]
        progress.step(f"attacks on these agents in clouds and vault: {len(able)}")
        with (
            Lab(base) as granted,
            Lab(world, change=lambda fork: put(fork, proposals)) as proposed,
            ThreadPoolExecutor(jobs, thread_name_prefix="attack") as pool,
        ):

            def attack(entry: Entry) -> Attacked:
                trial = proposed.attack(entry, world.off)
                progress.attacked(trial)
                return _attacked(entry, names, trial)

            def reopened(entry: Entry) -> list[Attacked]:
                return list(_reopened(entry, names, granted, proposed, progress))

            attacks = tuple(pool.map(attack, able))
            widening = [entry for entry in able if _widening(entry)]
            progress.step(f"the same with controls over agents' grants off: {len(widening)}")
            opened = tuple(one for found in pool.map(reopened, widening) for one in found)
    skipped = tuple(entry.id for entry in entries if entry not in able)
    faulty = tuple(f"{one.principal} {one.policy}" for one in made if one.faults)
    return Proof(work=work, attacks=attacks, opened=opened, skipped=skipped, faulty=faulty)


def _work(
    world: Deployment, parts: frozenset[Part], names: Mapping[Part, str], progress: Progress
) -> Iterator[WorkDone]:
    """Have the agents do their work in a fork, and name what was refused to them."""
    pieces = [(part, workload) for part, workload in work_of_all() if part in parts]
    progress.step(f"legitimate work under the proposals: {len(pieces)} pieces")
    with world.fork() as at_work:
        for part, workload in pieces:
            _, mark = at_work.world.records_since(0)
            done, _ = do_work(at_work, part, workload, "after")
            records, _ = at_work.world.records_since(mark)
            missing = () if done.ok else tuple(_refused(records))
            yield WorkDone(
                agent=names[part],
                workload=name_of(workload),
                ok=done.ok,
                detail=done.detail,
                missing=missing,
            )


def _refused(records: Sequence[DecisionRecord]) -> Iterator[str]:
    for record in records:
        if record.point in _POINTS and record.outcome is Outcome.DENY:
            yield f"{record.action} on {record.resource}: {record.reason}"


def _on(entry: Entry, parts: frozenset[Part]) -> bool:
    """Tell whether a scenario attacks one of these agents, and a cloud or the vault decides."""
    in_a_cloud = any(guard.startswith(("aws.", "gcp.")) for guard in entry.guards)
    return (in_a_cloud or _in_vault(entry)) and entry.scenario.foothold.victim in parts


def _in_vault(entry: Entry) -> bool:
    guards = (guard for guard in entry.scenario.blocked_by if isinstance(guard, Control))
    return any(kind.startswith(_IN_VAULT) for guard in guards for kind in guard.touches)


def _widening(entry: Entry) -> tuple[Control, ...]:
    """Return the guards of a scenario without which agents' own grants are wider."""
    if entry.scenario.response is not None:
        return ()
    guards = (guard for guard in entry.scenario.blocked_by if isinstance(guard, Control))
    return tuple(guard for guard in guards if guard.touches and guard.touches <= GRANTS)


def _attacked(
    entry: Entry, names: Mapping[Part, str], trial: Trial, granted: Verdict | None = None
) -> Attacked:
    return Attacked(
        agent=names[entry.scenario.foothold.victim],
        scenario=entry.id,
        off=tuple(sorted(trial.off)),
        proposed=trial.judgement.verdict,
        granted=granted,
        detail=trial.judgement.detail,
    )


def _reopened(
    entry: Entry, names: Mapping[Part, str], granted: Lab, proposed: Lab, progress: Progress
) -> Iterator[Attacked]:
    """Find out with what off an attack works as granted, and attack the same as proposed."""

    def attack(off: frozenset[str], rogue: str | None = None) -> Trial:
        trial = granted.attack(entry, off, rogue)
        progress.attacked(trial)
        return trial

    wanted = {guard.id for guard in _widening(entry)}
    result = prove_scenario(entry, attack)
    for proof in result.proofs:
        if proof.guard in wanted:
            off = proof.without_it.off
            trial = proposed.attack(entry, off)
            progress.attacked(trial)
            yield _attacked(entry, names, trial, proof.without_it.judgement.verdict)
