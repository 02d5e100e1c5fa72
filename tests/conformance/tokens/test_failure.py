"""Stores away, races, limits, rogues, clouds: what must not give a token."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.decision import Effect, LayerAnswer, Outcome
from iamrange.identity.names import TOKEN_ENDPOINT
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.ports import RevocationState, Wait
from iamrange.identity.tokens.settings import TokenSettings
from tests.conformance.tokens.lab import ANALYST, CUSTOMERS, JWT_BEARER, LOGS, House

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iamrange.identity.directory.model import Agent
    from tests.conformance.tokens.network import Network

AT_ONCE = 64


class AwayRevocation:
    """A revocation store that is away while a test says so."""

    def __init__(self) -> None:
        self.away = True

    def state(self, agents: Sequence[str], jtis: Sequence[str]) -> RevocationState:
        del agents, jtis
        if self.away:
            raise StoreDownError("revocation")
        return RevocationState()

    def revoke(self, jti: str, *, expires: float) -> None:
        del jti, expires
        if self.away:
            raise StoreDownError("revocation")

    def raise_epoch(self, agent_id: str, epoch: int) -> None:
        raise NotImplementedError(agent_id, epoch)


@pytest.mark.parametrize("store", ["agents", "replay"])
def test_no_token_while_a_store_is_away_and_one_when_it_is_back(house: House, store: str) -> None:
    getattr(house, store).away = True
    answer = house.post()
    assert answer.verdict == (503, "temporarily_unavailable", "store-down")
    assert answer.headers["retry-after"] == "1"
    getattr(house, store).away = False
    assert house.post().status == 200


@pytest.mark.parametrize("path", ["/oauth/revoke", "/oauth/introspect"])
def test_management_fails_closed_while_a_store_is_away(path: str) -> None:
    store = AwayRevocation()
    house = House(revocation=store)
    token = house.token()
    answer = house.post(path=path, token=token, grant_type=None)
    assert answer.verdict == (503, "temporarily_unavailable", "store-down")
    store.away = False
    assert house.post(path=path, token=token, grant_type=None).status == 200


def test_no_exchange_while_revocation_is_away() -> None:
    store = AwayRevocation()
    house = House(revocation=store)
    held = house.token()
    answer = house.exchange(house.worker, held)
    assert answer.verdict == (503, "temporarily_unavailable", "store-down")
    store.away = False
    assert house.exchange(house.worker, held).status == 200


def test_a_store_that_is_away_is_no_oracle(house: House) -> None:
    """A client that does not authenticate learns nothing from the state of the stores."""
    getattr(house, "replay").away = True  # noqa: B009 - the memory store's own switch
    assert house.post(client_assertion="a.b.c").status == 401


def test_one_assertion_sent_64_times_at_once_gives_one_token(house: House) -> None:
    assertion = house.analyst.assertion()
    requests = [house.request(client_assertion=assertion) for _ in range(AT_ONCE)]
    barrier = threading.Barrier(AT_ONCE)

    def send(request: Any) -> int:  # noqa: ANN401 - a request
        barrier.wait()
        return house.service.answer(request).status

    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(send, requests))
    assert sorted(statuses) == [200] + [401] * (AT_ONCE - 1)


def test_one_proof_sent_64_times_at_once_gives_one_token(house: House) -> None:
    proof = house.analyst.proof()
    requests = [house.request(proof=proof) for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = [answer.status for answer in pool.map(house.service.answer, requests)]
    assert sorted(statuses) == [200] + [400] * (AT_ONCE - 1)


def test_one_assertion_sent_64_times_over_tls_gives_one_token(
    strict_house: House, network: Network
) -> None:
    party, nonce = strict_house.analyst, strict_house.nonces.current()
    assertion = party.assertion()

    def send(_: int) -> int:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": JWT_BEARER,
            "client_assertion": assertion,
        }
        headers = {"DPoP": party.proof(nonce=nonce)}
        with network.session() as session:
            answer = session.post(TOKEN_ENDPOINT, data=form, headers=headers, timeout=60)
        return answer.status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(send, range(AT_ONCE)))
    assert sorted(statuses) == [200] + [401] * (AT_ONCE - 1)


def test_limits_are_keyed_by_peer_and_authenticated_agent_and_never_by_a_header(
    house: House,
) -> None:
    house.post(
        peer="127.0.0.9", headers={"x-forwarded-for": "10.9.9.9", "forwarded": "for=1.1.1.1"}
    )
    house.post(peer="127.0.0.9", client_assertion="a.b.c", client_id=ANALYST)
    assert house.limiter.hits == [
        "token-peer:127.0.0.9",
        "token-all",
        f"token-agent:{ANALYST}",
        "token-peer:127.0.0.9",
        "token-all",
    ]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("token-peer:127.0.0.1", "peer-rate"),
        ("token-all", "global-rate"),
        (f"token-agent:{ANALYST}", "agent-rate"),
    ],
)
def test_beyond_a_rate_the_answer_is_429_with_the_time_to_wait(
    house: House, key: str, reason: str
) -> None:
    house.limiter.full[key] = Wait(17)
    answer = house.post()
    assert answer.verdict == (429, "temporarily_unavailable", reason)
    assert answer.headers["retry-after"] == "17"
    del house.limiter.full[key]
    assert house.post().status == 200


def lacking(name: str) -> Callable[[str, tuple[LayerAnswer, ...]], tuple[LayerAnswer, ...]]:
    """Return a service that lacks one layer."""

    def tamper(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        del point
        return tuple(
            replace(layer, effect=Effect.ALLOW, reason="let-through")
            if layer.layer == name and layer.refuses
            else layer
            for layer in layers
        )

    return tamper


@pytest.mark.parametrize(
    ("layer", "form"),
    [
        ("client", {"client_assertion": "forged"}),
        ("registration", {"state": "quarantined"}),
        ("proof", {"proof": None}),
        ("scope", {"scope": "write:payments"}),
        ("resource", {"resource": "https://unknown.example"}),
        ("limit", {"limited": True}),
    ],
)
def test_a_service_that_lacks_one_layer_gives_what_that_layer_refuses(
    house: House, layer: str, form: dict[str, Any]
) -> None:
    from iamrange.identity.directory.model import AgentState  # noqa: PLC0415 - one case's

    def attempt() -> int:
        asked = dict(form)
        if asked.pop("state", None):
            house.change(house.analyst, state=AgentState.QUARANTINED)
        if asked.pop("limited", None):
            house.limiter.full["token-all"] = Wait(1)
        if asked.get("client_assertion"):
            asked["client_assertion"] = house.analyst.assertion(aud="https://other.example")
        return house.post(**asked).status

    assert attempt() != 200
    house.service.tamper = lacking(layer)
    assert attempt() == 200
    assert house.records[-1].outcome is Outcome.ALLOW


def test_a_rogue_that_lets_everything_through_still_names_nobody(house: House) -> None:
    def allows_all(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        del point
        return tuple(replace(layer, effect=Effect.ALLOW) for layer in layers)

    house.service.tamper = allows_all
    assert house.post(client_assertion="a.b.c").status == 401
    assert house.exchange(house.worker, "x.y.z").status == 401
    assert house.send(replace(house.request(), body=b"&&&")).status == 401


# one control left out each


def test_any_scope() -> None:
    house = House(TokenSettings(unsafe_any_scope=True))
    assert house.post(scope="write:payments").body["scope"] == "write:payments"


def test_any_audience_makes_one_token_for_everything() -> None:
    house = House(TokenSettings(unsafe_any_audience=True))
    answer = house.post(resource=CUSTOMERS)
    assert answer.body["scope"] == "read:customers read:logs read:status write:logs"
    assert house.post(resource="https://unknown.example").status == 200
    assert house.post(resource=[CUSTOMERS, LOGS]).status == 200
    assert house.post(resource="sts.amazonaws.com").status == 400


def test_bearer_tokens() -> None:
    house = House(TokenSettings(unsafe_issues_bearer=True))
    answer = house.post(proof=None)
    assert answer.body["token_type"] == "Bearer"
    assert not house.read(answer.body["access_token"]).bound
    assert house.post().body["token_type"] == "DPoP"


def test_a_bound_token_stays_bound_where_bearer_tokens_are_issued() -> None:
    house = House(TokenSettings(unsafe_issues_bearer=True))
    answer = house.exchange(house.worker, house.token(), proof=None)
    assert answer.verdict == (400, "invalid_request", "binding-dropped")


def test_long_tokens() -> None:
    house = House(TokenSettings(lifetime=86_400))
    assert house.post().body["expires_in"] == 86_400


def test_a_clouds_token_comes_from_the_clouds_issuer_where_that_door_is_open() -> None:
    asked: list[tuple[str, str]] = []

    def minter(agent: Agent, audience: str) -> str:
        asked.append((agent.id, audience))
        return "minted"

    house = House(TokenSettings(unsafe_cloud_resources=True), cloud_minter=minter)
    answer = house.exchange(house.worker, house.token(), audience="sts.amazonaws.com")
    assert answer.body["access_token"] == "minted"
    assert asked == [(ANALYST, "sts.amazonaws.com")]


@pytest.mark.parametrize(
    "settings",
    [TokenSettings(unsafe_cloud_resources=True), TokenSettings(unsafe_open_registration=True)],
)
def test_a_door_without_what_is_behind_it_is_refused_at_start(settings: TokenSettings) -> None:
    with pytest.raises(ValueError, match="unsafe_"):
        House(settings)
