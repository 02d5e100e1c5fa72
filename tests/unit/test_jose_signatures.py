"""Signatures that Wycheproof's kinds describe, keys that are none, and RFC 7638 thumbprints."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from hypothesis import given
from hypothesis import strategies as st

from iamrange.jose import (
    AWS,
    STRICT,
    KeySet,
    PublicKey,
    Refusal,
    UnverifiedToken,
    VerifiedClaims,
    parse,
    parse_embedded_key,
    parse_key_set,
    thumbprint,
    verify_embedded,
    verify_signature,
)
from tests.conformance.protected_lab import Key, b64, compact

# RFC 7638 section 3.1
RFC_KEY = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
        "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0"
        "_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWh"
        "AI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ),
    "e": "AQAB",
}
CURVES: list[tuple[str, str, ec.EllipticCurve, hashes.HashAlgorithm, int]] = [
    ("ES256", "P-256", ec.SECP256R1(), hashes.SHA256(), 32),
    ("ES384", "P-384", ec.SECP384R1(), hashes.SHA384(), 48),
    ("ES512", "P-521", ec.SECP521R1(), hashes.SHA512(), 66),
]
CLAIMS = {"iss": "i", "sub": "s", "aud": "a", "iat": 1_800_000_000, "exp": 1_800_000_100}


class Signer:
    """A key on any curve, and tokens with whatever signature over them."""

    def __init__(
        self, alg: str, crv: str, curve: ec.EllipticCurve, digest: hashes.HashAlgorithm, size: int
    ) -> None:
        self.private = ec.generate_private_key(curve)
        self.alg, self.order, self.size = alg, curve.group_order, size
        numbers = self.private.public_key().public_numbers()
        x, y = (value.to_bytes(size, "big") for value in (numbers.x, numbers.y))
        self.jwk = {"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y), "kid": "k"}
        head = {"alg": alg, "kid": "k", "typ": "JWT"}
        self.text = f"{b64(compact(head))}.{b64(compact(CLAIMS))}"
        self.r, self.s = decode_dss_signature(
            self.private.sign(self.text.encode(), ec.ECDSA(digest))
        )

    def flat(self, r: int, s: int) -> bytes:
        return r.to_bytes(self.size, "big") + s.to_bytes(self.size, "big")

    def token(self, signature: bytes) -> str:
        return f"{self.text}.{b64(signature)}"


SIGNERS = {curve[0]: Signer(*curve) for curve in CURVES}


def verdict(signer: Signer, signature: bytes) -> str:
    keys = parse_key_set({"keys": [signer.jwk]}, AWS)
    token = parse(signer.token(signature), AWS)
    assert isinstance(keys, KeySet)
    if isinstance(token, Refusal):
        return token.code
    answer = verify_signature(token, keys, AWS)
    return answer.code if isinstance(answer, Refusal) else "verified"


def malformed(signer: Signer) -> dict[str, bytes]:
    r, s, n, size = signer.r, signer.s, signer.order, signer.size
    good = signer.flat(r, s)
    widest = 2 ** (8 * size) - 1
    return {
        "r zero": signer.flat(0, s),
        "s zero": signer.flat(r, 0),
        "both zero": bytes(2 * size),
        "r the order": signer.flat(n, s),
        "s the order": signer.flat(r, n),
        "both the order": signer.flat(n, n),
        "r one, s one": signer.flat(1, 1),
        "r zero, s one": signer.flat(0, 1),
        "r one less than the order": signer.flat(n - 1, s),
        "all bits": b"\xff" * (2 * size),
        "r beyond the order": signer.flat(min(r + n, widest), s),
        "s beyond the order": signer.flat(r, min(s + n, widest)),
        "high bit of r": bytes([good[0] ^ 0x80]) + good[1:],
        "high bit of s": good[:size] + bytes([good[size] ^ 0x80]) + good[size + 1 :],
        "last bit of s": good[:-1] + bytes([good[-1] ^ 1]),
        "DER": encode_dss_signature(r, s),
        "DER with zeros after": encode_dss_signature(r, s) + bytes(8),
        "a zero before each half": b"\0" + good[:size] + b"\0" + good[size:],
        "a zero before": b"\0" + good,
        "a zero after": good + b"\0",
        "over-long by a half": good + good[:size],
        "twice": good + good,
        "cut by one": good[:-1],
        "cut to r": good[:size],
        "one byte": good[:1],
        "exchanged": good[size:] + good[:size],
        "minimal halves": r.to_bytes((r.bit_length() + 7) // 8, "big") + b"\1",
    }


@pytest.mark.parametrize("alg", SIGNERS)
@pytest.mark.parametrize("name", malformed(SIGNERS["ES256"]))
def test_a_malformed_signature_is_refused(alg: str, name: str) -> None:
    signer = SIGNERS[alg]
    assert verdict(signer, signer.flat(signer.r, signer.s)) == "verified"
    assert verdict(signer, malformed(signer)[name]) == "signature-mismatch"


def test_an_empty_signature_is_refused() -> None:
    assert verdict(SIGNERS["ES256"], b"") == "algorithm-not-allowed"


@given(st.binary(min_size=1, max_size=200))
def test_no_other_bytes_are_a_signature(signature: bytes) -> None:
    signer = SIGNERS["ES256"]
    if signature != signer.flat(signer.r, signer.s):
        assert verdict(signer, signature) == "signature-mismatch"


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_a_key_of_another_curve_verifies_nothing(alg: str) -> None:
    signer = SIGNERS[alg]
    token = parse(signer.token(signer.flat(signer.r, signer.s)), AWS)
    others = [other.jwk for name, other in SIGNERS.items() if name != alg]
    keys = parse_key_set({"keys": others}, AWS)
    assert isinstance(token, UnverifiedToken)
    assert isinstance(keys, KeySet)
    answer = verify_signature(token, keys, AWS)
    assert isinstance(answer, Refusal)
    assert answer.code == "unknown-key"


GOOD = SIGNERS["ES256"].jwk
PRIME = bytes.fromhex("ffffffff00000001" + "0" * 24 + "f" * 24)
Y = base64.urlsafe_b64decode(GOOD["y"] + "=")
BAD_KEYS: dict[str, dict[str, Any]] = {
    "off the curve": {**GOOD, "y": GOOD["x"]},
    "infinity": {**GOOD, "x": b64(bytes(32)), "y": b64(bytes(32))},
    "x the field's prime": {**GOOD, "x": b64(PRIME)},
    "y with its bits turned": {**GOOD, "y": b64(bytes(255 - byte for byte in Y))},
    "another curve's name": {**GOOD, "crv": "P-384"},
    "an unknown curve": {**GOOD, "crv": "P-256K"},
    "no y": {name: value for name, value in GOOD.items() if name != "y"},
    "x a number": {**GOOD, "x": 7},
    "x padded": {**GOOD, "x": GOOD["x"] + "="},
    "x of the standard alphabet": {**GOOD, "x": "+" + GOOD["x"][1:]},
    "kty by case": {**GOOD, "kty": "ec"},
    "OKP": {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(32))},
    "use enc": {**GOOD, "use": "enc"},
    "key_ops sign": {**GOOD, "key_ops": ["sign"]},
    "key_ops a text": {**GOOD, "key_ops": "verify"},
    "alg of another curve": {**GOOD, "alg": "ES384"},
    "alg HS256": {**GOOD, "alg": "HS256"},
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_what_is_no_key_verifies_nothing(name: str) -> None:
    answer = parse_embedded_key(BAD_KEYS[name], STRICT)
    assert isinstance(answer, Refusal)
    assert answer.code == "unusable-key"


@pytest.mark.parametrize("member", ["d", "p", "q", "k", "oth"])
def test_a_private_member_makes_a_key_unusable(member: str) -> None:
    answer = parse_embedded_key({**GOOD, member: "AAAA"}, STRICT)
    assert isinstance(answer, Refusal)
    assert answer.code == "private-key"


@pytest.mark.parametrize("jwk", [None, [], "x", 1])
def test_what_is_no_object_is_no_key(jwk: object) -> None:
    assert isinstance(parse_embedded_key(jwk, STRICT), Refusal)


def test_an_embedded_key_verifies_its_own_signature_alone() -> None:
    signer = SIGNERS["ES256"]
    key = parse_embedded_key(signer.jwk, STRICT)
    other = parse_embedded_key(Key().jwk, STRICT)
    token = parse(signer.token(signer.flat(signer.r, signer.s)), STRICT)
    assert isinstance(key, PublicKey)
    assert isinstance(other, PublicKey)
    assert isinstance(token, UnverifiedToken)
    assert isinstance(verify_embedded(token, key, STRICT), VerifiedClaims)
    answer = verify_embedded(token, other, STRICT)
    assert isinstance(answer, Refusal)
    assert answer.code == "signature-mismatch"


def test_the_rfcs_own_thumbprint() -> None:
    expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert thumbprint(RFC_KEY) == expected
    # other members make no other key (section 3.2)
    assert thumbprint({**RFC_KEY, "kid": "2011-04-29", "alg": "RS256", "use": "sig"}) == expected


@pytest.mark.parametrize(
    "jwk", [{}, {"kty": "oct", "k": "AAAA"}, {"kty": ["EC"]}, {"kty": "EC"}, {**GOOD, "x": None}]
)
def test_what_is_no_key_has_no_thumbprint(jwk: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected an RSA or EC JWK"):
        thumbprint(jwk)


DEEP = [
    ("brackets inside texts do not count", '{"a":"' + "[" * 60 + '"}', "verified"),
    ("sixteen deep", "[" * 15 + "]" * 15, "verified"),
    ("seventeen deep", "[" * 16 + "]" * 16, "too-deep"),
    ("many and flat", "[" + ",".join(["[]"] * 50) + "]", "verified"),
]


@pytest.mark.parametrize(("name", "value", "expected"), DEEP, ids=[case[0] for case in DEEP])
def test_nesting_is_counted_as_it_nests(name: str, value: str, expected: str) -> None:
    del name
    body = compact(CLAIMS)[:-1] + b',"x":' + value.encode() + b"}"
    head = b64(compact({"alg": "ES256", "kid": "k", "typ": "JWT"}))
    answer = parse(f"{head}.{b64(body)}.{b64(b'x' * 64)}", STRICT)
    got = answer.code if isinstance(answer, Refusal) else "verified"
    assert got == expected
