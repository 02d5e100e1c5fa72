"""The vault in the over-privilege audit of a range: whose vault it is, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.credentials.privileges.model import AgentAudit
from iamrange.credentials.privileges.read_vault import read_vault
from iamrange.credentials.privileges.vault import CLOUD, agent_at, assumptions_at, uses_at
from iamrange.credentials.privileges.vault_findings import findings_at, granted_at
from iamrange.credentials.privileges.vault_propose import propose_at
from iamrange.credentials.vault.access import VaultAccess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iamrange.credentials.privileges.vault import VaultEstate
    from iamrange.range.deployment import Deployment
    from iamrange.range.privileges import Observed, Subject


def vault_of(base: Deployment) -> VaultAccess | None:
    """Return a deployment's vault, for its administrator; None where its stack has none."""
    if not base.stage.vault:
        return None
    world = base.world
    return VaultAccess(address=world.vault_endpoint, token=world.vault_token, direct=True)


def read_deployed_vault(base: Deployment) -> VaultEstate | None:
    """Read the vault of a deployment, where there is one.

    Raises:
        ReadError: it could not be read.
    """
    access = vault_of(base)
    subjects = (facts["spiffe_id"] for facts in base.stage.agents.values())
    return None if access is None else read_vault(access, subjects)


def read_running_vault(state: Mapping[str, Any], subjects: Sequence[Subject]) -> VaultEstate | None:
    """Read the vault of a running range, by its state; None where its stack has none.

    Raises:
        ReadError: it could not be read.
    """
    if not any(subject.vault_role for subject in subjects):
        return None
    facts = state["vault"]
    access = VaultAccess(address=facts["endpoint"], token=facts["token"], direct=True)
    return read_vault(access, (subject.spiffe_id for subject in subjects))


def audit_in_vault(observed: Observed, subject: Subject) -> Iterator[AgentAudit]:
    """Yield the audit of an agent in the vault, where there is one."""
    vault = observed.vault
    if vault is None:
        return
    agent = agent_at(vault, subject.name, subject.spiffe_id, subject.vault_role)
    uses = uses_at(observed.records, vault, agent)
    held = (vault.policies[name] for name in agent.policies if name in vault.policies)
    yield AgentAudit(
        agent=subject.name,
        cloud=CLOUD,
        principal=agent.principal,
        granted={"roles": [role.path for role in agent.roles], "policies": granted_at(held)},
        uses=uses,
        findings=tuple(findings_at(vault, agent, uses, observed.window)),
        assumptions=tuple(assumptions_at(observed.records, vault, agent)),
        proposals=propose_at(vault, agent, uses),
    )
