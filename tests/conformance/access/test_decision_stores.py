"""Two gateways over one real Redis: what they share, and what each does while it is away."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from iamrange.access.gateway_settings import GatewaySettings
from iamrange.core.clock import FixedClock
from iamrange.identity.stores.limits import SharedLimiter
from iamrange.identity.stores.ports import Rate
from iamrange.identity.stores.redis_stores import RedisReplay
from tests.conformance.access.decision_lab import Gateway
from tests.conformance.store_servers import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.access.evidence import AccessCall


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def gateways(server: RedisServer, agent_rate: Rate, *, replay: bool) -> tuple[Gateway, Gateway]:
    """Two gateways of one issuer, with counters, and used proofs if asked for, in Redis."""
    clock = FixedClock(float(int(time.time())))
    first = Gateway(
        clock=clock,
        limiter=SharedLimiter(server.url),
        settings=GatewaySettings(agent_rate=agent_rate),
    )
    if replay:
        first.replay = RedisReplay(server.url)
    second = Gateway(
        clock=clock,
        limiter=SharedLimiter(server.url),
        settings=first.settings,
        replay=RedisReplay(server.url) if replay else first.replay,
        issuer=first.issuer,
        key=first.key,
    )
    second.nonces = first.nonces
    return first, second


def test_gateways_that_share_their_counters_count_together(server: RedisServer) -> None:
    first, second = gateways(server, Rate(3, 60), replay=False)
    answers = [gateway.decide(_now(gateway)).reason for gateway in (first, second) * 2]
    assert answers == ["admitted"] * 3 + ["agent-rate"]


def test_while_the_counters_are_away_each_counts_alone_and_says_so(server: RedisServer) -> None:
    first, second = gateways(server, Rate(2, 60), replay=False)
    assert first.decide(_now(first)).allow
    server.kill()
    answers = [gateway.decide(_now(gateway)).reason for gateway in (first, second) * 3]
    assert answers == ["admitted"] * 4 + ["agent-rate"] * 2
    last = next(one for one in reversed(first.records) if one.point == "gateway.call")
    details = {one.layer: one.detail for one in last.layers}
    assert details["pre-limit"] == details["limit"] == "counted-locally"
    server.start()
    end = time.monotonic() + 20
    while True:
        call = _now(first)
        first.decide(call)
        if first.record(call).layers[2].detail == "":
            break
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_proof_is_spent_for_all_gateways_and_never_by_halves(server: RedisServer) -> None:
    plenty = Rate(1000, 60)
    first, second = gateways(server, plenty, replay=True)
    call = _now(first)
    assert first.decide(call).allow
    assert second.decide(replace(call, request_id="elsewhere")).reason == "replayed"
    waiting = _now(first)
    server.kill()
    # counters go on alone; whether a proof was used is known or refused
    refused = first.decide(waiting)
    assert (refused.status, refused.reason) == (503, "replay-unavailable")
    assert dict(refused.headers)["Retry-After"] == "1"


def _now(gateway: Gateway) -> AccessCall:
    """A good call at the gateway's own moment."""
    moment = int(gateway.clock.now())
    token = gateway.token(iat=moment - 10, nbf=moment - 10, exp=moment + 200)
    url = "https://customers.iamrange.example/records/latest"
    return gateway.call(token=token, proof=gateway.proof(token, url, iat=moment))
