"""Reading what is granted: a cloud that refuses or is away is named, and never half read."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from iamrange.credentials.privileges.read_aws import ReadError, read_estate
from iamrange.credentials.privileges.read_gcp import GcpProject, read_gcp

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"111122223333": {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "not-a-secret"}}
TOKEN = "not-a-token"


class Refuses(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        body = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        del format, args


@pytest.fixture
def refusing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def away() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_an_aws_that_refuses_is_told_with_the_call(refusing: str) -> None:
    with pytest.raises(ReadError, match="ListRoles answered AccessDenied") as told:
        read_estate(refusing, KEYS, region="us-east-1")
    assert "not-a-secret" not in str(told.value)


def test_an_aws_that_is_away_is_told(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ReadError, match="EndpointConnectionError"):
        read_estate(away, KEYS, region="us-east-1")


def test_a_google_cloud_that_refuses_or_is_away_is_told(refusing: str, away: str) -> None:
    api = GcpProject(refusing, "p1", "42", TOKEN)
    with pytest.raises(ReadError, match="answered 403") as told:
        read_gcp(api, organization=None)
    assert TOKEN not in str(told.value)
    with pytest.raises(ReadError, match="ConnectionError"):
        read_gcp(GcpProject(away, "p1", "42", TOKEN), organization=None)
