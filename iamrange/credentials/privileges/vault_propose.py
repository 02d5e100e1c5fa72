"""A smaller policy in place of each that is an agent's own in a vault: what was used, where it was.

- Each used capability is granted at the exact path, under the limits of the rule that allowed it
  (wrapping, parameters, end). Denials, and rules that are not decided here, stay as they are.
- A policy that others hold as well is not the agent's to change, and stays.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Final

from iamrange.credentials.privileges.model import Proposal
from iamrange.credentials.privileges.vault import DEFAULT
from iamrange.credentials.privileges.vault_escalations import ANY
from iamrange.credentials.vault.acl import ROOT
from iamrange.credentials.vault.policy import CAPABILITIES, DENY, Policy, policy_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.credentials.privileges.model import Use
    from iamrange.credentials.privileges.vault import VaultAgent, VaultEstate
    from iamrange.credentials.vault.policy import Rule

PREFIX: Final = "vault:"
"""How a proposal for a vault's policy is called: this, and the policy's name."""


def propose_at(estate: VaultEstate, agent: VaultAgent, uses: Sequence[Use]) -> tuple[Proposal, ...]:
    """Propose, for each policy of the agent's own, what takes its place; none without any use."""
    if not uses:
        return ()
    own = [estate.policies[name] for name in agent.policies if _is_own(estate, agent, name)]
    smaller = {policy.name: Policy(policy.name, _cut(policy, uses)) for policy in own}
    after = estate.with_policies(smaller)
    faults = tuple(_faults(estate, after, agent, uses))
    return tuple(
        Proposal(
            principal=agent.principal,
            policy=f"{PREFIX}{policy.name}",
            document=policy_json(smaller[policy.name].rules)
            if smaller[policy.name].rules
            else None,
            faults=faults,
        )
        for policy in own
        if set(_said(policy)) != set(_said(smaller[policy.name]))
    )


def _is_own(estate: VaultEstate, agent: VaultAgent, policy: str) -> bool:
    if policy in (DEFAULT, ROOT) or policy not in estate.policies:
        return False
    others = set(estate.holders(policy)) - {role.path for role in agent.roles}
    given = any(policy in held for who, held in estate.given.items() if who != agent.subject)
    return not others and not given


def _cut(policy: Policy, uses: Sequence[Use]) -> tuple[Rule, ...]:
    kept: dict[str, Rule] = {}
    for rule in policy.rules:
        if rule.denies or rule.templated:
            kept[rule.pattern] = rule
    for rule in policy.rules:
        for use in uses:
            if use.statement != rule.pattern or use.action not in rule.capabilities:
                continue
            known = kept.get(use.resource)
            held = known.capabilities if known is not None else frozenset()
            if DENY not in held:
                kept[use.resource] = replace(
                    rule, pattern=use.resource, capabilities=held | {use.action}
                )
    return tuple(kept.values())


def _said(policy: Policy) -> Iterator[str]:
    for rule in policy.rules:
        yield repr((rule.pattern, sorted(rule.capabilities), sorted(rule.limits.items(), key=str)))


def _faults(
    estate: VaultEstate, after: VaultEstate, agent: VaultAgent, uses: Sequence[Use]
) -> Iterator[str]:
    was, now = estate.acl(agent.policies), after.acl(agent.policies)
    for use in uses:
        granted = was.allows(use.resource, use.action)
        if granted and not now.allows(use.resource, use.action):
            yield f"{use.action} on {use.resource} was used and would be refused"
    paths = dict.fromkeys(
        (*estate.secrets, *(use.resource for use in uses), *(f"{p}/{ANY}" for p in estate.logins))
    )
    for path, capability in product(paths, sorted(CAPABILITIES - {DENY})):
        if now.allows(path, capability) and not was.allows(path, capability):
            yield f"{capability} on {path} would be allowed and is not granted"
