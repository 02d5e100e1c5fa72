"""The pure decision: whatever the evidence, nothing that a layer refuses is allowed."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.access.approvals.model import ApprovalFacts, ApprovalRefusal
from iamrange.access.canonical import CanonicalRefusal, Target
from iamrange.access.decide import POINT, decide
from iamrange.access.evidence import Away, Evidence, Principal, TokenEvidence
from iamrange.access.gateway_layers import LAYERS
from iamrange.access.gateway_limits import Count
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.access.policy_engine import PolicyAnswer
from iamrange.access.routes import Matched, RouteRefusal
from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.directory.model import AgentState
from tests.conformance.access.decision_evidence import (
    DENIED,
    ENTRY,
    FACTS,
    NONCE,
    NOW,
    ROUTE,
    TARGET,
    TOKEN,
    TRANSFER,
    but,
)
from tests.conformance.access.decision_lab import ANALYST

COUNTS = st.sampled_from([None, Count(), Count(local=True), Count(over="peer-rate", wait=2)])
ENTRIES = st.builds(
    replace,
    st.just(ENTRY),
    state=st.sampled_from(AgentState),
    expires=st.sampled_from([None, NOW - 1, NOW, NOW + 1]),
)
PRINCIPALS = st.one_of(
    st.none(),
    st.just(Away("directory")),
    st.lists(st.builds(Principal, st.just(ANALYST), st.none() | ENTRIES), max_size=3).map(tuple),
)
ANSWERS = st.builds(
    PolicyAnswer,
    allow=st.booleans(),
    deny=st.lists(st.sampled_from(["approval-required", "role-may-not", "policy-error"])).map(
        tuple
    ),
    rules=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
)
TOKENS = st.one_of(
    st.none(),
    st.builds(
        TokenEvidence,
        denied=st.sampled_from([None, DENIED]),
        token=st.sampled_from([None, TOKEN, replace(TOKEN, scopes=frozenset())]),
        layer=st.sampled_from(["", "time", "scope"]),
        reason=st.sampled_from(["expired", "insufficient-scope"]),
        headers=st.just((NONCE,)),
    ),
)
UNSAFE = [one.name for one in fields(GatewaySettings) if one.name.startswith("unsafe_")]
SETTINGS = st.builds(
    GatewaySettings,
    **{
        one.name: st.booleans() for one in fields(GatewaySettings) if one.name.startswith("unsafe_")
    },
)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "settings": st.just(GatewaySettings()) | SETTINGS,
    "target": st.sampled_from([TARGET, CanonicalRefusal("nul")]),
    "route": st.sampled_from(
        [None, Matched(ROUTE, {}), Matched(TRANSFER, {}), RouteRefusal("no-route")]
    ),
    "public": st.booleans(),
    "before": COUNTS,
    "token": TOKENS,
    "principals": PRINCIPALS,
    "policy": st.none() | st.just(Away("policy")) | st.lists(ANSWERS, max_size=3).map(tuple),
    "approval": st.sampled_from([None, FACTS, ApprovalRefusal("approval-used"), Away("approvals")]),
    "after": COUNTS,
}
EVIDENCE = st.sets(st.sampled_from(sorted(PARTS))).flatmap(
    lambda names: st.fixed_dictionaries({name: PARTS[name] for name in names}).map(
        lambda changed: but(**changed)
    )
)
"""A good call, some parts of which are anything."""


@given(evidence=EVIDENCE)
@settings(max_examples=1500)
def test_whatever_the_evidence_a_layer_that_refuses_is_obeyed(evidence: Evidence) -> None:
    found = decide(evidence)
    assert [one.layer for one in found.layers[: len(LAYERS)]] == list(LAYERS)
    refusing = [one for one in found.layers if one.refuses]
    assert found.allow == (found.status == 200)
    assert found.allow == (not refusing)
    if refusing:
        assert found.reason in [one.reason for one in refusing]
    if found.allow:
        assert found.reason == "admitted"
        return
    assert found.reason
    assert found.status in (400, 401, 403, 404, 405, 414, 421, 429, 503)
    assert found.error
    assert not found.identity


@given(evidence=EVIDENCE)
@settings(max_examples=1500)
def test_what_is_allowed_is_a_known_active_agents_or_public(evidence: Evidence) -> None:
    hardened = replace(evidence, settings=GatewaySettings())
    if not decide(hardened).allow:
        return
    assert isinstance(hardened.target, Target)
    if hardened.public:
        return
    assert hardened.token is not None
    assert hardened.token.token is not None
    assert hardened.token.denied is None
    assert isinstance(hardened.principals, tuple)
    assert hardened.principals
    for one in hardened.principals:
        assert one.agent is not None
        assert one.agent.usable(NOW)
    assert isinstance(hardened.policy, tuple)
    assert len(hardened.policy) == len(hardened.principals)
    assert all(answer.allow for answer in hardened.policy)
    assert isinstance(hardened.route, Matched)
    assert hardened.route.route.scope in hardened.token.token.scopes
    if hardened.route.route.high_impact:
        assert isinstance(hardened.approval, ApprovalFacts)


@given(evidence=EVIDENCE, layer=st.sampled_from(LAYERS))
@settings(max_examples=500)
def test_a_layer_that_is_made_to_refuse_refuses_the_call(evidence: Evidence, layer: str) -> None:
    def spoil(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        assert point == POINT
        made = LayerAnswer(layer, Effect.IMPLICIT_DENY, "made-up")
        return tuple(made if one.layer == layer else one for one in layers)

    assert not decide(evidence, spoil).allow
