"""Events as OpenTelemetry log records, and the sink that posts them.

Source: OTLP 1.x over HTTP with protobuf (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"): which
answers may be tried again, Retry-After, partial success. The event stays whole, as the body; what
a SIEM joins and filters by is an attribute besides.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from iamrange.core.event_members import member
from iamrange.detect.audit_export import GapError, SinkError
from iamrange.detect.audit_query import read_event
from iamrange.detect.audit_seal import read_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iamrange.detect.audit_export import Batch

LOGS_PATH: Final = "/v1/logs"
TIMEOUT_SECONDS: Final = 10.0
_DEEPEST: Final = 24
"""Members and lists in each other that are sent as such: protobuf reads no more than 100 messages
in each other, and each level is up to three. What is below is sent as JSON."""

_LARGEST_ANSWER: Final = 64 * 1024
_AGAIN: Final = frozenset({429, 502, 503, 504})
_OK: Final = 200
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# OCSF's severity_id to OpenTelemetry's severity; what OCSF calls low is a refusal here.
_SEVERITIES: Final[Mapping[int, tuple[SeverityNumber.ValueType, str]]] = {
    1: (SeverityNumber.SEVERITY_NUMBER_INFO, "Informational"),
    2: (SeverityNumber.SEVERITY_NUMBER_INFO4, "Low"),
    3: (SeverityNumber.SEVERITY_NUMBER_WARN, "Medium"),
    4: (SeverityNumber.SEVERITY_NUMBER_ERROR, "High"),
    5: (SeverityNumber.SEVERITY_NUMBER_ERROR4, "Critical"),
    6: (SeverityNumber.SEVERITY_NUMBER_FATAL, "Fatal"),
}


class OtlpSink:
    """A collector, or whatever takes OTLP over HTTP."""

    def __init__(
        self,
        url: str,
        now: Callable[[], float],
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Describe it: `url` is that of its logs, `now` the seconds of the epoch."""
        self._url = url
        self._now = now
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # a range's own proxy must not take the log
        self._session.headers.update({**(headers or {}), "Content-Type": "application/x-protobuf"})

    def send(self, batch: Batch) -> None:
        """Post a batch.

        Raises:
            SinkError: it was not taken, or not all of it.
            GapError: a line of it is no event.
        """
        body = request_of(batch.lines, self._now()).SerializeToString()
        try:
            with self._session.post(
                self._url, data=body, timeout=self._timeout, allow_redirects=False, stream=True
            ) as answer:
                status, said = answer.status_code, answer.headers.get("Retry-After", "")
                content = answer.raw.read(_LARGEST_ANSWER, decode_content=True) or b""
        except (requests.RequestException, OSError) as error:
            # the words of requests hold the whole URL, and that may hold a key
            raise SinkError(f"collector: {type(error).__name__}", again=True) from None
        if status != _OK:
            again = status in _AGAIN
            raise SinkError(
                f"collector: answered {status}",
                again=again,
                after=_seconds(said) if again else None,
            )
        _check_partial(content)

    def close(self) -> None:
        """Close its connections."""
        self._session.close()


