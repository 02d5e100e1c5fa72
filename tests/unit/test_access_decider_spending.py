"""What a decision spends and counts, what it does when a part is away, and what a lapse opens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.access.decide import POINT
from iamrange.access.decider import GatewayDecider
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.access.policy_engine import PolicyEngine
from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.limits import LocalLimiter, SharedLimiter
from iamrange.identity.stores.memory import MemoryReplay
from iamrange.identity.stores.ports import Rate, Wait
from tests.conformance.access.decision_lab import (
    ANALYST,
    DEPLOYER,
    HR,
    PAYMENTS,
    Gateway,
)
from tests.conformance.protected_lab import NOW, Key

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.access.evidence import AccessCall


def test_an_approval_is_spent_by_the_call_that_all_else_allows_and_once() -> None:
    gateway = Gateway()
    asked = gateway.transfer()
    approval = gateway.approval_of(asked)
    # nothing of what is refused uses it up
    for spoilt in (
        gateway.transfer(approval_id=(approval,), dpop=()),
        gateway.transfer(approval_id=(approval,), body=b'{"amount":500}'),
        gateway.transfer(approval_id=(approval,), token=gateway.token(PAYMENTS, "payments")),
        replace(gateway.transfer(approval_id=(approval,)), target="/transfers/"),
    ):
        assert not gateway.decide(spoilt).allow
    assert not gateway.book.used
    good = gateway.transfer(approval_id=(approval,))
    decision = gateway.decide(good)
    assert decision.allow
    assert gateway.book.used == [approval]
    assert gateway.record(good).facts["approval"] == approval
    again = gateway.transfer(approval_id=(approval,))
    assert gateway.decide(again).reason == "approval-used"


def test_of_two_that_present_one_approval_at_once_one_is_refused() -> None:
    gateway = Gateway()
    call = gateway.transfer()
    approval = gateway.approval_of(call)
    first_asks = gateway.book.present

    def meanwhile(*asked: Any, **more: Any) -> Any:  # noqa: ANN401 - the port's own
        facts = first_asks(*asked, **more)
        gateway.book.used.append(approval)  # another call was quicker
        return facts

    gateway.book.present = meanwhile  # type: ignore[method-assign] # a race, made certain
    late = replace(call, approval_id=(approval,))
    decision = gateway.decide(late)
    assert (decision.allow, decision.reason) == (False, "approval-used")
    assert gateway.refusing(late) == {"approval": "approval-used"}


def test_a_call_that_a_rate_refuses_uses_up_no_approval() -> None:
    gateway = Gateway(settings=GatewaySettings(agent_rate=Rate(1, 60)))
    approval = gateway.approval_of(gateway.transfer())
    gateway.decide(gateway.transfer())
    call = gateway.transfer(approval_id=(approval,))
    decision = gateway.decide(call)
    assert (decision.status, decision.reason) == (429, "agent-rate")
    assert 1 <= int(dict(decision.headers)["Retry-After"]) <= 60
    assert not gateway.book.used


def test_a_presented_approval_that_the_policy_does_not_take_is_not_spent() -> None:
    gateway = Gateway()
    gateway.book.signed = False
    call = gateway.transfer(approval_id=(gateway.approval_of(gateway.transfer()),))
    assert gateway.decide(call).reason == "approval-required"
    assert not gateway.book.used


class Down:
    """A replay store that is away."""

    def insert(self, scope: str, jti: str, *, expires: float, now: float) -> bool:
        raise StoreDownError("replay", f"{scope[:0]}{jti[:0]}{expires * 0}{now * 0}")

    def seen(self, scope: str, jti: str, *, expires: float) -> bool:
        raise StoreDownError("replay", f"{scope[:0]}{jti[:0]}{expires * 0}")


def test_a_replay_store_that_is_away_refuses_with_503() -> None:
    decision = Gateway(replay=Down()).decide(Gateway().call())
    assert not decision.allow
    gateway = Gateway(replay=Down())
    decision = gateway.decide(gateway.call())
    assert (decision.status, decision.reason) == (503, "replay-unavailable")


def test_a_directory_that_is_away_refuses_with_503() -> None:
    gateway = Gateway()
    call = gateway.call()
    gateway.directory.away = True
    decision = gateway.decide(call)
    assert (decision.status, decision.reason) == (503, "revocation-unavailable")
    assert gateway.refusing(call)["agent"] == "directory-unavailable"
    gateway.directory.away = False
    assert gateway.decide(replace(call, request_id="back-again")).allow


@pytest.mark.parametrize("when", ["present", "consume"])
def test_approvals_that_are_away_refuse_with_503_and_spend_nothing(when: str) -> None:
    gateway = Gateway()
    approval = gateway.approval_of(gateway.transfer())

    def away(*_: Any, **__: Any) -> Any:  # noqa: ANN401 - the port's own
        raise StoreDownError("approvals")

    setattr(gateway.book, when, away)
    call = gateway.transfer(approval_id=(approval,))
    decision = gateway.decide(call)
    assert (decision.status, decision.reason) == (503, "approvals-unavailable")
    assert not gateway.book.used


def test_counters_whose_server_is_away_go_on_alone_and_the_record_says_so() -> None:
    limiter = SharedLimiter("unix:///nonexistent/redis.sock")
    gateway = Gateway(limiter=limiter, settings=GatewaySettings(agent_rate=Rate(2, 60)))
    call = gateway.call()
    assert gateway.decide(call).allow
    details = {one.layer: one.detail for one in gateway.record(call).layers}
    assert details["pre-limit"] == details["limit"] == "counted-locally"
    assert gateway.decide(gateway.call()).allow
    assert gateway.decide(gateway.call()).reason == "agent-rate"


@pytest.mark.parametrize(
    ("rate", "reason", "after"),
    [("peer_rate", "peer-rate", False), ("global_rate", "global-rate", False)],
)
def test_rates_before_the_token_keep_the_verifier_out_of_it(
    rate: str, reason: str, *, after: bool
) -> None:
    options: dict[str, Any] = {rate: Rate(1, 60)}
    gateway = Gateway(settings=GatewaySettings(**options))
    assert gateway.decide(gateway.call()).allow
    call = gateway.call()
    decision = gateway.decide(call)
    assert (decision.status, decision.reason) == (429, reason)
    assert any(one.point == "rs.token" for one in gateway.records[2:]) is after
    # the proof was not spent: once the rate allows, the same call is good
    fresh = Gateway(issuer=gateway.issuer, key=gateway.key)
    fresh.nonces = gateway.nonces
    fresh.verifiers.clear()
    assert fresh.decide(call).allow


def test_a_rate_is_the_peers_the_agents_or_the_routes_own() -> None:
    settings = GatewaySettings(peer_rate=Rate(1, 60))
    gateway = Gateway(settings=settings)
    assert gateway.decide(gateway.call(peer="127.0.0.1")).allow
    assert gateway.decide(gateway.call(peer="127.0.0.2")).allow
    gateway = Gateway(settings=GatewaySettings(agent_rate=Rate(1, 60)))
    assert gateway.decide(gateway.call()).allow
    assert gateway.decide(gateway.call()).reason == "agent-rate"
    hr = gateway.call(service="hr", token=gateway.token(HR, "hr"))
    assert gateway.decide(hr).allow
    gateway = Gateway(settings=GatewaySettings(route_rate=Rate(1, 60)))
    assert gateway.decide(gateway.call("/records/latest")).allow
    assert gateway.decide(gateway.call("/records/newest")).allow
    assert gateway.decide(gateway.call("/records/latest")).reason == "route-rate"


def test_nobody_uses_up_an_agents_rate_without_its_key() -> None:
    gateway = Gateway(settings=GatewaySettings(agent_rate=Rate(1, 60)))
    stolen = gateway.token()
    for _ in range(3):
        assert gateway.decide(gateway.call(token=stolen, dpop=())).status == 401
    assert gateway.decide(gateway.call(token=stolen)).allow


def test_refused_calls_count_for_an_agent_that_has_proved_itself() -> None:
    gateway = Gateway(settings=GatewaySettings(agent_rate=Rate(1, 60)))
    assert gateway.decide(gateway.call("/profiles/1")).reason == "data-above-ceiling"
    assert gateway.decide(gateway.call()).reason == "agent-rate"


LAPSES: dict[str, tuple[str, Callable[[Gateway], AccessCall]]] = {
    "scope": ("unsafe_ignores_scope", lambda g: g.call(token=g.token(scope="read:logs"))),
    "policy": ("unsafe_asks_no_policy", lambda g: g.call("/profiles/7")),
    "classification": ("unsafe_unlabelled_data", lambda g: g.call("/profiles/7")),
    "approval": ("unsafe_needs_no_approval", (
        lambda g: g.call(
            "/deployments/production",
            "POST",
            service="deployments",
            token=g.token(DEPLOYER, "deployments", scope="deploy:deployments"),
        )
    )),
    "path": ("unsafe_raw_paths", lambda g: g.call("/records/../admin/status")),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "make"), LAPSES.values(), ids=LAPSES)
def test_a_control_is_what_refuses_and_its_lapse_lets_through(
    setting: str, make: Callable[[Gateway], AccessCall]
) -> None:
    gateway = Gateway()
    assert not gateway.decide(make(gateway)).allow
    options: dict[str, Any] = {setting: True}
    lapsed = Gateway(settings=GatewaySettings(**options))
    decision = lapsed.decide(make(lapsed))
    assert decision.allow, decision.reason


def test_a_flood_is_let_through_where_nobody_counts() -> None:
    settings = GatewaySettings(agent_rate=Rate(1, 60), peer_rate=Rate(1, 60))
    gateway = Gateway(settings=replace(settings, unsafe_no_rate_limit=True))
    assert all(gateway.decide(gateway.call()).allow for _ in range(3))


def test_renaming_every_agent_changes_no_verdict() -> None:
    gateway = Gateway()
    known = gateway.directory.known
    for entry in list(known.values()):
        renamed = replace(entry, name=f"zz-{entry.name[::-1]}")
        known[renamed.id] = renamed
        reads = gateway.token(renamed.id, "customers")
        before = gateway.decide(gateway.call(token=gateway.token(entry.id)))
        after = gateway.decide(gateway.call(token=reads))
        assert (before.allow, before.reason) == (after.allow, after.reason)


class Broken:
    """A limiter that breaks, with what a client sent in its message."""

    def hit(self, key: str, rate: Rate) -> Wait | None:
        raise ValueError(f"hidden {key} {rate}")


def test_whatever_breaks_inside_refuses_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(limiter=Broken())
    call = gateway.call()
    decision = gateway.decide(call)
    assert (decision.allow, decision.status, decision.reason) == (False, 503, "decision-failed")
    record = gateway.record(call)
    assert [one.detail for one in record.layers] == ["ValueError"]
    assert "hidden" not in caplog.text + repr(gateway.records) + repr(decision)


@pytest.mark.parametrize("part", ["policy", "verifiers", "agents", "approvals"])
def test_any_part_that_breaks_refuses(part: str) -> None:
    def breaks(*_: Any, **__: Any) -> Any:  # noqa: ANN401 - anything's
        raise RuntimeError("hidden")

    gateway = Gateway()
    approval = gateway.approval_of(gateway.transfer())
    call = gateway.transfer(approval_id=(approval,))
    ports: dict[str, tuple[Any, str]] = {
        "policy": (gateway.decider, "_policy"),
        "verifiers": (gateway.decider, "_verifiers"),
        "agents": (gateway.directory, "by_id"),
        "approvals": (gateway.book, "present"),
    }
    setattr(*ports[part], breaks)
    assert gateway.decide(call).reason == "decision-failed"
    assert not gateway.book.used


def test_a_rogue_without_a_layer_admits_what_the_layer_refuses() -> None:
    def lax(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        if point != POINT:
            return layers
        return tuple(
            LayerAnswer(one.layer, Effect.ALLOW, "waved-through") if one.refuses else one
            for one in layers
        )

    rogue = Gateway(tamper=lax)
    assert rogue.decide(rogue.call("/profiles/7")).allow
    assert rogue.decide(rogue.call(dpop=())).allow
    assert rogue.decide(rogue.transfer()).allow
    assert rogue.decide(rogue.transfer(approval_id=("x",))).allow


def test_another_issuers_token_is_nobodys() -> None:
    gateway = Gateway()
    stranger = Gateway(issuer=Key())
    call = gateway.call(token=stranger.token())
    decision = gateway.decide(call)
    assert (decision.status, decision.reason) == (401, "unknown-key")


def test_a_decider_is_made_of_ports_alone() -> None:
    gateway = Gateway()
    decider = GatewayDecider(
        verifiers=gateway.verifier,
        agents=gateway.directory,
        policy=lambda: gateway.engine,
        approvals=None,
        limits=LocalLimiter(),
        clock=gateway.clock,
        records=gateway.tap,
    )
    assert decider.decide(gateway.call()).allow
    assert decider.decide(gateway.transfer(approval_id=("x",))).reason == "approval-unknown"
    assert isinstance(gateway.replay, MemoryReplay)


class Counting:
    """A policy's engine that counts how often it is asked."""

    def __init__(self, engine: PolicyEngine) -> None:
        self.engine = engine
        self.remembers = engine.remembers
        self.digest = engine.digest
        self.asked: list[str] = []

    def evaluate(self, text: str) -> Any:  # noqa: ANN401 - the engine's own
        self.asked.append(text)
        return self.engine.evaluate(text)


