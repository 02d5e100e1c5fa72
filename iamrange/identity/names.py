"""The identity rooms' fixed names: written into policies, proofs and assertions."""

from __future__ import annotations

ISSUER = "https://idp.iamrange.example"
ASSERTION_ENDPOINT = f"{ISSUER}/assertion"
BROKER = "https://broker.iamrange.example"
AWS_SESSION_ENDPOINT = f"{BROKER}/aws/session"
AWS_AUDIENCE = "sts.amazonaws.com"

PROOF_TYPE = "agent-proof+jwt"
PROOF_LIFE = 60
ASSERTION_LIFE = 300
BROKERED_LIFE = 900
"""Seconds; 900 is the shortest session that AWS STS grants."""

AUTH_ISSUER = "https://auth.iamrange.example"
"""The OAuth token service for our own services; no cloud trusts it."""

TOKEN_ENDPOINT = f"{AUTH_ISSUER}/oauth/token"
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type (RFC 9068 section 2.1)
ACCESS_TOKEN_LIFE = 300
DPOP_TYPE = "dpop+jwt"
DEFAULT_RESOURCE = "https://api.iamrange.example"
"""The gateway: the audience of a token for which no resource was named; it knows every scope."""

SERVICES = ("customers", "logs", "hr", "payments", "deployments", "telemetry", "directory")
"""The services with a resource URI of their own: `service_resource(name)`."""


def service_resource(name: str) -> str:
    """Return the resource URI (RFC 8707) of one of our services."""
    return f"https://{name}.iamrange.example"
