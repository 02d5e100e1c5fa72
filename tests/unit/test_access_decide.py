"""The pure decision: one thing that is wrong, one reason; a lapse lets through just that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from iamrange.access.approvals.model import ApprovalRefusal
from iamrange.access.canonical import CanonicalRefusal
from iamrange.access.decide import UNDECIDED, decide
from iamrange.access.evidence import Away, Evidence, Principal, TokenEvidence
from iamrange.access.gateway_layers import LAYERS
from iamrange.access.gateway_limits import Count
from iamrange.access.policy_engine import PolicyAnswer
from iamrange.access.routes import Matched, RouteRefusal
from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.directory.model import AgentState
from tests.conformance.access.decision_evidence import (
    ENTRY,
    FACTS,
    GOOD,
    NONCE,
    NOW,
    TARGET,
    TOKEN,
    TRANSFER,
    but,
    entry,
    lapsed,
    refused_token,
)
from tests.conformance.access.decision_lab import ANALYST, HR


def test_a_good_call_is_allowed_and_the_service_is_told_who_calls() -> None:
    found = decide(GOOD)
    assert (found.allow, found.status, found.reason, found.error) == (True, 200, "admitted", "")
    assert dict(found.identity) == {
        "x-agent-id": ANALYST,
        "x-agent-subject": ANALYST,
        "x-agent-roles": "data-analyst",
    }
    assert found.headers == (NONCE,)
    assert [layer.layer for layer in found.layers] == list(LAYERS)


REFUSALS: dict[str, tuple[dict[str, Any], int, str, str, str]] = {
    "ambiguous": (
        {"target": CanonicalRefusal("dot-segment")},
        400,
        "dot-segment",
        "invalid_request",
        "canonical",
    ),
    "too long": (
        {"target": CanonicalRefusal("path-too-long")},
        414,
        "path-too-long",
        "invalid_request",
        "canonical",
    ),
    "no route": ({"route": RouteRefusal("no-route")}, 404, "no-route", "not_found", "route"),
    "method": (
        {"route": RouteRefusal("method-not-allowed", ("GET", "PUT"))},
        405,
        "method-not-allowed",
        "method_not_allowed",
        "route",
    ),
    "no service": (
        {"route": RouteRefusal("unknown-service")},
        421,
        "unknown-service",
        "invalid_request",
        "route",
    ),
    "peer rate": (
        {"before": Count(over="peer-rate", wait=7)},
        429,
        "peer-rate",
        "too_many_requests",
        "pre-limit",
    ),
    "token": (
        {"token": refused_token("time", "expired")},
        401,
        "expired",
        "invalid_token",
        "token",
    ),
    "replay": (
        {"token": refused_token("proof", "replayed", error="invalid_dpop_proof")},
        401,
        "replayed",
        "invalid_dpop_proof",
        "token",
    ),
    "replay store away": (
        {"token": refused_token("proof", "replay-unavailable", 503, "temporarily_unavailable")},
        503,
        "replay-unavailable",
        "temporarily_unavailable",
        "token",
    ),
    "scope": (
        {"token": refused_token("scope", "insufficient-scope", 403, "insufficient_scope")},
        403,
        "insufficient-scope",
        "insufficient_scope",
        "scope",
    ),
    "scope at the gateway alone": (
        {"token": TokenEvidence(denied=None, token=replace(TOKEN, scopes=frozenset()))},
        403,
        "insufficient-scope",
        "insufficient_scope",
        "scope",
    ),
    "quarantined": (
        {"principals": entry(state=AgentState.QUARANTINED)},
        401,
        "agent-quarantined",
        "invalid_token",
        "agent",
    ),
    "retired": (
        {"principals": entry(state=AgentState.RETIRED)},
        401,
        "agent-retired",
        "invalid_token",
        "agent",
    ),
    "not yet approved": (
        {"principals": entry(state=AgentState.REGISTERED)},
        401,
        "agent-registered",
        "invalid_token",
        "agent",
    ),
    "expired": ({"principals": entry(expires=NOW)}, 401, "agent-expired", "invalid_token", "agent"),
    "unknown": (
        {"principals": (Principal(ANALYST, None),)},
        401,
        "agent-unknown",
        "invalid_token",
        "agent",
    ),
    "directory away": (
        {"principals": Away("directory")},
        503,
        "directory-unavailable",
        "temporarily_unavailable",
        "agent",
    ),
    "policy": (
        {"policy": (PolicyAnswer(allow=False, deny=("role-may-not",)),)},
        403,
        "role-may-not",
        "access_denied",
        "policy",
    ),
    "policy undefined": (
        {"policy": (PolicyAnswer(allow=False, deny=("policy-undefined",)),)},
        403,
        "policy-undefined",
        "access_denied",
        "policy",
    ),
    "policy without a reason": (
        {"policy": (PolicyAnswer(allow=False),)},
        403,
        "policy-undefined",
        "access_denied",
        "policy",
    ),
    "policy broken": (
        {"policy": (PolicyAnswer(allow=False, deny=("policy-error",)),)},
        503,
        "policy-error",
        "temporarily_unavailable",
        "policy",
    ),
    "policy away": (
        {"policy": Away("policy")},
        503,
        "policy-unavailable",
        "temporarily_unavailable",
        "policy",
    ),
    "bad approval": (
        {"approval": ApprovalRefusal("approval-expired")},
        403,
        "approval-expired",
        "access_denied",
        "approval",
    ),
    "approvals away": (
        {"approval": Away("approvals")},
        503,
        "approvals-unavailable",
        "temporarily_unavailable",
        "approval",
    ),
    "no approval": (
        {"route": Matched(TRANSFER, {})},
        403,
        "approval-required",
        "approval_required",
        "approval",
    ),
    "agent rate": (
        {"after": Count(over="agent-rate", wait=3)},
        429,
        "agent-rate",
        "too_many_requests",
        "limit",
    ),
}


@pytest.mark.parametrize(
    ("changed", "status", "reason", "error", "layer"), REFUSALS.values(), ids=REFUSALS
)
def test_one_thing_that_is_wrong_refuses_with_its_reason(
    changed: dict[str, Any], status: int, reason: str, error: str, layer: str
) -> None:
    found = decide(but(**changed))
    assert (found.allow, found.status, found.reason, found.error) == (False, status, reason, error)
    refusing = {one.layer: one.reason for one in found.layers if one.refuses}
    assert refusing[layer] == reason
    assert not found.identity
    headers = dict(found.headers)
    if status == 429:
        assert int(headers["Retry-After"]) in (3, 7)
    if status == 503 and layer != "token":
        assert headers["Retry-After"] == "1"
    if status == 405:
        assert headers["Allow"] == "GET, PUT"
    if status in (401, 403) and layer not in ("token", "scope"):
        assert headers["DPoP-Nonce"] == "n"
        named = [value for name, value in found.headers if name == "WWW-Authenticate"]
        assert {value.split(" ")[0] for value in named} == {"Bearer", "DPoP"}
        # RFC 6750 section 3.1 knows no error for what a policy refuses
        assert all("access_denied" not in value for value in named)


@pytest.mark.parametrize("part", ["token", "principals", "policy", "before", "after", "route"])
def test_a_part_that_was_not_asked_allows_nothing(part: str) -> None:
    found = decide(but(**{part: None}))
    assert not found.allow
    assert (found.status, found.reason) == (503, UNDECIDED.reason)
    assert found.layers[-1] is UNDECIDED


def test_an_approval_that_is_lacking_is_pointed_to() -> None:
    found = decide(but(route=Matched(TRANSFER, {})))
    assert found.pointer == "https://approvals.iamrange.example/requests"
    assert dict(found.headers)["Link"] == f'<{found.pointer}>; rel="help"'


def test_a_policy_that_lacks_an_approval_alone_leaves_the_reason_to_the_approval() -> None:
    lacking = (PolicyAnswer(allow=False, deny=("approval-required",)),)
    found = decide(but(policy=lacking))
    assert (found.reason, found.pointer != "") == ("approval-required", True)
    found = decide(but(policy=lacking, approval=ApprovalRefusal("approval-used")))
    assert found.reason == "approval-used"
    assert [one.layer for one in found.layers if one.refuses] == ["policy", "approval"]
    more = (PolicyAnswer(allow=False, deny=("approval-required", "role-may-not")),)
    found = decide(but(policy=more, approval=ApprovalRefusal("approval-used")))
    assert found.reason == "role-may-not"


def test_an_approval_that_the_policy_takes_for_none_is_not_enough() -> None:
    lacking = (PolicyAnswer(allow=False, deny=("approval-required",)),)
    found = decide(but(route=Matched(TRANSFER, {}), policy=lacking, approval=FACTS))
    assert (found.allow, found.reason) == (False, "approval-required")


def test_the_least_of_a_chain_decides() -> None:
    chain = (Principal(HR, ENTRY), Principal(ANALYST, ENTRY))
    yes = PolicyAnswer(allow=True, rules=("r",))
    no = PolicyAnswer(allow=False, deny=("role-may-not",))
    assert decide(but(principals=chain, policy=(yes, yes))).allow
    for answers in ((yes, no), (no, yes)):
        assert decide(but(principals=chain, policy=answers)).reason == "role-may-not"
    for gone in range(2):
        out = list(chain)
        out[gone] = replace(out[gone], agent=replace(ENTRY, state=AgentState.QUARANTINED))
        found = decide(but(principals=tuple(out), policy=(yes, yes)))
        assert found.reason == "agent-quarantined"
    found = decide(but(principals=chain, policy=(yes,)))
    assert found.reason == UNDECIDED.reason


LAPSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "unsafe_ignores_scope": ("scope", REFUSALS["scope at the gateway alone"][0], "scope"),
    "unsafe_asks_no_policy": ("policy", REFUSALS["policy"][0], "policy"),
    "unsafe_no_rate_limit": ("limit", REFUSALS["agent rate"][0], "limit"),
    "unsafe_needs_no_approval": ("approval", REFUSALS["no approval"][0], "approval"),
    "unsafe_ignores_agent_state": ("agent", REFUSALS["quarantined"][0], "agent"),
}


@pytest.mark.parametrize("setting", LAPSES)
def test_a_lapse_lets_through_what_its_layer_alone_refuses(setting: str) -> None:
    _, changed, layer = LAPSES[setting]
    assert not decide(but(**changed)).allow
    found = decide(but(**changed, settings=lapsed(setting)))
    assert found.allow
    answers = {one.layer: one for one in found.layers}
    assert answers[layer].effect is Effect.NOT_APPLICABLE


def test_a_public_path_needs_no_token_and_tells_the_service_of_nobody() -> None:
    public = Evidence(now=NOW, target=TARGET, route=None, public=True, before=Count())
    found = decide(public)
    assert (found.allow, found.identity) == (True, ())
    assert not decide(replace(public, before=Count(over="peer-rate", wait=1))).allow


def test_a_rogue_that_drops_a_refusal_lets_the_call_through() -> None:
    def lax(_: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        return tuple(
            LayerAnswer(one.layer, Effect.ALLOW, "waved-through") if one.refuses else one
            for one in layers
        )

    for name in ("token", "quarantined", "policy", "agent rate"):
        assert decide(but(**REFUSALS[name][0]), lax).allow, name
    nobody = but(token=replace(refused_token("presentation", "no-token"), token=None))
    assert not decide(nobody, lax).allow


def test_the_layers_are_those_of_the_contract() -> None:
    assert tuple(one.layer for one in decide(GOOD).layers) == (
        "canonical",
        "route",
        "pre-limit",
        "token",
        "agent",
        "scope",
        "policy",
        "approval",
        "limit",
    )
