"""Keys that a verifier fetches over HTTP: withdrawn, away, and never from where a token says."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler

import pytest

from iamrange.identity.protected import TokenVerifier
from iamrange.identity.remote_keys import RemoteKeys, keys_over_http
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from tests.conformance.protected_lab import NOW, RESOURCE, Key, Lab, compact, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Issuer:
    """A key endpoint that answers what a test sets, and counts."""

    body: bytes = b""
    status: int = 200
    location: str = ""
    paths: list[str] = field(default_factory=list)
    url: str = ""

    def publish(self, *keys: Key) -> None:
        self.body = compact({"keys": [key.published for key in keys]})


@contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.paths.append(self.path)
            self.send_response(issuer.status)
            if issuer.location:
                self.send_header("Location", issuer.location)
            self.send_header("Content-Length", str(len(issuer.body)))
            self.end_headers()
            self.wfile.write(issuer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}/oauth/jwks"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fetcher(url: str) -> Callable[[], bytes]:
    return keys_over_http(url, handlers=(ProxyHandler({}),))


@contextmanager
def fetching(moment: list[float]) -> Iterator[tuple[Lab, Issuer]]:
    """A resource server over HTTP whose verifier fetches keys over HTTP."""
    lab = Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW))
    with issuing() as issuer:
        issuer.publish(lab.issuer)
        lab.verifier = TokenVerifier(
            RESOURCE,
            keys=RemoteKeys(fetcher(issuer.url), monotonic=lambda: moment[0]),
            replay=lab.replay,
            revocation=lab.revocation,
            nonces=lab.nonces,
            clock=lab.clock,
            records=lab.records.append,
        )
        with serving(lab):
            yield lab, issuer


def test_a_withdrawn_key_is_refused_a_second_later() -> None:
    moment = [100.0]
    with fetching(moment) as (lab, issuer):
        token = lab.token()
        assert lab.send(lab.call(token)).status == 200
        issuer.publish(lab.other)
        moment[0] += 1
        answer = lab.send(lab.call(token))
        assert (answer.status, answer.error) == (401, "invalid_token")
        assert lab.record_of(answer).reason == "unknown-key"


def test_an_issuer_that_is_away_is_503_and_comes_back_without_a_restart() -> None:
    moment = [100.0]
    with fetching(moment) as (lab, issuer):
        sent = lab.call(lab.token())
        issuer.status = 500
        answer = lab.send(sent)
        assert (answer.status, answer.error) == (503, "temporarily_unavailable")
        assert answer.values("Retry-After") == ["1"]
        assert lab.record_of(answer).reason == "keys-unavailable"
        issuer.status = 200
        moment[0] += 1
        assert lab.send(sent).status == 200


def test_no_token_makes_the_verifier_fetch_from_anywhere_else() -> None:
    with fetching([100.0]) as (lab, issuer), issuing() as evil:
        evil.publish(lab.other)
        kid = lab.other.thumbprint
        for header in ({"jku": evil.url}, {"x5u": evil.url}, {"jku": evil.url, "x5u": evil.url}):
            made = lab.other.sign(lab.header(kid=kid, **header), lab.claims())
            answer = lab.send(lab.call(made))
            assert lab.record_of(answer).reason == "header-not-allowed"
        made = lab.other.sign(lab.header(kid=evil.url), lab.claims(iss=evil.url))
        assert lab.send(lab.call(made)).status == 401
        assert evil.paths == []
        assert set(issuer.paths) == {"/oauth/jwks"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b'{"keys": {}}'),
        (200, b'{"keys": [], "keys": []}'),
        (200, b"[" * 500),
        (200, b'{"keys": []}' + b" " * (1 << 18)),
        (404, b"{}"),
        (500, b"{}"),
    ],
)
def test_what_is_no_key_set_is_a_store_that_is_away(status: int, body: bytes) -> None:
    with issuing() as issuer:
        issuer.status, issuer.body = status, body
        with pytest.raises(StoreDownError, match="'keys' cannot answer"):
            RemoteKeys(fetcher(issuer.url))()


def test_no_redirect_is_followed() -> None:
    with issuing() as issuer, issuing() as elsewhere:
        elsewhere.publish(Key())
        issuer.status, issuer.location = 302, elsewhere.url
        with pytest.raises(StoreDownError):
            RemoteKeys(fetcher(issuer.url))()
        assert elsewhere.paths == []


def test_nobody_there_is_a_store_that_is_away() -> None:
    with issuing() as issuer:
        url = issuer.url
    with pytest.raises(StoreDownError):
        RemoteKeys(fetcher(url))()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "data:,x", ""])
def test_keys_come_over_http_alone(url: str) -> None:
    with pytest.raises(ValueError, match="http or https"):
        keys_over_http(url)
