"""The attacks on an authorization server, row by row: status, OAuth error, reason in the record.

Rows are numbered as in the catalogue of token attacks. Each starts from a valid request and
changes one thing; the first test of the file shows that the unchanged request is granted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.decision import Outcome
from iamrange.identity.directory.model import AgentKey, AgentState
from iamrange.identity.names import AUTH_ISSUER, DEFAULT_RESOURCE, TOKEN_ENDPOINT
from iamrange.jose import SigningKey
from iamrange.jose.gate import base64url
from tests.conformance.tokens.lab import (
    ANALYST,
    CUSTOMERS,
    JWT_BEARER,
    WORKER,
    Answer,
    House,
    Party,
    sign_exactly,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.identity.tokens.http import HttpRequest

OTHER = "https://other.example"


@dataclass(frozen=True, slots=True)
class Row:
    """One attack: what is sent, and the answer that it must get."""

    name: str
    make: Callable[[House], HttpRequest]
    status: int
    error: str
    reason: str


def _form(**form: Any) -> Callable[[House], HttpRequest]:  # noqa: ANN401 - as `House.request`
    return lambda house: house.request(**form)


def _assertion(**claims: Any) -> Callable[[House], HttpRequest]:  # noqa: ANN401 - claims
    return lambda house: house.request(client_assertion=house.analyst.assertion(**_dated(claims)))


def _proof(**claims: Any) -> Callable[[House], HttpRequest]:  # noqa: ANN401 - claims
    return lambda house: house.request(proof=house.analyst.proof(**_dated(claims)))


def _dated(claims: dict[str, Any]) -> dict[str, Any]:
    """Take whole numbers as seconds from now: a table is made long before it is used."""
    now = int(time.time())
    return {
        name: now + value if type(value) is int and name in ("iat", "nbf", "exp") else value
        for name, value in claims.items()
    }


def _body(change: Callable[[bytes], bytes]) -> Callable[[House], HttpRequest]:
    def make(house: House) -> HttpRequest:
        request = house.request()
        return replace(request, body=change(request.body or b""))

    return make


def _header(*added: tuple[bytes, bytes], without: bytes = b"") -> Callable[[House], HttpRequest]:
    def make(house: House) -> HttpRequest:
        request = house.request()
        kept = tuple(item for item in request.headers if item[0] != without)
        return replace(request, headers=(*kept, *added))

    return make


def _signed(header: dict[str, Any], **claims: Any) -> Callable[[House], HttpRequest]:  # noqa: ANN401 - claims
    """Send an assertion by the right key under a header of the attacker's."""

    def make(house: House) -> HttpRequest:
        now = int(time.time())
        base = {"iss": ANALYST, "sub": ANALYST, "aud": AUTH_ISSUER, "iat": now, "exp": now + 60}
        assertion = sign_exactly(
            house.analyst.key,
            {"alg": "ES256", "kid": house.analyst.key.kid} | header,
            base | {"jti": f"jti-{now}-{id(header)}"} | claims,
        )
        return house.request(client_assertion=assertion)

    return make


def _unsigned(house: House) -> HttpRequest:
    header = base64url(b'{"alg":"none","typ":"JWT"}')
    claims = house.analyst.assertion().split(".")[1]
    return house.request(client_assertion=f"{header}.{claims}.")


def _stranger(house: House) -> HttpRequest:
    stranger = Party("spiffe://iamrange.example/agent/nobody")
    return house.request(stranger)


def _foreign_key(house: House) -> HttpRequest:
    impostor = Party(ANALYST)
    assertion = impostor.key.sign(_claims(), header={"kid": house.analyst.key.kid})
    return house.request(client_assertion=assertion)


def _claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ANALYST,
        "sub": ANALYST,
        "aud": AUTH_ISSUER,
        "iat": now,
        "exp": now + 60,
        "jti": "a-jti-of-the-impostor",
    }


def _replayed(house: House) -> HttpRequest:
    assertion = house.analyst.assertion()
    assert house.post(client_assertion=assertion).status == 200
    return house.request(client_assertion=assertion)


def _replayed_proof(house: House) -> HttpRequest:
    proof = house.analyst.proof()
    assert house.post(proof=proof).status == 200
    return house.request(proof=proof)


