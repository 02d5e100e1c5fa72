"""A Google Cloud project as values, to decide on: allow policies, deny policies, roles, accounts.

- What is asked of it is decided by the same engine that decides real requests.
- Of roles only permissions of the services that the range serves are known, as in the range itself.
- Attributes of federated identities are not known here: a binding to a set of them is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iamrange.clouds.gcp import authorize
from iamrange.clouds.gcp.authorize import Binding, Level, Question, Target
from iamrange.clouds.gcp.principals import Caller, Federated, member_names
from iamrange.clouds.gcp.roles import predefined
from iamrange.core.decision import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iamrange.core.decision import LayerAnswer

VERSION = "latest"
_TYPES = {
    "secret": "secretmanager.googleapis.com/Secret",
    "account": "iam.googleapis.com/ServiceAccount",
    "project": "cloudresourcemanager.googleapis.com/Project",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Something with an allow policy of its own. `target` is how records name it."""

    name: str
    kind: str
    target: str
    bindings: tuple[Binding, ...] = ()
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpEstate:
    """One project, what is in it, and what stands above it, nearest first.

    `pools` are the full names of its workload identity pools. `keys_forbidden`: the organisation's
    policies let nobody make keys of service accounts.
    """

    project: Held
    number: str
    held: Mapping[str, Held]
    above: tuple[Level, ...] = ()
    deny_policies: tuple[authorize.DenyPolicy, ...] = ()
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pools: tuple[str, ...] = ()
    organization: str = ""
    keys_forbidden: bool = False
    now: float = 0.0

    def permissions(self, role: str) -> frozenset[str] | None:
        """Return a role's permissions, as far as they are known; None: there is no such role."""
        return self.roles.get(role) or predefined().get(role)

    def everything(self) -> Iterator[Held]:
        """Return the project and all that it holds."""
        yield self.project
        yield from self.held.values()

    def accounts(self) -> Iterator[Held]:
        """Return the service accounts."""
        return (one for one in self.held.values() if one.kind == "account")

    def with_bindings(self, bindings: Mapping[str, tuple[Binding, ...]]) -> GcpEstate:
        """Return the same estate with the bindings of some resources changed."""
        held = {
            name: replace(one, bindings=bindings.get(name, one.bindings))
            for name, one in self.held.items()
        }
        own = bindings.get(self.project.name, self.project.bindings)
        return replace(self, held=held, project=replace(self.project, bindings=own))


@dataclass(frozen=True, slots=True)
class GcpAgent:
    """An agent on Google Cloud: the identities that are its own."""

    name: str
    callers: tuple[Caller, ...]

    @property
    def members(self) -> tuple[str, ...]:
        """The members that name exactly this agent."""
        return tuple(caller.member for caller in self.callers)

    def named_by(self, binding: Binding) -> tuple[str, ...]:
        """Return the members of a binding that name this agent, sets of many among them."""
        return tuple(
            member
            for member in binding.members
            if any(member_names(member, caller) for caller in self.callers)
        )


def agent_of(estate: GcpEstate, name: str, email: str) -> GcpAgent:
    """Return an agent: its service account, and its subject in each of the project's pools."""
    account = Caller(
        "service-account",
        email=email,
        project_number=estate.number,
        organization=estate.organization,
    )
    subjects = tuple(
        Caller("federated", organization=estate.organization, federated=Federated(pool, name))
        for pool in estate.pools
    )
    return GcpAgent(name, (account, *subjects))


def account_caller(estate: GcpEstate, account: Held) -> Caller:
    """Return the caller that a service account is."""
    return agent_of(replace(estate, pools=()), "", account.email).callers[0]


def ask_gcp(
    estate: GcpEstate, caller: Caller, permission: str, held: Held
) -> tuple[Outcome, tuple[LayerAnswer, ...]]:
    """Decide one permission on one resource, on the policies of the estate."""
    version = held.kind == "secret" and permission.startswith("secretmanager.versions.")
    kind = _TYPES[held.kind] + ("Version" if version else "")
    own = () if held.kind == "project" else (Level(held.name, held.bindings),)
    levels = (
        *own,
        Level(estate.project.name, estate.project.bindings, estate.deny_policies),
        *estate.above,
    )
    target = Target(
        f"{held.target}/versions/{VERSION}" if version else held.target,
        kind,
        kind.partition("/")[0],
        levels,
    )
    question = Question(caller, permission, target, estate.now)
    layers = authorize.answer(question, estate.permissions)
    return authorize.combine(layers)[0], layers


def may(estate: GcpEstate, agent: GcpAgent, permission: str, held: Held) -> bool:
    """Tell whether any identity of an agent has a permission on a resource."""
    return any(
        ask_gcp(estate, caller, permission, held)[0] is Outcome.ALLOW for caller in agent.callers
    )
