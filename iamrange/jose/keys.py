"""Key sets (RFC 7517): only RSA and EC public keys that may verify signatures.

- A key that we cannot or must not use is left out of the set, as RFC 7517 section 5 asks; a set
  that is no set is refused.
- A published key with private members is left out: whoever read it can sign.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from iamrange.jose.gate import DocumentError, Refusal, base64url, decode_base64url, read_json

if TYPE_CHECKING:
    from iamrange.jose.profile import Profile

# IAM user guide, OIDC providers: at most 100 RSA and 100 EC keys in a JWKS
MAX_KEYS_PER_KIND = 100
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_RSA_BITS = range(2048, 8193)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that may verify signatures, with what it was published for."""

    kty: str
    kid: str | None
    algorithms: frozenset[str]
    key: RSAKey | ECKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a JWKS document, in its order."""

    keys: tuple[PublicKey, ...]

    def candidates(self, kid: str | None, algorithm: str) -> tuple[PublicKey, ...]:
        """Return the keys that may have signed under this key id and algorithm.

        A kid is matched exactly. Without one the set must leave no choice.
        """
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        if kid is None:
            return tuple(fitting) if len(fitting) == 1 else ()
        return tuple(key for key in fitting if key.kid == kid)


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the RFC 7638 thumbprint of a public RSA or EC key, in base64url.

    Raises:
        ValueError: it is no such key.
    """
    kty = jwk.get("kty")
    names = _PUBLIC_MEMBERS.get(kty) if isinstance(kty, str) else None
    if names is None or not all(isinstance(jwk.get(name), str) for name in names):
        raise ValueError("thumbprint: expected an RSA or EC JWK")
    # section 3: the required members alone, in the order of their names, without spaces
    members = {name: jwk[name] for name in sorted((*names, "kty"))}
    document = json.dumps(members, separators=(",", ":")).encode()
    return base64url(hashlib.sha256(document).digest())


def parse_embedded_key(jwk: object, profile: Profile) -> PublicKey | Refusal:
    """Return the public key that a token's own header carries, or why it is none."""
    if isinstance(jwk, Mapping) and jwk.keys() & PRIVATE_MEMBERS:
        return Refusal("private-key", "the key has private members")
    key = _import(jwk, profile)
    if key is None or not key.algorithms:
        return Refusal("unusable-key", "no public key for an algorithm that is allowed")
    return key


def parse_key_set(document: bytes | Mapping[str, Any], profile: Profile) -> KeySet | Refusal:
    """Return the usable keys of a JWKS document, or why it is none."""
    try:
        value = read_json(document) if isinstance(document, bytes) else document
    except DocumentError as error:
        return Refusal("malformed-key-set", str(error))
    members = value.get("keys") if isinstance(value, Mapping) else None
    if not isinstance(members, list):
        return Refusal("malformed-key-set", "no list of keys")
    kinds = [member.get("kty") for member in members if isinstance(member, Mapping)]
    if any(kinds.count(kind) > MAX_KEYS_PER_KIND for kind in ("RSA", "EC")):
        return Refusal("malformed-key-set", f"more than {MAX_KEYS_PER_KIND} keys of one kind")
    keys = tuple(key for member in members if (key := _import(member, profile)) is not None)
    return KeySet(keys)


def _import(member: object, profile: Profile) -> PublicKey | None:
    if not isinstance(member, Mapping) or member.keys() & PRIVATE_MEMBERS:
        return None
    kty, kid = member.get("kty"), member.get("kid")
    if kty not in ("RSA", "EC") or not isinstance(kid, str | None) or not _may_verify(member):
        return None
    public = {"kty": kty, **{name: member.get(name) for name in _PUBLIC_MEMBERS[kty]}}
    if not all(isinstance(value, str) for value in public.values()):
        return None
    try:
        for name in _PUBLIC_MEMBERS[kty]:
            if name != "crv":
                decode_base64url(public[name])
        # joserfc warns of short RSA keys when it imports them: measured before it sees them
        if kty == "RSA" and _bits(public["n"]) not in _RSA_BITS:
            return None
        key = RSAKey.import_key(public) if kty == "RSA" else ECKey.import_key(public)
        key.raw_value  # noqa: B018 - joserfc imports lazily: a bad point must show here
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return PublicKey(kty, kid, _algorithms(member, profile), key)


def _bits(modulus: str) -> int:
    return int.from_bytes(decode_base64url(modulus), "big").bit_length()


def _may_verify(member: Mapping[str, Any]) -> bool:
    """Honour `use` and `key_ops` (RFC 7517 4.2 and 4.3), which libraries do not enforce."""
    if member.get("use", "sig") != "sig":
        return False
    operations = member.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations


def _algorithms(member: Mapping[str, Any], profile: Profile) -> frozenset[str]:
    """Return the algorithms this key serves: its own `alg`, or all of its kind."""
    if member["kty"] == "RSA":
        fitting = {name for name in profile.algorithms if name.startswith("RS")}
    else:
        fitting = {n for n, crv in _CURVES.items() if crv == member["crv"]} & profile.algorithms
    named = member.get("alg")
    return frozenset(fitting if named is None else fitting & {named})