def _replayed_in_disguise(house: House) -> HttpRequest:
    """Row 35: the same jti and key, another spelling of htu."""
    first = house.analyst.proof(jti="one-jti-one-use-only")
    assert house.post(proof=first).status == 200
    again = house.analyst.proof(
        jti="one-jti-one-use-only", htu="HTTPS://AUTH.iamrange.example:443/oauth/token"
    )
    return house.request(proof=again)


def _private_key_in_proof(house: House) -> HttpRequest:
    jwk = {k: v for k, v in house.analyst.dpop.private_jwk().items() if k in "kty crv x y d"}
    return house.request(proof=house.analyst.proof(header={"jwk": jwk}))


def _proof_by_another_key(house: House) -> HttpRequest:
    other = SigningKey.generate().public_jwk()
    jwk = {name: other[name] for name in ("kty", "crv", "x", "y")}
    return house.request(proof=house.analyst.proof(header={"jwk": jwk}))


def _two_proofs(house: House) -> HttpRequest:
    request = house.request()
    return replace(request, headers=(*request.headers, (b"dpop", house.analyst.proof().encode())))


def _proof_of_an_access_token(house: House) -> HttpRequest:
    """Row 30: what is not a proof does not become one by being sent as one."""
    return house.request(proof=house.token())


def _access_token_as_assertion(house: House) -> HttpRequest:
    return house.request(client_assertion=house.token())


def _proof_as_assertion(house: House) -> HttpRequest:
    return house.request(client_assertion=house.analyst.proof())


def _changed(**members: Any) -> Callable[[House], HttpRequest]:  # noqa: ANN401 - members
    """Change the agent's entry in the directory, then make a valid request."""

    def make(house: House) -> HttpRequest:
        house.change(house.analyst, **members)
        return house.request()

    return make


