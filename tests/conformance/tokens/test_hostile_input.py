"""Whatever is sent: an OAuth error, never an exception, never a token that was not earned."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.tokens.lab import ACCESS_TOKEN, EXCHANGE, JWT_BEARER, House, sign_exactly

if TYPE_CHECKING:
    from iamrange.identity.tokens.http import HttpRequest, HttpResponse

OAUTH_ERRORS = {
    "invalid_request",
    "invalid_client",
    "invalid_scope",
    "invalid_target",
    "unsupported_grant_type",
    "invalid_dpop_proof",
    "use_dpop_nonce",
}
HOUSE = House()
TOKEN = HOUSE.token()
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

text = st.text(max_size=40)
names = st.sampled_from(
    [
        "grant_type",
        "scope",
        "resource",
        "audience",
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "requested_token_type",
        "token",
        "token_type_hint",
    ]
)
values = text | st.sampled_from(
    [
        "client_credentials",
        EXCHANGE,
        JWT_BEARER,
        ACCESS_TOKEN,
        TOKEN,
        "read:logs",
        "https://customers.iamrange.example",
        "//iam.googleapis.com/x",
        "https://[",
        "eyJhbGciOiJFUzI1NiJ9..",
        "\ud83d\ude00",
    ]
)
paths = st.sampled_from(["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/register"])


def judged(response: HttpResponse) -> None:
    """Fail on anything but a grant, or an error of the protocol."""
    if response.status == 200:
        return
    assert response.status in (400, 401, 403, 413), response
    body = json.loads(response.body)
    assert body["error"] in OAUTH_ERRORS | {"access_denied"}
    described = body["error_description"]
    # RFC 6749 section 5.2: the characters that a description may hold
    assert all(" " <= character <= "~" and character not in '"\\' for character in described)


def valid(path: str) -> HttpRequest:
    return HOUSE.request(path=path, token=TOKEN if path != "/oauth/token" else None)


@FUZZ
@given(path=paths, form=st.lists(st.tuples(names | text, values), max_size=12))
def test_any_form(path: str, form: list[tuple[str, str]]) -> None:
    request = valid(path)
    pairs = [(name, value.encode("utf-8", "surrogatepass")) for name, value in form]
    judged(HOUSE.service.answer(replace(request, body=urlencode(pairs).encode())))


@FUZZ
@given(path=paths, form=st.dictionaries(names, values, max_size=4))
def test_any_change_of_a_valid_form(path: str, form: dict[str, str]) -> None:
    request = valid(path)
    encoded = {name: value.encode("utf-8", "surrogatepass") for name, value in form.items()}
    body = (request.body or b"") + b"&" + urlencode(encoded).encode()
    judged(HOUSE.service.answer(replace(request, body=body)))


@FUZZ
@given(path=paths, body=st.binary(max_size=200))
def test_any_body(path: str, body: bytes) -> None:
    judged(HOUSE.service.answer(replace(valid(path), body=body)))


@FUZZ
@given(
    path=paths,
    name=st.sampled_from(
        [b"dpop", b"authorization", b"content-type", b"content-length", b"user-agent", b"cookie"]
    ),
    value=st.binary(max_size=80),
)
def test_any_header(path: str, name: bytes, value: bytes) -> None:
    request = valid(path)
    judged(HOUSE.service.answer(replace(request, headers=(*request.headers, (name, value)))))


@FUZZ
@given(
    claims=st.dictionaries(
        st.sampled_from(["iss", "sub", "aud", "iat", "exp", "nbf", "jti", "cnf", "act"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | text
        | st.lists(text, max_size=3),
        max_size=5,
    ),
    header=st.dictionaries(
        st.sampled_from(["typ", "kid", "cty", "crit", "jwk", "x5c", "b64"]),
        text | st.lists(text, max_size=2) | st.booleans(),
        max_size=3,
    ),
)
def test_any_signed_assertion(claims: dict[str, object], header: dict[str, object]) -> None:
    party = HOUSE.analyst
    full = {"iss": party.id, "sub": party.id} | claims
    assertion = sign_exactly(party.key, {"alg": "ES256", "kid": party.key.kid} | header, full)
    response = HOUSE.service.answer(HOUSE.request(client_assertion=assertion))
    judged(response)
    assert response.status == 401


@FUZZ
@given(chain=st.lists(st.binary(max_size=300), min_size=1, max_size=10), client_id=text)
def test_any_certificate_chain(chain: list[bytes], client_id: str) -> None:
    request = HOUSE.request(
        certificates=tuple(chain),
        client_id=client_id.encode("utf-8", "surrogatepass"),
        client_assertion=None,
        client_assertion_type=None,
    )
    response = HOUSE.service.answer(request)
    judged(response)
    assert response.status != 200
