"""An issuer of the attacker's own: keys, the documents that verifiers fetch, and tokens."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Self

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scenarios import forgery

if TYPE_CHECKING:
    from collections.abc import Mapping

URL = "https://idp.attacker.example"
_KEY_ID = "attackers-own"
_TIMEOUT = 10


class AttackersIssuer:
    """Signs whatever it is asked to, under its own name."""

    def __init__(self) -> None:
        """Make a key."""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @classmethod
    def published(cls) -> Self:
        """Make an issuer, and publish its discovery document and its keys.

        Raises:
            requests.HTTPError: the host did not take them.
        """
        issuer = cls()
        keys = f"{URL}/jwks.json"
        discovery = {
            "issuer": URL,
            "jwks_uri": keys,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        for url, document in (
            (f"{URL}/.well-known/openid-configuration", discovery),
            (keys, issuer.jwks()),
        ):
            requests.put(url, json=document, timeout=_TIMEOUT).raise_for_status()
        return issuer

    def jwks(self) -> dict[str, Any]:
        """Return the key set."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": _KEY_ID,
            "n": forgery.encode(numbers.n.to_bytes(256, "big")),
            "e": forgery.encode(numbers.e.to_bytes(3, "big")),
        }
        return {"keys": [key]}

    def token(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims, besides its own name and five minutes to live."""
        now = int(time.time())
        header = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        body = {"iss": URL, "iat": now, "nbf": now, "exp": now + 300, **claims}
        unsigned = ".".join(forgery.encode(json.dumps(part).encode()) for part in (header, body))
        signature = self._key.sign(unsigned.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{unsigned}.{forgery.encode(signature)}"
