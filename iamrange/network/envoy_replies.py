"""How Envoy words the answers that are its own, each with a reason.

- A refusal by the decision service goes to the client as it is. But Envoy takes every 5xx of its
  for a failure and forgets what it said: one that is to be heard says 424 (RFC 4918 section 11.4),
  of which Envoy makes a 503.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.network.envoy_headers import REASON_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

HEARD_AS_503: Final = 424
"""The status by which the decision service has a client told 503, with its own reason and body."""
DECISION_SERVICE_AWAY: Final = "decision-service-away"
AMBIGUOUS_PATH: Final = "ambiguous-path"

BY_STATUS: Final[Mapping[int, str]] = {
    400: "malformed-request",
    403: "upgrade-refused",
    404: "no-path",
    405: "method-refused",
    408: "too-slow",
    413: "body-too-long",
    421: "no-such-host",
    426: "old-protocol",
    431: "headers-too-large",
    501: "unknown-coding",
    502: "service-broken",
    503: "service-away",
    504: "service-too-slow",
}
"""The reasons that Envoy itself has, and the decision service has not."""

_JSON: Final = "application/json"


def replies() -> Mapping[str, Any]:
    """Return the configuration of local replies."""
    as_told = {
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": _JSON,
        }
    }
    by_authorizer = {"response_flag_filter": {"flags": ["UAEX"]}}
    away = [_absent(REASON_HEADER, DECISION_SERVICE_AWAY), _absent("retry-after", "1")]
    return {
        "mappers": [
            {"filter": _all(by_authorizer, _status(503)), "headers_to_add": away},
            {
                "filter": _all(by_authorizer, _status(HEARD_AS_503)),
                "status_code": 503,
                **as_told,
            },
            {"filter": by_authorizer, **as_told},
            *(
                {"filter": _status(status), "headers_to_add": [_absent(REASON_HEADER, reason)]}
                for status, reason in BY_STATUS.items()
            ),
        ],
        "body_format": {"json_format": {"error": "edge", "status": "%RESPONSE_CODE%"}},
    }


def _status(status: int) -> Mapping[str, Any]:
    value = {"default_value": status, "runtime_key": "iamrange.unused"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _all(*filters: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"and_filter": {"filters": list(filters)}}


def _absent(header: str, value: str) -> Mapping[str, Any]:
    return {"header": {"key": header, "value": value}, "append_action": "ADD_IF_ABSENT"}
