"""The one short key under which every store remembers a jti within its scope."""

from __future__ import annotations

import hashlib


def replay_key(scope: str, jti: str) -> bytes:
    """Return a key of fixed length; no two pairs share one."""
    named = f"{len(scope)}:{scope}{jti}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named, digest_size=20).digest()
