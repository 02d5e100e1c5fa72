"""How Envoy asks the decision service: HTTP ext_authz over a unix socket, closed when in doubt.

- The whole body is shown or the call is refused (413); nothing is shown in part. Envoy's own
  `allow_partial_message: false` does not keep that: over HTTP/2 a body that is too long by less
  than a frame is shown up to the limit, and all of it goes on (seen with 1.40). So the body is
  collected and measured by another filter first, and here there is room for a frame more.
- No answer in time, half an answer, garbage or a 5xx is a 503; nothing goes on undecided.
- What the decision service says of the caller replaces whatever said so before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_config import SECRET_HEADER
from iamrange.network.envoy_headers import (
    AGENT_PREFIX,
    PEER_ADDRESS,
    REASON_HEADER,
    TARGET_HEADER,
    TYPES,
    buffer_filter,
    mutation_filter,
    overwrite,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.network.envoy_config import Authorizer, EnvoyConfig

FILTER = "envoy.filters.http.ext_authz"
CLUSTER = "authorizer"

SHOWN = (
    "authorization",
    "dpop",
    "approval-id",
    "content-encoding",
    "content-type",
    "cookie",
    "user-agent",
    "x-forwarded-client-cert",
    "x-request-id",
    TARGET_HEADER,
    # By these, frameworks take a request for another: their presence is judged.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
)
"""Headers of a call that the decision service sees as they are, beside method and host."""
TOLD_ON_REFUSAL = (
    REASON_HEADER,
    "www-authenticate",
    "dpop-nonce",
    "retry-after",
    "allow",
    "link",
    "x-request-id",
    "content-type",
    "cache-control",
)
TOLD_ON_SUCCESS = ("dpop-nonce",)

_FRAME = 64 * 1024
"""More than Envoy takes at once: an HTTP/2 frame is at most 16 KiB as we negotiate it."""
_MAX_ANSWER = 64 * 1024


def authorizer_filters(config: EnvoyConfig, authorizer: Authorizer) -> list[Mapping[str, Any]]:
    """Return the filters of a judged call, up to its decision."""
    agent = {"patterns": [{"prefix": AGENT_PREFIX, "ignore_case": True}]}
    kept = config.unsafe_keeps_identity_headers
    return [
        buffer_filter(authorizer.body_bytes),
        mutation_filter([{"append": overwrite(TARGET_HEADER, "%REQ(:PATH)%")}]),
        {
            "name": FILTER,
            "typed_config": {
                "@type": f"{TYPES}filters.http.ext_authz.v3.ExtAuthz",
                "transport_api_version": "V3",
                "failure_mode_allow": False,
                "status_on_error": {"code": "ServiceUnavailable"},
                "clear_route_cache": False,
                "validate_mutations": True,
                # Repeated headers arrive repeated: whoever judges must see that there are two.
                "encode_raw_headers": True,
                "max_denied_response_body_bytes": _MAX_ANSWER,
                "allowed_headers": _exactly(SHOWN),
                "with_request_body": {
                    "max_request_bytes": authorizer.body_bytes + _FRAME,
                    "allow_partial_message": False,
                },
                "http_service": {
                    "server_uri": {
                        "uri": f"http://{CLUSTER}",
                        "cluster": CLUSTER,
                        "timeout": f"{authorizer.timeout:.3f}s",
                    },
                    "authorization_request": {
                        "headers_to_add": [
                            {"key": SECRET_HEADER, "value": config.secret},
                            # Of a peer on loopback Envoy itself writes the machine's address.
                            {"key": "x-forwarded-for", "value": PEER_ADDRESS},
                        ]
                    },
                    "authorization_response": {
                        "allowed_upstream_headers_to_append"
                        if kept
                        else "allowed_upstream_headers": agent,
                        "allowed_client_headers": _exactly(TOLD_ON_REFUSAL),
                        "allowed_client_headers_on_success": _exactly(TOLD_ON_SUCCESS),
                    },
                },
            },
        },
    ]


def unjudged() -> dict[str, Any]:
    """Return what spares a route the decision: only for routes that go nowhere."""
    return {
        FILTER: {"@type": f"{TYPES}filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}
    }


def _exactly(names: Iterable[str]) -> Mapping[str, Any]:
    return {"patterns": [{"exact": name, "ignore_case": True} for name in names]}
