"""Nonces that a server hands out for proofs (RFC 9449 sections 8 and 9), kept nowhere.

- A nonce is a keyed hash of the current minute: the one before is still good, no other is.
- Each server has a secret of its own, so that a nonce of another server is worth nothing here.
  Processes that answer for one server share the secret.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from iamrange.jose.gate import base64url

if TYPE_CHECKING:
    from iamrange.core.clock import Clock

STEP: Final = 60
_SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 18


class NonceSource:
    """Makes and recognises the nonces of one server."""

    def __init__(self, secret: bytes | None, clock: Clock) -> None:
        """Take the server's secret (None: a fresh one) and the clock that clients sign by.

        Raises:
            ValueError: the secret is too short.
        """
        if secret is not None and len(secret) < _SECRET_BYTES:
            raise ValueError(f"nonce secret: expected at least {_SECRET_BYTES} bytes")
        self._secret = secret or secrets.token_bytes(_SECRET_BYTES)
        self._clock = clock
        self._made: tuple[int, str, str] = (-1, "", "")

    def current(self) -> str:
        """Return the nonce to hand out now."""
        return self._pair()[1]

    def accepts(self, nonce: str | None) -> bool:
        """Tell whether the nonce is this server's, of this minute or the one before."""
        if nonce is None or not nonce.isascii():
            return False
        _, current, previous = self._pair()
        is_current = hmac.compare_digest(nonce, current)
        return hmac.compare_digest(nonce, previous) or is_current

    def _pair(self) -> tuple[int, str, str]:
        step = int(self._clock.now() // STEP)
        made = self._made
        if made[0] != step:
            made = self._made = (step, self._nonce(step), self._nonce(step - 1))
        return made

    def _nonce(self, step: int) -> str:
        digest = hmac.new(self._secret, f"dpop-nonce:{step}".encode(), hashlib.sha256).digest()
        return base64url(digest[:_NONCE_BYTES])

    def __repr__(self) -> str:
        """Show nothing."""
        return "NonceSource()"
