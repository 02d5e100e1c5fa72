"""What is granted and need not be: one finding a statement and kind, from grants and uses.

- Unused is said of what a window of observation did not show, and says so.
- Wildcards are findings by themselves, used or not; one that stands for what a cloud makes up (the
  six characters of a secret's ARN), or that no narrower text could replace, is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from iamrange.clouds.aws.arn import action_matcher
from iamrange.credentials.privileges.model import Assumption, Finding, Kind
from iamrange.credentials.privileges.paths import first_allowed, may_assume, open_paths
from iamrange.credentials.privileges.propose import SUFFIX
from iamrange.credentials.privileges.statements import (
    Granting,
    is_wild,
    meant,
    read_policy,
    takes_resource,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.credentials.privileges.estate import Estate, Identity
    from iamrange.credentials.privileges.model import Use, Window
    from iamrange.credentials.privileges.paths import Path

CLOUD = "aws"
_NAMED = 6
"""How many things a sentence names before it counts the rest."""


def findings_of(
    estate: Estate, who: Identity, agent: str, uses: Sequence[Use], window: Window
) -> Iterator[Finding]:
    """Yield the findings about one role's identity policies.

    Raises:
        MalformedPolicy: a deployed policy is none that AWS would have stored.
    """
    mine = [use for use in uses if use.principal == who.arn]
    for document in who.policies:
        for statement in read_policy(document).statements:
            if statement.parsed.allow:
                place = (statement.policy, statement.label)
                through = tuple(use for use in mine if (use.policy, use.statement) == place)
                yield from _Judged(estate, who, agent, statement, through, window).findings()
    for _, paths in groupby(open_paths(estate, who), lambda path: path.escalation.id):
        yield _escalation(who, agent, list(paths))


def assumptions_of(estate: Estate, who: Identity, uses: Sequence[Use]) -> Iterator[Assumption]:
    """Yield the roles that a role may become, by which statements, and how often it was seen to."""
    for role, decision in may_assume(estate, who):
        used = sum(
            use.count
            for use in uses
            if (use.principal, use.action, use.resource) == (who.arn, "sts:AssumeRole", role)
        )
        behind = (layer for layer in decision.layers if layer.layer in ("identity", "trust"))
        by = [one.decided_by for one in behind if one.decided_by is not None]
        yield Assumption(
            role=role,
            by=", ".join(f"{one.policy}/{one.statement}" for one in by),
            proof=decision.reason,
            used=used,
        )


@dataclass(frozen=True, slots=True)
class _Judged:
    """One Allow of one role, and the uses that went through it."""

    estate: Estate
    who: Identity
    agent: str
    statement: Granting
    through: tuple[Use, ...]
    window: Window

    def findings(self) -> Iterator[Finding]:
        parsed = self.statement.parsed
        if parsed.not_action:
            count = len(meant(self.statement))
            detail = f"grants all but what it names: {count} actions; {self._used()}"
            way_out = "name the actions that are needed"
            yield self._finding(Kind.NOT_ACTION, parsed.actions, detail, way_out)
        else:
            yield from self._actions()
        if parsed.not_resource:
            detail = "grants on every resource but what it names, those of tomorrow too"
            way_out = "name the resources that are needed"
            yield self._finding(Kind.NOT_RESOURCE, parsed.resources or (), detail, way_out)
        else:
            yield from self._wildcards()
        yield from self._resources()

    def _finding(self, kind: Kind, what: Sequence[str], detail: str, way_out: str) -> Finding:
        return Finding(
            kind=kind,
            cloud=CLOUD,
            agent=self.agent,
            principal=self.who.arn,
            policy=self.statement.policy,
            statement=self.statement.label,
            what=tuple(what),
            detail=detail,
            way_out=way_out,
        )

    def _used(self) -> str:
        return f"used: {', '.join(sorted({use.action for use in self.through})) or 'none'}"

    def _actions(self) -> Iterator[Finding]:
        """Find wildcards in actions, and texts of the Action element that no use needed."""
        texts = self.statement.parsed.actions
        wild = [text for text in texts if is_wild(text)]
        if wild:
            detail = f"means {len(meant(self.statement))} actions; {self._used()}"
            way_out = "name the actions that are needed"
            yield self._finding(Kind.WILDCARD_ACTION, wild, detail, way_out)
        done = [use.action.lower() for use in self.through]
        idle = [text for text in texts if not any(map(action_matcher(text), done))]
        if idle:
            detail = f"not seen in use; {self.window.brief}{self._capped(idle)}"
            way_out = "take the actions out, or say when they are needed"
            yield self._finding(Kind.UNUSED_ACTION, idle, detail, way_out)

    def _capped(self, idle: Sequence[str]) -> str:
        """Say which idle actions are refused today whatever this statement says."""
        dead = [
            text
            for text in idle
            if not is_wild(text)
            and not any(
                first_allowed(self.estate, self.who, text, resource)
                for resource in self._examples()
            )
        ]
        if not dead:
            return ""
        return f"; refused today all the same, by other layers: {', '.join(dead)}"

    def _examples(self) -> Iterator[str]:
        """Yield resources to ask about: those of the estate that are meant, or made-up ones."""
        yield from self._meant_resources()
        for text in self.statement.parsed.resources or ():
            if "${" not in text:
                yield text if text == "*" else text.replace("*", "x").replace("?", "x")

    def _meant_resources(self) -> Iterator[str]:
        known = (*self.estate.resources, *self.estate.identities)
        parsed = self.statement.parsed
        for resource in known:
            covered = bool(self.statement.covering(resource))
            if covered is not parsed.not_resource or self.statement.varies:
                yield resource

    def _wildcards(self) -> Iterator[Finding]:
        """Find wildcards in resources, where some action could be granted on less."""
        named = [action for action in meant(self.statement) if takes_resource(action)]
        wide = [
            text
            for text in self.statement.parsed.resources or ()
            if is_wild(SUFFIX.sub("", text)) and named
        ]
        if wide:
            resources = sorted({use.resource for use in self.through})
            detail = f"stands for resources that need not be there yet; used: {_listed(resources)}"
            way_out = f"name the resources that are needed: it can be done for {_listed(named)}"
            yield self._finding(Kind.WILDCARD_RESOURCE, wide, detail, way_out)

    def _resources(self) -> Iterator[Finding]:
        """Find resources on which what is used may be done too, and was not."""
        used = {use.resource for use in self.through}
        spare: dict[str, None] = {}
        for action in sorted({use.action for use in self.through}):
            for resource in self._meant_resources():
                if resource in used or not _same_type(resource, used):
                    continue
                if first_allowed(self.estate, self.who, action, resource) is not None:
                    spare[resource] = None
        if spare:
            detail = f"{self._used()}; may be done there too and was not seen; {self.window.brief}"
            way_out = "name the resources that are used"
            yield self._finding(Kind.UNUSED_RESOURCE, tuple(spare), detail, way_out)


def _same_type(resource: str, used: set[str]) -> bool:
    """Tell whether a resource is of a kind that was used: service and type of the ARN."""
    return _type_of(resource) in {_type_of(one) for one in used}


def _type_of(arn: str) -> tuple[str, str]:
    fields = arn.split(":", 5)
    if len(fields) < 6:  # noqa: PLR2004 - an ARN's fields
        return arn, ""
    return fields[2], fields[5].replace(":", "/").partition("/")[0]


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
    return f"{', '.join(values[:_NAMED])}{more}" or "none"


def _escalation(who: Identity, agent: str, paths: list[Path]) -> Finding:
    """Make one finding of a way, whatever the number of its targets."""
    first = paths[0]
    granted = first.steps[0].statement
    gains = dict.fromkeys(f"{action} on {on}" for path in paths for action, on in path.gains)
    ways = " then ".join(
        f"{step.action} ({step.reason}"
        + (f", {step.statement.policy}/{step.statement.statement})" if step.statement else ")")
        for step in first.steps
    )
    return Finding(
        kind=Kind.ESCALATION,
        cloud=CLOUD,
        agent=agent,
        principal=who.arn,
        policy=granted.policy if granted else "",
        statement=granted.statement if granted else "",
        what=tuple(path.target for path in paths),
        detail=f"{first.escalation.title}: gains {len(gains)} powers; our decider allows {ways}",
        way_out=first.escalation.way_out,
        path=first.escalation.id,
        gains=tuple(gains),
    )
