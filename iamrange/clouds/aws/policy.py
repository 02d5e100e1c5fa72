"""Policies compiled once for many decisions.

- A statement answers True (it applies), False, or None: it cannot be told.
- Statements are found by action, and the answer for an action is kept, so that a decision looks
  only at statements that can apply.
- What an Allow cannot evaluate does not allow; what a Deny cannot evaluate denies. Both are listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.arn import Matcher, action_matcher, complete, resource_matcher
from iamrange.clouds.aws.conditions import Condition, compile_condition
from iamrange.clouds.aws.documents import (
    LATEST_VERSION,
    SIZE_LIMITS,
    ParsedStatement,
    PolicyKind,
    parse_document,
    policy_size,
)
from iamrange.clouds.aws.malformed import MalformedPolicy
from iamrange.clouds.aws.principals import EVERYONE, PrincipalElement
from iamrange.clouds.aws.variables import Token, Variable, has_variables, parse_readable, resolve
from iamrange.core.decision import Effect, LayerAnswer, Statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.facts import Facts

__all__ = [
    "SIZE_LIMITS",
    "CompiledPolicy",
    "CompiledStatement",
    "MalformedPolicy",
    "PolicyKind",
    "compile_policy",
    "policy_size",
]

_KEPT_ACTIONS = 4096

NOT_EVALUABLE = "statement-not-evaluable"
ALLOWS = "statement-allows"
DENIES = "statement-denies"


class ResourceElement:
    """A Resource or NotResource element; without one, a statement means its own resource."""

    __slots__ = ("_exact", "_inverted", "_matchers", "_templates", "_unresolved_inverts")

    def __init__(
        self, texts: Sequence[str], *, inverted: bool, allow: bool, variables: bool
    ) -> None:
        """Compile the texts of the element."""
        self._inverted = inverted
        self._unresolved_inverts = not allow
        self._exact: set[str] = set()
        self._matchers: list[Matcher] = []
        self._templates: list[tuple[Token, ...]] = []
        for text in texts:
            tokens = complete(parse_readable(text, variables=variables))
            if has_variables(tokens):
                self._templates.append(tokens)
            elif all(isinstance(token, str) for token in tokens):
                self._exact.add("".join(token for token in tokens if isinstance(token, str)))
            else:
                pattern = tuple(token for token in tokens if not isinstance(token, Variable))
                self._matchers.append(resource_matcher(pattern))

    def matches(self, facts: Facts) -> bool:
        """Tell whether the element means the request's resource."""
        resource = facts.resource
        if resource in self._exact:
            return not self._inverted
        for matcher in self._matchers:
            if matcher(resource):
                return not self._inverted
        for template in self._templates:
            pattern = resolve(template, facts.single)
            if pattern is None:
                # A text without a value is like no resource. Under NotResource that would make an
                # Allow mean everything, which nobody wrote; a Deny there does apply.
                if self._inverted and not self._unresolved_inverts:
                    return False
            elif resource_matcher(pattern)(resource):
                return not self._inverted
        return self._inverted


