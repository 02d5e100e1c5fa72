"""What an actor's process reports of how a client ended: a refusal, or something that broke."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import google.api_core.exceptions
import google.auth.exceptions
import psycopg
import pytest
import requests
from requests_oauth2client import OAuth2Client
from requests_oauth2client.exceptions import EndpointError

from iamrange.core.scenario import Work
from iamrange.identity.agent import AgentIdentityError
from iamrange.range import actor
from iamrange.range.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "t0ken-in-the-text"


def aws(code: str, status: int) -> Exception:
    response: Any = {
        "Error": {"Code": code, "Message": SECRET},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "request-1"},
    }
    return botocore.exceptions.ClientError(response, "GetSecretValue")


def http(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(SECRET, response=response)


def ours(status: int, error: str) -> Exception:
    response = requests.Response()
    response.status_code = status
    response.headers["X-Request-Id"] = "request-2"
    client = OAuth2Client("https://auth.test/token", ("id", SECRET))
    return EndpointError(response, client, error, SECRET)


def refresh(body: object) -> Exception:
    return google.auth.exceptions.RefreshError(SECRET, json.dumps(body))


@pytest.mark.parametrize(
    ("error", "report"),
    [
        (aws("AccessDenied", 403), {"refused": "AccessDenied", "request_id": "request-1"}),
        (google.api_core.exceptions.Forbidden(SECRET), {"refused": "Forbidden"}),
        (ours(400, "invalid_scope"), {"refused": "invalid_scope", "request_id": "request-2"}),
        (http(403), {"refused": "HTTP 403"}),
        (
            psycopg.OperationalError(f"FATAL:  password authentication failed for user {SECRET}"),
            {"refused": "not let in by the database"},
        ),
        (
            psycopg.errors.InsufficientPrivilege(SECRET),
            {"refused": "insufficient privilege"},
        ),
        (
            refresh({"error": {"code": 403, "status": "PERMISSION_DENIED"}}),
            {"refused": "PERMISSION_DENIED"},
        ),
        (refresh({"error": "invalid_grant"}), {"refused": "invalid_grant"}),
        (AgentIdentityError("not-active", SECRET), {"refused": "not-active"}),
    ],
    ids=str,
)
def test_a_refusal_is_reported_in_the_clients_own_word(
    error: Exception, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reported(error, monkeypatch) == report


@pytest.mark.parametrize(
    "error",
    [
        aws("InternalFailure", 500),
        google.api_core.exceptions.InternalServerError(SECRET),
        http(502),
        ours(503, "temporarily_unavailable"),
        refresh({"error": {"code": 503, "status": "UNAVAILABLE"}}),
        google.auth.exceptions.TransportError(SECRET),
        requests.ConnectionError(SECRET),
        AgentIdentityError("unreachable", SECRET),
        ValueError(SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_broke_is_never_a_refusal_and_never_quoted(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = reported(error, monkeypatch)
    assert list(report) == ["broke"]
    assert SECRET not in json.dumps(report)


def test_work_that_is_done_reports_its_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    done = Work("nonce-1", {"access_token": "x"})
    assert reported(done, monkeypatch) == {"nonce": "nonce-1", "memory": {"access_token": "x"}}


def reported(outcome: Exception | Work, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Have an actor do work that ends so."""

    class Ends:
        @staticmethod
        def run(_facts: Mapping[str, str]) -> Work:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    monkeypatch.setitem(WORKLOADS, "READS_OWN_AWS_SECRET", Ends)
    return actor.work({"workload": "READS_OWN_AWS_SECRET", "facts": {}})
