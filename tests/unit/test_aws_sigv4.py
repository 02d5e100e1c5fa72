"""Request signatures: what botocore signs verifies, and nothing else does."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from iamrange.clouds.aws.chunked import ChunkError, decode
from iamrange.clouds.aws.model import HttpRequest
from iamrange.clouds.aws.sigv4 import Malformed, Signature, read, too_old, verify

if TYPE_CHECKING:
    from collections.abc import Callable

KEY, SECRET = "AKIAEXAMPLEEXAMPLE00", "secret"
PATHS = st.text(max_size=20)
TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)


def request(signed: AWSPreparedRequest, method: str, body: bytes) -> HttpRequest:
    rest = signed.url.split("://", 1)[1].partition("/")[2]
    path, _, query = rest.partition("?")
    return HttpRequest(
        method=method,
        raw_path=f"/{path}",
        query=query,
        headers=tuple((k, str(v)) for k, v in signed.headers.items()),
        body=body,
    )


def sign(  # noqa: PLR0913 - what there is to sign
    auth: Callable[..., Any] = SigV4Auth,
    *,
    method: str = "POST",
    url: str = "https://secretsmanager.us-east-1.amazonaws.com/",
    body: bytes = b"{}",
    service: str = "secretsmanager",
    headers: dict[str, str] | None = None,
) -> HttpRequest:
    host = url.split("//", 1)[1].split("/", 1)[0]
    signed = AWSRequest(method, url, data=body, headers={"Host": host, **(headers or {})})
    auth(Credentials(KEY, SECRET), service, "us-east-1").add_auth(signed)
    return request(signed.prepare(), method, body)


def claimed(http: HttpRequest) -> Signature:
    found = read(http)
    assert isinstance(found, Signature)
    return found


@given(body=st.binary(max_size=64), value=TEXTS)
def test_signed_request_verifies_and_a_changed_one_does_not(body: bytes, value: str) -> None:
    http = sign(body=body, headers={"X-Amz-Target": f"a{value}"})
    assert verify(http, claimed(http), SECRET)
    assert not verify(http, claimed(http), SECRET + "x")
    changed = replace(http, body=body + b"x")
    assert not verify(changed, claimed(changed), SECRET)
    other = tuple((k, v + "x" if k == "X-Amz-Target" else v) for k, v in http.headers)
    changed = replace(http, headers=other)
    assert not verify(changed, claimed(changed), SECRET)
    assert not verify(replace(http, method="PUT"), claimed(http), SECRET)


@given(path=PATHS, query=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3))
def test_s3_paths_and_queries_verify_however_they_are_spelt(
    path: str, query: dict[str, str]
) -> None:
    text = urlencode(query, quote_via=quote)
    url = f"https://s3.us-east-1.amazonaws.com/b/{quote(path, safe='/~')}?{text}"
    http = sign(S3SigV4Auth, method="GET", url=url, body=b"", service="s3")
    found = read(http)
    if isinstance(found, Malformed):  # a name that is itself one of authentication's
        assert {"Signature", "AWSAccessKeyId", "X-Amz-Signature", "X-Amz-Algorithm"} & set(query)
        return
    assert found is not None
    assert verify(http, found, SECRET)


def test_query_signature_verifies_and_says_its_life() -> None:
    url = "https://s3.us-east-1.amazonaws.com/b/k?versionId=1"

    def minute(credentials: Credentials, service: str, region: str) -> S3SigV4QueryAuth:
        return S3SigV4QueryAuth(credentials, service, region, expires=60)

    http = sign(minute, method="GET", url=url, body=b"", service="s3")
    found = claimed(http)
    assert (found.form, found.expires) == ("query", 60)
    assert verify(http, found, SECRET)
    assert not verify(replace(http, query=http.query.replace("=1&", "=2&")), found, SECRET)
    assert too_old(found, found.signed_at + 59) is None
    assert too_old(found, found.signed_at + 61) == "Request has expired"


@pytest.mark.parametrize(
    ("seconds", "fresh"), [(0, True), (899, True), (901, False), (-899, True), (-901, False)]
)
def test_header_signature_lives_fifteen_minutes_both_ways(seconds: int, *, fresh: bool) -> None:
    found = claimed(sign())
    assert (too_old(found, found.signed_at + seconds) is None) == fresh


def changed(http: HttpRequest, name: str, value: str | None) -> HttpRequest:
    kept = tuple((k, v) for k, v in http.headers if k.lower() != name)
    return replace(http, headers=kept if value is None else (*kept, (name, value)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "AWS4-HMAC-SHA256"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0"),
        ("authorization", "Bearer abc"),
        ("authorization", "AWS4-HMAC-SHA256 =,=,="),
        ("x-amz-date", None),
        ("x-amz-date", "20260230T000000Z"),
        ("x-amz-date", "19990101T000000Z"),
        ("x-amz-unsigned", "x"),
        ("host", None),
    ],
)
def test_authentication_that_cannot_be_read_is_malformed(name: str, value: str | None) -> None:
    assert isinstance(read(changed(sign(), name, value)), Malformed)


def test_two_ways_of_authentication_at_once_are_malformed() -> None:
    http = sign()
    assert isinstance(read(replace(http, query="X-Amz-Signature=x")), Malformed)
    twice = replace(http, headers=(*http.headers, ("authorization", "x")))
    assert isinstance(read(twice), Malformed)


def test_request_without_authentication_is_none() -> None:
    assert read(HttpRequest(method="GET", raw_path="/", query="", headers=(), body=b"")) is None


@given(header=st.text(max_size=80), query=st.text(max_size=80))
def test_any_header_and_query_is_read_without_an_exception(header: str, query: str) -> None:
    http = HttpRequest(
        method="GET",
        raw_path="/",
        query=query,
        headers=(("host", "h"), ("authorization", f"AWS4-HMAC-SHA256 {header}")),
        body=b"",
    )
    assert isinstance(read(http), Malformed)


@given(body=st.binary(max_size=200))
def test_any_chunked_body_is_content_or_a_chunk_error(body: bytes) -> None:
    found = replace(claimed(sign()), payload_hash="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    try:
        content = decode(body, found, SECRET, None)
    except ChunkError:
        return
    assert len(content) <= len(body)


@given(parts=st.lists(st.binary(min_size=1, max_size=20), max_size=4))
def test_unsigned_chunks_are_put_together(parts: list[bytes]) -> None:
    found = replace(claimed(sign()), payload_hash="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
    whole = b"".join(parts)
    assert decode(body, found, SECRET, len(whole)) == whole
    with pytest.raises(ChunkError):
        decode(body, found, SECRET, len(whole) + 1)


def test_secrets_and_signatures_do_not_show() -> None:
    http = sign(headers={"X-Amz-Security-Token": "token-value"})
    shown = repr(claimed(http)) + repr(http)
    assert "token-value" not in shown
    assert claimed(http).signature not in shown
    assert time.time() - claimed(http).signed_at < 600
