"""Revocation, introspection, registration, metadata and keys."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.decision import Outcome
from iamrange.identity.directory.model import Agent, AgentKey, AgentState, agent_id
from iamrange.identity.names import DEFAULT_RESOURCE
from iamrange.identity.tokens.http import HttpRequest
from iamrange.identity.tokens.settings import TokenSettings
from iamrange.jose import STRICT, KeySet, SigningKey, UnverifiedToken, parse_key_set, peek
from tests.conformance.tokens.lab import ANALYST, CUSTOMERS, WORKER, Answer, House, Party

if TYPE_CHECKING:
    from collections.abc import Mapping

INACTIVE = {"active": False}


def revoke(house: House, party: Party, token: str | None) -> Answer:
    return house.post(party, path="/oauth/revoke", token=token, grant_type=None)


def introspect(house: House, party: Party, token: str | None) -> Answer:
    return house.post(party, path="/oauth/introspect", token=token, grant_type=None)


def get(house: House, path: str, *headers: tuple[bytes, bytes], method: str = "GET") -> Answer:
    request = HttpRequest(method=method, path=path, headers=headers)
    return Answer(house.service.answer(request), None)


def test_a_holder_revokes_its_token(house: House) -> None:
    token = house.token()
    assert introspect(house, house.analyst, token).body["active"] is True
    answer = revoke(house, house.analyst, token)
    assert (answer.status, answer.body) == (200, {})
    assert answer.record is not None
    assert answer.record.outcome is Outcome.ALLOW
    assert introspect(house, house.analyst, token).body == INACTIVE


def test_70_revoking_anothers_token_answers_alike_and_does_nothing(house: House) -> None:
    token = house.token()
    mine, nobodys = revoke(house, house.worker, token), revoke(house, house.worker, "x.y.z")
    assert mine.status == nobodys.status == 200
    assert mine.response.body == nobodys.response.body == b""
    assert mine.record is not None
    assert mine.record.reason == "not-holder"
    assert introspect(house, house.analyst, token).body["active"] is True


def test_a_subject_does_not_revoke_its_actors_token_but_its_own_ancestor(house: House) -> None:
    held = house.token()
    acting = house.exchange(house.worker, held).body["access_token"]
    assert revoke(house, house.analyst, acting).status == 200
    assert introspect(house, house.worker, acting).body["active"] is True
    revoke(house, house.analyst, held)
    assert introspect(house, house.worker, acting).body == INACTIVE


def test_introspection_shows_what_the_token_says(house: House) -> None:
    token = house.token(scope="read:status")
    shown = introspect(house, house.analyst, token).body
    read = house.read(token)
    assert shown["scope"] == "read:status"
    assert shown["cnf"] == {"jkt": read.jkt}
    assert (shown["sub"], shown["client_id"], shown["aud"]) == (ANALYST, ANALYST, DEFAULT_RESOURCE)
    assert (shown["token_type"], shown["exp"]) == ("DPoP", read.expires)


def test_70_introspection_is_no_oracle(house: House) -> None:
    token = house.token()
    for candidate in (token, "x.y.z", SigningKey.generate().sign({"a": 1}, typ="at+jwt")):
        assert introspect(house, house.worker, candidate).body == INACTIVE


def test_a_resources_own_server_sees_its_tokens_and_no_others() -> None:
    server = agent_id("customers-server")
    house = House(introspectors={CUSTOMERS: frozenset({server})})
    party = Party(server)
    house.register(party, scopes={"read:status"})
    its, other = house.token(resource=CUSTOMERS), house.token()
    assert introspect(house, party, its).body["active"] is True
    assert introspect(house, party, other).body == INACTIVE


@pytest.mark.parametrize("ask", [revoke, introspect])
def test_unauthenticated_management_is_refused(house: House, ask: Any) -> None:  # noqa: ANN401 - either
    stranger = Party(agent_id("nobody"))
    answer = ask(house, stranger, house.token())
    assert (answer.status, answer.body["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("ask", [revoke, introspect])
def test_management_without_a_token_is_an_invalid_request(house: House, ask: Any) -> None:  # noqa: ANN401 - either
    assert ask(house, house.analyst, None).verdict == (400, "invalid_request", "missing-token")


def test_introspection_of_dead_tokens_is_exactly_inactive(house: House) -> None:
    first = house.token()
    house.change(house.analyst, epoch=1)
    second = house.token()
    assert introspect(house, house.analyst, first).body == INACTIVE
    assert introspect(house, house.analyst, second).body["active"] is True
    house.keys.withdraw(house.keys.signer.kid)
    assert introspect(house, house.analyst, second).body == INACTIVE


def test_an_expired_token_is_inactive_without_skew(house: House) -> None:
    token = house.token()
    house.clock.offset = 300.5
    assert introspect(house, house.analyst, token).body == INACTIVE


def register(house: House, document: Mapping[str, Any]) -> Answer:
    return house.send(
        HttpRequest(
            method="POST",
            path="/oauth/register",
            headers=((b"content-type", b"application/json"),),
            body=json.dumps(document).encode(),
        )
    )


def test_registration_is_closed(house: House) -> None:
    answer = register(house, {"client_name": "me"})
    assert answer.verdict == (403, "access_denied", "registration-closed")
    assert answer.layer("registration").reason == "registration-closed"


def test_an_open_door_registers_an_agent_that_gets_tokens() -> None:
    newcomer = Party(agent_id("newcomer"))

    def registrar(document: Mapping[str, Any]) -> Agent | str:
        if "jwks" not in document:
            return "no-key"
        keys = tuple(AgentKey.from_jwk(jwk) for jwk in document["jwks"]["keys"])
        agent = Agent(
            name=document["client_name"],
            owner="nobody",
            scopes=frozenset(document["scope"].split()),
            keys=keys,
            state=AgentState.ACTIVE,
        )
        house.agents.put(agent)
        return agent

    house = House(TokenSettings(unsafe_open_registration=True), registrar=registrar)
    document = {
        "client_name": "newcomer",
        "scope": "read:status",
        "jwks": {"keys": [newcomer.key.public_jwk()]},
    }
    answer = register(house, document)
    assert (answer.status, answer.body["client_id"]) == (201, newcomer.id)
    assert house.post(newcomer).status == 200
    refused = register(house, {"client_name": "newcomer"})
    assert refused.verdict == (400, "invalid_client_metadata", "no-key")


def test_metadata_says_what_the_service_does(house: House) -> None:
    answer = get(house, "/.well-known/oauth-authorization-server")
    body = answer.body
    assert body["issuer"] == "https://auth.iamrange.example"
    assert "registration_endpoint" not in body
    assert body["dpop_signing_alg_values_supported"] == ["ES256"]
    assert set(body["token_endpoint_auth_methods_supported"]) == {
        "private_key_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
    }
    assert CUSTOMERS in body["protected_resources"]


@pytest.mark.parametrize("path", ["/.well-known/oauth-authorization-server", "/oauth/jwks"])
def test_documents_are_cached_by_their_tag(house: House, path: str) -> None:
    first = get(house, path)
    tag = first.headers["etag"].encode()
    assert "max-age=60" in first.headers["cache-control"]
    assert get(house, path, (b"if-none-match", tag)).status == 304
    assert get(house, path, (b"if-none-match", b'"another"')).status == 200
    assert get(house, path, method="HEAD").status == 200
    assert get(house, path, method="DELETE").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/oauth/token", "GET", 405), ("/oauth/revoke", "PUT", 405), ("/nowhere", "POST", 404)],
)
def test_other_methods_and_paths_are_refused(
    house: House, path: str, method: str, status: int
) -> None:
    request = replace(house.request(), path=path, method=method)
    assert house.service.answer(request).status == status


def published(house: House) -> KeySet:
    keys = parse_key_set(get(house, "/oauth/jwks").response.body, STRICT)
    assert isinstance(keys, KeySet)
    return keys


def kid_of(token: str) -> str:
    seen = peek(token)
    assert isinstance(seen, UnverifiedToken)
    return str(seen.header["kid"])


def test_71_a_rotated_key_verifies_until_its_tokens_are_over_and_no_longer(house: House) -> None:
    old = house.token()
    house.keys.rotate()
    new = house.token()
    assert kid_of(old) != kid_of(new)
    kids = {key.kid for key in published(house).keys}
    assert {kid_of(old), kid_of(new)} < kids
    house.clock.offset = 361
    assert kid_of(old) not in {key.kid for key in published(house).keys}
    assert kid_of(new) in {key.kid for key in published(house).keys}


def test_71_published_keys_hold_nothing_private_and_no_kid_twice(house: House) -> None:
    house.keys.rotate()
    members = get(house, "/oauth/jwks").body["keys"]
    assert {tuple(sorted(member)) for member in members} == {
        ("alg", "crv", "kid", "kty", "use", "x", "y")
    }
    assert len({member["kid"] for member in members}) == len(members) == 3


def test_a_withdrawn_key_is_out_at_once_with_its_tokens(house: House) -> None:
    token = house.token()
    house.keys.withdraw(kid_of(token))
    assert kid_of(token) not in {key.kid for key in published(house).keys}
    assert introspect(house, house.analyst, token).body == INACTIVE
    assert house.post().status == 200


def test_workers_are_not_told_apart_by_their_own_refusals(house: House) -> None:
    house.change(house.worker, state=AgentState.QUARANTINED)
    assert introspect(house, house.worker, "x").body["error"] == "invalid_client"
    assert house.records[-1].principal == WORKER
