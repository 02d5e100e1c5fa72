"""Ownership, prompts, states and clocks of approvals, without a browser or a network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iamrange.access.approvals.model import (
    ApprovalFacts,
    ApprovalRefusal,
    ApprovalRequest,
    ApprovalState,
    Verdict,
    request_digest,
)
from iamrange.access.approvals.ports import Polled
from iamrange.access.approvals.separation import owners, owns
from iamrange.access.approvals.service import AskedCall
from iamrange.access.approvals.settings import ApprovalSettings
from iamrange.identity.directory.model import AgentState, Kind, agent_id
from iamrange.identity.stores.errors import StoreDownError
from tests.conformance.access.approvals_lab import (
    ADMINISTRATOR,
    AGENT,
    COMMAND,
    DEPLOYMENT,
    MANAGER,
    NOW,
    OTHER,
    OWNER,
    OWNERS_AGENT,
    SECOND,
    TRANSFER,
    TRANSFERS,
    Folk,
    Lab,
    reason,
    sqlite,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def made(**given: Any) -> Lab:  # noqa: ANN401 - settings
        labs.append(Lab(sqlite(tmp_path), settings=ApprovalSettings(**given)))
        return labs[-1]

    yield made
    for lab in labs:
        lab.store.close()


@pytest.fixture
def lab(make: Callable[..., Lab]) -> Lab:
    return make()


def transfer(number: int) -> AskedCall:
    return replace(TRANSFER, body=f'{{"amount":{number}}}'.encode())


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ("olga@example.com", True),
        ("Olga@Example.com", True),
        ("mailto:olga@example.com", True),
        ("olga+bots@example.com", True),
        ("olga", True),
        ("olga@elsewhere.example", True),
        (OWNER, True),
        (OWNERS_AGENT, True),
        ("\uff4f\uff4c\uff47\uff41@example.com", True),
        ("maria@example.com", False),
        ("team-a", False),
        ("not-olga@example.com", False),
        (OTHER, False),
    ],
)
def test_whose_an_agent_is(owner: str, expected: bool, lab: Lab) -> None:  # noqa: FBT001 - a table's
    lab.folk.change(AGENT, owner=owner)
    agent, person = lab.folk.entries[AGENT], lab.folk.entries[OWNER]
    assert owns(person, owners(agent, lab.folk.get)) is expected


def test_agents_that_own_each_other_are_followed_round_once() -> None:
    folk = Folk()
    folk.add(AGENT, owner=OTHER)
    folk.add(OTHER, owner=AGENT)
    assert owners(folk.entries[AGENT], folk.get) == (OTHER, AGENT)


def test_a_directory_that_answers_with_somebody_else_makes_nobody_an_approver(lab: Lab) -> None:
    request = lab.asked()
    stranger = agent_id("stranger", kind=Kind.PERSON)
    lab.folk.keys[stranger] = lab.folk.keys[MANAGER]
    lab.folk.entries[stranger] = lab.folk.entries[MANAGER]
    answer = lab.approvals.decide(request.id, lab.signed(request, stranger))
    assert reason(answer) == "approver-unknown"


@given(text=st.text() | st.text(alphabet="eyJhbGciOiJFUzI1NiJ9.-_=", max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_is_refused_as_a_signature_and_breaks_nothing(lab: Lab, text: str) -> None:
    request = lab.asked()
    assert reason(lab.approvals.decide(request.id, text)) == "approval-signature"


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_signature_with_any_character_changed_is_refused(lab: Lab, data: st.DataObject) -> None:
    request = lab.asked()
    signed = lab.signed(request, jti="0123456789abcdef")
    place = data.draw(st.integers(0, len(signed) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.=").filter(lambda each: each != signed[place]))
    changed = f"{signed[:place]}{other}{signed[place + 1 :]}"
    assert isinstance(lab.approvals.decide(request.id, changed), ApprovalRefusal)
    assert reason(lab.present(request)) == "approval-pending"


@given(text=st.text(max_size=100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_as_an_id_is_unknown(lab: Lab, text: str) -> None:
    request = lab.asked()
    assert reason(lab.present(request, approval_id=text)) == "approval-unknown"
    assert reason(lab.approvals.poll(AGENT, text)) == "approval-unknown"
    assert reason(lab.approvals.decide(text, "x")) == "approval-unknown"
    assert not lab.approvals.consume(text, NOW)


def test_who_owns_the_agent_may_stop_it_but_not_let_it_go(lab: Lab) -> None:
    request = lab.asked()
    assert reason(lab.approvals.decide(request.id, lab.signed(request, OWNER))) is not None
    lab.folk.change(OWNER, roles=frozenset())
    denied = lab.approvals.decide(request.id, lab.signed(request, OWNER, Verdict.DENY))
    assert isinstance(denied, ApprovalRequest)
    assert denied.state is ApprovalState.DENIED


@pytest.mark.parametrize("approver", [AGENT, OWNERS_AGENT, OTHER])
def test_no_agent_denies_either(lab: Lab, approver: str) -> None:
    request = lab.asked()
    answer = lab.approvals.decide(request.id, lab.signed(request, approver, Verdict.DENY))
    assert isinstance(answer, ApprovalRefusal)
    assert lab.asked().state is ApprovalState.PENDING


def test_an_approval_not_used_yet_can_be_withdrawn_and_never_comes_back(lab: Lab) -> None:
    request = lab.approved()
    withdrawn = lab.approvals.decide(request.id, lab.signed(request, SECOND, Verdict.DENY))
    assert isinstance(withdrawn, ApprovalRequest)
    assert reason(lab.present(request)) == "approval-denied"
    assert not lab.approvals.consume(request.id, NOW)
    again = lab.approvals.decide(request.id, lab.signed(request))
    assert reason(again) == "approval-denied"


def test_what_was_used_cannot_be_denied_any_more(lab: Lab) -> None:
    request = lab.approved()
    assert lab.approvals.consume(request.id, NOW)
    denied = lab.approvals.decide(request.id, lab.signed(request, verdict=Verdict.DENY))
    assert reason(denied) == "approval-used"


def test_a_pending_request_cannot_be_consumed(lab: Lab) -> None:
    request = lab.asked()
    assert not lab.approvals.consume(request.id, NOW)
    assert not lab.approvals.consume("", NOW)
    assert not lab.approvals.consume("0" * 48, NOW)
    assert reason(lab.present(request)) == "approval-pending"


# --- clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["present", "poll", "decide", "get", "consume", "ask"])
def test_what_has_expired_stays_expired_when_the_clock_goes_back(lab: Lab, act: str) -> None:
    request = lab.approved()
    lab.clock.moment = NOW + 900
    if act == "consume":
        assert not lab.approvals.consume(request.id, lab.clock.now())
        lab.present(request)
    elif act == "ask":
        lab.asked(DEPLOYMENT, OTHER)
    else:
        acts: dict[str, Any] = {
            "present": lambda: lab.present(request),
            "poll": lambda: lab.approvals.poll(AGENT, request.id),
            "decide": lambda: lab.approvals.decide(request.id, lab.signed(request)),
            "get": lambda: lab.approvals.get(request.id),
        }
        acts[act]()
    lab.clock.moment = NOW
    assert reason(lab.present(request)) == "approval-expired"
    assert not lab.approvals.consume(request.id, NOW)


def test_before_it_was_signed_a_signature_counts_for_nothing(lab: Lab) -> None:
    request = lab.approved()
    lab.clock.moment = NOW - 3600
    assert reason(lab.present(request)) == "approval-not-yet-valid"
    lab.clock.moment = NOW
    assert isinstance(lab.present(request), ApprovalFacts)


def test_the_last_second_is_the_one_before_the_end(lab: Lab) -> None:
    request = lab.approved()
    assert isinstance(lab.present(request, now=request.expires - 0.001), ApprovalFacts)
    assert reason(lab.present(request, now=float(request.expires))) == "approval-expired"


def test_an_expired_request_cannot_be_approved(lab: Lab) -> None:
    request = lab.asked()
    signed = lab.signed(request)
    lab.clock.moment = NOW + 901
    assert reason(lab.approvals.decide(request.id, signed)) == "approval-expired"
    assert [event.action for event in lab.events] == ["asked", "expired"]


# --- asking -------------------------------------------------------------------------------------


def test_an_identical_request_that_waits_is_returned_again(lab: Lab) -> None:
    first = lab.asked()
    lab.clock.moment += 60
    assert lab.asked() == first
    other = replace(TRANSFER, content_type="APPLICATION/json")
    assert lab.asked(other).id == first.id
    lab.approvals.decide(first.id, lab.signed(first))
    assert lab.asked().state is ApprovalState.APPROVED
    assert [event.action for event in lab.events] == ["asked", "approved"]


@pytest.mark.parametrize(
    "other",
    [
        {"body": b"{}"},
        {"content_type": "text/plain"},
        {"url": f"{TRANSFERS}?x=1"},
    ],
    ids=str,
)
def test_a_request_that_differs_is_another(lab: Lab, other: dict[str, Any]) -> None:
    assert lab.asked(replace(TRANSFER, **other)).id != lab.asked().id


def test_an_identical_request_of_another_agent_is_another(lab: Lab) -> None:
    assert lab.asked(agent=OTHER).id != lab.asked().id


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"state": AgentState.QUARANTINED}, "agent-not-active"),
        ({"state": AgentState.REGISTERED}, "agent-not-active"),
        ({"expires": float(NOW)}, "agent-not-active"),
        ({"kind": Kind.PERSON}, "agent-not-active"),
    ],
)
def test_who_is_no_active_agent_asks_nobody(
    lab: Lab, change: dict[str, Any], expected: str
) -> None:
    lab.folk.change(AGENT, **change)
    assert reason(lab.approvals.ask(AGENT, TRANSFER)) == expected


@pytest.mark.parametrize("agent", ["", "payments-agent", MANAGER, agent_id("nobody"), f"{AGENT}\0"])
def test_who_is_not_in_the_directory_asks_nobody(lab: Lab, agent: str) -> None:
    assert reason(lab.approvals.ask(agent, TRANSFER)) == "agent-not-active"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (replace(TRANSFER, body=b"x" * (64 * 1024 + 1)), "body-too-large"),
        (replace(TRANSFER, url=f"{TRANSFERS}?{'x' * 6000}"), "malformed"),
        (replace(TRANSFER, content_type="application/json\r\nx: y"), "malformed"),
        (replace(TRANSFER, content_type="x" * 101), "malformed"),
        (replace(TRANSFER, content_type="\u0430pplication/json"), "malformed"),
        (
            AskedCall(method="GET", url="https://hr.iamrange.example/records/1"),
            "approval-not-needed",
        ),
        (replace(TRANSFER, method="TRACE"), "malformed"),
    ],
)
def test_what_nobody_can_be_asked_about_is_refused(
    lab: Lab, call: AskedCall, expected: str
) -> None:
    assert reason(lab.approvals.ask(AGENT, call)) == expected
    assert lab.approvals.pending() == ()


def test_a_body_at_the_limit_is_whole_in_the_hash(lab: Lab) -> None:
    body = b'{"a":"' + b"x" * (64 * 1024 - 8) + b'"}'
    assert lab.asked(replace(TRANSFER, body=body)).body_length == 64 * 1024


def test_an_approval_that_died_with_its_approver_is_in_nobodys_way(lab: Lab) -> None:
    dead = lab.approved()
    lab.folk.change(MANAGER, state=AgentState.RETIRED)
    request = lab.asked()
    assert (request.id != dead.id, request.state) == (True, ApprovalState.PENDING)
    lab.folk.change(MANAGER, state=AgentState.ACTIVE)
    assert reason(lab.present(dead)) == "approval-expired"
    assert [event.action for event in lab.events][-2:] == ["voided", "asked"]


# --- prompts ------------------------------------------------------------------------------------


def test_an_agent_has_few_requests_waiting(lab: Lab) -> None:
    for number in range(5):
        lab.asked(transfer(number))
    refused = lab.approvals.ask(AGENT, transfer(5))
    assert isinstance(refused, ApprovalRefusal)
    assert (refused.reason, refused.retry_after) == ("too-many-prompts", 60)
    # what waits already is still answered, and others are not in the way
    lab.asked(transfer(0))
    lab.asked(DEPLOYMENT, OTHER)
    request = next(one for one in lab.approvals.pending() if one.agent == AGENT)
    lab.approvals.decide(request.id, lab.signed(request))
    lab.asked(transfer(5))


def test_an_agent_asks_only_so_often_whatever_becomes_of_it(make: Callable[..., Lab]) -> None:
    lab = make(prompts=3, window=600)
    for number in range(3):
        request = lab.asked(transfer(number))
        lab.approvals.decide(request.id, lab.signed(request))
        assert lab.approvals.consume(request.id, lab.clock.now())
        lab.clock.moment += 10
    refused = lab.approvals.ask(AGENT, transfer(9))
    assert isinstance(refused, ApprovalRefusal)
    assert (refused.reason, refused.retry_after) == ("too-many-prompts", 570)
    lab.clock.moment += 570
    lab.asked(transfer(9))


def test_a_clock_set_back_opens_no_flood(make: Callable[..., Lab]) -> None:
    lab = make(prompts=3, window=600)
    for number in range(3):
        lab.asked(transfer(number))
    lab.clock.moment -= 100_000
    refused = lab.approvals.ask(AGENT, transfer(9))
    assert isinstance(refused, ApprovalRefusal)
    assert (refused.reason, refused.retry_after) == ("too-many-prompts", 600)


def test_what_was_denied_is_not_asked_again_at_once(lab: Lab) -> None:
    request = lab.asked()
    lab.approvals.decide(request.id, lab.signed(request, verdict=Verdict.DENY))
    lab.clock.moment += 100
    refused = lab.approvals.ask(AGENT, TRANSFER)
    assert isinstance(refused, ApprovalRefusal)
    assert (refused.reason, refused.retry_after) == ("too-many-prompts", 500)
    lab.clock.moment += 500
    assert lab.asked().id != request.id


def test_an_owner_of_many_agents_has_no_more_prompts_than_one(make: Callable[..., Lab]) -> None:
    lab = make(pending_per_owner=4)
    for number in range(5):
        name = agent_id(f"bot-{number}")
        lab.folk.add(name, owner="eve@example.com" if number % 2 else agent_id("bot-1"))
    for number in range(4):
        lab.asked(agent=agent_id(f"bot-{number}"))
    refused = lab.approvals.ask(agent_id("bot-4"), TRANSFER)
    assert reason(refused) == "too-many-prompts"
    lab.asked()


def test_people_see_each_agent_in_turn_and_only_what_they_may_approve(lab: Lab) -> None:
    for number in range(4):
        lab.asked(transfer(number))
        lab.clock.moment += 1
    lab.asked(DEPLOYMENT, OTHER)
    lab.asked(COMMAND, OTHER)
    agents = [request.agent for request in lab.approvals.pending()]
    assert agents == [AGENT, OTHER, AGENT, OTHER, AGENT, AGENT]
    seen = {
        who: len(lab.approvals.pending(approver=who))
        for who in (MANAGER, OWNER, ADMINISTRATOR, AGENT, agent_id("nobody"))
    }
    assert seen == {MANAGER: 5, OWNER: 1, ADMINISTRATOR: 1, AGENT: 0, agent_id("nobody"): 0}
    assert len(lab.approvals.pending(limit=2)) == 2


def test_the_lapse_of_the_limit_lets_everything_through(make: Callable[..., Lab]) -> None:
    lab = make(unsafe_unlimited_prompts=True)
    for number in range(30):
        lab.asked(transfer(number))
    assert len(lab.approvals.pending()) == 30


# --- polling ------------------------------------------------------------------------------------


def poll(lab: Lab, request: ApprovalRequest) -> Polled:
    polled = lab.approvals.poll(AGENT, request.id)
    assert isinstance(polled, Polled)
    return polled


def test_polling_too_fast_slows_down_and_the_interval_grows(lab: Lab) -> None:
    request = lab.asked()
    assert not poll(lab, request).too_fast
    lab.clock.moment += 1
    second = poll(lab, request)
    assert (second.too_fast, second.request.interval) == (True, 10)
    lab.clock.moment += 9
    assert poll(lab, request).request.interval == 15
    lab.clock.moment += 15
    assert not poll(lab, request).too_fast
    for _ in range(30):
        poll(lab, request)
    assert poll(lab, request).request.interval == 60
    lab.clock.moment += 59
    assert poll(lab, request).too_fast
    lab.clock.moment += 1
    assert not poll(lab, request).too_fast
    lab.clock.moment -= 1000
    assert not poll(lab, request).too_fast


@pytest.mark.parametrize("agent", [OTHER, OWNERS_AGENT, MANAGER, ""])
def test_nobody_polls_for_another(lab: Lab, agent: str) -> None:
    request = lab.asked()
    assert reason(lab.approvals.poll(agent, request.id)) == "approval-unknown"
    assert not poll(lab, request).too_fast


# --- lapses and faults --------------------------------------------------------------------------


def test_the_lapse_of_the_binding_makes_one_approval_good_for_all(make: Callable[..., Lab]) -> None:
    lab = make(unsafe_ignores_binding=True)
    request = lab.approved()
    for _ in range(2):
        facts = lab.present(request, method="DELETE", url="https://hr.iamrange.example/records/1")
        assert isinstance(facts, ApprovalFacts)
        assert lab.approvals.consume(request.id, NOW)
    # what is left: the agent, the signature, the end
    assert reason(lab.present(request, agent_id=OTHER)) == "approval-for-another-agent"
    lab.folk.change(MANAGER, state=AgentState.RETIRED)
    assert reason(lab.present(request)) == "approver-not-active"
    assert reason(lab.present(request, now=NOW + 900)) == "approval-expired"


def test_the_lapse_of_the_separation_lets_an_agent_approve_itself(
    make: Callable[..., Lab],
) -> None:
    lab = make(unsafe_approves_own=True)
    request = lab.approved(approver=AGENT)
    facts = lab.present(request)
    assert isinstance(facts, ApprovalFacts)
    assert (facts.approver, facts.manager_signed) == (AGENT, True)


@pytest.mark.parametrize("act", ["ask", "decide", "present", "pending"])
def test_without_the_directory_nothing_is_decided(lab: Lab, act: str) -> None:
    request = lab.approved()
    waiting = lab.asked(DEPLOYMENT, OTHER)
    signed = lab.signed(waiting)
    lab.folk.away = True
    acts: dict[str, Callable[[], object]] = {
        "ask": lambda: lab.approvals.ask(AGENT, transfer(1)),
        "decide": lambda: lab.approvals.decide(waiting.id, signed),
        "present": lambda: lab.present(request),
        "pending": lambda: lab.approvals.pending(approver=MANAGER),
    }
    with pytest.raises(StoreDownError):
        acts[act]()
    lab.folk.away = False
    assert isinstance(lab.present(request), ApprovalFacts)


@pytest.mark.parametrize("bad", [{"life": 0}, {"life": 3601}, {"prompts": 0}, {"body_limit": 0}])
def test_settings_that_would_void_a_limit_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="approvals: "):
        ApprovalSettings(**bad)  # type: ignore[arg-type]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), JSON_VALUES), st.dictionaries(st.text(), JSON_VALUES))
def test_fields_that_differ_have_digests_that_differ(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = repr(sorted(one.items(), key=repr)) == repr(sorted(other.items(), key=repr))
    if same:
        assert request_digest(one) == request_digest(other)
    elif one != other:
        assert request_digest(one) != request_digest(other)


def test_a_request_survives_its_own_json(lab: Lab) -> None:
    request = lab.asked()
    assert ApprovalRequest.from_json(request.as_json()) == request
    assert ApprovalRequest.from_json(request.as_json()).digest() == request.digest()
