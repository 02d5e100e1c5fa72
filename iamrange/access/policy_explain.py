"""Why the policy answered as it did, and what would have to be otherwise.

- What would have to change is not guessed from the reasons: each change is tried, and the smallest
  sets of changes that the policy really allows are told.
- Changes of the data's label or of an agent's role are what somebody would have to decide, not
  advice: they say what stands in the way.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.access.policy_engine import ERROR, INPUT, UNDEFINED
from iamrange.identity.directory.model import Classification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iamrange.access.policy_engine import PolicyAnswer, PolicyEngine

MOST_CHANGES = 3
MOST_WAYS = 5
MOST_TRIED = 500

MEANINGS = {
    "agent-malformed": "the agent is no object with `role` or `roles` of the right types",
    "resource-malformed": "the resource is no object, or a member of it is of the wrong type",
    "approval-malformed": "the approval is neither null nor an object whose `manager_signed` "
    "is true or false",
    "action-unknown": "the action is no word of the closed vocabulary",
    "classification-unknown": "the data has no label, or one that is not of the four",
    "ceiling-unknown": "the agent's own ceiling is no label of the four",
    "agent-not-active": "the agent is not active",
    "other-tenant": "the agent is another tenant's",
    "other-project": "the data is not public, and of a project that is not the agent's",
    "approval-required": "this waits for an approval that a manager has signed",
    "execute-is-for-platform-admins": "nobody executes but a platform admin",
    "role-unknown": "the policy knows none of the agent's roles",
    "role-may-not": "no role of the agent is granted this action there",
    "data-above-ceiling": "the data is more sensitive than a grant or the agent's ceiling reaches",
    INPUT: "the input is no JSON object in which each member comes once",
    UNDEFINED: "the policy does not answer",
    ERROR: "the policy breaks on this input",
}
"""What each reason against a call says."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer in words. `ways` are the smallest sets of changes that were tried and allowed."""

    answer: PolicyAnswer
    meanings: tuple[tuple[str, str], ...]
    ways: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Change:
    """One thing that could be otherwise."""

    words: str
    make: Callable[[dict[str, Any]], None]


def explain(engine: PolicyEngine, input_json: str) -> Explanation:
    """Say why the policy answers as it does on an input."""
    answer = engine.evaluate(input_json)
    meanings = tuple((code, MEANINGS.get(code, "")) for code in answer.deny)
    if answer.allow or INPUT in answer.deny:
        return Explanation(answer, meanings, ())
    return Explanation(answer, meanings, _ways(engine, json.loads(input_json), answer))


def _ways(
    engine: PolicyEngine, values: dict[str, Any], answer: PolicyAnswer
) -> tuple[tuple[str, ...], ...]:
    reached: list[tuple[tuple[str, ...], dict[str, Any], PolicyAnswer]] = [((), values, answer)]
    seen: set[str] = set()
    for _ in range(MOST_CHANGES):
        ways: list[tuple[str, ...]] = []
        further = []
        for words, now, said in reached:
            for change in _changes(engine, now, said):
                made = copy.deepcopy(now)
                change.make(made)
                text = json.dumps(made, sort_keys=True)
                if text in seen or len(seen) >= MOST_TRIED:
                    continue
                seen.add(text)
                then = engine.evaluate(text)
                if then.allow:
                    ways.append((*words, change.words))
                else:
                    further.append(((*words, change.words), made, then))
        if ways:
            return tuple(ways[:MOST_WAYS])
        reached = further
    return ()


def _changes(
    engine: PolicyEngine, values: dict[str, Any], answer: PolicyAnswer
) -> Iterator[_Change]:
    """Yield what could be otherwise, for each reason against."""
    agent, resource, context = (
        value if isinstance(value := values.get(name), dict) else {}
        for name in ("agent", "resource", "context")
    )
    for reason in answer.deny:
        match reason:
            case "agent-not-active":
                yield _Change("the agent is active", _setting("agent", "state", "active"))
            case "other-tenant":
                yield _Change(
                    f"the agent is of the tenant {context.get('tenant')}",
                    _setting("agent", "tenant", context.get("tenant")),
                )
            case "other-project":
                project = resource.get("project")
                yield _Change(
                    f"the agent works on the project {project}",
                    _setting("agent", "project", project),
                )
            case "approval-required":
                yield _Change(
                    "a manager has signed an approval of this very call",
                    _setting("approval", "manager_signed", value=True),
                )
            case "approval-malformed":
                yield _Change("there is no approval", _without_approval)
            case "data-above-ceiling" | "classification-unknown" | "ceiling-unknown":
                yield from _labels(agent, resource)
            case "role-unknown" | "role-may-not" | "execute-is-for-platform-admins":
                yield from _roles(engine)
            case _:
                pass


def _labels(agent: dict[str, Any], resource: dict[str, Any]) -> Iterator[_Change]:
    label, ceiling = resource.get("classification"), agent.get("classification")
    known = [each.value for each in Classification]
    if "classification" in agent and label in known and ceiling != label:
        yield _Change(
            f"the agent's own ceiling is {label}", _setting("agent", "classification", label)
        )
    lower = known[: known.index(label)] if label in known else known
    for each in reversed(lower):
        yield _Change(f"the data is labelled {each}", _setting("resource", "classification", each))


def _roles(engine: PolicyEngine) -> Iterator[_Change]:
    grants = engine.value("data.ai.roles.grants")
    for role in sorted(grants) if isinstance(grants, dict) else ():
        yield _Change(f"the agent has the role {role}", _having(role))


def _setting(part: str, member: str, value: object) -> Callable[[dict[str, Any]], None]:
    def make(values: dict[str, Any]) -> None:
        inner = values.get(part)
        values[part] = {**(inner if isinstance(inner, dict) else {}), member: value}

    return make


def _without_approval(values: dict[str, Any]) -> None:
    values["approval"] = None


def _having(role: str) -> Callable[[dict[str, Any]], None]:
    def make(values: dict[str, Any]) -> None:
        agent = values.get("agent")
        kept = {
            name: value
            for name, value in (agent.items() if isinstance(agent, dict) else ())
            if name != "role"
        }
        own = kept.get("roles")
        several = [*own, role] if isinstance(own, list) else [role]
        if isinstance(agent, dict) and isinstance(agent.get("role"), str):
            several = [agent["role"], *several]
        values["agent"] = {**kept, "roles": several}

    return make
