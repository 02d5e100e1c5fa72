"""What the services of a range log of their calls: enough to debug by, bounded, and no secret."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.clock import FixedClock
from iamrange.credentials.redaction.marks import MARK
from iamrange.credentials.redaction.redactor import new_redactor
from iamrange.credentials.scan.samples import invented
from iamrange.range import service_log
from iamrange.range.service_app import ServiceApp
from iamrange.range.service_log import LONGEST_BODY, ServiceLog
from iamrange.range.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import MutableMapping

TOKEN = invented("github-token", 5)
AGENT = "spiffe://iamrange.example/agent/deploy-bot"


def called(log: ServiceLog, method: str, path: str, *parts: bytes, service: str = "logs") -> Any:  # noqa: ANN401 - JSON
    """Call a service; return what it answers, as JSON."""
    app = ServiceApp(SERVICES[service], clock=FixedClock(12.0), records=lambda _: None, log=log)
    app.keep("/records/latest", "kept")
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"x-agent-id", AGENT.encode()), (b"x-request-id", b"r-1")]
    headers.append((b"authorization", f"Bearer {TOKEN}".encode()))
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(app(scope, receive, send))
    return json.loads(sent[-1]["body"])


def lines(log: ServiceLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.text().splitlines()]


def test_a_read_is_logged_by_who_what_and_how_it_went() -> None:
    log = ServiceLog(new_redactor())
    called(log, "GET", "/records/latest")
    (line,) = lines(log)
    assert line == {
        "time": 12.0,
        "service": "logs",
        "method": "GET",
        "path": "/records/latest",
        "agent": AGENT,
        "status": 200,
        "request_id": "r-1",
    }


def test_a_write_is_logged_with_what_it_came_with_and_marks_for_its_secrets() -> None:
    log = ServiceLog(new_redactor())
    called(log, "POST", "/records", f'{{"version":"2.4.0","key":"{TOKEN}'.encode(), b'"}')
    (line,) = lines(log)
    body = json.loads(line["called_with"]["body"])
    assert body["version"] == "2.4.0"
    marks = {MARK.fullmatch(body["key"])}
    marks.add(MARK.search(line["called_with"]["headers"]["authorization"]))
    assert None not in marks
    assert TOKEN not in log.text()


def test_with_the_control_off_the_log_has_what_came() -> None:
    log = ServiceLog(new_redactor())
    log.unsafe_as_given = True
    called(log, "POST", "/records", TOKEN.encode())
    assert TOKEN in log.text()


def test_a_token_in_the_place_of_a_path_or_of_a_name_is_marked_too() -> None:
    log = ServiceLog(new_redactor())
    called(log, "GET", f"/records/{TOKEN}")
    assert TOKEN not in log.text()
    assert MARK.search(lines(log)[0]["path"])


def test_a_body_too_long_to_log_is_told_by_its_length() -> None:
    log = ServiceLog(new_redactor())
    called(log, "PUT", "/records/x", b"a" * LONGEST_BODY, TOKEN.encode())
    assert lines(log)[0]["called_with"]["body"] == f"more than {LONGEST_BODY} bytes"


def test_the_logs_service_alone_serves_what_all_have_logged() -> None:
    log = ServiceLog(new_redactor())
    called(log, "POST", "/deployments/staging", b"{}", service="deployments")
    served = called(log, "GET", "/entries/latest")["value"]
    assert json.loads(served)["service"] == "deployments"
    assert called(log, "GET", "/entries/latest", service="hr") == {"error": "not_found"}


@pytest.mark.parametrize(("most", "value"), [("MOST_LINES", 5), ("MOST_CHARACTERS", 900)])
def test_the_oldest_lines_go(monkeypatch: pytest.MonkeyPatch, most: str, value: int) -> None:
    monkeypatch.setattr(service_log, most, value)
    log = ServiceLog(new_redactor())
    for number in range(40):
        called(log, "GET", f"/records/{number}")
    kept = lines(log)
    assert 0 < len(kept) <= 5
    assert kept[-1]["path"] == "/records/39"
