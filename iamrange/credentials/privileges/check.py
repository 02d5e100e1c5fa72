"""Holds proposals against what is granted: by the engine that decides real requests.

- Each use must still be allowed, in a context in which the granted policies allow it.
- Nothing may be allowed that the granted policies refuse, on any resource of the estate.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws.documents import PolicyKind, parse_document
from iamrange.credentials.privileges.estate import Document, allowed
from iamrange.credentials.privileges.paths import contexts
from iamrange.credentials.privileges.propose import propose
from iamrange.credentials.privileges.statements import expanded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.credentials.privileges.estate import Estate, Identity
    from iamrange.credentials.privileges.model import Proposal, Use


def proposals_for(estate: Estate, who: Identity, uses: Sequence[Use]) -> tuple[Proposal, ...]:
    """Propose, for each identity policy of a role, what takes its place, and check the whole.

    None when the role was not seen to use anything: that is no reason to take everything away.

    Raises:
        MalformedPolicy: a deployed policy is none that AWS would have stored.
    """
    mine = [use for use in uses if use.principal == who.arn]
    if not mine:
        return ()
    made = tuple(propose(document, who.arn, mine) for document in who.policies)
    smaller = with_proposals(who, made)
    faults = tuple(_faults(estate, who, smaller, mine)) if _stored(made) else ()
    return tuple(
        replace(proposal, faults=(*proposal.faults, *faults))
        for proposal, document in zip(made, who.policies, strict=True)
        if faults or proposal.faults or _differs(proposal, document)
    )


def with_proposals(who: Identity, proposals: Sequence[Proposal]) -> Identity:
    """Return a role with the proposals in place of the policies that they are for."""
    by_name = {proposal.policy: proposal for proposal in proposals}
    policies = []
    for document in who.policies:
        proposal = by_name.get(document.name)
        if proposal is None:
            policies.append(document)
        elif proposal.document is not None:
            policies.append(Document(document.name, json.dumps(proposal.document)))
    return replace(who, policies=tuple(policies))


def _stored(proposals: Sequence[Proposal]) -> bool:
    return not any(proposal.faults for proposal in proposals)


def _differs(proposal: Proposal, document: Document) -> bool:
    if proposal.document is None:
        return True
    was = parse_document(document.text, PolicyKind.IDENTITY)
    return parse_document(proposal.document, PolicyKind.IDENTITY) != was


def _faults(estate: Estate, who: Identity, smaller: Identity, uses: Sequence[Use]) -> Iterator[str]:
    for use in uses:
        tried = list(contexts(estate, who, use.action, use.resource))
        good = [c for c in tried if allowed(estate, who, use.action, use.resource, c)]
        if any(not allowed(estate, smaller, use.action, use.resource, c) for c in good):
            yield f"{use.action} on {use.resource} was used and would be refused"
    changed = estate.with_identity(smaller)
    resources = dict.fromkeys(
        (*estate.resources, *estate.identities, *(use.resource for use in uses), "*")
    )
    for action in _actions(smaller):
        for resource in resources:
            for context in contexts(changed, smaller, action, resource):
                if allowed(changed, smaller, action, resource, context) and not allowed(
                    estate, who, action, resource, context
                ):
                    yield f"{action} on {resource} would be allowed and is not granted"
                    break


def _actions(who: Identity) -> Iterator[str]:
    """Yield the actions that a role's policies grant."""
    named = {
        action
        for document in who.policies
        for statement in parse_document(document.text, PolicyKind.IDENTITY).statements
        if statement.allow
        for text in statement.actions
        for action in expanded(text)
    }
    yield from sorted(named)
