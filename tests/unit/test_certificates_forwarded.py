"""What of `x-forwarded-client-cert` is believed, and what a service is shown."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from iamrange.identity.certificates import forwarded
from iamrange.identity.certificates.forwarded import (
    CLIENT_CERTIFICATE,
    XfccMiddleware,
    parse_forwarded,
    split_elements,
)

SECRET = "s" * 43


def certificate(name: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now)
        .sign(key, hashes.SHA256())
    )


ONE, TWO = certificate("one"), certificate("two")
DER_ONE, DER_TWO = (c.public_bytes(Encoding.DER) for c in (ONE, TWO))
PEM_ONE, PEM_TWO = (c.public_bytes(Encoding.PEM).decode() for c in (ONE, TWO))


def encoded(*pems: str) -> str:
    return quote("".join(pems), safe="")


def armoured(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


GOOD = f'Hash=abc;Cert="{encoded(PEM_ONE)}";Chain="{encoded(PEM_ONE, PEM_TWO)}"'

BELIEVED = {
    "cert-and-chain": (GOOD, (DER_ONE, DER_TWO)),
    "cert-alone": (f'Cert="{encoded(PEM_ONE)}"', (DER_ONE,)),
    "keys-of-any-case": (f'hASH=abc;cERT="{encoded(PEM_ONE)}"', (DER_ONE,)),
    "unquoted": (f"Cert={encoded(PEM_ONE)}", (DER_ONE,)),
    "separators-within-quotes": (
        f'By=spiffe://a/b;Subject="CN=\\"a,b\\";O=x, y";Cert="{encoded(PEM_ONE)}";URI=;DNS=a;DNS=b',
        (DER_ONE,),
    ),
}


@pytest.mark.parametrize("case", BELIEVED)
def test_a_well_formed_header_yields_its_chain(case: str) -> None:
    header, expected = BELIEVED[case]
    assert parse_forwarded(header.encode()) == expected


REFUSED = {
    "empty": "",
    "no-cert": "Hash=abc",
    "chain-without-cert": f'Chain="{encoded(PEM_ONE)}"',
    "chain-of-another": f'Cert="{encoded(PEM_ONE)}";Chain="{encoded(PEM_TWO)}"',
    "chain-in-another-order": f'Cert="{encoded(PEM_ONE)}";Chain="{encoded(PEM_TWO, PEM_ONE)}"',
    "two-certs-in-cert": f'Cert="{encoded(PEM_ONE, PEM_TWO)}"',
    "cert-twice": f'Cert="{encoded(PEM_ONE)}";Cert="{encoded(PEM_TWO)}"',
    "cert-twice-in-other-case": f'Cert="{encoded(PEM_ONE)}";cert="{encoded(PEM_TWO)}"',
    "chain-twice": f'{GOOD};Chain="{encoded(PEM_ONE)}"',
    "two-elements": f'Cert="{encoded(PEM_ONE)}",Cert="{encoded(PEM_TWO)}"',
    "two-elements-one-empty": f'Cert="{encoded(PEM_ONE)}",',
    "empty-cert": 'Cert=""',
    "empty-chain": f'Cert="{encoded(PEM_ONE)}";Chain=""',
    "trailing-semicolon": f'Cert="{encoded(PEM_ONE)}";',
    "space-after-separator": f'Hash=a; Cert="{encoded(PEM_ONE)}"',
    "unclosed-quote": f'Cert="{encoded(PEM_ONE)}',
    "something-after-quote": f'Cert="{encoded(PEM_ONE)}"x',
    "escape-at-the-end": f'Cert="{encoded(PEM_ONE)}\\',
    "quote-within": f'Cert=a"{encoded(PEM_ONE)}"',
    "no-key": f'="{encoded(PEM_ONE)}"',
    "no-value": "Cert",
    "not-encoded": f'Cert="{PEM_ONE}x"',
    "encoded-twice": f'Cert="{quote(encoded(PEM_ONE), safe="")}"',
    "half-an-escape": f'Cert="{encoded(PEM_ONE)}%4"',
    "no-hex": f'Cert="{encoded(PEM_ONE)}%zz"',
    "text-before": f'Cert="{encoded("x", PEM_ONE)}"',
    "text-after": f'Cert="{encoded(PEM_ONE, "x")}"',
    "text-between": f'Cert="{encoded(PEM_ONE)}";Chain="{encoded(PEM_ONE, "x", PEM_TWO)}"',
    "another-kind": f'Cert="{encoded(PEM_ONE.replace("CERTIFICATE", "X509 CRL"))}"',
    "private-key": f'Cert="{encoded(PEM_ONE.replace("CERTIFICATE", "PRIVATE KEY"))}"',
    "no-base64": f'Cert="{encoded(armoured("!!!"))}"',
    "no-certificate": f'Cert="{encoded(armoured("AAAA"))}"',
    "too-many": f'Cert="{encoded(PEM_ONE)}";Chain="{encoded(*[PEM_ONE] * 9)}"',
    "too-long": f'Subject="{"a" * 65536}";Cert="{encoded(PEM_ONE)}"',
    "many-empty-elements": "," * 60_000,
    "many-keys": "a=" + ";a=" * 20_000,
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_doubtful_header_is_no_certificate(case: str) -> None:
    assert parse_forwarded(REFUSED[case].encode()) is None


@given(st.binary(max_size=300))
def test_no_bytes_raise(header: bytes) -> None:
    assert parse_forwarded(header) is None
    split_elements(header)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_yields_another_chain_only_if_it_is_well_formed(
    position: int, byte: int
) -> None:
    changed = bytearray(GOOD.encode())
    changed[position] = byte
    chain = parse_forwarded(bytes(changed))
    assert chain is None or all(x509.load_der_x509_certificate(der) for der in chain)


VALUES = st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=20)
PAIRS = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}", fullmatch=True), VALUES, min_size=1, max_size=4
)


@given(st.lists(PAIRS, min_size=1, max_size=3))
def test_what_is_quoted_by_the_rules_is_read_back(elements: list[dict[str, str]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ",".join(
        ";".join(f"{key}={quoted(value)}" for key, value in element.items()) for element in elements
    )
    assert split_elements(header.encode()) == [
        {key.encode(): value.encode() for key, value in element.items()} for element in elements
    ]


def through(*headers: tuple[str, str], only_listener: bool = False, **scope: Any) -> dict[str, Any]:  # noqa: ANN401 - members of a scope
    """Send a request through the middleware; return what the app or the client was given."""
    given_: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        del receive, send
        given_.update(scope)

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own
        given_.setdefault("sent", []).append(message)

    async def receive() -> Any:  # noqa: ANN401 - ASGI's own
        raise AssertionError

    whole = {
        "type": "http",
        "scheme": "http",
        "client": None,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        **scope,
    }
    middleware = XfccMiddleware(app, SECRET, only_listener=only_listener)
    asyncio.run(middleware(whole, receive, send))
    return given_


XFCC = ("x-forwarded-client-cert", GOOD)
OURS = ("x-iamrange-edge", SECRET)


def test_what_the_listener_says_is_shown_and_its_headers_are_not() -> None:
    seen = through(XFCC, OURS, ("x-forwarded-for", "127.10.0.1"), ("accept", "*/*"))
    assert seen["extensions"] == {CLIENT_CERTIFICATE: (DER_ONE, DER_TWO)}
    assert seen["client"] == ("127.10.0.1", 0)
    assert seen["scheme"] == "https"
    assert seen["headers"] == [(b"accept", b"*/*")]


NOT_BELIEVED = {
    "no-secret": (XFCC,),
    "other-secret": (XFCC, ("x-iamrange-edge", "t" * 43)),
    "longer-secret": (XFCC, ("x-iamrange-edge", SECRET + "s")),
    "secret-twice": (XFCC, OURS, OURS),
    "secret-and-another": (XFCC, OURS, ("x-iamrange-edge", "x")),
    "no-ascii-secret": (XFCC, ("x-iamrange-edge", "\u00e9")),
    "secret-under-another-name": (XFCC, ("x-iamrange_edge", SECRET)),
}


@pytest.mark.parametrize("case", NOT_BELIEVED)
def test_without_the_secret_nothing_is_believed(case: str) -> None:
    headers = (*NOT_BELIEVED[case], ("x-forwarded-for", "10.0.0.1"))
    seen = through(*headers)
    assert (seen["extensions"], seen["client"], seen["scheme"]) == ({}, ("", 0), "http")
    names = {name for name, _ in seen["headers"]}
    assert not names & {b"x-forwarded-client-cert", b"x-iamrange-edge", b"x-forwarded-for"}
    refused = through(*headers, only_listener=True)
    assert [message.get("status") for message in refused["sent"]] == [421, None]
    assert "headers" not in refused


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (XFCC, XFCC),
        (("x-forwarded-client-cert", "x"),),
        (XFCC, ("X-Forwarded-Client-Cert", GOOD)),
    ],
)
def test_none_or_several_or_malformed_is_no_certificate(
    headers: tuple[tuple[str, str], ...],
) -> None:
    assert through(*headers, OURS)["extensions"] == {}


@pytest.mark.parametrize("value", ["", "x", "10.0.0.1, 10.0.0.2", "10.0.0.1:80", "\u00e9"])
def test_what_is_no_single_address_is_no_client(value: str) -> None:
    assert through(OURS, ("x-forwarded-for", value))["client"] == ("", 0)


def test_a_certificate_that_something_else_put_into_the_scope_is_removed() -> None:
    earlier = {CLIENT_CERTIFICATE: (DER_TWO,), "http.response.trailers": {}}
    seen = through(OURS, extensions=earlier)
    assert seen["extensions"] == {"http.response.trailers": {}}
    assert earlier[CLIENT_CERTIFICATE] == (DER_TWO,)


def test_a_client_that_the_server_saw_stays_where_there_is_no_listener() -> None:
    assert through(client=("127.0.0.1", 9))["client"] == ("127.0.0.1", 9)


def test_a_lifespan_goes_through_and_a_websocket_is_closed() -> None:
    assert through(type="lifespan")["type"] == "lifespan"
    refused = through(type="websocket", only_listener=True)
    assert refused["sent"] == [{"type": "websocket.close", "code": 1008}]
    assert through(OURS, type="websocket", scheme="ws")["scheme"] == "wss"


def test_an_empty_secret_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="empty"):
        XfccMiddleware(forwarded._misdirected, "")  # type: ignore[arg-type]  # noqa: SLF001 - any app