def test_the_policy_is_asked_again_for_another_entry_route_or_policy() -> None:
    gateway = Gateway()
    engine: Any = Counting(gateway.engine)
    assert engine.remembers
    gateway.engine = engine
    assert gateway.decide(gateway.call()).allow
    assert gateway.decide(gateway.call()).allow
    assert len(engine.asked) == 1
    assert gateway.decide(gateway.call("/records/newest")).allow
    assert gateway.decide(gateway.call("/records/7")).allow
    assert gateway.decide(gateway.call("/records/8")).allow
    assert len(engine.asked) == 4
    known = gateway.directory.known
    known[ANALYST] = replace(known[ANALYST], roles=frozenset({"log-writer"}))
    assert gateway.decide(gateway.call()).reason == "role-may-not"
    gateway.engine = PolicyEngine({"p.rego": DENIES})
    known[ANALYST] = replace(known[ANALYST], roles=frozenset({"data-analyst"}))
    assert gateway.decide(gateway.call()).reason == "closed"


def test_a_policy_that_looks_at_the_time_is_asked_each_time() -> None:
    gateway = Gateway()
    timed = PolicyEngine({"p.rego": TIMED})
    assert not timed.remembers
    gateway.engine = timed
    assert gateway.decide(gateway.call()).allow
    gateway.clock.moment += 1
    assert gateway.decide(gateway.call(proof=None)).reason == "policy-undefined"


def test_an_approval_is_never_part_of_what_is_remembered() -> None:
    gateway = Gateway()
    engine: Any = Counting(gateway.engine)
    gateway.engine = engine
    assert gateway.decide(gateway.transfer()).reason == "approval-required"
    approval = gateway.approval_of(gateway.transfer())
    assert gateway.decide(gateway.transfer(approval_id=(approval,))).allow
    assert gateway.decide(gateway.transfer()).reason == "approval-required"
    assert len(engine.asked) == 2


DENIES = """package ai.authorization
default allow := false
deny contains "closed"
"""
TIMED = f"""package ai.authorization
default allow := false
allow if input.context.time <= {NOW}
rules contains "early" if allow
"""
