"""The decider over a real verifier and the real policy: what is asked, spent and recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from iamrange.access.gateway_layers import LAYERS
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.core.decision import Outcome
from iamrange.identity.directory.model import AgentState, Kind
from iamrange.identity.protected import VerifierSettings
from tests.conformance.access.decision_lab import (
    ADMIN,
    ANALYST,
    DEPLOYER,
    HR,
    Gateway,
)
from tests.conformance.protected_lab import NOW

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
    assert record.facts["policy"] == gateway.engine.digest
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
    "an approved body that can be read in two ways": (
        lambda g: g.call(approval_id=("ap-1",), content_coding=("gzip",)),
        400,
        "encoded-body",
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
