from __future__ import annotations

import pytest

from iamrange.network.environment import client_environment
from iamrange.network.names import canonical_host, host_matches
from iamrange.network.proxy import Asked, Refusal, parse_connect

MATCHES = [
    ("*.amazonaws.com", "sts.amazonaws.com", True),
    ("*.amazonaws.com", "bucket.s3.us-east-1.amazonaws.com", True),
    ("*.amazonaws.com", "STS.AmazonAWS.com.", True),
    ("*.amazonaws.com", "amazonaws.com", False),
    ("*.amazonaws.com", ".amazonaws.com", False),
    ("*.amazonaws.com", "xamazonaws.com", False),
    ("*.amazonaws.com", "sts.amazonaws.com.evil.example", False),
    ("*.amazonaws.com", "sts.amazonaws.com@evil.example", False),
    ("idp.iamrange.example", "idp.iamrange.example", True),
    ("idp.iamrange.example", "IDP.iamrange.example", True),
    ("idp.iamrange.example", "x.idp.iamrange.example", False),
    ("idp.iamrange.example", "idp.iamrange.example..", False),
    ("*", "anything", True),
    ("*", "", True),
]


@pytest.mark.parametrize(("pattern", "host", "expected"), MATCHES)
def test_host_matches(pattern: str, host: str, *, expected: bool) -> None:
    assert host_matches(pattern, host) is expected


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "a b", "a/b", "a:1", "ä.example", "a" * 64, "a." * 127 + "a", "a\x00b"],
)
def test_canonical_host_refuses_what_is_no_name(name: str) -> None:
    assert canonical_host(name) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"CONNECT Sts.amazonaws.com:443 HTTP/1.1", Asked("sts.amazonaws.com", 443)),
        (b"CONNECT sts.amazonaws.com.:443 HTTP/1.0", Asked("sts.amazonaws.com", 443)),
        (b"CONNECT a:99999 HTTP/1.1", Asked("a", 99999)),
        (b"CONNECT a:443", Refusal(400, "malformed-request", "")),
        (b"CONNECT  a:443 HTTP/1.1", Refusal(400, "malformed-request", "")),
        (b"CONNECT a:443 HTTP/1.1 x", Refusal(400, "malformed-request", "")),
        (b"CONNECT a:+443 HTTP/1.1", Refusal(400, "malformed-target", "")),
        (b"CONNECT a:444444 HTTP/1.1", Refusal(400, "malformed-target", "")),
        (b"CONNECT a:\xd9\xa4 HTTP/1.1", Refusal(400, "malformed-request", "")),
        (b"CONNECT user@a:443 HTTP/1.1", Refusal(400, "malformed-target", "")),
        (b"CONNECT [::1]:443 HTTP/1.1", Refusal(403, "unknown-name", "[::1]:443")),
        (b"connect a:443 HTTP/1.1", Refusal(403, "plain-http", "")),
        (b"GET http://u:secret@a/p?t=secret HTTP/1.1", Refusal(403, "plain-http", "a")),
        (b"GET /latest/meta-data HTTP/1.1", Refusal(403, "plain-http", "")),
    ],
)
def test_parse_connect(line: bytes, expected: Asked | Refusal) -> None:
    assert parse_connect(line + b"\r\nHost: ignored\r\n\r\n") == expected


def test_client_environment_sends_all_but_loopback_to_the_proxy() -> None:
    environment = client_environment("http://127.10.0.1:1", "/ca.pem")
    assert {environment[name] for name in environment if "PROXY" in name.upper()} == {
        "http://127.10.0.1:1",
        "127.0.0.1,localhost",
    }
    assert environment["SSL_CERT_FILE"] == environment["AWS_CA_BUNDLE"] == "/ca.pem"
