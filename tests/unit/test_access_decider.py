"""The decider over a real verifier and the real policy: what is asked, spent and recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.access.decide import POINT
from iamrange.access.decider import GatewayDecider
from iamrange.access.gateway_layers import LAYERS
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.core.decision import Effect, LayerAnswer, Outcome
from iamrange.identity.directory.model import AgentState, Kind
from iamrange.identity.protected import VerifierSettings
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.limits import LocalLimiter, SharedLimiter
from iamrange.identity.stores.memory import MemoryReplay
from iamrange.identity.stores.ports import Rate, Wait
from tests.conformance.access.decision_lab import (
    ADMIN,
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


def test_a_good_call_is_admitted_and_recorded_with_the_rule_that_decided() -> None:
    gateway = Gateway()
    call = gateway.call("/records/latest?after=hidden")
    decision = gateway.decide(call)
    assert (decision.allow, decision.request_id) == (True, call.request_id)
    record = gateway.record(call)
    assert [one.layer for one in record.layers] == list(LAYERS)
    assert record.outcome is Outcome.ALLOW
    assert (record.action, record.principal) == ("read", ANALYST)
    assert record.resource == "https://customers.iamrange.example/records/latest"
    assert record.facts["route"] == "/records/latest"
    (rule,) = [one.decided_by for one in record.layers if one.decided_by]
    assert (rule.policy, rule.statement) == ("ai.authorization", "analyst-reads-public-data")
    (verified,) = [one for one in gateway.records if one.point == "rs.token"]
    assert verified.request_id == call.request_id


def test_no_record_and_no_repr_holds_a_token_a_proof_or_a_query() -> None:
    gateway = Gateway()
    good = gateway.call("/records/latest?after=hidden", cookies=("c=hidden",), body=b"hidden")
    bad = replace(good, target="/records/../x?after=hidden")
    for call in (good, bad):
        decision = gateway.decide(call)
        shown = repr(gateway.records) + repr(decision) + repr(call)
        assert "hidden" not in shown
        assert call.authorization[0][5:] not in shown
        assert call.dpop[0] not in shown


CASES: dict[str, tuple[Callable[[Gateway], AccessCall], int, str, set[str]]] = {
    "no token": (lambda g: g.call(authorization=(), dpop=()), 401, "no-token", {"token"}),
    "no proof": (lambda g: g.call(dpop=()), 401, "missing-proof", {"token"}),
    "two proofs": (lambda g: g.call(dpop=("a", "b")), 401, "several-proofs", {"token"}),
    "bearer": (
        lambda g: g.call(authorization=(f"Bearer {g.token()}",), dpop=()),
        401,
        "bound-token-as-bearer",
        {"token"},
    ),
    "another service's token": (
        lambda g: g.call(token=g.token(service="logs")),
        401,
        "wrong-audience",
        {"token", "scope"},
    ),
    "expired": (lambda g: g.call(token=g.token(exp=NOW - 60)), 401, "expired", {"token"}),
    "token in the query": (
        lambda g: g.call("/records/latest?access_token=x"),
        400,
        "token-in-query",
        {"token"},
    ),
    "token in a form": (
        lambda g: g.call(body=b"access_token=x", content_type="application/x-www-form-urlencoded"),
        400,
        "token-in-form",
        {"token"},
    ),
    "token in a cookie": (
        lambda g: g.call(cookies=("access_token=x",)),
        400,
        "token-in-cookie",
        {"token"},
    ),
    "wrong scope": (
        lambda g: g.call(token=g.token(scope="read:logs")),
        403,
        "insufficient-scope",
        {"scope"},
    ),
    "a role that may not": (
        lambda g: g.call("/entries/7", service="logs", token=g.token(HR, "logs")),
        403,
        "other-project",
        {"policy"},
    ),
    "above the ceiling": (
        lambda g: g.call("/profiles/7"),
        403,
        "data-above-ceiling",
        {"policy"},
    ),
    "execute by another than a platform admin": (
        lambda g: g.call(
            "/admin/status",
            service="deployments",
            token=g.token(DEPLOYER, "deployments", scope="execute:deployments"),
        ),
        403,
        "execute-is-for-platform-admins",
        {"policy"},
    ),
    "transfer without approval": (
        lambda g: g.transfer(),
        403,
        "approval-required",
        {"policy", "approval"},
    ),
    "transfer with an unknown approval": (
        lambda g: g.transfer(approval_id=("x",)),
        403,
        "approval-unknown",
        {"policy", "approval"},
    ),
    "two approvals": (
        lambda g: g.transfer(approval_id=("x", "y")),
        403,
        "several-approvals",
        {"policy", "approval"},
    ),
    "an approval whose body was not seen": (
        lambda g: g.transfer(approval_id=("x",), body=None),
        403,
        "body-unseen",
        {"policy", "approval"},
    ),
    "no such route": (lambda g: g.call("/nothing"), 404, "no-route", {"route"}),
    "no such method": (
        lambda g: g.call("/records/latest", "POST"),
        405,
        "method-not-allowed",
        {"route"},
    ),
    "no such service": (
        lambda g: g.call(service="directory"),
        421,
        "unknown-service",
        {"route"},
    ),
    "a path with two readings": (
        lambda g: g.call("/records/../admin/status"),
        400,
        "dot-segment",
        {"canonical"},
    ),
    "a header that would make it another request": (
        lambda g: g.call(overrides=("x-http-method-override",)),
        400,
        "method-override",
        {"canonical"},
    ),
    "two hosts": (
        lambda g: g.call(host=("customers.iamrange.example", "hr.iamrange.example")),
        400,
        "several-hosts",
        {"canonical"},
    ),
    "unknown agent": (
        lambda g: g.call(token=g.token("spiffe://iamrange.example/agent/nobody")),
        401,
        "agent-unknown",
        {"token", "agent"},
    ),
}


@pytest.mark.parametrize(("make", "status", "reason", "layers"), CASES.values(), ids=CASES)
def test_each_refusal_names_its_reason_and_who_else_would_refuse(
    make: Callable[[Gateway], AccessCall], status: int, reason: str, layers: set[str]
) -> None:
    gateway = Gateway()
    call = make(gateway)
    decision = gateway.decide(call)
    assert (decision.allow, decision.status, decision.reason) == (False, status, reason)
    assert set(gateway.refusing(call)) == layers
    record = gateway.record(call)
    assert (record.outcome, record.reason) == (Outcome.DENY, reason)
    assert not gateway.book.used


def test_a_replayed_proof_is_refused_and_everything_else_would_allow() -> None:
    gateway = Gateway()
    call = gateway.call()
    assert gateway.decide(call).allow
    again = replace(call, request_id="again-again")
    assert gateway.decide(again).reason == "replayed"
    assert gateway.refusing(again) == {"token": "replayed"}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (AgentState.QUARANTINED, "agent-quarantined"),
        (AgentState.RETIRED, "agent-retired"),
        (AgentState.REGISTERED, "agent-registered"),
    ],
)
def test_an_agent_that_is_out_is_refused_even_where_revocation_is_not_asked(
    state: AgentState, reason: str
) -> None:
    gateway = Gateway(verifier_settings=VerifierSettings(unsafe_ignores_revocation=True))
    call = gateway.call()
    known = gateway.directory.known
    known[ANALYST] = replace(known[ANALYST], state=state)
    assert gateway.decide(call).reason == reason
    assert gateway.refusing(call) == {"agent": reason, "policy": "agent-not-active"}
    lapsed = Gateway(
        verifier_settings=VerifierSettings(unsafe_ignores_revocation=True),
        settings=GatewaySettings(unsafe_ignores_agent_state=True),
    )
    lapsed.directory.known[ANALYST] = known[ANALYST]
    assert lapsed.decide(lapsed.call()).allow


def test_what_became_of_an_agent_is_said_although_its_token_is_dead() -> None:
    gateway = Gateway()
    known = gateway.directory.known
    known[ANALYST] = replace(known[ANALYST], state=AgentState.QUARANTINED)
    call = gateway.call()
    decision = gateway.decide(call)
    assert (decision.status, decision.error) == (401, "invalid_token")
    assert decision.reason == "agent-quarantined"
    assert gateway.refusing(call)["token"] == "agent-inactive"


def test_a_person_calls_nothing() -> None:
    gateway = Gateway()
    known = gateway.directory.known
    person = replace(known[ANALYST], name="mia", kind=Kind.PERSON)
    known[person.id] = person
    call = gateway.call(token=gateway.token(person.id))
    assert gateway.decide(call).reason == "agent-is-a-person"


def test_a_path_that_is_none_is_not_recorded() -> None:
    gateway = Gateway()
    token = gateway.token()
    for path in (f"/{token}", f"/records/{token}", f"/nothing/{token[:60]}"):
        call = gateway.call(path)
        assert gateway.decide(call).reason == "no-route"
        assert gateway.record(call).resource == "https://customers.iamrange.example"
    assert token[:60] not in repr(gateway.records)


CHAINS: list[tuple[str, tuple[str, ...], str]] = [
    (ANALYST, (ADMIN,), "role-may-not"),
    (ADMIN, (ANALYST,), "role-may-not"),
    (ANALYST, (HR,), "role-may-not"),
    (HR, (ANALYST,), "role-may-not"),
]


@pytest.mark.parametrize(("subject", "actors", "reason"), CHAINS)
def test_a_chain_can_do_what_the_least_of_it_can(
    subject: str, actors: tuple[str, ...], reason: str
) -> None:
    gateway = Gateway()
    call = gateway.call(token=gateway.token(subject, actors=actors))
    assert gateway.decide(call).reason == reason
    assert gateway.record(call).principal == actors[0]
    assert gateway.record(call).facts["subject"] == subject


def test_a_chain_of_agents_that_may_is_admitted_as_the_one_that_acts() -> None:
    gateway = Gateway()
    known = gateway.directory.known
    second = replace(known[ANALYST], name="ann")
    known[second.id] = second
    decision = gateway.decide(gateway.call(token=gateway.token(ANALYST, actors=(second.id,))))
    assert decision.allow
    told = dict(decision.identity)
    assert (told["x-agent-id"], told["x-agent-subject"]) == (second.id, ANALYST)
    for gone in (ANALYST, second.id):
        out = Gateway()
        out.directory.known[second.id] = second
        entry = out.directory.known[gone]
        out.directory.known[gone] = replace(entry, state=AgentState.QUARANTINED)
        call = out.call(token=out.token(ANALYST, actors=(second.id,)))
        assert not out.decide(call).allow
        assert out.refusing(call)["agent"] == "agent-quarantined"


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
