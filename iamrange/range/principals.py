"""What the principals of a running range stand for: its agents, and what is the platform's own.

- An agent's are derived from the facts of its stack; the platform's are declared here, each with
  what it is. What neither names is nobody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.credentials.database.holdings import MANAGER
from iamrange.credentials.vault.openbao import ADMINISTRATOR
from iamrange.detect.unmanaged import Attribution
from iamrange.identity.directory.model import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iamrange.identity.directory.model import Agent

_ROLES: Final = {
    "OrganizationAccountAccessRole": "the organisation's role, by which the stack is provisioned",
    "project-worker": "a role that the agents of a project share",
    "records-reader": "a role that the agents of a project share",
    "release": "the function that signs releases",
    "backup-copier": "Google's backup account, which fetches the backups' key",
    "monitoring": "the vendor that monitors the workloads account",
}
"""Roles of the platform, in the accounts of the stack."""
_USERS: Final = {
    "admin": "an account's administrator, by whom the range is provisioned",
    "backup": "the service user that reads the backups' key",
}
_MADE_LETTERS: Final = 16
"""What the vault puts at the end of a login's name (`infra.database_documents`)."""

_ANY_OF_FNMATCH: Final = "*?["


def attributions(state: Mapping[str, Any], agents: Iterable[Agent]) -> tuple[Attribution, ...]:
    """Return what the principals of the range with this state stand for, agents first.

    `agents` are the directory's entries: those that the stack did not make count as well.
    """
    facts = {one["spiffe_id"]: one for one in state["facts"].values()}
    found = [a for agent in agents for a in _of_agent(state, agent, facts.get(agent.id, {}))]
    return (*found, *_of_platform(state))


def _of_agent(
    state: Mapping[str, Any], agent: Agent, facts: Mapping[str, str]
) -> Iterator[Attribution]:
    numbers = [str(project["number"]) for project in state["gcp"]["projects"].values()]
    known = {**facts, "spiffe_id": agent.id, "name": agent.name}
    known.pop("aws_role_arn", None)
    if agent.aws_role_arn is not None:
        known["aws_role_arn"] = agent.aws_role_arn
    # the pool's provider maps our own tenant's names, and refuses the others'
    yield from of_facts(known, numbers if agent.tenant == DEFAULT_TENANT else ())
    issuer, identity = state["issuer"], _plain(agent.id)
    yield Attribution(pattern=f"{issuer} {identity}", agent=agent.id)
    host = issuer.partition("://")[2]
    yield Attribution(pattern=f"arn:aws:iam::*:oidc-provider/{host}:*:{identity}", agent=agent.id)


def of_facts(facts: Mapping[str, str], projects: Iterable[str]) -> Iterator[Attribution]:
    """Yield what stands for an agent in the clouds, by the facts of its stack.

    `projects` are the numbers of the projects whose pools map its name.
    """
    agent, name = facts["spiffe_id"], _plain(facts["name"])
    if "aws_role_arn" in facts:
        yield Attribution(
            pattern=_sessions(facts["aws_role_arn"]), agent=agent, session=f"{name}-*"
        )
    for number in projects:
        pools = f"principal://iam.googleapis.com/projects/{number}/locations/global"
        yield Attribution(pattern=f"{pools}/workloadIdentityPools/*/subject/{name}", agent=agent)
    if "gcp_service_account" in facts:
        yield Attribution(pattern=f"serviceAccount:{facts['gcp_service_account']}", agent=agent)
    if "database_schema" in facts:
        # a login that the vault has made of the agent's reader, or the reader itself
        reader = _plain(facts["database_schema"])
        for pattern in (f"{reader}-{'?' * _MADE_LETTERS}", reader):
            yield Attribution(pattern=pattern, agent=agent)
    if "aws_function_role_arn" in facts:
        yield Attribution(pattern=_sessions(facts["aws_function_role_arn"]), agent=agent)


def _sessions(role_arn: str) -> str:
    """Return the pattern of a role's sessions: they name the role without its path."""
    account, role = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    return f"arn:aws:sts::{account}:assumed-role/{_plain(role)}/*"


def _of_platform(state: Mapping[str, Any]) -> Iterator[Attribution]:
    for account in state["aws"]["accounts"]:
        for role, why in _ROLES.items():
            yield Attribution(pattern=f"arn:aws:sts::{account}:assumed-role/{role}/*", why=why)
        for user, why in _USERS.items():
            for path in ("", "service/"):
                yield Attribution(pattern=f"arn:aws:iam::{account}:user/{path}{user}", why=why)
    for project in state["gcp"]["projects"]:
        yield Attribution(
            pattern=f"user:administrator@{project}.iamrange.example",
            why="a project's administrator, by whom the range is provisioned",
        )
        yield Attribution(
            pattern=f"serviceAccount:backup@{project}.iam.gserviceaccount.com",
            why="the account that reads the backups' key",
        )
    yield Attribution(
        pattern=f"token-{ADMINISTRATOR}", why="the vault's administrator, who provisions it"
    )
    yield Attribution(pattern=MANAGER, why="the vault, which makes logins at the database")
    yield Attribution(
        pattern="spiffe://iamrange.example/service/*", why="a service of the range, in its mesh"
    )


def _plain(text: str) -> str:
    """Return a pattern that matches this text alone.

    Raises:
        ValueError: it has a character that stands for others.
    """
    if any(one in text for one in _ANY_OF_FNMATCH):
        raise ValueError(f"principal '{text}': expected a name without {_ANY_OF_FNMATCH}")
    return text
