"""Who acted, gathered from the audit log's events in one pass. Pure.

What an identity is made by is told by the same log: CreateRole, CreateUser, CreateAccessKey,
serviceAccounts.create and serviceAccountKeys.create, each with who called it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.event_members import text_of
from iamrange.detect.ocsf import API_ACTIVITY
from iamrange.detect.unmanaged import (
    MOST_TOUCHED,
    Act,
    Actors,
    Attribution,
    Entry,
    Made,
    Reason,
    Unmanaged,
    attributed,
    judge,
    unseen,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_AFTER_PROOF: Final = frozenset(
    {"aws.authorize", "aws.write-guard", "gcp.authorize", "vault.authorize"}
)
"""Where only comes who has proved itself: a refusal here is the act of somebody known. A request
that was refused anywhere else proves nothing."""
_ECHOES: Final = frozenset({"aws.limits", "gcp.organization-policy", "gcp.write-guard"})
"""Further records of a request that another one tells of."""
_NOBODY: Final = frozenset({"", "anonymous"})
_AWS_ENTITY: Final = re.compile(r"arn:aws:iam::(\d{12}):(role|user)/(?:.*/)?([^/]+)")
_AWS_SESSION: Final = re.compile(r"arn:aws:sts::(\d{12}):assumed-role/([^/]+)/.*", re.DOTALL)
_GOOGLE_ACCOUNT: Final = re.compile(r"projects/([^/]+)/serviceAccounts/([^/@]+)(?:@.*)?")
_MAKES_AWS: Final = frozenset({"iam:CreateRole", "iam:CreateUser", "iam:CreateAccessKey"})
_TAKES: Final = frozenset({"sts:AssumeRole"})
_MAKES_AT_VAULT: Final = "auth/token/create"
"""Where a vault's tokens are made; the record says whose the new one is."""
_MAKES_GOOGLE: Final = frozenset({"iam.serviceAccounts.create", "iam.serviceAccountKeys.create"})
_NAMES_GOOGLE: Final = "gcp.organization-policy"
"""Google's record of a creation names the project alone; the constraint's names the account."""
_MOST_TEXTS: Final = 20


def act_of(event: Mapping[str, Any]) -> Act | None:
    """Return the act that an event tells of; None where it tells of nobody's, or is no event.

    Decisions alone are acts: what Envoy saw of the same call, what an administrator changed and
    what a scan found are events of other classes.
    """
    if event.get("class_uid") != API_ACTIVITY:
        return None
    resources = event.get("resources")
    first = resources[0] if isinstance(resources, list) and resources else {}
    time = event.get("time")
    principal = text_of(event, "actor", "user", "uid")
    if not isinstance(time, int) or isinstance(time, bool) or principal in _NOBODY:
        return None
    return Act(
        request=text_of(event, "metadata", "uid"),
        time=time / 1000,
        point=text_of(event, "api", "service", "name"),
        principal=_qualified(principal, event),
        operation=text_of(event, "api", "operation"),
        resource=text_of(first, "uid"),
        allowed=event.get("action_id") == 1,
        origin=text_of(event, "src_endpoint", "ip"),
        user_agent=text_of(event, "http_request", "user_agent"),
        gave=text_of(event, "unmapped", "facts", "gave"),
    )


def actors_in(
    events: Iterable[Mapping[str, Any]],
    attributions: Sequence[Attribution],
    entries: Iterable[Entry],
    *,
    now: float,
    unseen_days: float,
) -> Actors:
    """Read events in any order, and say who acts unmanaged and who is not seen."""
    known = {entry.id: entry for entry in entries}
    watch = _Watch(attributions, known)
    for event in events:
        watch.see(event)
    found, not_known = unseen(
        known.values(), watch.seen, began=watch.began, now=now, days=unseen_days
    )
    return Actors(
        events=watch.events,
        began=watch.began,
        unmanaged=watch.unmanaged(),
        unseen=found,
        not_evaluated=not_known,
    )


@dataclass(slots=True)
class _Sighting:
    """What gathers of one identity, for one reason."""

    agent: str | None
    allowed: int = 0
    refused: int = 0
    refused_requests: set[str] = field(default_factory=set)
    touched: Counter[str] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    origins: set[str] = field(default_factory=set)
    user_agents: set[str] = field(default_factory=set)
    first: float = float("inf")
    last: float = 0.0


