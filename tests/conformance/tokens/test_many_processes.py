"""Two token services, as two processes have them: adapters of their own over one Redis."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from iamrange.identity.nonces import NonceSource
from iamrange.identity.tokens.keys import AuthorityKeys
from iamrange.identity.tokens.service import TokenService
from tests.conformance.store_adapters import InRedis
from tests.conformance.store_servers import RedisServer, redis_server
from tests.conformance.tokens.lab import RESOURCES, Agents, House

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.identity.tokens.http import HttpRequest

SECRET = b"the secret that both processes share"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server(append_only=True) as running:
        yield running


@pytest.fixture
def pair(server: RedisServer) -> Iterator[tuple[House, TokenService]]:
    """Return a house, and a second service over its directory, keys and stores."""
    stores = InRedis(server.url)
    house = House(replay=stores.replay(), revocation=stores.revocation())
    second = TokenService(
        agents=house.agents,
        keys=AuthorityKeys(clock=house.clock, document=house.keys.private_document()),
        replay=stores.replay(),
        revocation=stores.revocation(),
        limiter=house.limiter,
        nonces=NonceSource(SECRET, house.clock),
        resources=RESOURCES,
        clock=house.clock,
        records=house.records.append,
    )
    yield house, second
    stores.close()


def test_one_assertion_sent_to_both_at_once_gives_one_token(
    pair: tuple[House, TokenService],
) -> None:
    house, second = pair
    assertion = house.analyst.assertion()
    requests = [house.request(client_assertion=assertion) for _ in range(64)]
    services = itertools.cycle([house.service, second])

    def send(job: tuple[TokenService, HttpRequest]) -> int:
        service, request = job
        return service.answer(request).status

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(send, zip(services, requests, strict=False)))
    assert sorted(statuses) == [200] + [401] * 63


def test_what_one_revokes_the_other_does_not_exchange(pair: tuple[House, TokenService]) -> None:
    house, second = pair
    held = house.token()
    revoke = house.request(path="/oauth/revoke", token=held, grant_type=None)
    assert second.answer(revoke).status == 200
    assert house.exchange(house.worker, held).verdict[2] == "subject-token-revoked"


def test_without_redis_there_is_no_token_and_then_there_is(server: RedisServer) -> None:
    stores = InRedis(server.url)
    house = House(replay=stores.replay(), revocation=stores.revocation())
    assert house.post().status == 200
    server.kill()
    try:
        assert house.post().verdict == (503, "temporarily_unavailable", "store-down")
    finally:
        server.start()
    assert house.post().status == 200
    stores.close()


def test_a_pair_shares_one_directory(pair: tuple[House, TokenService]) -> None:
    house, second = pair
    assert isinstance(house.agents, Agents)
    house.agents.away = True
    assert second.answer(house.request()).status == 503
