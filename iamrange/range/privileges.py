"""The over-privilege audit of a range: who is audited, what they are granted, what they used.

- A range that is left running is read as it stands: its policies now, its records so far.
- Without one a world is made, and the agents do the legitimate work of all scenarios in a fork of
  it: what is granted is what the stack deploys, not what that work has left behind.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iamrange.core.controls import UnknownNameError
from iamrange.credentials.privileges import gcp_findings as privileges_gcp_findings
from iamrange.credentials.privileges.check import proposals_for
from iamrange.credentials.privileges.findings import CLOUD, assumptions_of, findings_of
from iamrange.credentials.privileges.gcp import agent_of
from iamrange.credentials.privileges.gcp_findings import findings_on_gcp, uses_on_gcp
from iamrange.credentials.privileges.gcp_propose import propose_on_gcp
from iamrange.credentials.privileges.model import AgentAudit
from iamrange.credentials.privileges.peers import peers_say
from iamrange.credentials.privileges.read_aws import read_estate
from iamrange.credentials.privileges.read_gcp import GcpProject, read_gcp
from iamrange.credentials.privileges.used import source_of, uses_on_aws, window_of
from iamrange.engine.workspace import Workspace
from iamrange.range.catalogue import catalogue
from iamrange.range.lab import workload_of
from iamrange.range.landing import landing_of
from iamrange.range.privileges_vault import (
    audit_in_vault,
    read_deployed_vault,
    read_running_vault,
)
from iamrange.range.processes import ProcessError
from iamrange.range.records import kept_records
from iamrange.range.work import do_work
from iamrange.range.workloads import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iamrange.core.decision import DecisionRecord
    from iamrange.core.scenario import Part, Workload
    from iamrange.credentials.privileges.estate import Estate, Identity
    from iamrange.credentials.privileges.gcp import GcpEstate
    from iamrange.credentials.privileges.model import Window
    from iamrange.credentials.privileges.vault import VaultEstate
    from iamrange.range.deployment import Deployment
    from iamrange.range.runner import Progress
    from iamrange.range.running import Running

CLOUDS = ("aws-", "gcp-", "vault-", "database-")
"""What the kinds of assets begin with that clouds keep, the vault, and what it makes logins of."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An agent that is audited: its part and its name, and who it is in each place.

    `vault_role` is empty where the stack has no vault.
    """

    part: str
    name: str
    role_arn: str
    email: str
    spiffe_id: str
    vault_role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What an audit rests on."""

    subjects: tuple[Subject, ...]
    estate: Estate
    project: GcpEstate
    vault: VaultEstate | None
    records: tuple[DecisionRecord, ...]
    window: Window


def work_of_all() -> Iterator[tuple[Part, Workload]]:
    """Yield every piece of legitimate work of scenarios in a cloud or in the vault, once."""
    pairs: dict[tuple[Part, str], Workload] = {}
    for entry in catalogue().values():
        scenario = entry.scenario
        for part in (scenario.foothold.victim, scenario.bystander):
            workload = workload_of(scenario, part)
            if workload.asset_kind.value.startswith(CLOUDS):
                pairs[part, name_of(workload)] = workload
    for part, name in sorted(pairs):
        yield part, pairs[part, name]


def observe_at_work(base: Deployment, progress: Progress) -> Observed:
    """Read what the base grants, and watch the agents at the work of all scenarios.

    Raises:
        ProcessError: some work was not done: there is nothing to compare with.
        ReadError: a cloud could not be read.
    """
    progress.step("read what is granted")
    estate, project, vault = read_deployed(base), read_project(base), read_deployed_vault(base)
    pieces = tuple(work_of_all())
    progress.step(f"legitimate work of all scenarios: {len(pieces)} pieces")
    with base.fork() as world:
        since = time.time()
        _, mark = world.world.records_since(0)
        for part, workload in pieces:
            done, _ = do_work(world, part, workload, "before")
            if not done.ok:
                raise ProcessError(f"{part} could not do {name_of(workload)}: {done.detail}")
        records, _ = world.world.records_since(mark)
    source = f"the legitimate work of all scenarios in clouds and vault, {len(pieces)} pieces"
    return Observed(
        subjects=tuple(_subject(part.value, base.stage.agents[part]) for part in base.homes),
        estate=replace(estate, source_ip=source_of(records)),
        project=project,
        vault=vault,
        records=tuple(records),
        window=window_of(records, source=source, since=since, until=time.time()),
    )


def observe_running(found: Running, progress: Progress) -> Observed:
    """Read what the running range grants, and the records of all it has decided.

    Raises:
        ReadError: a cloud could not be read.
        OSError: its records could not be.
    """
    state = found.state
    progress.step(f"read what the running range '{state['world']}' grants and has decided")
    workspace = Workspace(Path(state["state_dir"]), state["project"], state["stack"])
    landing = landing_of(workspace.config())
    records, cut = kept_records(Path(state["folder"]))
    estate = read_estate(
        state["aws"]["endpoint"],
        state["aws"]["accounts"],
        region=landing.region,
        management=landing.management,
    )
    subjects = tuple(_subject(part, facts) for part, facts in state["facts"].items())
    mine = _of_agents(records, estate, subjects)
    return Observed(
        subjects=subjects,
        estate=replace(estate, source_ip=source_of(mine)),
        project=read_gcp(
            GcpProject(
                state["gcp"]["endpoint"],
                landing.project,
                landing.project_number,
                state["gcp"]["projects"][landing.project]["access_token"],
            ),
            organization=landing.organization,
        ),
        vault=read_running_vault(state, subjects),
        records=tuple(records),
        window=window_of(
            records,
            source="the running range's records" + (", older ones are gone" if cut else ""),
            since=None,
            until=time.time(),
        ),
    )


