"""What Envoy writes down, and how it is read.

- A line a request: no query, and no header but the host and the reason, because tokens travel in
  them. A line a connection that did not get through its handshake.
- Envoy writes JSON and escapes what strangers chose; each value has a length.
"""

from __future__ import annotations

import json
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
_NO_CERTIFICATE = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRefusal:
    """A connection that a sidecar ended at its handshake.

    `reason` is a stable code, `detail` Envoy's own words; `peer_san` is what the certificate that
    was presented said, which nobody has vouched for.
    """

    sidecar: str
    time: str
    reason: str
    detail: str
    peer_san: str


def request_log(folder: Path, listener: str) -> Mapping[str, Any]:
    """Return the log of a listener's requests."""
    return _file(
        folder,
        {
            "kind": "request",
            "listener": listener,
            "time": "%START_TIME%",
            "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
            "host": "%REQ(:AUTHORITY):256%",
            "method": "%REQ(:METHOD):32%",
            "path": "%PATH(NQ)%",
            "status": "%RESPONSE_CODE%",
            "reason": f"%RESP({REASON_HEADER.upper()}):64%",
            "details": "%RESPONSE_CODE_DETAILS%",
            "flags": "%RESPONSE_FLAGS%",
            "milliseconds": "%DURATION%",
            "upstream_milliseconds": "%RESPONSE_DURATION%",
            "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
            "tls": "%DOWNSTREAM_TLS_VERSION%",
            "client_certificate_sha256": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
            "peer_san": "%DOWNSTREAM_PEER_URI_SAN%",
            "request_id": "%REQ(X-REQUEST-ID):64%",
        },
    )


def connection_log(folder: Path, listener: str) -> Mapping[str, Any]:
    """Return the log of a listener's connections that ended before a request."""
    return _file(
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
            "peer_san": "%DOWNSTREAM_PEER_URI_SAN%",
        },
    )


def read_tls_refusals(folder: Path) -> list[TlsRefusal]:
    """Return the handshakes that sidecars refused, oldest first, as far as the log reaches back."""
    return [refusal for line in _lines(folder) if (refusal := _refusal(line)) is not None]


def _refusal(line: Mapping[str, Any]) -> TlsRefusal | None:
    listener = str(line.get("listener"))
    if line.get("kind") != "connection" or not listener.startswith("sidecar:"):
        return None
    failure, termination = line.get("tls_failure"), line.get("termination")
    if failure in _NONE and termination in _NONE:
        return None
    detail = str(failure if failure not in _NONE else termination)
    return TlsRefusal(
        sidecar=listener.removeprefix("sidecar:"),
        time=str(line.get("time")),
        reason=detail,
        detail=detail,
        peer_san="" if line.get("peer_san") in _NONE else str(line["peer_san"]),
    )


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
