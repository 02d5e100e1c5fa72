"""The gateway's decider with real approvals: an approval opens one call, once, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from iamrange.access.approvals.declared import describe
from iamrange.access.approvals.model import ApprovalRequest, Verdict
from iamrange.access.approvals.service import Approvals, AskedCall
from iamrange.access.approvals.settings import ApprovalSettings
from iamrange.access.approvals.signing import sign_decision
from iamrange.core.clock import FixedClock
from iamrange.identity.directory.model import AgentState, Kind, agent_id
from tests.conformance.access.approvals_lab import Folk, sqlite
from tests.conformance.access.decision_lab import HR, MANAGER, PAYMENTS, Book, Gateway
from tests.conformance.protected_lab import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from iamrange.access.decide import Decision
    from iamrange.access.evidence import AccessCall

BODY = b'{"amount":5}'
URL = "https://payments.iamrange.example/transfers"
JSON = "application/json"
Json = Any
OWNER = agent_id("olga", kind=Kind.PERSON)


@dataclass
class World:
    """A gateway, and the people beside it."""

    gateway: Gateway
    approvals: Approvals
    folk: Folk
    clock: FixedClock

    def approved(
        self, *, approver: str = MANAGER, verdict: Verdict = Verdict.APPROVE, **asked: Json
    ) -> str:
        """The id of a request that this person decided."""
        given: dict[str, Any] = {"method": "POST", "url": URL, "body": BODY, "content_type": JSON}
        request = self.approvals.ask(PAYMENTS, AskedCall(**{**given, **asked}))
        assert isinstance(request, ApprovalRequest), request
        now = self.clock.now()
        key = self.folk.keys[approver]
        signed = sign_decision(key, request, verdict=verdict, approver=approver, now=now)
        self.approvals.decide(request.id, signed)
        return request.id

    def call(self, approval_id: str, **changed: Json) -> AccessCall:
        given = {"approval_id": (approval_id,), "body": BODY, "content_type": JSON}
        return self.gateway.transfer(**{**given, **changed})

    def decide(self, approval_id: str, **changed: Json) -> Decision:
        return self.gateway.decide(self.call(approval_id, **changed))


def _fired(world: World, approval_id: str) -> Decision:
    world.folk.change(MANAGER, state=AgentState.RETIRED, keys=())
    return world.decide(approval_id)


def worlds(folder: Path) -> Callable[..., World]:
    def make(**settings: Json) -> World:
        folk, clock = Folk(), FixedClock(NOW)
        folk.add(PAYMENTS, owner="olga@example.com")
        folk.add(HR, owner="olga@example.com")
        folk.add(MANAGER, owner="mia@example.com", roles=frozenset({"manager"}))
        folk.add(OWNER, owner="olga@example.com", roles=frozenset({"manager"}))
        approvals = Approvals(
            sqlite(folder),
            folk,
            describe,
            clock=clock,
            settings=ApprovalSettings(**settings),
        )
        gateway = Gateway(book=cast("Book", approvals), clock=clock)
        return World(gateway, approvals, folk, clock)

    return make


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., World]:
    return worlds(tmp_path)


@pytest.fixture
def world(make: Callable[..., World]) -> Iterator[World]:
    made = make()
    yield made
    made.approvals._store.close()  # noqa: SLF001 - what was opened here


def test_an_approved_transfer_goes_through_once(world: World) -> None:
    approval_id = world.approved()
    assert world.decide(approval_id).allow
    again = world.decide(approval_id)
    assert (again.allow, again.status, again.reason) == (False, 403, "approval-used")


def test_without_an_approval_no_money_moves(world: World) -> None:
    refused = world.gateway.decide(world.gateway.transfer(body=BODY, content_type=JSON))
    assert (refused.allow, refused.status) == (False, 403)


CHANGED: dict[str, tuple[Callable[[World, str], Decision], str]] = {
    "a body of another amount": (
        lambda world, each: world.decide(each, body=b'{"amount":6}'),
        "approval-for-another-request",
    ),
    "a body with a space more": (
        lambda world, each: world.decide(each, body=BODY + b" "),
        "approval-for-another-request",
    ),
    "no body": (
        lambda world, each: world.decide(each, body=b""),
        "approval-for-another-request",
    ),
    "another content type": (
        lambda world, each: world.decide(each, content_type="text/plain"),
        "approval-for-another-request",
    ),
    "no content type": (
        lambda world, each: world.decide(each, content_type=""),
        "approval-for-another-request",
    ),
    "an unknown id": (lambda world, _: world.decide("0" * 48), "approval-unknown"),
    "the id in capitals": (lambda world, each: world.decide(each.upper()), "approval-unknown"),
    "a fired approver": (_fired, "approver-not-active"),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED.keys())
def test_what_differs_from_what_was_approved_is_refused_and_spends_nothing(
    world: World, change: tuple[Callable[[World, str], Decision], str]
) -> None:
    act, expected = change
    approval_id = world.approved()
    refused = act(world, approval_id)
    assert (refused.allow, refused.reason) == (False, expected)
    world.folk.change(MANAGER, state=AgentState.ACTIVE)
    if expected != "approver-not-active":
        assert world.decide(approval_id).allow


def test_a_query_added_after_the_approval_is_another_call(world: World) -> None:
    approval_id = world.approved()
    token = world.gateway.token(PAYMENTS, "payments", scope="transfer:payments")
    call = world.gateway.call(
        "/transfers?to=me",
        "POST",
        service="payments",
        token=token,
        approval_id=(approval_id,),
        body=BODY,
        content_type=JSON,
    )
    assert world.gateway.decide(call).reason == "approval-for-another-request"


def test_another_agents_approval_is_worth_nothing(world: World) -> None:
    approval_id = world.approved()
    token = world.gateway.token(HR, "payments", scope="transfer:payments")
    refused = world.gateway.decide(world.call(approval_id, token=token))
    assert not refused.allow
    layers = {layer.layer: layer.reason for layer in refused.layers}
    assert layers["approval"] == "approval-for-another-agent"
    assert world.decide(approval_id).allow


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"approver": OWNER}, "approval-pending"),
        ({"verdict": Verdict.DENY}, "approval-denied"),
    ],
    ids=["by the owner", "denied"],
)
def test_what_nobody_approved_is_refused(
    world: World, given: dict[str, Any], expected: str
) -> None:
    assert world.decide(world.approved(**given)).reason == expected


def test_an_approver_whose_time_is_up_in_between_has_approved_nothing(world: World) -> None:
    approval_id = world.approved()
    world.clock.moment = NOW + 2.0
    world.folk.change(MANAGER, expires=NOW + 1.0)
    assert world.decide(approval_id).reason == "approver-expired"


def test_of_64_transfers_at_once_on_one_approval_one_goes_through(world: World) -> None:
    approval_id = world.approved()
    calls = [world.call(approval_id) for _ in range(64)]
    with ThreadPoolExecutor(32) as pool:
        decisions = list(pool.map(world.gateway.decide, calls))
    assert sum(decision.allow for decision in decisions) == 1
    refused = {decision.reason for decision in decisions if not decision.allow}
    assert refused <= {"approval-used", "limit-agent", "rate-limited", "too-many-requests"}
    assert "approval-used" in refused


def test_with_the_store_away_nothing_passes_and_it_recovers_alone(world: World) -> None:
    approval_id = world.approved()
    world.folk.away = True
    refused = world.decide(approval_id)
    assert (refused.allow, refused.status) == (False, 503)
    world.folk.away = False
    assert world.decide(approval_id).allow


def test_the_lapse_of_the_binding_moves_other_money_again_and_again(
    make: Callable[..., World],
) -> None:
    lax = make(unsafe_ignores_binding=True)
    approval_id = lax.approved()
    for amount in (5, 6, 6):
        body = f'{{"amount":{amount}}}'.encode()
        assert lax.decide(approval_id, body=body).allow
    lax.approvals._store.close()  # noqa: SLF001 - what was opened here
