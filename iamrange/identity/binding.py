"""Whether a token is with the sender that it was issued to (RFC 9449 7.1, RFC 8705 3).

- A token that names a key and a certificate asks for both (RFC 7800 section 3).
- A token that names neither is worth nothing here: whoever holds it could send it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from iamrange.jose import Refusal
from iamrange.jose.gate import base64url

if TYPE_CHECKING:
    from iamrange.identity.access_token import AccessToken


def key_refusal(token: AccessToken, *, as_dpop: bool, held: str | None) -> Refusal | None:
    """Return why the token is not with the key that it names, or None.

    `held` is the thumbprint of the key in the proof that came along; where there is none, that is
    the proof's own refusal.
    """
    if not token.bound:
        return Refusal("not-dpop-bound" if as_dpop else "not-sender-constrained")
    if token.jkt is None:
        return Refusal("not-dpop-bound") if as_dpop else None
    if not as_dpop:
        return Refusal("bound-token-as-bearer")
    return None if held in (None, token.jkt) else Refusal("key-mismatch")


def certificate_refusal(token: AccessToken, certificate: bytes | None) -> Refusal | None:
    """Return why the token is not with the certificate that it names, or None."""
    if token.x5t_s256 is None:
        return None
    if certificate is None:
        return Refusal("missing-certificate")
    if base64url(hashlib.sha256(certificate).digest()) != token.x5t_s256:
        return Refusal("certificate-mismatch")
    return None
