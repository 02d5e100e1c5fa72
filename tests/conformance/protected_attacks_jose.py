"""Attacks on the token's form, header, key and signature."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.conformance.protected_cases import (
    Case,
    Verdict,
    admits,
    header,
    invalid_token,
    keyed_hash,
    of_length,
    padded,
    pem,
    raw,
    signature,
    text,
    unsigned,
)
from tests.conformance.protected_lab import (
    Lab,
    compact,
)

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _flat(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _negated(lab: Lab, message: bytes) -> bytes:
    r, s = lab.issuer.numbers(message)
    return _flat(r, (s + 1) % ORDER)


def _long(lab: Lab, message: bytes) -> bytes:
    r, s = lab.issuer.numbers(message)
    return r.to_bytes(33, "big") + s.to_bytes(33, "big")


def _exchanged(lab: Lab, message: bytes) -> bytes:
    made = lab.issuer.signature(message)
    return made[32:] + made[:32]


def _beyond(lab: Lab, message: bytes) -> bytes:
    r, s = lab.issuer.numbers(message)
    return _flat(r, s + ORDER) if s + ORDER < 2**256 else _flat(r, 2**256 - 1)


JOSE = [
    *(
        invalid_token(
            1 if alg == "none" else 2, f"alg {alg}, no signature", "token", c, unsigned(alg)
        )
        for alg, c in (
            ("none", "algorithm-not-allowed"),
            ("NoNe", "algorithm-not-allowed"),
            ("NONE", "algorithm-not-allowed"),
            ("ES256", "algorithm-not-allowed"),
        )
    ),
    invalid_token(1, "alg none, signed", "token", "algorithm-not-allowed", header(alg="none")),
    invalid_token(2, "alg nOnE, signed", "token", "algorithm-not-allowed", header(alg="nOnE")),
    invalid_token(2, "alg by case", "token", "algorithm-not-allowed", header(alg="es256")),
    invalid_token(2, "alg with a blank", "token", "algorithm-not-allowed", header(alg="ES256 ")),
    invalid_token(2, "no alg", "token", "algorithm-not-allowed", header(alg=None)),
    *(
        invalid_token(3, f"{alg} keyed with the public {name}", "token", "algorithm-not-allowed", b)
        for alg in ("HS256", "HS384", "HS512")
        for name, b in (
            ("PEM", keyed_hash(alg, pem)),
            ("JWK", keyed_hash(alg, lambda lab: compact(lab.issuer.published))),
        )
    ),
    *(
        invalid_token(5, f"HS256 keyed with {name}", "token", "algorithm-not-allowed", b)
        for name, b in (
            ("nothing", keyed_hash("HS256", lambda _: b"")),
            ("a zero byte", keyed_hash("HS256", lambda _: b"\0")),
            ("null", keyed_hash("HS256", lambda _: b"null")),
        )
    ),
    *(
        invalid_token(
            7, f"alg {alg} of a published key", "token", "algorithm-not-allowed", header(alg=alg)
        )
        for alg in ("RS256", "PS256", "ES384", "EdDSA", "ES256K")
    ),
    *(
        invalid_token(9, f"kid {kid[:24]!r}", "keys", "unknown-key", header(kid=kid))
        for kid in (
            "' OR '1'='1",
            "../../../../dev/null",
            "/proc/self/environ",
            "x' UNION SELECT 'key",
            "https://evil.example/jwks",
            "|id",
            "é",
            "k" * 1000,
        )
    ),
    invalid_token(9, "kid a list", "token", "malformed", header(kid=["a"])),
    invalid_token(9, "kid an object", "token", "malformed", header(kid={"$ne": ""})),
    invalid_token(9, "kid empty", "token", "missing-header", header(kid="")),
    invalid_token(9, "no kid", "token", "missing-header", header(kid=None)),
    *(
        invalid_token(row, f"{name} {v!r:.40}", "token", "header-not-allowed", header(**{name: v}))
        for row, name, v in (
            (11, "jku", "https://evil.example/jwks"),
            (11, "jku", "http://169.254.169.254/latest/meta-data"),
            (11, "jku", "file:///etc/passwd"),
            (11, "x5u", "https://evil.example/chain.pem"),
            (13, "x5c", ["MIIB"]),
            (13, "x5t", "AAAA"),
            (13, "jwk", {"kty": "EC"}),
            (13, "zip", "DEF"),
            (13, "unknown", 1),
        )
    ),
    *(
        invalid_token(
            row, f"crit {json.dumps(crit)}", "token", "critical-header", header(crit=crit)
        )
        for row, crit in (
            (14, ["http://example.com/UNDEFINED"]),
            (14, ["exp"]),
            (15, []),
            (15, ["alg"]),
            (15, ["kid", "kid"]),
            (15, ["b64"]),
            (15, "b64"),
        )
    ),
    invalid_token(14, "b64 false", "token", "critical-header", header(b64=False)),
    *(
        invalid_token(17, f"{name} twice", "token", "duplicate-member", raw(edit))
        for name, edit in (
            ("alg", lambda _, h, c: (b'{"alg":"none",' + h[1:], c)),
            ("kid", lambda _, h, c: (h[:-1] + b',"kid":"x"}', c)),
            ("sub", lambda _, h, c: (h, c[:-1] + b',"sub":"admin"}')),
            ("sub, escaped", lambda _, h, c: (h, c[:-1] + b',"\\u0073ub":"admin"}')),
            ("scope", lambda _, h, c: (h, b'{"scope":"admin",' + c[1:])),
            ("a member of cnf", lambda _, h, c: (h, c.replace(b'"jkt":', b'"jkt":"x","jkt":'))),
        )
    ),
    invalid_token(
        18,
        "JSON serialisation",
        "token",
        "malformed",
        text(
            lambda t: json.dumps(
                dict(zip(("protected", "payload", "signature"), t.split("."), strict=True))
            )
        ),
    ),
    invalid_token(
        18,
        "compact inside JSON (mixed)",
        "token",
        "malformed",
        text(lambda t: f'{{"  {t.split(".")[0]}."." {t.split(".")[1]}":"{t}"}}'),
    ),
    invalid_token(19, "a JWE's five parts", "token", "malformed", text(lambda t: f"{t}.AAAA.AAAA")),
    invalid_token(
        19, "JWE header", "token", "algorithm-not-allowed", header(alg="RSA-OAEP", enc="A256GCM")
    ),
    invalid_token(19, "dir", "token", "algorithm-not-allowed", header(alg="dir", enc="A128GCM")),
    invalid_token(
        19, "signed, named encrypted", "token", "header-not-allowed", header(enc="A128GCM")
    ),
    invalid_token(19, "four parts", "token", "malformed", text(lambda t: f"{t}.AAAA")),
    invalid_token(19, "two parts", "token", "malformed", text(lambda t: t.rpartition(".")[0])),
    invalid_token(19, "no JWS at all", "token", "malformed", text(lambda _: "mF_9.B5f-4.1JqM")),
    *(
        Case(
            21,
            f"a token of {length} characters",
            of_length(length),
            Verdict(431, "invalid_request", "presentation", "too-long"),
        )
        for length in (8_300, 20_000)
    ),
    invalid_token(
        21,
        "claims nested a thousand deep",
        "token",
        "too-deep",
        raw(lambda _, h, c: (h, c[:-1] + b',"x":' + b"[" * 1000 + b"]" * 1000 + b"}")),
    ),
    invalid_token(
        21,
        "header nested",
        "token",
        "too-deep",
        raw(lambda _, h, c: (h[:-1] + b',"x":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", c)),
    ),
    admits(21, "a token of 7,900 characters", lambda lab: lab.call(padded(lab, 7_900))),
    *(
        invalid_token(22, name, "token", "malformed", text(edit))
        for name, edit in (
            ("signature padded", lambda t: t + "="),
            ("signature padded twice", lambda t: t + "=="),
            ("header padded", lambda t: t.replace(".", "=.", 1)),
            ("standard alphabet", lambda t: t[:-3] + "+/A"),
            ("trailing bits", lambda t: t[:-1] + "B"),
            ("a blank inside", lambda t: t[:-9] + " " + t[-9:]),
            ("a tab inside", lambda t: t[:20] + "\t" + t[20:]),
            ("a percent inside", lambda t: t[:20] + "%41" + t[21:]),
            ("a null of UTF-7", lambda t: t + "+AAA-"),
        )
    ),
    *(
        invalid_token(23, name, "signature", "signature-mismatch", signature(make))
        for name, make in (
            ("DER", lambda lab, m: encode_dss_signature(*lab.issuer.numbers(m))),
            ("r and s zero", lambda _lab, _text: bytes(64)),
            ("r zero", lambda lab, m: bytes(32) + lab.issuer.signature(m)[32:]),
            ("s zero", lambda lab, m: lab.issuer.signature(m)[:32] + bytes(32)),
            ("r and s the order", lambda _lab, _text: _flat(ORDER, ORDER)),
            ("r one, s one", lambda _lab, _text: _flat(1, 1)),
            ("all bits", lambda _lab, _text: b"\xff" * 64),
            ("s beyond the order", _beyond),
            ("another s", _negated),
            ("a zero byte before each", _long),
            ("a zero byte after", lambda lab, m: lab.issuer.signature(m) + b"\0"),
            ("a zero byte before", lambda lab, m: b"\0" + lab.issuer.signature(m)),
            ("cut by one", lambda lab, m: lab.issuer.signature(m)[:-1]),
            ("cut in half", lambda lab, m: lab.issuer.signature(m)[:32]),
            ("twice", lambda lab, m: lab.issuer.signature(m) * 2),
            ("one byte", lambda _lab, _text: b"\x01"),
            ("over another text", lambda lab, m: lab.issuer.signature(m + b".")),
            ("by another key", lambda lab, m: lab.other.signature(m)),
            ("r and s exchanged", _exchanged),
        )
    ),
]
