"""An organisation as a tree: root, units, accounts, and the policies attached to them.

- Plain state and questions about it; the operations that change it are in `organization_units`
  and `organization_policies`.
- The management account is bound by no policy of its own organisation
  (https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.clouds.aws.policy import PolicyKind, compile_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.clouds.aws.policy import CompiledPolicy

SCP: Final = "SERVICE_CONTROL_POLICY"
RCP: Final = "RESOURCE_CONTROL_POLICY"
KINDS: Final = {SCP: PolicyKind.SCP, RCP: PolicyKind.RCP}

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_SCP_FULL: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
)
_RCP_FULL: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*",'
    '"Resource":"*"}]}'
)


def random_id(prefix: str, length: int) -> str:
    """Return a new id of the shape that Organizations gives."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))


@dataclass(slots=True, kw_only=True)
class Node:
    """A root, a unit or an account. `parent` is None for the root only."""

    id: str
    kind: str
    name: str
    parent: str | None
    tags: dict[str, str] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    email: str = ""
    status: str = "ACTIVE"
    joined_method: str = "CREATED"
    joined_at: float = 0.0


@dataclass(slots=True, kw_only=True)
class OrganizationPolicy:
    """A control policy; `compiled` always belongs to `content`."""

    id: str
    type: str
    name: str
    description: str
    content: str
    aws_managed: bool
    compiled: CompiledPolicy
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Organization:
    """One organisation: everything is found by its id."""

    id: str
    management: str
    root_id: str
    nodes: dict[str, Node]
    policies: dict[str, OrganizationPolicy]
    enabled: set[str] = field(default_factory=set)
    enabled_at_setup: set[str] = field(default_factory=set)
    services: dict[str, float] = field(default_factory=dict)
    creations: dict[str, dict[str, object]] = field(default_factory=dict)

    @classmethod
    def create(
        cls, management: str, *, now: float, organization_id: str | None = None
    ) -> Organization:
        """Make an organisation with a root and its management account; no policy type is on."""
        root_id = random_id("r-", 4)
        root = Node(id=root_id, kind="ROOT", name="Root", parent=None)
        organization = cls(
            id=organization_id or random_id("o-", 10),
            management=management,
            root_id=root_id,
            nodes={root_id: root},
            policies={policy.id: policy for policy in _aws_managed()},
        )
        organization.add_account(management, name="management", now=now, joined="INVITED")
        return organization

    def add_account(
        self, account: str, *, name: str, now: float, joined: str = "CREATED", email: str = ""
    ) -> Node:
        """Put an account under the root."""
        node = Node(
            id=account,
            kind="ACCOUNT",
            name=name,
            parent=self.root_id,
            email=email or f"{account}@accounts.invalid",
            joined_method=joined,
            joined_at=now,
        )
        return self.add_node(node)

    def add_node(self, node: Node) -> Node:
        """Put a node into the tree; every enabled policy type starts with its full access."""
        self.nodes[node.id] = node
        node.attached += [full_access(kind) for kind in sorted(self.enabled)]
        return node

    def enable(self, kind: str) -> None:
        """Switch a policy type on: full access is attached everywhere, so that nothing changes."""
        self.enabled.add(kind)
        for node in self.nodes.values():
            node.attached.append(full_access(kind))

    def disable(self, kind: str) -> None:
        """Switch a policy type off: all its attachments are lost."""
        self.enabled.discard(kind)
        for node in self.nodes.values():
            node.attached = [p for p in node.attached if self.policies[p].type != kind]

    def children(self, parent: str, kind: str) -> list[Node]:
        """Return the direct children of one kind."""
        return [n for n in self.nodes.values() if n.parent == parent and n.kind == kind]

    def accounts(self) -> list[Node]:
        """Return all accounts."""
        return [node for node in self.nodes.values() if node.kind == "ACCOUNT"]

    def attached(self, node: Node, kind: str) -> list[OrganizationPolicy]:
        """Return the policies of one type that are attached to a node itself."""
        return [p for p in map(self.policies.__getitem__, node.attached) if p.type == kind]

    def line(self, node_id: str) -> list[Node]:
        """Return the nodes from the root down to this one."""
        line = [self.nodes[node_id]]
        while (parent := line[0].parent) is not None:
            line.insert(0, self.nodes[parent])
        return line

    def levels(self, account: str, kind: str) -> tuple[tuple[CompiledPolicy, ...], ...]:
        """Return the policies over an account, level by level; none over the management account."""
        if account == self.management or account not in self.nodes or kind not in self.enabled:
            return ()
        return tuple(
            tuple(policy.compiled for policy in self.attached(node, kind))
            for node in self.line(account)
        )


class OrganizationRegistry:
    """All organisations of one cloud; implements `OrganizationLevels`."""

    def __init__(self) -> None:
        """Start with none."""
        self._organizations: dict[str, Organization] = {}

    def __iter__(self) -> Iterator[Organization]:
        """Iterate over the organisations."""
        return iter(list(self._organizations.values()))

    def add(self, organization: Organization) -> None:
        """Take an organisation in."""
        self._organizations[organization.id] = organization

    def remove(self, organization: Organization) -> None:
        """Forget an organisation."""
        del self._organizations[organization.id]

    def of(self, account: str | None) -> Organization | None:
        """Return the organisation that an account is in."""
        members = (o for o in self._organizations.values() if account in o.nodes)
        return next(members, None)

    def scps(self, account: str) -> tuple[tuple[CompiledPolicy, ...], ...]:
        """Return the service control policies over that account, root first."""
        organization = self.of(account)
        return organization.levels(account, SCP) if organization else ()

    def rcps(self, account: str) -> tuple[tuple[CompiledPolicy, ...], ...]:
        """Return the resource control policies over that account, root first."""
        organization = self.of(account)
        return organization.levels(account, RCP) if organization else ()

    def organization_id(self, account: str) -> str | None:
        """Return the id of the organisation that the account is in."""
        organization = self.of(account)
        return organization.id if organization else None

    def path(self, account: str) -> str | None:
        """Return `o-x/r-x/ou-x/`: the account's place, itself left out."""
        organization = self.of(account)
        if organization is None:
            return None
        above = [node.id for node in organization.line(account)[:-1]]
        return "/".join([organization.id, *above]) + "/"


def full_access(kind: str) -> str:
    """Return the id of the policy that allows everything of a type."""
    return "p-FullAWSAccess" if kind == SCP else "p-RCPFullAWSAccess"


def _aws_managed() -> Iterator[OrganizationPolicy]:
    for kind, content in ((SCP, _SCP_FULL), (RCP, _RCP_FULL)):
        policy_id = full_access(kind)
        yield OrganizationPolicy(
            id=policy_id,
            type=kind,
            name=policy_id.removeprefix("p-"),
            description="Allows access to every operation",
            content=content,
            aws_managed=True,
            compiled=compile_policy(content, kind=KINDS[kind], name=policy_id),
        )
