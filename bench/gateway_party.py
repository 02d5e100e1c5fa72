"""The bench's issuer and agents: tokens, proofs and attacks, signed before the clock runs."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from bench.gateway_load import Shot
from iamrange.core.clock import SystemClock
from iamrange.identity.dpop import access_token_hash
from iamrange.identity.names import AUTH_ISSUER
from iamrange.identity.nonces import NonceSource
from iamrange.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = "customers.iamrange.example"
TARGET = "/records/latest"
SCOPE = "read:customers"
CALLERS = 100
ATTACK_EVERY = 50
ATTACKS: Mapping[str, str] = {
    "stolen token without proof": "401 missing-proof",
    "proof replayed": "401 replayed",
    "token revoked": "401 token-revoked",
    "wrong scope": "403 insufficient-scope",
}


def _b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class Caller:
    """An agent with its key and token."""

    def __init__(self, party: Party, number: int) -> None:
        """Make the key."""
        self._private = ec.generate_private_key(ec.SECP256R1())
        numbers = self._private.public_key().public_numbers()
        x, y = (_b64(part.to_bytes(32, "big")) for part in (numbers.x, numbers.y))
        jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        thumbprint = hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest()
        self.jkt = _b64(thumbprint)
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
        self._header = _b64(json.dumps(header).encode())
        self.id = f"spiffe://iamrange.example/agent/agent-{number}"
        self.token, self.jti = party.token(self)

    def proof(self, token: str, nonce: str) -> str:
        """Return a fresh proof for a call with the token."""
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": "GET",
            "htu": f"https://{HOST}{TARGET}",
            "iat": int(time.time()),
            "ath": access_token_hash(token),
            "nonce": nonce,
        }
        text = f"{self._header}.{_b64(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._private.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class Party:
    """The issuer and the callers."""

    def __init__(self, agents: int = 1000) -> None:
        """Make the keys; the callers are spread over so many agents."""
        self.issuer = SigningKey.generate()
        self.nonce_secret = secrets.token_hex(32)
        self._nonces = NonceSource(bytes.fromhex(self.nonce_secret), SystemClock())
        count = min(CALLERS, agents)
        self.callers = [Caller(self, number * agents // count) for number in range(count)]
        self.revoked = Caller(self, 0)

    @property
    def keys(self) -> dict[str, Any]:
        """The issuer's key set."""
        return {"keys": [self.issuer.public_jwk()]}

    def token(
        self, caller: Caller, scope: str = SCOPE, role: str = "data-analyst"
    ) -> tuple[str, str]:
        """Return a token that is bound to the caller's key, and its id.

        The role is for the peer, which has no directory.
        """
        now, jti = int(time.time()), secrets.token_urlsafe(16)
        claims = {
            "iss": AUTH_ISSUER,
            "sub": caller.id,
            "aud": f"https://{HOST}",
            "client_id": caller.id,
            "scope": scope,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": jti,
            "cnf": {"jkt": caller.jkt},
            "epochs": {caller.id: 0},
            "roles": [role],
        }
        return self.issuer.sign(claims, typ="at+jwt"), jti

    def refresh(self) -> None:
        """Give each caller a new token: they live for five minutes."""
        for caller in (*self.callers, self.revoked):
            caller.token, caller.jti = self.token(caller)

    def shots(self, count: int, *, bearer: bool = False, attacks: bool = True) -> list[Shot]:
        """Return so many calls; every fiftieth is an attack, each kind in turn."""
        nonce = self._nonces.current()
        made: list[Shot] = []
        for number in range(count):
            caller = self.callers[number % len(self.callers)]
            if bearer:
                made.append(Shot(_get("Bearer", caller.token)))
            elif attacks and number % ATTACK_EVERY == ATTACK_EVERY - 1 and number > count // 10:
                made.append(self._attack(number, caller, nonce, made))
            else:
                made.append(Shot(_get("DPoP", caller.token, caller.proof(caller.token, nonce))))
        return made

    def strangers(self) -> list[Shot]:
        """Return calls that the peer must refuse: by scope, by role, and by signature."""
        caller = self.callers[0]
        forged = f"{caller.token[:-8]}AAAAAAAA"
        return [
            Shot(_get("Bearer", self.token(caller, "read:logs")[0]), "403 insufficient-scope"),
            Shot(_get("Bearer", self.token(caller, SCOPE, "nobody")[0]), "403 policy"),
            Shot(_get("Bearer", forged), "401 "),
        ]

    def _attack(self, number: int, caller: Caller, nonce: str, made: list[Shot]) -> Shot:
        kinds = list(ATTACKS.items())
        name, expected = kinds[number // ATTACK_EVERY % len(kinds)]
        token, proof = caller.token, ""
        if name == "proof replayed":
            # one that was sent long enough ago to have been answered
            return Shot(made[number // 2 // ATTACK_EVERY * ATTACK_EVERY].data, expected)
        if name == "token revoked":
            caller = self.revoked
            token = caller.token
        if name == "wrong scope":
            token, _ = self.token(caller, "read:logs")
        if name != "stolen token without proof":
            proof = caller.proof(token, nonce)
        return Shot(_get("DPoP", token, proof), expected)


def _get(scheme: str, token: str, proof: str = "") -> bytes:
    lines = [f"GET {TARGET} HTTP/1.1", f"host: {HOST}", f"authorization: {scheme} {token}"]
    if proof:
        lines.append(f"dpop: {proof}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
