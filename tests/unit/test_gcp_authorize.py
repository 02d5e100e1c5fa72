"""The pure decider: deny first, then allow, up the tree; both layers always answered."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.clouds.gcp.authorize import (
    Binding,
    Condition,
    DenyPolicy,
    DenyRule,
    Level,
    Question,
    Target,
    answer,
    combine,
    unevaluated,
    v2_permission,
)
from iamrange.clouds.gcp.principals import Caller
from iamrange.clouds.gcp.roles import ADMINISTRATOR, known_permissions, predefined, unserved
from iamrange.core.decision import Effect, LayerAnswer, Outcome, Statement

CALLER = Caller("user", email="ann@example.com")
MEMBER = "user:ann@example.com"
READ = "secretmanager.versions.access"
ROLES = {"roles/reader": frozenset({READ}), "roles/empty": frozenset[str]()}
GRANT = Binding("roles/reader", (MEMBER,))
DENIAL = DenyRule(("principalSet://goog/public:all",), (), (v2_permission(READ),), ())
FALSE, TRUE, BROKEN = Condition("false"), Condition("true"), Condition("request.absent == 1")


def _ask(
    *levels: Level, permission: str = READ, caller: Caller = CALLER
) -> tuple[LayerAnswer, ...]:
    target = Target("projects/1/secrets/s", "t", "secretmanager.googleapis.com", levels)
    return answer(Question(caller, permission, target, 1_800_000_000), ROLES.get)


def _level(name: str, *, grant: bool = False, denial: bool = False) -> Level:
    policies = (DenyPolicy(f"{name}/d", (DENIAL,)),) if denial else ()
    return Level(name, (GRANT,) if grant else (), policies)


def test_silence_is_an_implicit_deny_without_near_misses() -> None:
    layers = _ask(Level("secret"), Level("project"))
    assert combine(layers) == (Outcome.DENY, "no-binding-allows")
    assert layers[1].near_misses == ()


def test_the_binding_behind_an_allow_is_named() -> None:
    layers = _ask(Level("secret"), _level("project", grant=True))
    assert combine(layers) == (Outcome.ALLOW, "binding-allows")
    assert layers[1].decided_by == Statement("project", "roles/reader")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4))
def test_one_denial_anywhere_refuses_and_one_grant_anywhere_allows(
    steps: list[tuple[bool, bool]],
) -> None:
    levels = [_level(str(n), grant=g, denial=d) for n, (g, d) in enumerate(steps)]
    outcome, _ = combine(_ask(*levels))
    allowed = any(g for g, _ in steps) and not any(d for _, d in steps)
    assert (outcome is Outcome.ALLOW) == allowed


@pytest.mark.parametrize(
    ("condition", "allowed"), [(TRUE, True), (FALSE, False), (BROKEN, False), (None, True)]
)
def test_a_condition_without_a_value_does_not_allow(
    condition: Condition | None,
    allowed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    layers = _ask(Level("secret", (replace(GRANT, condition=condition),)))
    assert (combine(layers)[0] is Outcome.ALLOW) == allowed
    assert bool(layers[1].near_misses) == (not allowed)


@pytest.mark.parametrize(
    ("condition", "denied"), [(TRUE, True), (FALSE, False), (BROKEN, True), (None, True)]
)
def test_a_denial_whose_condition_has_no_value_still_denies(
    condition: Condition | None,
    denied: bool,  # noqa: FBT001 - a column of the table
) -> None:
    policy = DenyPolicy("d", (replace(DENIAL, condition=condition),))
    layers = _ask(Level("project", (GRANT,), (policy,)))
    assert (combine(layers)[0] is Outcome.DENY) == denied
    assert layers[1].effect is Effect.ALLOW


def test_a_condition_without_a_value_is_listed_and_a_false_one_is_not() -> None:
    bindings = tuple(replace(GRANT, condition=c) for c in (TRUE, FALSE, BROKEN))
    target = Target("s", "t", "v", (Level("secret", bindings),))
    question = Question(CALLER, READ, target, 1_800_000_000)
    assert unevaluated(question, ROLES.get) == ("secret: roles/reader: request.absent == 1",)


def test_a_near_miss_names_the_member_that_it_turned_on() -> None:
    condition = Condition("request.time < timestamp('2020-01-01T00:00:00Z')")
    layers = _ask(Level("secret", (replace(GRANT, condition=condition),)))
    assert layers[1].near_misses == (Statement("secret", "roles/reader", ("request.time",)),)


@pytest.mark.parametrize(
    ("change", "denied"),
    [
        ({}, True),
        ({"denied_permissions": ("secretmanager.googleapis.com/*",)}, True),
        ({"denied_permissions": ("secretmanager.googleapis.com/versions.*",)}, True),
        ({"denied_permissions": ("secretmanager.googleapis.com/*.access",)}, True),
        ({"denied_permissions": ("secretmanager.googleapis.com/secrets.*",)}, False),
        ({"denied_permissions": ("iam.googleapis.com/*",)}, False),
        ({"denied_permissions": ("secretmanager.googleapis.com/versions.acces",)}, False),
        ({"denied_permissions": (READ,)}, False),
        ({"exception_permissions": (v2_permission(READ),)}, False),
        ({"exception_permissions": ("secretmanager.googleapis.com/versions.*",)}, False),
        ({"exception_principals": ("principal://goog/subject/ann@example.com",)}, False),
        ({"exception_principals": ("principal://goog/subject/bob@example.com",)}, True),
        ({"denied_principals": ("principal://goog/subject/bob@example.com",)}, False),
        ({"denied_principals": ()}, False),
    ],
)
def test_a_deny_rule_reaches_what_it_names_minus_its_exceptions(
    change: dict[str, tuple[str, ...]],
    denied: bool,  # noqa: FBT001 - a column of the table
) -> None:
    policy = DenyPolicy("d", (replace(DENIAL, **change),))  # type: ignore[arg-type] # names of a table
    layers = _ask(Level("project", (GRANT,), (policy,)))
    assert (layers[0].effect is Effect.DENY) == denied


@pytest.mark.parametrize(
    "binding",
    [
        Binding("roles/empty", (MEMBER,)),
        Binding("roles/none", (MEMBER,)),
        Binding("roles/reader", ("user:bob@example.com",)),
        Binding("roles/reader", ()),
    ],
)
def test_a_binding_of_another_role_or_member_is_silence(binding: Binding) -> None:
    assert _ask(Level("secret", (binding,)))[1].reason == "no-binding-allows"


def test_combination_allows_only_what_some_layer_allows_and_none_refuses() -> None:
    for effects in product(Effect, repeat=2):
        layers = tuple(LayerAnswer(str(n), effect, "r") for n, effect in enumerate(effects))
        refused = any(e in (Effect.DENY, Effect.IMPLICIT_DENY) for e in effects)
        expected = Effect.ALLOW in effects and not refused
        assert (combine(layers)[0] is Outcome.ALLOW) == expected


def test_owning_a_project_is_no_right_to_use_its_identities() -> None:
    use = {p for p in known_permissions() if p.startswith("iam.serviceAccounts.get")} & {
        "iam.serviceAccounts.getAccessToken",
        "iam.serviceAccounts.getOpenIdToken",
    }
    assert len(use) == 2
    for role in ("roles/owner", "roles/editor", ADMINISTRATOR):
        assert not predefined()[role] & use
    assert predefined()["roles/iam.workloadIdentityUser"] >= use


def test_every_predefined_role_grants_something() -> None:
    assert len(predefined()) > 30
    assert all(predefined().values())
    assert not unserved() & predefined().keys()
