"""The service at a real listener: bodies, documents, certificates from the scope, threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.identity.certificates.forwarded import CLIENT_CERTIFICATE
from iamrange.identity.names import AUTH_ISSUER, TOKEN_ENDPOINT
from tests.conformance.tokens.lab import ANALYST, JWT_BEARER, House, Party

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from iamrange.core.decision import LayerAnswer
    from iamrange.identity.tokens.http import HttpRequest
    from tests.conformance.tokens.network import Network

FORM = "application/x-www-form-urlencoded"


def form_of(party: Party) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": JWT_BEARER,
        "client_assertion": party.assertion(),
    }


def test_an_oversized_body_is_refused_whether_or_not_its_length_is_told(network: Network) -> None:
    def chunks() -> Any:  # noqa: ANN401 - requests' own
        for _ in range(100):
            yield b"a" * 1024

    for body in (b"a" * 100_000, chunks()):
        answer = network.session().post(
            TOKEN_ENDPOINT, data=body, headers={"Content-Type": FORM}, timeout=20
        )
        assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")


def test_documents_have_a_tag_that_spares_their_body(network: Network) -> None:
    session = network.session()
    first = session.get(f"{AUTH_ISSUER}/oauth/jwks", timeout=20)
    assert first.json()["keys"]
    headers = {"If-None-Match": first.headers["ETag"]}
    again = session.get(f"{AUTH_ISSUER}/oauth/jwks", headers=headers, timeout=20)
    assert (again.status_code, again.content) == (304, b"")
    head = session.head(f"{AUTH_ISSUER}/oauth/jwks", timeout=20)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "header", ["x-forwarded-client-cert", "x-client-cert", "ssl-client-cert", "x-agent-id"]
)
def test_75_a_header_is_no_certificate(strict_house: House, network: Network, header: str) -> None:
    strict_house.change(strict_house.analyst, tls_subject=True)
    answer = network.session().post(
        TOKEN_ENDPOINT,
        data={"grant_type": "client_credentials", "client_id": ANALYST},
        headers={header: "Hash=00;URI=" + ANALYST},
        timeout=20,
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert strict_house.records[-1].reason == "no-client-authentication"


async def through_asgi(house: House, request: HttpRequest) -> int:
    """Send a request through the ASGI app, its certificates in the scope; return the status."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "query_string": b"",
        "headers": list(request.headers),
        "client": ("127.0.0.1", 1),
        "extensions": {CLIENT_CERTIFICATE: request.certificates},
    }
    await house.service(scope, receive, send)
    return int(sent[0]["status"])


def test_the_certificate_comes_from_the_scope(house: House) -> None:
    request = house.request(certificates=(b"no certificate",))
    assert asyncio.run(through_asgi(house, request)) == 200
    assert "x5t#S256" in house.records[-1].facts


def test_a_service_with_threads_answers_alike_and_once() -> None:
    house = House(threads=8)
    assertion = house.analyst.assertion()
    requests = [house.request(client_assertion=assertion) for _ in range(64)]

    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(through_asgi(house, request) for request in requests))

    try:
        statuses = asyncio.run(all_at_once())
    finally:
        house.service.close()
    assert sorted(statuses) == [200] + [401] * 63


def test_a_service_that_breaks_refuses(house: House) -> None:
    def crashes(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        raise RuntimeError(point, layers)

    house.service.tamper = crashes
    answer = house.send(house.request())
    assert (answer.status, answer.body["error"]) == (503, "temporarily_unavailable")
    assert answer.record is None


def test_eight_clients_at_once_each_get_their_own_token(
    strict_house: House, network: Network
) -> None:
    nonce = strict_house.nonces.current()

    def get(number: int) -> str:
        party = replace(strict_house.analyst)
        headers = {"DPoP": party.proof(nonce=nonce)}
        with network.session() as session:
            answer = session.post(TOKEN_ENDPOINT, data=form_of(party), headers=headers, timeout=60)
        assert answer.status_code == 200, number
        return str(answer.json()["access_token"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(get, range(32)))) == 32