class CompiledStatement:
    """One statement, ready to be asked."""

    __slots__ = (
        "_answers",
        "_conditions",
        "_principal",
        "_principal_inverted",
        "_resource",
        "allow",
        "label",
    )

    def __init__(
        self, parsed: ParsedStatement, *, policy: str, number: int, variables: bool
    ) -> None:
        """Compile a checked statement."""
        self.label = Statement(policy, parsed.sid or f"#{number}")
        self.allow = parsed.allow
        self._resource = (
            None
            if parsed.resources is None or (parsed.resources == ("*",) and not parsed.not_resource)
            else ResourceElement(
                parsed.resources,
                inverted=parsed.not_resource,
                allow=parsed.allow,
                variables=variables,
            )
        )
        # Identity policies have no principal: they mean whoever they are attached to.
        self._principal = parsed.principal or PrincipalElement(everyone=True)
        self._principal_inverted = parsed.not_principal
        self._conditions: tuple[Condition, ...] = tuple(
            compile_condition(c.operator, c.key, c.values, variables=variables)
            for c in parsed.conditions
        )
        self._answers: dict[tuple[str, str], LayerAnswer] = {}

    def applies(self, facts: Facts) -> bool | None:
        """Tell whether resource and conditions are met; None if that cannot be told."""
        facts.blind = False
        named = self._resource is None or self._resource.matches(facts)
        blind = facts.blind
        if not named and not blind:
            return False
        unknown: list[Condition] | None = None
        for condition in self._conditions:
            facts.blind = False
            answer = condition.test(facts)
            if facts.blind:
                answer = None
            if answer is False:
                return False
            if answer is None:
                unknown = [*(unknown or ()), condition]
        if unknown is None and not blind:
            return True
        if blind:
            # A variable of the Resource element stands for a value that nobody here knows.
            facts.unevaluated.append(f"{self.label.policy}/{self.label.statement}: Resource")
        self._list(facts, unknown or ())
        return None

    def _list(self, facts: Facts, unknown: Sequence[Condition]) -> None:
        for condition in unknown:
            facts.unevaluated.append(
                f"{self.label.policy}/{self.label.statement}: {condition.operator} {condition.key}"
            )

    def names(self, facts: Facts) -> str | None:
        """Say how the statement names the principal; None if it does not."""
        element, principal = self._principal, facts.principal
        if self._principal_inverted:
            # Documented: such a Deny hits every principal with a boundary, listed or not.
            return None if element.spares(principal) and not facts.bounded else EVERYONE
        named = element.names(principal, allow=self.allow)
        if named is None and not self.allow and element.undecidable(principal):
            facts.unevaluated.append(f"{self.label.policy}/{self.label.statement}: CanonicalUser")
            return NOT_EVALUABLE
        return named

    def failed_keys(self, facts: Facts) -> tuple[str, ...]:
        """Return the condition keys on which the statement fails, () if not on conditions alone."""
        if self._resource is not None and not self._resource.matches(facts):
            return ()
        return tuple(dict.fromkeys(c.key for c in self._conditions if c.test(facts) is not True))

    def asked_keys(self, facts: Facts) -> tuple[str, ...]:
        """Return the condition keys that a statement on this resource asks for."""
        if self._resource is not None and not self._resource.matches(facts):
            return ()
        return tuple(dict.fromkeys(condition.key for condition in self._conditions))

    def refuses_unevaluated(self, layer: str, facts: Facts) -> LayerAnswer:
        """Return the layer's answer when this Deny cannot be evaluated: it denies."""
        label = Statement(self.label.policy, self.label.statement, self.failed_keys(facts))
        return LayerAnswer(layer, Effect.DENY, NOT_EVALUABLE, decided_by=label)

    def answer(self, layer: str, reason: str) -> LayerAnswer:
        """Return the layer's answer when this statement decides it; made once."""
        known = self._answers.get((layer, reason))
        if known is None:
            effect = Effect.ALLOW if self.allow else Effect.DENY
            keys = () if self.allow else tuple(dict.fromkeys(c.key for c in self._conditions))
            label = Statement(self.label.policy, self.label.statement, keys)
            known = LayerAnswer(layer, effect, reason, decided_by=label)
            self._answers[layer, reason] = known
        return known


Candidates = tuple[tuple[CompiledStatement, ...], tuple[CompiledStatement, ...]]
"""The denying and the allowing statements that name an action."""


class CompiledPolicy:
    """A checked policy document: its name, its kind, and its statements by action."""

    __slots__ = ("_actions", "_by_action", "kind", "name", "statements")

    def __init__(
        self,
        name: str,
        kind: PolicyKind,
        statements: Sequence[tuple[CompiledStatement, ParsedStatement]],
    ) -> None:
        """Index the statements by action."""
        self.name = name
        self.kind = kind
        self.statements = tuple(statement for statement, _ in statements)
        self._actions = [_action_element(parsed) for _, parsed in statements]
        self._by_action: dict[str, Candidates] = {}

    def __repr__(self) -> str:
        """Name the policy; its content would only clutter."""
        return (
            f"CompiledPolicy({self.name!r}, {self.kind.value}, {len(self.statements)} statements)"
        )

    def candidates(self, action: str) -> Candidates:
        """Return the statements that name an action (lower case)."""
        known = self._by_action.get(action)
        if known is None:
            named = [
                statement
                for statement, matches in zip(self.statements, self._actions, strict=True)
                if matches(action)
            ]
            known = (
                tuple(statement for statement in named if not statement.allow),
                tuple(statement for statement in named if statement.allow),
            )
            if len(self._by_action) >= _KEPT_ACTIONS:
                self._by_action.clear()
            self._by_action[action] = known
        return known


def _action_element(parsed: ParsedStatement) -> Matcher:
    matchers = [action_matcher(action) for action in parsed.actions]
    inverted = parsed.not_action
    return lambda action: any(matcher(action) for matcher in matchers) is not inverted


def compile_policy(
    document: str | Mapping[str, Any], *, kind: PolicyKind, name: str
) -> CompiledPolicy:
    """Check a document and make it ready for decisions; `name` is how records call it.

    Raises:
        MalformedPolicy: the document is not one that AWS would store.
    """
    parsed = parse_document(document, kind)
    variables = parsed.version == LATEST_VERSION
    return CompiledPolicy(
        name,
        kind,
        [
            (CompiledStatement(s, policy=name, number=number, variables=variables), s)
            for number, s in enumerate(parsed.statements)
        ],
    )
