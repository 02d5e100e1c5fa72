"""The pure decider of Google Cloud IAM: deny policies first, then allow policies, up the tree.

- Levels go from the resource to the organisation; a grant anywhere on the way allows, a deny
  anywhere on the way refuses (cloud.google.com/iam/docs/policy-types).
- A condition that is false or has no value does not match in an allow policy. In a deny rule a
  condition that has no value *does* match: both fail closed.
- Both layers are always answered, so that a reader sees what stood behind what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp.cel import Expression, Failed, compile_condition
from iamrange.clouds.gcp.principals import Caller, deny_principal_names, member_names
from iamrange.core.decision import Effect, LayerAnswer, Outcome, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iamrange.clouds.gcp.roles import RoleBook

POINT: Final = "gcp.authorize"
CONDITION_NAMES: Final = frozenset({"request", "resource", "api", "destination"})
MODIFIED_ROLES: Final = "iam.googleapis.com/modifiedGrantsByRole"
# cloud.google.com/iam/docs/conditions-attribute-reference, lower case as `members_read` gives them
_ATTRIBUTES: Final = {
    "request": frozenset({"time", "auth", "path", "host"}),
    "resource": frozenset(
        {"name", "type", "service", "matchtag", "matchtagid", "hastagkey", "hastagkeyid"}
    ),
    "destination": frozenset({"ip", "port"}),
    "api": frozenset({"getattribute"}),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """An IAM condition as it was written."""

    expression: str
    title: str = ""
    description: str = ""

    def compiled(self) -> Expression | Failed:
        """Return the checked expression."""
        return compile_condition(self.expression, CONDITION_NAMES)


@dataclass(frozen=True, slots=True)
class Binding:
    """Members that hold a role, perhaps under a condition."""

    role: str
    members: tuple[str, ...]
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class DenyRule:
    """One rule of a deny policy; permissions are in the v2 form `SERVICE_FQDN/RESOURCE.VERB`."""

    denied_principals: tuple[str, ...]
    exception_principals: tuple[str, ...]
    denied_permissions: tuple[str, ...]
    exception_permissions: tuple[str, ...]
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class DenyPolicy:
    """A deny policy of one attachment point."""

    name: str
    rules: tuple[DenyRule, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """One step of the resource's hierarchy with the policies attached there."""

    resource: str
    bindings: tuple[Binding, ...] = ()
    deny_policies: tuple[DenyPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What is acted on, as conditions see it, and its levels, most specific first."""

    name: str
    type: str
    service: str
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Who asks for what, on what, when."""

    caller: Caller
    permission: str
    target: Target
    now: float
    api_attributes: Mapping[str, Any] = field(default_factory=dict)


_SAMPLE: Final = Question(Caller("anonymous"), "", Target("a", "b", "c", ()), 0)


def answer(question: Question, roles: RoleBook) -> tuple[LayerAnswer, ...]:
    """Return the answers of both layers."""
    return (_deny_layer(question), _allow_layer(question, roles))


def unevaluated(question: Question, roles: RoleBook) -> tuple[str, ...]:
    """Return the conditions in question that have no value: they close, and a reader is told."""
    found = [
        f"{level.resource}: {binding.role}: {binding.condition.expression}"
        for level in question.target.levels
        for binding in level.bindings
        if binding.condition is not None
        and question.permission in (roles(binding.role) or ())
        and any(member_names(member, question.caller) for member in binding.members)
        and isinstance(_holds(binding.condition, question), Failed)
    ]
    return tuple(found)


def combine(layers: Sequence[LayerAnswer]) -> tuple[Outcome, str]:
    """Return the outcome: no layer may refuse, and one must allow."""
    for layer in layers:
        if layer.refuses:
            return Outcome.DENY, layer.reason
    allowed = next((layer for layer in layers if layer.effect is Effect.ALLOW), None)
    return (Outcome.ALLOW, allowed.reason) if allowed else (Outcome.DENY, "no-layer-allows")


def _deny_layer(question: Question) -> LayerAnswer:
    near: list[Statement] = []
    for level in question.target.levels:
        for policy in level.deny_policies:
            for number, rule in enumerate(policy.rules):
                if not _rule_names(rule, question):
                    continue
                statement = Statement(policy.name, f"#{number}")
                if rule.condition is None or _holds(rule.condition, question) is not False:
                    return LayerAnswer(
                        "deny-policy", Effect.DENY, "rule-denies", decided_by=statement
                    )
                near.append(_missed(statement, rule.condition))
    return LayerAnswer(
        "deny-policy", Effect.NOT_APPLICABLE, "no-rule-denies", near_misses=tuple(near)
    )


def _allow_layer(question: Question, roles: RoleBook) -> LayerAnswer:
    near: list[Statement] = []
    for level in question.target.levels:
        for binding in level.bindings:
            permissions = roles(binding.role)
            if permissions is None or question.permission not in permissions:
                continue
            if not any(member_names(member, question.caller) for member in binding.members):
                continue
            statement = Statement(level.resource, binding.role)
            if binding.condition is None or _holds(binding.condition, question) is True:
                return LayerAnswer(
                    "allow-policy", Effect.ALLOW, "binding-allows", decided_by=statement
                )
            near.append(_missed(statement, binding.condition))
    reason = "condition-not-met" if near else "no-binding-allows"
    return LayerAnswer("allow-policy", Effect.IMPLICIT_DENY, reason, near_misses=tuple(near))


def _rule_names(rule: DenyRule, question: Question) -> bool:
    permission = v2_permission(question.permission)
    if not any(_permission_matches(pattern, permission) for pattern in rule.denied_permissions):
        return False
    if any(_permission_matches(pattern, permission) for pattern in rule.exception_permissions):
        return False
    caller = question.caller
    if not any(deny_principal_names(name, caller) for name in rule.denied_principals):
        return False
    return not any(deny_principal_names(name, caller) for name in rule.exception_principals)


def v2_permission(permission: str) -> str:
    """Return a permission in the form of deny policies: `iam.googleapis.com/roles.list`."""
    service, _, rest = permission.partition(".")
    host = {"resourcemanager": "cloudresourcemanager"}.get(service, service)
    return f"{host}.googleapis.com/{rest}"


def _permission_matches(pattern: str, permission: str) -> bool:
    """Match a permission or a group: `SERVICE/*`, `SERVICE/RESOURCE.*`, `SERVICE/*.VERB`."""
    if pattern == permission:
        return True
    service, _, rest = pattern.partition("/")
    own_service, _, own = permission.partition("/")
    if service != own_service or "*" not in rest:
        return False
    if rest in ("*", "*.*"):
        return True
    resource, _, verb = rest.rpartition(".")
    own_resource, _, own_verb = own.rpartition(".")
    return resource in ("*", own_resource) and verb in ("*", own_verb)


def _holds(condition: Condition, question: Question) -> bool | Failed:
    expression = condition.compiled()
    if isinstance(expression, Failed):
        return expression
    functions: dict[str, Callable[..., Any]] = {
        "getAttribute": lambda _api, name, default: question.api_attributes.get(name, default)
    }
    return expression.holds(_variables(question), functions)


def condition_problem(expression: Expression) -> str | None:
    """Return why a condition that compiles is none: an unknown attribute, or not a boolean."""
    for name in expression.members_read():
        top, _, rest = name.partition(".")
        if rest.partition(".")[0] not in _ATTRIBUTES.get(top, ()):
            return f"undefined field '{rest}' of '{top}'"
    value = expression.evaluate(_variables(_SAMPLE))
    return None if isinstance(value, bool | Failed) else "the expression's type is not boolean"


def _variables(question: Question) -> dict[str, Any]:
    target = question.target
    return {
        "request": {"time": datetime.fromtimestamp(question.now, UTC)},
        "resource": {"name": target.name, "type": target.type, "service": target.service},
        "api": {},
        "destination": {},
    }


def _missed(statement: Statement, condition: Condition) -> Statement:
    expression = condition.compiled()
    keys = expression.members_read() if isinstance(expression, Expression) else ()
    return Statement(statement.policy, statement.statement, keys or ("condition",))