CLIENT = (401, "invalid_client")
ROWS = [
    # 51: scopes
    Row("51 beyond", _form(scope="write:payments"), 400, "invalid_scope", "scope-not-registered"),
    Row(
        "51 one too many",
        _form(scope="read:logs admin:all"),
        400,
        "invalid_scope",
        "scope-not-registered",
    ),
    Row("51 unknown", _form(scope="nonsense"), 400, "invalid_scope", "scope-not-registered"),
    Row(
        "51 not the resource's",
        _form(scope="read:logs", resource=CUSTOMERS),
        400,
        "invalid_scope",
        "scope-not-understood",
    ),
    Row("51 malformed", _form(scope='read:logs "quoted"'), 400, "invalid_scope", "malformed-scope"),
    Row(
        "51 two spaces",
        _form(scope="read:logs  write:logs"),
        400,
        "invalid_scope",
        "malformed-scope",
    ),
    Row(
        "51 control character",
        _form(scope="read:logs\nwrite:logs"),
        400,
        "invalid_scope",
        "malformed-scope",
    ),
    Row(
        "51 not ascii",
        _form(scope="lesen:protokoll\N{LATIN SMALL LETTER SHARP S}"),
        400,
        "invalid_scope",
        "malformed-scope",
    ),
    Row(
        "51 a list to choke on",
        _form(scope=" ".join(f"read:{i}" for i in range(65))),
        400,
        "invalid_scope",
        "too-many-scopes",
    ),
    Row(
        "51 duplicate",
        _body(lambda b: b + b"&scope=read%3Alogs&scope=read%3Alogs"),
        400,
        "invalid_request",
        "repeated-parameter",
    ),
    Row(
        "51 duplicate, one empty",
        _body(lambda b: b + b"&scope=read%3Alogs&scope="),
        400,
        "invalid_request",
        "repeated-parameter",
    ),
    Row(
        "duplicate grant",
        _body(lambda b: b + b"&grant_type=client_credentials"),
        400,
        "invalid_request",
        "repeated-parameter",
    ),
    Row(
        "duplicate unknown",
        _body(lambda b: b + b"&colour=red&colour=blue"),
        400,
        "invalid_request",
        "repeated-parameter",
    ),
    # 53: whom an assertion is made out to
    Row("53 token endpoint", _assertion(aud=TOKEN_ENDPOINT), *CLIENT, "wrong-audience"),
    Row("53 several", _assertion(aud=[AUTH_ISSUER, TOKEN_ENDPOINT]), *CLIENT, "wrong-audience"),
    Row("53 issuer twice", _assertion(aud=[AUTH_ISSUER, AUTH_ISSUER]), *CLIENT, "wrong-audience"),
    Row("53 trailing slash", _assertion(aud=f"{AUTH_ISSUER}/"), *CLIENT, "wrong-audience"),
    Row("53 upper case", _assertion(aud=AUTH_ISSUER.upper()), *CLIENT, "wrong-audience"),
    Row("53 another server", _assertion(aud=OTHER), *CLIENT, "wrong-audience"),
    Row(
        "53 the clouds' issuer",
        _assertion(aud="https://idp.iamrange.example"),
        *CLIENT,
        "wrong-audience",
    ),
    Row("53 empty list", _assertion(aud=[]), *CLIENT, "missing-claim"),
    Row("53 none", _assertion(aud=None), *CLIENT, "missing-claim"),
    Row("53 number", _assertion(aud=7), *CLIENT, "malformed"),
    # 54: who an assertion is by
    Row("54 iss is not sub", _assertion(iss=WORKER), *CLIENT, "issuer-mismatch"),
    Row("54 sub is another", _assertion(sub=WORKER), *CLIENT, "unknown-key"),
    Row("54 client_id is another", _form(client_id=WORKER), *CLIENT, "client-id-mismatch"),
    Row("54 no iss", _assertion(iss=None), *CLIENT, "missing-claim"),
    Row("54 no sub", _assertion(sub=None), *CLIENT, "missing-claim"),
    # 55: one method a request
    Row(
        "55 assertion and secret",
        _form(client_secret="s", client_id=ANALYST),
        400,
        "invalid_request",
        "several-methods",
    ),
    Row(
        "55 assertion and basic",
        _header((b"authorization", b"Basic YTpi")),
        400,
        "invalid_request",
        "several-methods",
    ),
    Row(
        "55 assertion and bearer",
        _header((b"authorization", b"Bearer abc")),
        400,
        "invalid_request",
        "several-methods",
    ),
    Row(
        "55 no method",
        _form(client_assertion=None, client_assertion_type=None),
        *CLIENT,
        "no-client-authentication",
    ),
    Row(
        "55 only an id",
        _form(client_assertion=None, client_assertion_type=None, client_id=ANALYST),
        *CLIENT,
        "no-client-authentication",
    ),
    Row(
        "55 assertion without its type",
        _form(client_assertion_type=None),
        400,
        "invalid_request",
        "incomplete-assertion",
    ),
    Row(
        "55 type without an assertion",
        _form(client_assertion=None),
        400,
        "invalid_request",
        "incomplete-assertion",
    ),
    Row(
        "55 saml",
        _form(client_assertion_type="urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
        *CLIENT,
        "no-client-authentication",
    ),
    Row(
        "a secret that nobody switched on",
        _form(
            client_assertion=None, client_assertion_type=None, client_id=ANALYST, client_secret="s"
        ),
        *CLIENT,
        "method-not-allowed",
    ),
    # an assertion's life
    Row("used twice", _replayed, *CLIENT, "replayed"),
    Row("no jti", _assertion(jti=None), *CLIENT, "missing-claim"),
    Row("short jti", _assertion(jti="1"), *CLIENT, "malformed"),
    Row("expired", _assertion(iat=-100, exp=-40), *CLIENT, "expired"),
    Row("from the future", _assertion(iat=600, exp=660), *CLIENT, "not-yet-valid"),
    Row("not before", _assertion(nbf=600), *CLIENT, "not-yet-valid"),
    Row("old", _assertion(iat=-400), *CLIENT, "too-old"),
    Row("lives for a day", _assertion(exp=86_400), *CLIENT, "lifetime-too-long"),
    Row("ends before it began", _assertion(iat=3, exp=2), *CLIENT, "lifetime-too-long"),
    Row("no exp", _assertion(exp=None), *CLIENT, "missing-claim"),
    Row("no iat", _assertion(iat=None), *CLIENT, "missing-claim"),
    Row("exp is text", _assertion(exp="2000000000"), *CLIENT, "malformed"),
    Row("exp is a bool", _assertion(exp=True), *CLIENT, "malformed"),
    # its form and key
    Row("unsigned", _unsigned, *CLIENT, "algorithm-not-allowed"),
    Row("signed by another", _foreign_key, *CLIENT, "signature-mismatch"),
    Row("unknown agent", _stranger, *CLIENT, "unknown-key"),
    Row("typ of an access token", _signed({"typ": "at+jwt"}), *CLIENT, "wrong-typ"),
    Row("typ of a proof", _signed({"typ": "dpop+jwt"}), *CLIENT, "wrong-typ"),
    Row("unknown kid", _signed({"kid": "none-of-ours"}), *CLIENT, "unknown-key"),
    Row("brings its own key", _signed({"jwk": {"kty": "EC"}}), *CLIENT, "header-not-allowed"),
    Row("tells where its key is", _signed({"jku": OTHER}), *CLIENT, "header-not-allowed"),
    Row("critical", _signed({"crit": ["exp"]}), *CLIENT, "critical-header"),
    Row("30 an access token", _access_token_as_assertion, *CLIENT, "unknown-key"),
    Row("30 a proof", _proof_as_assertion, *CLIENT, "header-not-allowed"),
    Row("not a token", _form(client_assertion="a.b.c"), *CLIENT, "malformed"),
    Row("no token at all", _form(client_assertion="x" * 5000), *CLIENT, "too-long"),
    # 69: agents that may not have tokens
    Row("69 quarantined", _changed(state=AgentState.QUARANTINED), *CLIENT, "quarantined"),
    Row("69 retired", _changed(state=AgentState.RETIRED), *CLIENT, "retired"),
    Row("69 not yet active", _changed(state=AgentState.REGISTERED), *CLIENT, "registered"),
    Row("69 expired", _changed(expires=1.0), *CLIENT, "registration-expired"),
    Row("key withdrawn", _changed(keys=()), *CLIENT, "unknown-key"),
    # proofs: RFC 9449 section 5 at an authorization server
    Row("no proof", _form(proof=None), 400, "invalid_dpop_proof", "no-sender-constraint"),
    Row("33 proof used twice", _replayed_proof, 400, "invalid_dpop_proof", "replayed"),
    Row("35 disguised", _replayed_in_disguise, 400, "invalid_dpop_proof", "replayed"),
    Row("38 method", _proof(htm="GET"), 400, "invalid_dpop_proof", "method-mismatch"),
    Row("38 case", _proof(htm="post"), 400, "invalid_dpop_proof", "method-mismatch"),
    Row(
        "39 endpoint",
        _proof(htu=f"{AUTH_ISSUER}/oauth/revoke"),
        400,
        "invalid_dpop_proof",
        "uri-mismatch",
    ),
    Row(
        "39 host",
        _proof(htu="https://evil.example/oauth/token"),
        400,
        "invalid_dpop_proof",
        "uri-mismatch",
    ),
    Row(
        "39 scheme",
        _proof(htu=TOKEN_ENDPOINT.replace("https", "http")),
        400,
        "invalid_dpop_proof",
        "uri-mismatch",
    ),
    Row(
        "45 foreign nonce", _proof(nonce="of-another-server"), 400, "use_dpop_nonce", "stale-nonce"
    ),
    Row("46 two proofs", _two_proofs, 400, "invalid_dpop_proof", "several-proofs"),
    Row("47 private key", _private_key_in_proof, 400, "invalid_dpop_proof", "private-key"),
    Row("key of another", _proof_by_another_key, 400, "invalid_dpop_proof", "signature-mismatch"),
    Row("old proof", _proof(iat=-120), 400, "invalid_dpop_proof", "expired"),
    Row("future proof", _proof(iat=600), 400, "invalid_dpop_proof", "not-yet-valid"),
    Row(
        "30 an access token as proof",
        _proof_of_an_access_token,
        400,
        "invalid_dpop_proof",
        "wrong-typ",
    ),
    # RFC 8707: resources
    Row("unknown resource", _form(resource=OTHER), 400, "invalid_target", "unknown-resource"),
    Row(
        "two resources",
        _form(resource=[DEFAULT_RESOURCE, CUSTOMERS]),
        400,
        "invalid_target",
        "several-resources",
    ),
    Row(
        "resource and another audience",
        _form(resource=CUSTOMERS, audience=DEFAULT_RESOURCE),
        400,
        "invalid_target",
        "several-resources",
    ),
    Row("fragment", _form(resource=f"{CUSTOMERS}#x"), 400, "invalid_target", "malformed-resource"),
    Row("relative", _form(resource="customers"), 400, "invalid_target", "malformed-resource"),
    Row(
        "trailing slash", _form(resource=f"{CUSTOMERS}/"), 400, "invalid_target", "unknown-resource"
    ),
    Row("aws", _form(resource="sts.amazonaws.com"), 400, "invalid_target", "cloud-resource"),
    Row(
        "aws as audience",
        _form(audience="sts.amazonaws.com"),
        400,
        "invalid_target",
        "cloud-resource",
    ),
    Row(
        "google",
        _form(resource="//iam.googleapis.com/projects/1/locations/global"),
        400,
        "invalid_target",
        "cloud-resource",
    ),
    Row(
        "google with scheme",
        _form(audience="https://iam.googleapis.com/projects/1"),
        400,
        "invalid_target",
        "cloud-resource",
    ),
    Row(
        "not for this agent",
        _changed(resources=frozenset({CUSTOMERS})),
        400,
        "invalid_target",
        "resource-not-registered",
    ),
    # 57: an exchange that lost its grant type
    Row(
        "57 subject token beside client credentials",
        _form(subject_token="x"),
        400,
        "invalid_request",
        "exchange-parameters",
    ),
    Row(
        "57 actor token beside client credentials",
        _form(actor_token="x"),
        400,
        "invalid_request",
        "exchange-parameters",
    ),
    # 61: no refresh token, no other grant
    Row(
        "61 refresh",
        _form(grant_type="refresh_token", refresh_token="x"),
        400,
        "unsupported_grant_type",
        "unsupported-grant-type",
    ),
    Row(
        "password grant",
        _form(grant_type="password", username="u", password="p"),
        400,
        "unsupported_grant_type",
        "unsupported-grant-type",
    ),
    Row("no grant", _form(grant_type=None), 400, "invalid_request", "missing-grant-type"),
    # the form
    Row(
        "json",
        _header((b"content-type", b"application/json"), without=b"content-type"),
        400,
        "invalid_request",
        "wrong-content-type",
    ),
    Row(
        "multipart",
        _header((b"content-type", b"multipart/form-data"), without=b"content-type"),
        400,
        "invalid_request",
        "wrong-content-type",
    ),
    Row(
        "no content type",
        _header(without=b"content-type"),
        400,
        "invalid_request",
        "wrong-content-type",
    ),
    Row(
        "two content types",
        _header((b"content-type", b"application/x-www-form-urlencoded")),
        400,
        "invalid_request",
        "wrong-content-type",
    ),
    Row(
        "another charset",
        _header(
            (b"content-type", b"application/x-www-form-urlencoded; charset=utf-7"),
            without=b"content-type",
        ),
        400,
        "invalid_request",
        "wrong-content-type",
    ),
    Row(
        "compressed",
        _header((b"content-encoding", b"gzip")),
        400,
        "invalid_request",
        "wrong-content-type",
    ),
    Row(
        "oversized",
        lambda house: replace(house.request(), body=None),
        413,
        "invalid_request",
        "body-too-large",
    ),
    Row("not utf-8", _body(lambda b: b + b"&x=%ff%fe"), 400, "invalid_request", "not-utf-8"),
    Row("raw bytes", _body(lambda b: b + b"&x=\xff"), 400, "invalid_request", "malformed-form"),
    Row("bad escape", _body(lambda b: b + b"&x=%zz"), 400, "invalid_request", "malformed-form"),
    Row("nul", _body(lambda b: b + b"&x=%00"), 400, "invalid_request", "malformed-form"),
    Row("empty", _body(lambda _: b""), 400, "invalid_request", "missing-grant-type"),
    Row(
        "many parameters",
        _body(lambda b: b + b"".join(b"&p%d=1" % i for i in range(64))),
        400,
        "invalid_request",
        "too-many-parameters",
    ),
    Row(
        "in the query",
        lambda house: replace(house.request(), query=b"scope=read%3Alogs"),
        400,
        "invalid_request",
        "query-parameters",
    ),
]


CHANGING = frozenset(row.name for row in ROWS if row.make.__qualname__.startswith("_changed"))
"""Rows that change an entry of the directory first."""


def test_the_unchanged_request_is_granted(house: House) -> None:
    answer = house.post()
    assert answer.verdict == (200, "", "issued")
    assert answer.body["token_type"] == "DPoP"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_attack_gets_its_error_and_is_recorded_with_its_reason(house: House, row: Row) -> None:
    request = row.make(house)
    before = len(house.records)
    answer = house.send(request)
    assert answer.verdict == (row.status, row.error, row.reason)
    assert "access_token" not in answer.body
    assert len(house.records) == before + 1
    record = house.records[-1]
    assert record.outcome is Outcome.DENY
    assert [layer.layer for layer in record.layers] == [
        "request",
        "client",
        "registration",
        "proof",
        "scope",
        "resource",
        "exchange",
        "limit",
    ]
    assert answer.headers["cache-control"] == "no-store"


def test_names_of_rows_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_whoever_does_not_authenticate_gets_one_and_the_same_answer(house: House) -> None:
    """Nobody learns which agents exist, or what state they are in."""
    makers = [row.make for row in ROWS if (row.status, row.error) == CLIENT]
    answers: list[Answer] = []
    for make in makers:
        fresh = House()
        answers.append(fresh.send(make(fresh)))
    del house
    bodies = {
        tuple(sorted((k, v) for k, v in answer.body.items() if k != "request_id"))
        for answer in answers
    }
    assert len(makers) > 30
    assert len(bodies) == 1
    assert len({tuple(sorted(answer.headers)) for answer in answers}) == 1


def test_a_refused_client_spends_nobodys_proof(house: House) -> None:
    proof = house.analyst.proof()
    assert house.post(proof=proof, client_assertion="a.b.c").status == 401
    assert house.post(proof=proof).status == 200


def test_no_answer_holds_a_refresh_token(house: House) -> None:
    assert set(house.post().body) == {"access_token", "token_type", "expires_in", "scope"}


def test_a_record_holds_no_token_and_no_proof(house: House) -> None:
    request = house.request()
    answer = house.send(request)
    shown = repr(house.records)
    assert answer.body["access_token"] not in shown
    for value in (request.body or b"").split(b"&") + [
        v for n, v in request.headers if n == b"dpop"
    ]:
        text = value.partition(b"=")[2] or value
        assert len(text) < 100 or text.decode() not in shown
    assert JWT_BEARER not in shown


@pytest.mark.parametrize(
    "make",
    [
        _signed({}),
        _signed({"typ": "JWT"}),
        _signed({"typ": "application/client-authentication+jwt"}),
        _assertion(aud=[AUTH_ISSUER]),
        _form(client_id=ANALYST),
        _form(resource=[CUSTOMERS, CUSTOMERS], audience=CUSTOMERS),
        _form(scope="read:logs read:logs"),
        _form(scope=""),
        _form(colour="red"),
        _header(
            (b"content-type", b"application/x-www-form-urlencoded;charset=UTF-8"),
            without=b"content-type",
        ),
        _proof(htu="HTTPS://auth.iamrange.example:443/oauth/./token?query#fragment"),
    ],
    ids=[
        "no typ",
        "typ JWT",
        "typ of rfc7523bis",
        "aud in a list of one",
        "client_id beside the assertion",
        "one resource, named thrice",
        "one scope, named twice",
        "empty scope",
        "unknown parameter",
        "charset",
        "htu spelled otherwise",
    ],
)
def test_what_the_standards_allow_is_granted(
    house: House, make: Callable[[House], HttpRequest]
) -> None:
    assert house.send(make(house)).verdict == (200, "", "issued")


def test_an_assertion_without_a_kid_is_good_by_any_of_the_agents_keys(house: House) -> None:
    """Authlib's client names no key; during a rotation an agent has two."""
    other = SigningKey.generate()
    keys = house.agents.by_id(ANALYST)
    assert keys is not None
    both = (AgentKey.from_jwk(other.public_jwk()), *keys.keys)
    house.change(house.analyst, keys=both)
    claims = _claims()
    for number, key in enumerate((other, house.analyst.key)):
        header = {"alg": "ES256", "typ": "JWT"}
        assertion = sign_exactly(key, header, claims | {"jti": f"without-kid-{number}"})
        assert house.post(client_assertion=assertion).status == 200
    stranger = sign_exactly(SigningKey.generate(), {"alg": "ES256"}, claims)
    answer = house.post(client_assertion=stranger)
    assert answer.verdict == (401, "invalid_client", "signature-mismatch")


def test_a_key_in_rotation_is_good_until_its_overlap_ends(house: House) -> None:
    agent = house.agents.by_id(ANALYST)
    assert agent is not None
    ending = replace(agent.keys[0], not_after=house.clock.now() + 100)
    house.change(house.analyst, keys=(ending,))
    assert house.post().status == 200
    house.clock.offset = 101
    assert house.post().verdict == (401, "invalid_client", "unknown-key")


def test_no_token_outlives_its_agent(house: House) -> None:
    house.change(house.analyst, expires=house.clock.now() + 30)
    assert house.post().body["expires_in"] <= 30
