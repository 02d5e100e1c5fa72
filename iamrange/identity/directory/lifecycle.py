"""The life of an agent: (agent, what is asked, now) -> the agent after it, or a refusal. Pure.

- Retired is final. Released is what it was before: an agent never approved is not approved by it.
- Asked twice, nothing changes: the same agent object comes back.
- Whatever takes power away (revoke, quarantine, retire, a narrower registration) raises the
  epoch, so that tokens from before stay dead even when the power is given back.
- Keys that are out of their overlap are dropped with the next change.
"""

from __future__ import annotations

from dataclasses import fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypedDict

from iamrange.identity.directory.field_rules import MAX_KEYS, AgentFieldError
from iamrange.identity.directory.model import (
    Agent,
    AgentKey,
    AgentSpec,
    AgentState,
    Classification,
    DirectoryRefusal,
    check_fields,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_OVERLAP = 30 * 86400.0
ROTATION_SETTLES = 2.0
"""Seconds after a rotation in which another is taken for one that did not know of it."""
_SPEC_FIELDS = tuple(each.name for each in fields(AgentSpec))
_of_spec = attrgetter(*_SPEC_FIELDS)

Outcome = Agent | DirectoryRefusal


class AgentChanges(TypedDict, total=False):
    """What `update` may change; a member that is absent stays as it is."""

    owner: str
    purpose: str
    project: str
    classification: Classification
    roles: frozenset[str]
    scopes: frozenset[str]
    resources: frozenset[str] | None
    certificates: tuple[str, ...]
    tls_subject: bool
    secret_hash: str | None
    may_act: frozenset[str]
    audiences: frozenset[str]
    aws_role_arn: str | None
    aws_session_policy: str | None


def provision(  # noqa: PLR0913 - keyword-only places in the directory's sequences
    spec: AgentSpec,
    registration: str,
    now: float,
    *,
    activate: bool,
    version: int = 0,
    number: int = 0,
) -> Agent:
    """Return a new agent."""
    return Agent(
        **dict(zip(_SPEC_FIELDS, _of_spec(spec), strict=True)),
        state=AgentState.ACTIVE if activate else AgentState.REGISTERED,
        activated=now if activate else None,
        created=now,
        recertified=now,
        registration=registration,
        version=version,
        number=number,
    )


def activate(agent: Agent, now: float) -> Outcome:
    """Approve a registered agent."""
    match agent.state:
        case AgentState.RETIRED:
            return _retired(agent)
        case AgentState.QUARANTINED:
            return DirectoryRefusal("quarantined", f"agent {agent.name!r}: release it first")
        case AgentState.ACTIVE:
            return agent
        case AgentState.REGISTERED:
            return _changed(agent, now, state=AgentState.ACTIVE, activated=now)


def quarantine(agent: Agent, now: float) -> Outcome:
    """Suspend the agent until it is released."""
    if agent.state is AgentState.RETIRED:
        return _retired(agent)
    if agent.state is AgentState.QUARANTINED:
        return agent
    return _changed(agent, now, state=AgentState.QUARANTINED, epoch=agent.epoch + 1)


def release(agent: Agent, now: float) -> Outcome:
    """End the quarantine."""
    if agent.state is AgentState.RETIRED:
        return _retired(agent)
    if agent.state is not AgentState.QUARANTINED:
        return agent
    before = AgentState.REGISTERED if agent.activated is None else AgentState.ACTIVE
    return _changed(agent, now, state=before)


def retire(agent: Agent, now: float) -> Outcome:
    """End the agent for good. It keeps its name; no key of it counts again."""
    if agent.state is AgentState.RETIRED:
        return agent
    return replace(
        _changed(agent, now, state=AgentState.RETIRED, epoch=agent.epoch + 1),
        keys=(),
        certificates=(),
        secret_hash=None,
        tls_subject=False,
    )


def revoke(agent: Agent, now: float) -> Outcome:
    """Kill every token that the agent holds, and all that descend from them."""
    if agent.state is AgentState.RETIRED:
        return _retired(agent)
    return _changed(agent, now, epoch=agent.epoch + 1)


def rotate(
    agent: Agent, key: AgentKey, now: float, *, overlap: float, version: int | None = None
) -> Outcome:
    """Make `key` the current one; what was current is accepted for `overlap` seconds more.

    `key` has no end yet. A key that is in its overlap already keeps its own: rotating again
    neither ends nor prolongs it. `version` is what the agent's will be, where that is known: who
    rotates a hundred thousand saves a copy of each.
    """
    if agent.state is AgentState.RETIRED:
        return _retired(agent)
    if not 0 <= overlap <= MAX_OVERLAP:
        return DirectoryRefusal("bad-overlap", f"expected 0 to {MAX_OVERLAP:.0f} seconds")
    known = next((each for each in agent.keys if each.kid == key.kid), None)
    if known is not None:
        if known.not_after is None:
            return agent
        return DirectoryRefusal("key-withdrawn", "this key was rotated out and does not come back")
    kept = [
        each if each.not_after is not None else each.until(now + overlap) for each in agent.keys
    ]
    keys = (key, *(each for each in kept if each.accepted(now)))
    if len(keys) > MAX_KEYS:
        return DirectoryRefusal(
            "too-many-keys", f"{MAX_KEYS} keys are accepted already: withdraw one first"
        )
    return _changed(
        agent, now, keys=keys, rotated=now, version=agent.version if version is None else version
    )


def withdraw(agent: Agent, kid: str, now: float) -> Outcome:
    """Stop accepting a key at once, even the last one."""
    if agent.state is AgentState.RETIRED:
        return _retired(agent)
    if all(key.kid != kid for key in agent.keys):
        return DirectoryRefusal("no-such-key", f"agent {agent.name!r} has no key {kid!r}")
    changed = _changed(agent, now)
    return replace(changed, keys=tuple(key for key in changed.keys if key.kid != kid))


def recertify(agent: Agent, expires: float | None, now: float) -> Outcome:
    """Have the owner stand by the agent once more, until `expires`."""
    if agent.state is AgentState.RETIRED:
        return _retired(agent)
    if expires is not None and not now < expires < float("inf"):
        return DirectoryRefusal("bad-expiry", "expected a moment that is still to come")
    if expires is not None and expires == agent.expires:
        return agent
    return _changed(agent, now, expires=expires, recertified=now)


def update(agent: Agent, changes: AgentChanges, now: float) -> Outcome:
    """Change what was registered; taking something away kills the tokens from before."""
    if agent.state is AgentState.RETIRED:
        return _retired(agent)
    unknown = set(changes) - AgentChanges.__optional_keys__
    if unknown:
        return DirectoryRefusal("bad-field", f"cannot change {sorted(unknown)}")
    differing = {n: value for n, value in changes.items() if getattr(agent, n) != value}
    if not differing:
        return agent
    try:
        changed = _changed(agent, now, **differing)
        check_fields(changed)
    except AgentFieldError as error:
        return DirectoryRefusal("bad-field", str(error))
    return replace(changed, epoch=agent.epoch + 1) if _narrower(agent, differing) else changed


def _narrower(agent: Agent, changes: Mapping[str, Any]) -> bool:
    """Tell whether the changes take anything away."""
    for name in ("roles", "scopes", "may_act", "audiences", "certificates"):
        if name in changes and not set(getattr(agent, name)) <= set(changes[name]):
            return True
    resources = changes.get("resources")
    if resources is not None and (agent.resources is None or not agent.resources <= resources):
        return True
    classification = changes.get("classification", agent.classification)
    if classification.level < agent.classification.level:
        return True
    lost_certificate = changes.get("tls_subject") is False
    return lost_certificate or ("secret_hash" in changes and agent.secret_hash is not None)


def _changed(agent: Agent, now: float, **changes: Any) -> Agent:  # noqa: ANN401 - any field
    """Return the agent with changes; keys whose overlap is over go with it."""
    if any(not key.accepted(now) for key in agent.keys):
        changes = {"keys": agent.accepted_keys(now), **changes}
    return replace(agent, **changes)


def _retired(agent: Agent) -> DirectoryRefusal:
    return DirectoryRefusal("retired", f"agent {agent.name!r} is retired, which is final")
