"""What principals used: from decision records, what was allowed and needed.

- Needed: with the identity layer silent, the same answers of the other layers would have refused.
- Only what the honest cloud decided counts; a record that names no statement counts for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws.decide import Principal, Request, combine
from iamrange.core.decision import Effect, LayerAnswer, Outcome
from iamrange.credentials.privileges.model import Use, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iamrange.core.decision import DecisionRecord
    from iamrange.credentials.privileges.estate import Estate

POINT = "aws.authorize"
_SILENT = LayerAnswer("identity", Effect.IMPLICIT_DENY, "no-statement-allows")


def uses_on_aws(records: Iterable[DecisionRecord], estate: Estate) -> tuple[Use, ...]:
    """Return what each role of the estate used, one entry an action, resource and statement."""
    found: dict[tuple[str, ...], Use] = {}
    for record in records:
        if record.point != POINT or record.outcome is not Outcome.ALLOW:
            continue
        role = estate.role_of(record.principal)
        decided = _identity(record)
        if role is None or decided is None or decided.decided_by is None or not _needed(record):
            continue
        by = decided.decided_by
        key = (role.arn, record.action, record.resource, by.policy, by.statement)
        known = found.get(key)
        found[key] = (
            replace(known, count=known.count + 1, last=max(known.last, record.time))
            if known is not None
            else Use(
                principal=role.arn,
                action=record.action,
                resource=record.resource,
                policy=by.policy,
                statement=by.statement,
                count=1,
                last=record.time,
                account=record.facts.get("resource_account", ""),
            )
        )
    return tuple(sorted(found.values(), key=lambda use: (use.principal, use.action, use.resource)))


def window_of(
    records: Sequence[DecisionRecord], *, source: str, since: float | None, until: float
) -> Window:
    """Return what was watched; without `since` it began with the first record."""
    first = min((record.time for record in records), default=until)
    return Window(
        since=first if since is None else since,
        until=until,
        source=source,
        decisions=len(records),
    )


def source_of(records: Iterable[DecisionRecord]) -> str | None:
    """Return the address that most allowed requests of agents came from, or None."""
    seen: dict[str, int] = {}
    for record in records:
        if record.point == POINT and record.outcome is Outcome.ALLOW and record.source_ip:
            seen[record.source_ip] = seen.get(record.source_ip, 0) + 1
    return max(seen, key=lambda address: seen[address], default=None)


def _identity(record: DecisionRecord) -> LayerAnswer | None:
    named = (layer for layer in record.layers if layer.layer == "identity")
    return next((layer for layer in named if layer.effect is Effect.ALLOW), None)


def _needed(record: DecisionRecord) -> bool:
    """Tell whether the request would have been refused without the principal's own policies."""
    silent = tuple(_SILENT if one.layer == "identity" else one for one in record.layers)
    principal = Principal("assumed-role", record.principal, account=record.account)
    owner = record.facts.get("resource_account") or record.account
    outcome, _ = combine(silent, Request(record.action, record.resource, principal, owner))
    return outcome is Outcome.DENY
