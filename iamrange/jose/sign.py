"""Signing keys of issuers and agents. A key never shows itself in a repr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, Self

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from iamrange.jose.gate import base64url
from iamrange.jose.profile import RSA_AND_EC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_CURVE_ALGORITHMS = {curve: algorithm for algorithm, curve in _CURVES.items()}
_RSA_BITS = 2048


_REGISTRY = jws.JWSRegistry(algorithms=sorted(RSA_AND_EC))


class Signer(Protocol):
    """Whatever signs with one key and one algorithm, wherever the key is."""

    @property
    def alg(self) -> str:
        """The algorithm."""
        ...

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the key."""
        ...

    def public_jwk(self) -> dict[str, Any]:
        """Return the public key as it goes into a JWKS."""
        ...

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        typ: str = "JWT",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a compact JWS over the claims; `header` adds to or replaces header members."""
        ...


class SigningKey:
    """A private key with one algorithm; its `kid` is its RFC 7638 thumbprint."""

    __slots__ = ("_key", "alg", "kid")

    def __init__(self, key: RSAKey | ECKey, alg: str) -> None:
        """Take a private key and the one algorithm that it signs with.

        Raises:
            ValueError: the algorithm is not one that we sign with.

        """
        if alg not in RSA_AND_EC:
            raise ValueError(f"signing key: algorithm {alg!r} is not supported")
        self._key = key
        self.alg = alg
        self.kid: str = key.thumbprint()

    @classmethod
    def generate(cls, alg: str = "ES256") -> Self:
        """Make a new key for this algorithm."""
        if alg in _CURVES:
            return cls(ECKey.generate_key(_CURVES[alg], private=True), alg)
        return cls(RSAKey.generate_key(_RSA_BITS, private=True), alg)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """Load a private JWK; RSA keys sign RS256 unless `alg` says otherwise.

        Raises:
            ValueError: it is not a private RSA or EC key.

        """
        kty = jwk.get("kty")
        if kty not in ("RSA", "EC") or "d" not in jwk:
            raise ValueError("signing key: expected a private RSA or EC JWK")
        if kty == "RSA":
            return cls(RSAKey.import_key(dict(jwk)), str(jwk.get("alg", "RS256")))
        return cls(ECKey.import_key(dict(jwk)), _CURVE_ALGORITHMS[str(jwk.get("crv"))])

    def public_jwk(self) -> dict[str, Any]:
        """Return the public key as it goes into a JWKS."""
        public = self._key.as_dict(private=False)
        return {**public, "kid": self.kid, "alg": self.alg, "use": "sig"}

    def private_jwk(self) -> dict[str, Any]:
        """Return the private key, for its owner's own file."""
        return {**self._key.as_dict(private=True), "kid": self.kid, "alg": self.alg}

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        typ: str = "JWT",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a compact JWS over the claims; `header` adds to or replaces header members."""
        # The library's own algorithm, asked directly: its serialiser would read back what is
        # written here, which costs two thirds of what the signature does.
        algorithm = _REGISTRY.get_alg(self.alg)
        return compact(
            {"alg": self.alg, "typ": typ, "kid": self.kid, **(header or {})},
            claims,
            lambda signing_input: algorithm.sign(signing_input, self._key),
        )

    def __repr__(self) -> str:
        """Show which key, never the key."""
        return f"SigningKey(kid={self.kid!r}, alg={self.alg!r})"


def verifies(key: RSAKey | ECKey, alg: str, signing_input: bytes, signature: bytes) -> bool:
    """Tell whether a signature over these bytes is by this key."""
    try:
        return _REGISTRY.get_alg(alg).verify(signing_input, signature, key)
    except ValueError:  # bytes that are no signature at all
        return False


def compact(
    protected: Mapping[str, Any], claims: Mapping[str, Any], sign: Callable[[bytes], bytes]
) -> str:
    """Return a compact JWS (RFC 7515 section 7.1) with whatever signs its signing input."""
    signing_input = f"{_part(protected)}.{_part(dict(claims))}"
    return f"{signing_input}.{base64url(sign(signing_input.encode()))}"


def _part(value: Mapping[str, Any]) -> str:
    return base64url(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
