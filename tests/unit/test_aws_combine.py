"""The outcome follows from the layers' answers alone, so that a lying layer changes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iamrange.clouds.aws.combine import combine
from iamrange.clouds.aws.explain import refusal_phrase
from iamrange.clouds.aws.request import Principal, Request
from iamrange.core.decision import Effect, LayerAnswer, Outcome

USER = Principal("user", "arn:aws:iam::100000000002:user/u", None, "100000000002")
REQUEST = Request("s3:GetObject", "arn:aws:s3:::b/k", USER, "100000000002")


def answers(**effects: Effect) -> tuple[LayerAnswer, ...]:
    names = (
        "scp",
        "rcp",
        "identity",
        "permissions-boundary",
        "session-policy",
        "resource",
        "trust",
    )
    return tuple(
        LayerAnswer(name, effects.get(name.replace("-", "_"), Effect.NOT_APPLICABLE), "made-up")
        for name in names
    )


def flipped(layers: tuple[LayerAnswer, ...], name: str) -> tuple[LayerAnswer, ...]:
    return tuple(
        replace(layer, effect=Effect.ALLOW) if layer.layer == name else layer for layer in layers
    )


ALONE = [
    ("scp", {"scp": Effect.IMPLICIT_DENY, "identity": Effect.ALLOW}),
    ("scp", {"scp": Effect.DENY, "identity": Effect.ALLOW}),
    ("rcp", {"rcp": Effect.DENY, "identity": Effect.ALLOW}),
    ("rcp", {"rcp": Effect.IMPLICIT_DENY, "identity": Effect.ALLOW}),
    ("identity", {"identity": Effect.IMPLICIT_DENY}),
    ("identity", {"identity": Effect.DENY}),
    (
        "permissions-boundary",
        {"permissions_boundary": Effect.IMPLICIT_DENY, "identity": Effect.ALLOW},
    ),
    ("session-policy", {"session_policy": Effect.IMPLICIT_DENY, "identity": Effect.ALLOW}),
    ("resource", {"resource": Effect.DENY, "identity": Effect.ALLOW}),
    ("resource", {"resource": Effect.IMPLICIT_DENY, "identity": Effect.IMPLICIT_DENY}),
    ("trust", {"trust": Effect.IMPLICIT_DENY, "identity": Effect.ALLOW}),
]


@pytest.mark.parametrize(("name", "effects"), ALONE)
def test_flipping_the_one_layer_that_refuses_allows(name: str, effects: dict[str, Effect]) -> None:
    layers = answers(**effects)
    assert combine(layers, REQUEST)[0] is Outcome.DENY
    assert combine(flipped(layers, name), REQUEST)[0] is Outcome.ALLOW


@pytest.mark.parametrize("name", ["scp", "identity", "permissions-boundary"])
def test_flipping_one_of_two_layers_that_refuse_changes_nothing(name: str) -> None:
    layers = answers(
        scp=Effect.DENY,
        identity=Effect.IMPLICIT_DENY,
        permissions_boundary=Effect.IMPLICIT_DENY,
    )
    assert combine(flipped(layers, name), REQUEST)[0] is Outcome.DENY


@pytest.mark.parametrize("name", ["resource", "trust"])
@pytest.mark.parametrize("reason", ["statement-denies", "statement-not-evaluable"])
def test_overlooked_denial_grants_nothing_by_itself(name: str, reason: str) -> None:
    overlooked = LayerAnswer(name, Effect.ALLOW, reason)
    for identity in (Effect.IMPLICIT_DENY, Effect.ALLOW):
        layers = (LayerAnswer("identity", identity, "made-up"), overlooked)
        assert (combine(layers, REQUEST)[0] is Outcome.ALLOW) is (identity is Effect.ALLOW)


@pytest.mark.parametrize("effect", [Effect.DENY, Effect.IMPLICIT_DENY])
def test_unknown_layer_that_refuses_refuses_the_request(effect: Effect) -> None:
    layers = (*answers(identity=Effect.ALLOW), LayerAnswer("upstream-mapping", effect, "unmapped"))
    outcome, reason = combine(layers, REQUEST)
    assert outcome is Outcome.DENY
    assert reason.startswith("upstream-mapping-")


def test_nothing_at_all_is_no_permission() -> None:
    assert combine((), REQUEST) == (Outcome.DENY, "identity-does-not-allow")
    assert combine(answers(), REQUEST) == (Outcome.DENY, "identity-does-not-allow")


def test_missing_limits_limit_nothing() -> None:
    layers = (LayerAnswer("identity", Effect.ALLOW, "statement-allows"),)
    assert combine(layers, REQUEST) == (Outcome.ALLOW, "identity-allows")


@pytest.mark.parametrize(
    ("reason", "phrase"),
    [
        ("scp-denies", "with an explicit deny in a service control policy"),
        ("identity-denies", "with an explicit deny in an identity-based policy"),
        ("identity-does-not-allow", "because no identity-based policy allows the s3:Get action"),
        (
            "permissions-boundary-does-not-allow",
            "because no permissions boundary allows the s3:Get action",
        ),
        ("trust-denies", ""),
        ("trust-does-not-allow", ""),
        ("identity-allows", ""),
        ("root-may-not-assume-roles", ""),
    ],
)
def test_refusal_ends_in_the_words_of_aws(reason: str, phrase: str) -> None:
    assert refusal_phrase(reason, "s3:Get") == phrase
