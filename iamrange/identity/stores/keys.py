"""The names under which stores remember: a short key for a jti, and what is a name at all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def replay_key(scope: str, jti: str) -> bytes:
    """Return a key of fixed length; no two pairs share one."""
    named = f"{len(scope)}:{scope}{jti}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named, digest_size=20).digest()


def storable(names: Sequence[str]) -> list[str]:
    """Return those names that a store could hold: no other can be known to it.

    Whoever presents a forged token chooses its names. PostgreSQL takes no zero character, and
    nothing takes half a surrogate pair.
    """
    return [name for name in names if "\x00" not in name and name.isprintable()]
