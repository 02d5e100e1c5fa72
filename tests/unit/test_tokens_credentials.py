"""Credentials as values: which method a request uses, and what a secret's hash accepts."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.identity.tokens.binding import Confirmation
from iamrange.identity.tokens.credentials import JWT_BEARER, JWT_SPIFFE, Method, presented_by
from iamrange.identity.tokens.form import Form
from iamrange.identity.tokens.http import HttpRequest
from iamrange.identity.tokens.secrets import hash_secret, secret_matches

AGENT = "spiffe://iamrange.example/agent/a"


def request(*authorization: str, certificates: tuple[bytes, ...] = ()) -> HttpRequest:
    headers = tuple((b"authorization", value.encode("latin-1")) for value in authorization)
    return HttpRequest(method="POST", path="/", headers=headers, certificates=certificates)


def form(**values: str) -> Form:
    return Form({name: (value,) for name, value in values.items()})


@pytest.mark.parametrize(
    ("given_form", "given_request", "method"),
    [
        (form(), request(), Method.NONE),
        (
            form(client_assertion="a", client_assertion_type=JWT_BEARER),
            request(),
            Method.PRIVATE_KEY_JWT,
        ),
        (
            form(client_assertion="a", client_assertion_type=JWT_SPIFFE),
            request(),
            Method.SPIFFE_JWT,
        ),
        (
            form(client_assertion="a", client_assertion_type=JWT_BEARER),
            request(certificates=(b"c",)),
            Method.PRIVATE_KEY_JWT,
        ),
        (form(client_id=AGENT), request(certificates=(b"c",)), Method.CERTIFICATE),
        (form(client_id=AGENT, client_secret="s"), request(), Method.SECRET_POST),
        (form(), request("Basic " + b64encode(b"a:b").decode()), Method.SECRET_BASIC),
    ],
)
def test_a_request_presents_one_method(
    given_form: Form, given_request: HttpRequest, method: Method
) -> None:
    presented = presented_by(given_form, given_request)
    assert (presented.method, presented.fault) == (method, None)


@pytest.mark.parametrize(
    ("given_form", "given_request", "fault"),
    [
        (form(client_secret="s"), request(), "missing-client-id"),
        (form(client_id="x" * 513), request(), "malformed-client-id"),
        (form(client_secret="s", client_assertion="a"), request(), "several-methods"),
        (form(), request("Basic YTpi", "Basic YTpi"), "several-methods"),
        (form(), request("Basic YTpi", "Bearer x"), "several-methods"),
        (form(client_id="other"), request("Basic YTpi"), "malformed-authorization"),
        (form(), request("Basic"), "malformed-authorization"),
        (form(), request("Basic YQ"), "malformed-authorization"),
        (form(), request("Negotiate abc"), "unknown-scheme"),
        (form(), request(certificates=(b"c",)), "missing-client-id"),
    ],
)
def test_a_request_that_cannot_be_read_has_a_fault(
    given_form: Form, given_request: HttpRequest, fault: str
) -> None:
    assert presented_by(given_form, given_request).fault == fault


@given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=40))
def test_any_header_and_id_is_read_or_has_a_fault(value: str, name: str, secret: str) -> None:
    for header in (
        value,
        "Basic " + b64encode(f"{name}:{secret}".encode("utf-8", "replace")).decode(),
    ):
        headers = ((b"authorization", header.encode("utf-8", "replace")),)
        presented = presented_by(Form({}), HttpRequest(method="POST", path="/", headers=headers))
        assert presented.fault is not None or presented.method is Method.SECRET_BASIC


def test_a_credential_is_in_no_repr() -> None:
    presented = presented_by(form(client_id=AGENT, client_secret="hush"), request())
    assert "hush" not in repr(presented)


def test_a_hash_accepts_its_secret_and_no_other() -> None:
    stored = hash_secret("right")
    assert secret_matches(stored, "right")
    assert not secret_matches(stored, "wrong")
    assert not secret_matches(None, "right")
    assert hash_secret("right") != stored


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "scrypt",
        "scrypt$3$8$1$AA$AA",
        "scrypt$1073741824$8$1$AA$AA",
        "bcrypt$2$1$1$a$b",
        "$$$$$",
    ],
)
def test_what_is_no_hash_accepts_nothing(stored: str) -> None:
    assert not secret_matches(stored, "")


THUMBPRINTS = st.sampled_from([None, "a", "b"])


@given(THUMBPRINTS, THUMBPRINTS, THUMBPRINTS, THUMBPRINTS)
def test_possession_holds_only_with_every_key_that_is_asked_for(
    jkt: str | None, x5t: str | None, other_jkt: str | None, other_x5t: str | None
) -> None:
    proved = Confirmation(jkt=jkt, x5t_s256=x5t)
    asked = Confirmation(jkt=other_jkt, x5t_s256=other_x5t)
    expected = other_jkt in (None, jkt) and other_x5t in (None, x5t)
    assert proved.holds(asked) == expected


def test_a_secret_is_never_good_by_its_beginning() -> None:
    assert not secret_matches(hash_secret("x" * 1024), "x" * 1025)