class _Watch:
    """Goes along a log."""

    def __init__(self, attributions: Sequence[Attribution], entries: Mapping[str, Entry]) -> None:
        self._attributions = attributions
        self._entries = entries
        self._known: dict[str, Attribution | None] = {}
        self._sightings: dict[tuple[str, Reason], _Sighting] = {}
        self._unproven: set[str] = set()
        self._makers: defaultdict[str, dict[tuple[str, str], Made]] = defaultdict(dict)
        self._creations: dict[str, Act] = {}
        self._google_names: dict[str, str] = {}
        self.seen: dict[str, float] = {}
        self.events = 0
        self.began: float | None = None

    def see(self, event: Mapping[str, Any]) -> None:
        """Take one event in."""
        act = act_of(event)
        time = event.get("time")
        if isinstance(time, int):
            self.events += 1
            self.began = time / 1000 if self.began is None else min(self.began, time / 1000)
        if act is None:
            return
        self._note_maker(act)
        if act.point in _ECHOES:
            return
        if not act.allowed and act.point not in _AFTER_PROOF:
            self._unproven.add(act.request)
        if act.principal not in self._known:
            self._known[act.principal] = attributed(act.principal, self._attributions)
        attribution = self._known[act.principal]
        reason = judge(attribution, act.principal, self._entries, act.time)
        agent = attribution.agent if attribution is not None else None
        if reason is not None:
            self._gather(act, reason, agent)
        elif agent is not None and act.allowed:
            self.seen[agent] = max(act.time, self.seen.get(agent, act.time))

    def _gather(self, act: Act, reason: Reason, agent: str | None) -> None:
        sighting = self._sightings.setdefault((act.principal, reason), _Sighting(agent))
        if act.allowed:
            sighting.allowed += 1
        else:
            sighting.refused += 1
            sighting.refused_requests.add(act.request)
        sighting.touched[act.resource] += 1
        sighting.operations.add(act.operation)
        for texts, text in ((sighting.origins, act.origin), (sighting.user_agents, act.user_agent)):
            if text and len(texts) < _MOST_TEXTS:
                texts.add(text)
        sighting.first = min(sighting.first, act.time)
        sighting.last = max(sighting.last, act.time)

    def _note_maker(self, act: Act) -> None:
        if act.gave and act.allowed and act.resource.startswith(_MAKES_AT_VAULT):
            made = Made(act.principal, act.operation, act.time)
            self._makers[act.gave].setdefault((act.operation, act.principal), made)
        elif act.point == _NAMES_GOOGLE:
            self._google_names[act.request] = _google_name(act.resource)
        elif act.allowed and act.operation in _MAKES_GOOGLE and act.point == "gcp.authorize":
            self._creations[act.request] = act
        elif (
            act.allowed
            and act.operation in _MAKES_AWS | _TAKES
            and act.point == "aws.authorize"
            and (target := name_of(act.resource)) is not None
        ):
            made = Made(act.principal, act.operation, act.time)
            self._makers[target].setdefault((act.operation, act.principal), made)

    def unmanaged(self) -> tuple[Unmanaged, ...]:
        """Return who acted, those who proved themselves first, in the order of their first act."""
        for request, act in self._creations.items():
            name = self._google_names.get(request)
            if name:
                made = Made(act.principal, act.operation, act.time)
                self._makers[name].setdefault((act.operation, act.principal), made)
        found = [self._finding(*key, sighting) for key, sighting in self._sightings.items()]
        return tuple(sorted(found, key=lambda one: (not one.proven, one.first, one.principal)))

    def _finding(self, principal: str, reason: Reason, sighting: _Sighting) -> Unmanaged:
        proven = sighting.allowed > 0 or bool(sighting.refused_requests - self._unproven)
        touched = sighting.touched.most_common(MOST_TOUCHED)
        makers = list(self._makers.get(name_of(principal) or principal, {}).values())
        entry = self._entries.get(sighting.agent or "")
        if entry is not None and entry.registered_by:
            makers.append(Made(entry.registered_by, "register", entry.created))
        return Unmanaged(
            principal=principal,
            reason=reason,
            agent=sighting.agent,
            proven=proven,
            allowed=sighting.allowed,
            refused=sighting.refused,
            first=sighting.first,
            last=sighting.last,
            operations=tuple(sorted(sighting.operations)),
            touched=dict(touched),
            touched_more=len(sighting.touched) - len(touched),
            origins=tuple(sorted(sighting.origins)),
            user_agents=tuple(sorted(sighting.user_agents)),
            made=tuple(sorted(makers, key=lambda made: made.time)),
        )


def name_of(text: str) -> str | None:
    """Return one name for an identity, whether it is written as what it is or as who acts."""
    if found := _AWS_ENTITY.fullmatch(text):
        account, kind, name = found.groups()
        return f"aws {account} {kind} {name}"
    if found := _AWS_SESSION.fullmatch(text):
        return f"aws {found[1]} role {found[2]}"
    if text.startswith("serviceAccount:"):
        account, _, host = text.removeprefix("serviceAccount:").partition("@")
        return f"gcp {host.partition('.')[0]} {account}"
    return None


def _google_name(resource: str) -> str:
    found = _GOOGLE_ACCOUNT.fullmatch(resource)
    return f"gcp {found[1]} {found[2]}" if found else ""


def _qualified(principal: str, event: Mapping[str, Any]) -> str:
    """Name a token's subject with its issuer, where the token was shown to a cloud."""
    if text_of(event, "api", "service", "name") != "aws.web-identity":
        return principal
    issuer = text_of(event, "unmapped", "facts", "iss")
    return principal if not issuer else f"{issuer} {principal}"
