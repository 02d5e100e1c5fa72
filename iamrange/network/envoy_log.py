"""What Envoy writes down, and how it is read.

- A line a request: no query, and no header but the host and the reason, because tokens travel in
  them. A line a connection that did not get through its handshake.
- Envoy writes JSON and escapes what strangers chose; each value has a length.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_headers import REASON_HEADER, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LOG_FILE = "envoy.log"
ACCESS_LOG_FILE = "envoy-access.log"
OLD_ACCESS_LOG_FILE = "envoy-access.log.1"

_NONE = ("", "-", None)
NO_SUCH_NAME = "no-such-name"
OTHER_FAILURE = "handshake"
REFUSED_BY_PEER = "refused-by-peer"
_VERIFY = (
    r"TLS_error:\|\d+:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_"
)
_DEPTH = r"X509_verify_cert:_certificate_verification_error_at_depth_\d+:_"
_ASKED = rf"{_VERIFY}{_DEPTH}certificate_revocation_check_against_provided_CRLs_failed:_"
_REASONS = (
    # Anchored, and the words of strangers come last in each: a name in a certificate cannot pass
    # for another reason.
    (
        r"TLS_error:\|\d+:SSL_routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE",
        "no-certificate",
    ),
    (rf"{_VERIFY}SAN_matcher,", "other-identity"),
    (rf"{_VERIFY}{_DEPTH}certificate_has_expired:", "expired"),
    (rf"{_VERIFY}{_DEPTH}certificate_is_not_yet_valid:", "not-yet-valid"),
    (rf"{_ASKED}certificate_revoked:", "certificate-withdrawn"),
    (_ASKED, "withdrawal-unknown"),
    (rf"{_VERIFY}{_DEPTH}unsupported_certificate_purpose:", "certificate-purpose"),
    (rf"{_VERIFY}{_DEPTH}", "untrusted"),
    (r"TLS_error:\|\d+:SSL_routines:OPENSSL_internal:(?:SSLV3|TLSV1)_ALERT_", REFUSED_BY_PEER),
    (r"rbac_access_denied_matched_policy\[not-exactly-one-listed-id\]", "several-identities"),
)
_NO_ROUTE = "NR"
_MAX_DETAIL = 512
# A peer that goes away is no refusal, and there are many of them.
_LEFT = r"^TLS_error:.[0-9]+:system.library:"
_FAILED = (
    "has(connection.termination_details) || (has(connection.transport_failure_reason) && "
    f"!connection.transport_failure_reason.matches('{_LEFT}'))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRefusal:
    """A connection that a sidecar ended at its handshake.

    `reason` is a stable code, `detail` Envoy's own words, `peer` the address that dialled.
    `peer_san` is what the presented certificate says, which nobody has vouched for.
    """

    sidecar: str
    time: float
    reason: str
    peer_san: str
    peer: str
    detail: str


def request_log(folder: Path, listener: str, *, peers_verified: bool) -> Mapping[str, Any]:
    """Return the log of a listener's requests."""
    san = "peer_san" if peers_verified else "unverified_peer_san"
    return _file(
        folder,
        {
            "kind": "request",
            "listener": listener,
            "time": "%START_TIME%",
            "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
            "host": "%REQ(:AUTHORITY):256%",
            "method": "%REQ(:METHOD):32%",
            "path": "%PATH(NQ):1024%",
            "status": "%RESPONSE_CODE%",
            "reason": f"%RESP({REASON_HEADER.upper()}):64%",
            "details": "%RESPONSE_CODE_DETAILS%",
            "flags": "%RESPONSE_FLAGS%",
            "milliseconds": "%DURATION%",
            "upstream_milliseconds": "%RESPONSE_DURATION%",
            "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
            "tls": "%DOWNSTREAM_TLS_VERSION%",
            "client_certificate_sha256": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
            san: "%DOWNSTREAM_PEER_URI_SAN%",
            "request_id": "%REQ(X-REQUEST-ID):64%",
        },
    )


def connection_log(folder: Path, listener: str) -> Mapping[str, Any]:
    """Return the log of a listener's connections that were refused before a request."""
    refused = [
        {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {
                    "@type": f"{TYPES}access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": _FAILED,
                },
            }
        },
        {"response_flag_filter": {"flags": [_NO_ROUTE]}},  # no filter chain is for that name
    ]
    log = _file(
        folder,
        {
            "kind": "connection",
            "listener": listener,
            "time": "%START_TIME%",
            "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
            "server_name": "%REQUESTED_SERVER_NAME%",
            "tls_failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
            "termination": "%CONNECTION_TERMINATION_DETAILS%",
            "flags": "%RESPONSE_FLAGS%",
            "unverified_peer_san": "%DOWNSTREAM_PEER_URI_SAN%",
        },
    )
    return {**log, "filter": {"or_filter": {"filters": refused}}}


def read_tls_refusals(folder: Path) -> list[TlsRefusal]:
    """Return the handshakes that sidecars refused, oldest first.

    The log is kept short, so that the oldest are forgotten one day: do not go by number. Envoy
    writes a line within a second of the handshake.
    """
    found = (_refusal(line) for line in _lines(folder))
    return [refusal for refusal in found if refusal is not None]


def _refusal(line: Mapping[str, Any]) -> TlsRefusal | None:
    listener = str(line.get("listener"))
    if line.get("kind") != "connection" or not listener.startswith("sidecar:"):
        return None
    said = [line.get(name) for name in ("tls_failure", "termination")]
    detail = next((str(one) for one in said if one not in _NONE), "")
    if not detail and line.get("flags") != _NO_ROUTE:
        return None
    san = line.get("unverified_peer_san")
    return TlsRefusal(
        sidecar=listener.removeprefix("sidecar:"),
        time=_seconds(line.get("time")),
        reason=reason_of(detail) if detail else NO_SUCH_NAME,
        peer_san="" if san in _NONE else str(san)[:_MAX_DETAIL],
        peer=str(line.get("peer")),
        detail=detail[:_MAX_DETAIL],
    )


def _seconds(time: object) -> float:
    try:
        return dt.datetime.fromisoformat(str(time)).timestamp()
    except ValueError:
        return 0.0


def reason_of(detail: str) -> str:
    """Return the code for what Envoy said of a failed handshake."""
    for pattern, reason in _REASONS:
        if re.match(pattern, detail):
            return reason
    return OTHER_FAILURE


def _lines(folder: Path) -> Iterator[Mapping[str, Any]]:
    for name in (OLD_ACCESS_LOG_FILE, ACCESS_LOG_FILE):
        try:
            text = (folder / name).read_text(errors="replace")
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                continue  # the last one may be half-written
            if isinstance(value, dict):
                yield value


def _file(folder: Path, line: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{TYPES}access_loggers.file.v3.FileAccessLog",
            "path": str(folder / ACCESS_LOG_FILE),
            "log_format": {"json_format": dict(line)},
        },
    }
