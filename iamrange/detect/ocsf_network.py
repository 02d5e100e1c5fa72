"""What the gateway's edge saw as OCSF events: requests, and connections that it refused.

Source: Open Cybersecurity Schema Framework 1.6, classes HTTP Activity (4002) and Network Activity
(4001) with the profile Security Control, and Base Event (0); what they have no place for is in
`unmapped`.

- `metadata.uid` is the request's id, as in the decision record of the same request.
- Who a certificate says it is, is an actor only where the certificate was verified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.ocsf import MADE_BY, PRODUCT, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

HTTP_ACTIVITY: Final = 4002
NETWORK_ACTIVITY: Final = 4001
_CATEGORY: Final = 4
_METHODS: Final[Mapping[str, int]] = {
    "CONNECT": 1,
    "DELETE": 2,
    "GET": 3,
    "HEAD": 4,
    "OPTIONS": 5,
    "POST": 6,
    "PUT": 7,
    "TRACE": 8,
}
_UNKNOWN, _OTHER = 0, 99
_REFUSE: Final = 5
_INFORMATIONAL, _LOW = 1, 2
_ALLOWED, _DENIED = 1, 2
_SUCCESS, _FAILURE = 1, 2
_ERROR: Final = 400


def http_activity(  # noqa: PLR0913 - keyword-only members of one event
    *,
    time: float,
    service: str,
    method: str,
    host: str,
    path: str,
    status: int,
    reason: str,
    denied: bool,
    request_id: str,
    peer: str,
    milliseconds: int,
    tls: str,
    certificate_sha256: str,
    actor: str,
    unmapped: Mapping[str, str],
) -> dict[str, Any]:
    """Return the event of one request; `time` in seconds. Members without a value are left out.

    `denied`: the gateway itself refused, for `reason`. Where it did not, `status_code` is HTTP's.
    """
    activity = _METHODS.get(method, _OTHER if method else _UNKNOWN)
    url = {"scheme": "https", "hostname": host, "path": path}
    if host:
        url["url_string"] = f"https://{host}{path}"
    request = {"uid": request_id, "http_method": method, "url": _given(url)}
    event = _event(HTTP_ACTIVITY, activity, time, service, peer, request_id, denied=denied)
    failed = denied or not 0 < status < _ERROR
    event |= {
        "status_id": _FAILURE if failed else _SUCCESS,
        "status_code": reason or str(status),
        "duration": milliseconds,
        "http_request": _given(request),
        "http_response": {"code": status},
    }
    if activity == _OTHER:
        event["activity_name"] = method
    if tls:
        event["tls"] = {"version": tls}
    if certificate_sha256 and tls:
        # OCSF's algorithm 3 is SHA-256
        fingerprint = {"algorithm_id": 3, "value": certificate_sha256}
        event["tls"]["certificate"] = {"fingerprints": [fingerprint]}
    if actor:
        event["actor"] = {"user": {"uid": actor}}
    return event | ({"unmapped": _given(unmapped)} if _given(unmapped) else {})


def refused_connection(  # noqa: PLR0913 - keyword-only members of one event
    *,
    time: float,
    service: str,
    server_name: str,
    reason: str,
    detail: str,
    peer: str,
    unmapped: Mapping[str, str],
) -> dict[str, Any]:
    """Return the event of one connection that was refused at its handshake; `time` in seconds."""
    event = _event(NETWORK_ACTIVITY, _REFUSE, time, service, peer, "", denied=True)
    event |= {"status_id": _FAILURE, "status_code": reason}
    if detail:
        event["status_detail"] = detail
    if server_name:
        event["dst_endpoint"]["hostname"] = server_name
    return event | ({"unmapped": _given(unmapped)} if _given(unmapped) else {})


def log_flaw(*, time: float, reason: str) -> dict[str, Any]:
    """Return the event of something that a log was to tell and did not: a Base Event (0)."""
    return {
        "time": int(time * 1000),
        "class_uid": 0,
        "category_uid": 0,
        "activity_id": _OTHER,
        "activity_name": "Log",
        "type_uid": _OTHER,
        "severity_id": _LOW,
        "status_id": _FAILURE,
        "status_code": reason,
        "metadata": {"version": VERSION, "product": PRODUCT},
    }


def _event(  # noqa: PLR0913, PLR0917 - what both classes have
    kind: int, activity: int, time: float, service: str, peer: str, uid: str, *, denied: bool
) -> dict[str, Any]:
    event: dict[str, Any] = {
        "time": int(time * 1000),
        "class_uid": kind,
        "category_uid": _CATEGORY,
        "activity_id": activity,
        "type_uid": kind * 100 + activity,
        "severity_id": _LOW if denied else _INFORMATIONAL,
        "action_id": _DENIED if denied else _ALLOWED,
        "metadata": _given({**MADE_BY, "uid": uid}),
        "dst_endpoint": {"svc_name": service},
    }
    if peer:
        event["src_endpoint"] = {"ip": peer}
    return event


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