def logs_url(text: str) -> str:
    """Return the URL that logs are posted to; without a path it is the standard one.

    Raises:
        ValueError: it is no URL of a collector.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
        raise ValueError(f"'{parts.scheme or text}': expected a collector's URL, http or https")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a collector's URL: expected no password in it; headers carry keys")
    return urlunsplit(parts._replace(path=LOGS_PATH)) if parts.path in {"", "/"} else text


def headers_of(text: str) -> dict[str, str]:
    """Read `name=value,name=value`, values percent-encoded (W3C Baggage, as OpenTelemetry has it).

    Raises:
        ValueError: it is not of that form; the message shows no value.
    """
    found = {}
    for number, part in enumerate(text.split(","), 1):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not equals or not _NAME.fullmatch(name) or not value.isprintable():
            raise ValueError(f"OTEL_EXPORTER_OTLP_HEADERS: part {number}: expected name=value")
        found[name] = value
    return found


def request_of(lines: Iterable[bytes], now: float) -> ExportLogsServiceRequest:
    """Return the request that carries sealed lines; `now` is when they were seen, in seconds.

    Raises:
        GapError: a line is no event.
    """
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.append(_attribute("service.name", "iamrange"))
    scope = resource.scope_logs.add()
    scope.scope.name = "iamrange.audit"
    scope.log_records.extend(record_of(_event(line), now) for line in lines)
    return request


def record_of(event: Mapping[str, Any], now: float) -> LogRecord:
    """Return an event as a log record."""
    severity = event.get("severity_id")
    number, text = _SEVERITIES.get(
        severity if isinstance(severity, int) else 0,
        (SeverityNumber.SEVERITY_NUMBER_UNSPECIFIED, ""),
    )
    time: Any = event.get("time")
    record = LogRecord(
        time_unix_nano=time * 1_000_000 if _is_moment(time) else 0,
        observed_time_unix_nano=int(now * 1e9),
        severity_number=number,
        severity_text=text,
        body=_value(event),
        event_name="ocsf",
    )
    attributes = {
        # the seal is of this record alone: who gets it twice can tell
        "log.record.uid": event.get("seal"),
        "iamrange.audit.sequence": event.get("seq"),
        "ocsf.class_uid": event.get("class_uid"),
        "iamrange.request_id": member(event, "metadata", "uid"),
        "user.id": member(event, "actor", "user", "uid"),
        "source.address": member(event, "src_endpoint", "ip"),
    }
    record.attributes.extend(
        _attribute(key, value) for key, value in attributes.items() if value is not None
    )
    return record


def _event(line: bytes) -> Mapping[str, Any]:
    event = read_event(line)
    if event is None:
        read = read_line(line)
        which = "a record" if read is None else f"record {read.sequence}"
        raise GapError(f"{which} is no event: see what `verify` says of the log")
    return event


def _is_moment(time: object) -> bool:
    """Tell whether these milliseconds are some that OTLP has room for."""
    return isinstance(time, int) and 0 < time < (1 << 64) // 1_000_000


def _check_partial(content: bytes) -> None:
    answer = ExportLogsServiceResponse()
    try:
        answer.ParseFromString(content)
    except DecodeError:
        raise SinkError("collector: answered 200 with what is no OTLP", again=False) from None
    rejected = answer.partial_success.rejected_log_records
    if rejected:
        raise SinkError(f"collector: refused {rejected} records of a batch", again=False)


def _seconds(text: str) -> float | None:
    """Read Retry-After's seconds (RFC 9110 section 10.2.3); a date is left to the back-off."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < len("1000000") else None


def _attribute(key: str, value: Any) -> KeyValue:  # noqa: ANN401 - any JSON value
    return KeyValue(key=key, value=_value(value))


def _value(value: Any, depth: int = _DEEPEST) -> AnyValue:  # noqa: ANN401 - any JSON value
    found = AnyValue()
    if not depth and isinstance(value, (list, dict)):
        found.string_value = json.dumps(value)
    elif isinstance(value, bool):
        found.bool_value = value
    elif isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            found.int_value = value
        else:
            found.string_value = str(value)
    elif isinstance(value, float):
        found.double_value = value
    elif isinstance(value, str):
        # a lone surrogate cannot be UTF-8, which protobuf's text has to be
        found.string_value = value.encode("utf-8", "replace").decode()
    elif isinstance(value, list):
        found.array_value.SetInParent()
        found.array_value.values.extend(_value(one, depth - 1) for one in value)
    elif isinstance(value, dict):
        found.kvlist_value.SetInParent()
        found.kvlist_value.values.extend(
            KeyValue(key=_plain(k), value=_value(v, depth - 1)) for k, v in value.items()
        )
    return found


def _plain(key: str) -> str:
    return key.encode("utf-8", "replace").decode()
