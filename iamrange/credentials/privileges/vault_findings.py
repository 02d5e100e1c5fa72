"""Granted against used in a vault: findings by policy and path. Pure.

- A finding's policy is the vault's, its statement the path as the policy has it.
- A vault stops at the one rule that decides, so whatever was allowed was needed.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from iamrange.credentials.privileges.model import Finding, Kind
from iamrange.credentials.privileges.vault import CLOUD
from iamrange.credentials.privileges.vault_escalations import ANY, VAULT_ESCALATIONS, WRITES
from iamrange.credentials.vault.acl import ROOT
from iamrange.credentials.vault.policy import SUDO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from iamrange.credentials.privileges.model import Use, Window
    from iamrange.credentials.privileges.vault import VaultAgent, VaultEstate
    from iamrange.credentials.privileges.vault_escalations import VaultEscalation
    from iamrange.credentials.vault.acl import Acl
    from iamrange.credentials.vault.policy import Policy, Rule

Power = tuple[str, str]
_VALUES = ("read", "create", "update", "delete")
_NAMES_IT = "name the paths that are used"


def findings_at(
    estate: VaultEstate, agent: VaultAgent, uses: Sequence[Use], window: Window
) -> Iterator[Finding]:
    """Yield the findings about the policies that an agent holds, and the ways to more."""
    judge = _Judge(estate, agent, uses, window)
    for name in agent.policies:
        yield from judge.of_policy(name)
    yield from judge.escalations()


class _Judge:
    """One agent, with what it used."""

    def __init__(
        self, estate: VaultEstate, agent: VaultAgent, uses: Sequence[Use], window: Window
    ) -> None:
        self._estate = estate
        self._agent = agent
        self._uses = uses
        self._window = window
        self._acl = estate.acl(agent.policies)

    def of_policy(self, name: str) -> Iterator[Finding]:
        """Yield the findings about one policy."""
        if name == ROOT:
            detail = "the root policy: everything, and no rule can say otherwise"
            way_out = "give the agent a policy of its own"
            yield self._finding(Kind.ROOT_PATH, name, "*", ("*",), detail, way_out)
        policy = self._estate.policies.get(name)
        for rule in policy.rules if policy is not None else ():
            if not rule.denies and not rule.expired(self._estate.now):
                yield from self._of_rule(name, rule)

    def _of_rule(self, policy: str, rule: Rule) -> Iterator[Finding]:
        if rule.templated:
            detail = "the vault fills in who asks: what it names is not decided here"
            way_out = "look at it by hand"
            yield self._finding(
                Kind.NOT_DECIDED, policy, rule.pattern, (rule.pattern,), detail, way_out
            )
            return
        through = [use for use in self._uses if use.statement == rule.pattern]
        used = {use.action for use in through}
        places = sorted({use.resource for use in through})
        idle = sorted(rule.capabilities - used - {SUDO})
        if idle:
            done = ", ".join(sorted(used)) or "none"
            detail = f"not seen in use; used: {done}; {self._window.brief}"
            way_out = "grant what is used" if used else "take the path out"
            yield self._finding(Kind.UNUSED_ACTION, policy, rule.pattern, idle, detail, way_out)
        if SUDO in rule.capabilities:
            detail = "`sudo` opens what only administrators do"
            yield self._finding(
                Kind.ROOT_PATH, policy, rule.pattern, (SUDO,), detail, "take `sudo` out"
            )
        if rule.is_open:
            detail = f"stands for whatever fits it; used: {', '.join(places) or 'nowhere'}"
            yield self._finding(
                Kind.WILDCARD_RESOURCE, policy, rule.pattern, (rule.pattern,), detail, _NAMES_IT
            )
        spare = [
            path
            for path in self._estate.secrets
            if path not in places
            and any(self._by(rule, path, action) for action in sorted(used - {"list"}))
        ]
        if spare:
            detail = f"{', '.join(sorted(used))} may be done there too; {self._window.brief}"
            yield self._finding(
                Kind.UNUSED_RESOURCE, policy, rule.pattern, spare, detail, _NAMES_IT
            )

    def _by(self, rule: Rule, path: str, capability: str) -> bool:
        """Tell whether it is this rule that lets something be done."""
        decided = self._acl.decide(path, capability)
        return (
            decided is not None
            and decided.pattern == rule.pattern
            and capability in decided.capabilities
        )

    def escalations(self) -> Iterator[Finding]:
        """Yield the ways to more that are open, each with what it gives."""
        has = set(self._powers(self._acl))
        for escalation in VAULT_ESCALATIONS:
            ways = [
                (paths, gains)
                for paths, gives in self._ways(escalation)
                if self._open(paths, sudo=escalation.sudo)
                and (gains := [power for power in gives if power not in has])
            ]
            if ways:
                yield self._escalation(escalation, ways)

    def _ways(self, escalation: VaultEscalation) -> Iterator[tuple[tuple[str, ...], list[Power]]]:
        """Yield each way's paths for this agent, with what it gives."""
        names = {
            "policy": self._agent.policies,
            "role": tuple(role.path for role in self._agent.roles),
            "login": self._estate.logins,
            "token_role": tuple(self._estate.token_roles),
        }
        wanted = [name for name in names if any("{" + name + "}" in p for p in escalation.paths)]
        for chosen in product(*(names[name] for name in wanted)):
            filled = dict(zip(wanted, chosen, strict=True))
            paths = tuple(path.format(**filled) for path in escalation.paths)
            if escalation.gives == "all":
                yield paths, list(self._every_power())
            else:
                given = self._estate.token_roles[filled["token_role"]]
                yield paths, list(self._powers(self._estate.acl(given)))

    def _open(self, paths: Iterable[str], *, sudo: bool) -> bool:
        first, *others = paths
        writable = all(
            any(self._acl.allows(path, write) for write in WRITES) for path in (first, *others)
        )
        # a login that is enabled by oneself asks for no `sudo` below
        return writable and (not sudo or self._acl.allows(first, SUDO))

    def _every_power(self) -> Iterator[Power]:
        yield from product(_VALUES, self._estate.secrets)
        yield "update", f"sys/policies/acl/{ANY}"
        for login in self._estate.logins:
            yield "update", f"{login}/{ANY}"

    def _powers(self, acl: Acl) -> Iterator[Power]:
        return (power for power in self._every_power() if acl.allows(power[1], power[0]))

    def _escalation(
        self,
        escalation: VaultEscalation,
        ways: Sequence[tuple[tuple[str, ...], Sequence[Power]]],
    ) -> Finding:
        path = ways[0][0][0]
        decided = self._acl.decide(path)
        policy = next(iter(decided.rules), "") if decided is not None else ROOT
        gains = dict.fromkeys(f"{what} on {on}" for _, powers in ways for what, on in powers)
        return Finding(
            kind=Kind.ESCALATION,
            cloud=CLOUD,
            agent=self._agent.name,
            principal=self._agent.principal,
            policy=policy,
            statement=decided.pattern if decided is not None else "*",
            what=tuple(dict.fromkeys(step for paths, _ in ways for step in paths)),
            detail=f"{escalation.title}: gains {len(gains)} powers; our decider allows {path}",
            way_out=escalation.way_out,
            path=escalation.id,
            gains=tuple(gains),
        )

    def _finding(  # noqa: PLR0913, PLR0917 - the parts of one finding
        self,
        kind: Kind,
        policy: str,
        statement: str,
        what: Iterable[str],
        detail: str,
        way_out: str,
    ) -> Finding:
        return Finding(
            kind=kind,
            cloud=CLOUD,
            agent=self._agent.name,
            principal=self._agent.principal,
            policy=policy,
            statement=statement,
            what=tuple(what),
            detail=detail,
            way_out=way_out,
        )


def granted_at(policies: Iterable[Policy]) -> dict[str, dict[str, list[str]]]:
    """Return what policies say, by name and path."""
    return {
        policy.name: {rule.pattern: sorted(rule.capabilities) for rule in policy.rules}
        for policy in policies
    }
