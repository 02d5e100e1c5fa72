"""Client secrets, as scrypt hashes: in use only where an operator left `private_key_jwt` out."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import secrets as random

_COST, _BLOCK, _PARALLEL, _LENGTH = 2**14, 8, 1, 32
_MAX_COST, _MAX_BLOCK, _MAX_PARALLEL = 2**17, 16, 4
_MAX_SECRET = 1024


def hash_secret(secret: str) -> str:
    """Return `scrypt$N$R$P$SALT$HASH` of a secret."""
    salt = random.token_bytes(16)
    derived = _derive(secret, salt, _COST, _BLOCK, _PARALLEL)
    return "$".join(
        ["scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), _text(salt), _text(derived)]
    )


def secret_matches(stored: str | None, secret: str) -> bool:
    """Compare in constant time; without a stored hash the same work is done for nothing."""
    known = _read(stored) if stored is not None else None
    cost, block, parallel, salt, expected = known or _read(_decoy()) or _UNREADABLE
    derived = _derive(secret[:_MAX_SECRET], salt, cost, block, parallel)
    same = hmac.compare_digest(derived, expected)
    return same and known is not None and len(secret) <= _MAX_SECRET


_UNREADABLE = (_COST, _BLOCK, _PARALLEL, bytes(16), bytes(_LENGTH))


@functools.cache
def _decoy() -> str:
    return hash_secret(random.token_urlsafe())


def _derive(secret: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        secret.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=cost,
        r=block,
        p=parallel,
        maxmem=256 * 1024 * 1024,
        dklen=_LENGTH,
    )


def _read(stored: str) -> tuple[int, int, int, bytes, bytes] | None:
    parts = stored.split("$")
    if len(parts) != 6 or parts[0] != "scrypt":  # noqa: PLR2004 - scrypt, N, R, P, salt, hash
        return None
    try:
        cost, block, parallel = (int(part) for part in parts[1:4])
        salt, derived = (base64.urlsafe_b64decode(part + "==") for part in parts[4:])
    except ValueError:
        return None
    sane = 2 <= cost <= _MAX_COST and 1 <= block <= _MAX_BLOCK and 1 <= parallel <= _MAX_PARALLEL  # noqa: PLR2004 - scrypt's least cost
    if not sane or cost & (cost - 1) or len(derived) != _LENGTH:
        return None
    return cost, block, parallel, salt, derived


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
