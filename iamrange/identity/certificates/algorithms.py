"""Which keys may be certified, and which may appear in a chain."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, rsa

_MIN_RSA_BITS = 2048
_MAX_RSA_BITS = 4096
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def is_strong_key(key: object) -> bool:
    """Tell whether the public key is ECDSA on a NIST curve, or RSA of a sane size.

    Larger RSA keys are refused because a stranger chooses the key and we do the arithmetic.
    """
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    if isinstance(key, rsa.RSAPublicKey):
        return _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS
    return False
