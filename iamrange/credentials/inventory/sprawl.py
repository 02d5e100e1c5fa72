"""What the rules of sprawl say of an inventory. Pure.

- A rule that needs a fact which nobody could read is not evaluated for that credential, and said.
- An inventory with a source that was not read is never called clean.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from iamrange.credentials.inventory.sprawl_rules import RULES, Case

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iamrange.credentials.inventory.gather import Inventory, Unread
    from iamrange.credentials.inventory.owners import Owners
    from iamrange.credentials.inventory.sprawl_rules import Rule, Settings


@dataclass(frozen=True, slots=True)
class Waiver:
    """A finding that somebody has accepted: a rule, a pattern of places, and why."""

    rule: str
    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a credential breaks. `waived` is why that was accepted."""

    rule: Rule
    place: str
    reason: str
    waived: str | None = None


@dataclass(frozen=True, slots=True)
class Unevaluated:
    """A rule that could not be evaluated for a credential, and why."""

    rule: Rule
    place: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the rules say."""

    cases: tuple[Case, ...]
    findings: tuple[Finding, ...]
    unevaluated: tuple[Unevaluated, ...]
    unread: tuple[Unread, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Return the findings that nobody has accepted."""
        return tuple(one for one in self.findings if one.waived is None)

    @property
    def clean(self) -> bool:
        """Tell whether all was read and evaluated, and nothing found."""
        return not (self.broken or self.unevaluated or self.unread)

    def to_json(self) -> dict[str, object]:
        """Return plain values. No value of a credential is in them, and no mark of one."""
        return {
            "clean": self.clean,
            "credentials": [_case_to_json(case) for case in self.cases],
            "findings": [
                {
                    "rule": one.rule.id,
                    "place": one.place,
                    "reason": one.reason,
                    "way_out": one.rule.way_out,
                    "waived": one.waived,
                }
                for one in self.findings
            ],
            "unevaluated": [
                {"rule": one.rule.id, "place": one.place, "why": one.why}
                for one in self.unevaluated
            ],
            "unread": [asdict(one) for one in self.unread],
        }


def judge(
    inventory: Inventory,
    owners: Owners,
    settings: Settings,
    now: float,
    waivers: Iterable[Waiver] = (),
) -> Report:
    """Evaluate every rule for every credential that it is about."""
    copies, counts, waivers = inventory.copies(), inventory.per_agent(), tuple(waivers)
    cases = tuple(
        Case(
            credential=one,
            owner=owners.of_credential(one),
            copies=copies[one.place],
            of_its_agent=counts[one.agent] if one.agent else 0,
            now=now,
            settings=settings,
        )
        for one in inventory.credentials
    )
    findings, unevaluated = [], []
    for case in cases:
        place, unread = case.credential.place, case.credential.unread
        for rule in RULES:
            if case.credential.kind not in rule.kinds:
                continue
            lacking = sorted(rule.needs & unread.keys())
            if lacking:
                why = "; ".join(f"{fact}: {unread[fact]}" for fact in lacking)
                unevaluated.append(Unevaluated(rule, place, why))
            elif (reason := rule.broken(case)) is not None:
                findings.append(Finding(rule, place, reason, _waived(waivers, rule, place)))
    return Report(cases, tuple(findings), tuple(unevaluated), inventory.unread)


def _waived(waivers: tuple[Waiver, ...], rule: Rule, place: str) -> str | None:
    return next(
        (w.reason for w in waivers if w.rule == rule.id and fnmatchcase(place, w.place)), None
    )


def _case_to_json(case: Case) -> dict[str, object]:
    one = case.credential
    return {
        "where": one.source,
        "name": one.name,
        "kind": one.kind.value,
        "owner": case.owner.name or None,
        "owner_is": case.owner.standing.value,
        "agent": one.agent,
        "active": one.active,
        "age_days": None if case.age is None else round(case.age, 2),
        "created": one.created,
        "rotated": one.rotated,
        "last_used": one.last_used,
        "expires": one.expires,
        "gives_for": one.gives_for,
        "copies": list(case.copies),
        "unread": {fact.value: why for fact, why in one.unread.items()},
    }
