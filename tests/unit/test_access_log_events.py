"""From a line of Envoy to an event: typed, bounded, joined by the request id, no path untold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.detect.audit_query import condition_of, holds, sentence
from iamrange.network.envoy_tail import LONGEST_LINE
from iamrange.range.access_log import AccessLogs, event_of_line

if TYPE_CHECKING:
    from pathlib import Path

REQUEST: dict[str, Any] = {
    "kind": "request",
    "listener": "edge",
    "time": "2026-11-25T20:25:46.616Z",
    "peer": "127.10.0.1",
    "host": "customers.iamrange.example",
    "method": "GET",
    "path": "/records/latest",
    "status": 403,
    "reason": "role-may-not",
    "details": "ext_authz_denied",
    "flags": "UAEX",
    "milliseconds": 7,
    "upstream_milliseconds": None,
    "upstream_failure": None,
    "tls": "TLSv1.3",
    "client_certificate_sha256": "ab" * 32,
    "unverified_peer_san": "spiffe://iamrange.example/agent/x",
    "request_id": "5a0c1b9e-0000-4000-8000-1234567890ab",
}
CONNECTION: dict[str, Any] = {
    "kind": "connection",
    "listener": "sidecar:customers",
    "time": "2026-11-25T20:25:46.616Z",
    "peer": "127.10.0.3",
    "server_name": "customers.mesh.iamrange.example",
    "tls_failure": "TLS_error:|268435648:SSL_routines:OPENSSL_internal:"
    "PEER_DID_NOT_RETURN_A_CERTIFICATE:x:TLS_error_end",
    "termination": None,
    "flags": "-",
    "unverified_peer_san": None,
}


def event(line: dict[str, Any], **changes: object) -> dict[str, Any]:
    return event_of_line(json.dumps(line | changes).encode())


def test_a_refused_request_is_an_http_activity_with_the_gateways_reason() -> None:
    found = event(REQUEST)
    assert (found["class_uid"], found["category_uid"], found["type_uid"]) == (4002, 4, 400203)
    assert (found["action_id"], found["status_id"], found["status_code"]) == (2, 2, "role-may-not")
    assert found["time"] == 1795638346616
    assert found["metadata"]["uid"] == found["http_request"]["uid"] == REQUEST["request_id"]
    assert found["http_request"]["url"] == {
        "scheme": "https",
        "hostname": "customers.iamrange.example",
        "path": "/records/latest",
        "url_string": "https://customers.iamrange.example/records/latest",
    }
    assert found["http_response"] == {"code": 403}
    assert found["dst_endpoint"] == {"svc_name": "edge"}
    assert found["src_endpoint"] == {"ip": "127.10.0.1"}
    assert found["tls"]["certificate"]["fingerprints"][0]["value"] == "ab" * 32
    assert "actor" not in found  # nobody has vouched for that certificate
    assert "role-may-not - GET https://customers.iamrange.example/records/latest" in sentence(found)


@pytest.mark.parametrize(
    ("status", "reason", "flags", "action", "outcome", "code"),
    [
        (200, None, "-", 1, 1, "200"),
        (404, None, "-", 1, 2, "404"),
        (503, None, "UF,URX", 1, 2, "503"),
        (401, "no-token", "UAEX", 2, 2, "no-token"),
        (503, None, "UAEX", 2, 2, "503"),
        (400, "ambiguous-path", "-", 2, 2, "ambiguous-path"),
        (0, None, "DC", 1, 2, "0"),
    ],
)
def test_what_the_gateway_refused_is_told_from_what_a_service_answered(  # noqa: PLR0913, PLR0917
    status: int, reason: str | None, flags: str, action: int, outcome: int, code: str
) -> None:
    found = event(REQUEST, status=status, reason=reason, flags=flags)
    assert (found["action_id"], found["status_id"], found["status_code"]) == (action, outcome, code)


@pytest.mark.parametrize("method", ["PATCH", "FROBNICATE"])
def test_a_method_that_the_class_has_no_number_for_is_named(method: str) -> None:
    found = event(REQUEST, method=method)
    assert (found["activity_id"], found["activity_name"]) == (99, method)


def test_a_verified_certificate_is_an_actor() -> None:
    line = {**REQUEST, "listener": "sidecar:customers", "peer_san": "spiffe://a/service/gateway"}
    assert event(line)["actor"] == {"user": {"uid": "spiffe://a/service/gateway"}}


@pytest.mark.parametrize(
    ("host", "path", "told"),
    [
        ("customers.iamrange.example", "/records/latest", "/records/latest"),
        ("customers.mesh.iamrange.example", "/records/latest", "/records/latest"),
        ("customers.iamrange.example:443", "/records/latest", "/records/latest"),
        ("customers.iamrange.example", "/reset/s3cr3t", None),
        ("customers.iamrange.example", "/s3cr3t", None),
        ("auth.iamrange.example", "/token", "/token"),
        ("auth.iamrange.example", "/.well-known/oauth-authorization-server", "/.well-known"),
        ("directory.iamrange.example", "/agents/s3cr3t", "/agents"),
        ("directory.iamrange.example", "/s3cr3t", None),
        ("nobody.example", "/A" * 50, None),
        ("", "", None),
    ],
)
def test_of_a_path_only_what_a_route_is_for_is_told(host: str, path: str, told: str | None) -> None:
    found = event(REQUEST, host=host, path=path)
    assert found["http_request"]["url"].get("path") == told
    assert "s3cr3t" not in json.dumps(found)


def test_a_refused_handshake_is_a_refused_network_activity() -> None:
    found = event(CONNECTION)
    assert (found["class_uid"], found["activity_id"], found["type_uid"]) == (4001, 5, 400105)
    assert (found["action_id"], found["status_code"]) == (2, "no-certificate")
    assert found["dst_endpoint"] == {
        "svc_name": "sidecar:customers",
        "hostname": "customers.mesh.iamrange.example",
    }
    unknown = event(CONNECTION, tls_failure=None, flags="NR")
    assert unknown["status_code"] == "no-such-name"


@pytest.mark.parametrize("forged", ["a b", "x" * 65, "../../x", 'x","seq":"1', "", None, 7])
def test_an_id_that_is_none_joins_nothing(forged: object) -> None:
    found = event(REQUEST, request_id=forged)
    assert "uid" not in found["metadata"]
    assert "uid" not in found["http_request"]


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"kind":"request"}', b"[" * 10_000, b'{"kind":"x"}'],
)
def test_what_is_no_line_of_ours_is_told_without_a_word_of_it(line: bytes) -> None:
    found = event_of_line(line)
    assert (found["class_uid"], found["status_code"]) == (0, "unreadable-line")
    assert "kind" not in json.dumps(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from([REQUEST, CONNECTION]),
    st.dictionaries(st.sampled_from(sorted({*REQUEST, *CONNECTION})), JSON, max_size=6),
)
def test_whatever_a_line_says_the_event_is_one_line_and_bounded(
    line: dict[str, Any], changes: dict[str, Any]
) -> None:
    found = event(line, **changes)
    text = json.dumps(found, allow_nan=False)
    assert "\n" not in text
    assert len(text) < LONGEST_LINE
    assert found["class_uid"] in {0, 4001, 4002}
    assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"]
    assert sentence(found).isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event(data: bytes) -> None:
    assert event_of_line(data)["status_code"]


def test_a_query_finds_the_request_and_its_refusal() -> None:
    wanted = [condition_of(f"metadata.uid={REQUEST['request_id']}"), condition_of("class_uid=4002")]
    conditions = [one for one in wanted if one is not None]
    assert holds(event(REQUEST), conditions)
    assert not holds(event(REQUEST, request_id="another-request"), conditions)


def test_the_logs_of_all_envoys_are_read_and_ended_ones_let_go(tmp_path: Path) -> None:
    logs = AccessLogs(tmp_path)
    for number, name in enumerate(("e1", "e2", "e10")):
        (tmp_path / name).mkdir()
        line = json.dumps(REQUEST | {"status": 200 + number, "reason": None, "flags": "-"})
        (tmp_path / name / "envoy-access.log").write_text(f"{line}\n")
    assert [one["status_code"] for one in logs.events()] == ["200", "201", "202"]
    (tmp_path / "e1" / "envoy-access.log").unlink()
    with (tmp_path / "e10" / "envoy-access.log").open("a") as file:
        file.write("nonsense\n")
    assert [one["status_code"] for one in logs.events()] == ["unreadable-line"]
    (tmp_path / "e1" / "envoy-access.log").write_text("a line of nobody's\n")
    assert logs.events() == []
    logs.close()


def test_what_was_read_is_kept_should_another_log_be_unreadable(tmp_path: Path) -> None:
    logs = AccessLogs(tmp_path)
    (tmp_path / "e1").mkdir()
    (tmp_path / "e1" / "envoy-access.log").write_text(f"{json.dumps(REQUEST)}\n")
    (tmp_path / "e2").mkdir()
    (tmp_path / "e2" / "envoy-access.log").symlink_to(tmp_path)
    with pytest.raises(OSError, match="symbolic"):
        logs.events()
    (tmp_path / "e2" / "envoy-access.log").unlink()
    assert [one["status_code"] for one in logs.events()] == ["role-may-not"]
    logs.close()