def read_deployed(base: Deployment) -> Estate:
    """Read the AWS estate of a deployment.

    Raises:
        ReadError: an account could not be read.
    """
    return read_estate(
        base.world.aws_endpoint,
        base.world.aws_keys,
        region=base.landing.region,
        management=base.landing.management,
    )


def project_of(base: Deployment) -> GcpProject:
    """Return the APIs of a deployment's Google Cloud project, for its administrator."""
    landing = base.landing
    return GcpProject(
        base.world.gcp_endpoint,
        landing.project,
        landing.project_number,
        base.world.gcp_tokens[landing.project],
    )


def read_project(base: Deployment) -> GcpEstate:
    """Read the Google Cloud project of a deployment.

    Raises:
        ReadError: it could not be read.
    """
    return read_gcp(project_of(base), organization=base.landing.organization)


def audit(observed: Observed, agent: str | None = None) -> tuple[AgentAudit, ...]:
    """Audit every agent in both clouds and in the vault, or the one of that name.

    Raises:
        UnknownNameError: there is no such agent.
        PeerError: the peers' process failed.
        MalformedPolicy: a deployed policy is none that AWS would have stored.
    """
    names = tuple(subject.name for subject in observed.subjects)
    if agent is not None and agent not in names:
        raise UnknownNameError("agent", agent, names)
    chosen = [s for s in observed.subjects if agent in (None, s.name)]
    elsewhere = {
        subject.name: (_on_gcp(observed, subject), *audit_in_vault(observed, subject))
        for subject in chosen
    }
    return tuple(
        one for audited in _on_aws(observed, chosen) for one in (audited, *elsewhere[audited.agent])
    )


def _on_gcp(observed: Observed, subject: Subject) -> AgentAudit:
    project = observed.project
    agent = agent_of(project, subject.name, subject.email)
    uses = uses_on_gcp(observed.records, agent)
    return AgentAudit(
        agent=subject.name,
        cloud=privileges_gcp_findings.CLOUD,
        principal=agent.members[0],
        granted={
            "members": list(agent.members),
            "bindings": [
                {"resource": held.name, "role": binding.role}
                for held in project.everything()
                for binding in held.bindings
                if agent.named_by(binding)
            ],
            "deny_policies": [policy.name for policy in project.deny_policies],
        },
        uses=uses,
        findings=tuple(findings_on_gcp(project, agent, uses, observed.window)),
        assumptions=(),
        proposals=propose_on_gcp(project, agent, uses),
    )


def _on_aws(observed: Observed, chosen: Sequence[Subject]) -> tuple[AgentAudit, ...]:
    uses = uses_on_aws(observed.records, observed.estate)
    roles = [observed.estate.identities[subject.role_arn] for subject in chosen]
    texts = {document.text: document for role in roles for document in role.policies}
    by_text: dict[str, list[Any]] = {}
    for text, document in texts.items():
        by_text[text] = list(peers_say([document]))
    return tuple(
        AgentAudit(
            agent=subject.name,
            cloud=CLOUD,
            principal=role.arn,
            granted=_granted(observed.estate, role),
            uses=tuple(use for use in uses if use.principal == role.arn),
            findings=tuple(findings_of(observed.estate, role, subject.name, uses, observed.window)),
            assumptions=tuple(assumptions_of(observed.estate, role, uses)),
            proposals=proposals_for(observed.estate, role, uses),
            peers=tuple(
                finding for document in role.policies for finding in by_text[document.text]
            ),
        )
        for subject, role in zip(chosen, roles, strict=True)
    )


def _subject(part: str, facts: Mapping[str, str]) -> Subject:
    return Subject(
        part=part,
        name=facts["name"],
        role_arn=facts["aws_role_arn"],
        email=facts["gcp_service_account"],
        spiffe_id=facts["spiffe_id"],
        vault_role=facts.get("vault_role", ""),
    )


def _of_agents(
    records: Sequence[DecisionRecord], estate: Estate, subjects: Sequence[Subject]
) -> list[DecisionRecord]:
    roles = {subject.role_arn for subject in subjects}
    found = ((record, estate.role_of(record.principal)) for record in records)
    return [record for record, role in found if role is not None and role.arn in roles]


def _granted(estate: Estate, role: Identity) -> dict[str, Any]:
    """Return what gives and what caps, by name: the documents are where these names lead."""
    return {
        "policies": [document.name for document in role.policies],
        "boundary": role.boundary.name if role.boundary else None,
        "organization_policies": [
            document.name
            for levels in (estate.scps, estate.rcps)
            for level in levels.get(role.account, ())
            for document in level
        ],
        "resource_policies": [
            resource.arn
            for resource in estate.resources.values()
            if resource.policy is not None and role.arn in resource.policy.text
        ],
    }
