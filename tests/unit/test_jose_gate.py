"""What the parse gate and the verifier refuse, by kind; the libraries alone accept many of them."""

# ruff: noqa: ANN401 - JSON values
from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.jose import (
    AWS,
    GCP,
    STRICT,
    KeySet,
    Profile,
    Refusal,
    SigningKey,
    UnverifiedToken,
    VerifiedClaims,
    check_time,
    parse,
    parse_key_set,
    peek,
    strict,
    verify_signature,
)

NOW = 1_800_000_000
KEY = SigningKey.generate("ES256")
RSA = SigningKey.generate("RS256")
CLAIMS = {
    "iss": "https://idp.example",
    "sub": "agent",
    "aud": "cloud",
    "iat": NOW - 10,
    "exp": NOW + 200,
}
PROFILES = [STRICT, AWS, GCP]
NO_DATES: list[Any] = ["soon", True, [1], {}, None, -1, 1e300]


def b64(value: bytes | str) -> str:
    data = value.encode() if isinstance(value, str) else value
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(header: str, claims: str, signature: bytes = b"x" * 64) -> str:
    return f"{b64(header)}.{b64(claims)}.{b64(signature)}"


def header(**members: Any) -> str:
    return json.dumps({"alg": "ES256", "kid": "k", "typ": "JWT", **members})


GOOD = json.dumps(CLAIMS)
SIGNED = KEY.sign(CLAIMS)


def without(name: str) -> str:
    return json.dumps({n: v for n, v in CLAIMS.items() if n != name})


def changed(**claims: Any) -> str:
    return json.dumps({**CLAIMS, **claims})


REFUSED = {
    "not a token": ("x", "malformed"),
    "empty": ("", "malformed"),
    "two parts": (".".join(SIGNED.split(".")[:2]), "malformed"),
    "four parts (a JWE has five)": (SIGNED + ".x", "malformed"),
    "JSON serialisation": (json.dumps({"payload": "x", "signatures": []}), "malformed"),
    "trailing newline": (SIGNED + "\n", "malformed"),
    "no signature": (SIGNED.rpartition(".")[0] + ".", "algorithm-not-allowed"),
    "alg none": (raw(header(alg="none"), GOOD), "algorithm-not-allowed"),
    "alg none by case": (raw(header(alg="nOnE"), GOOD), "algorithm-not-allowed"),
    "alg HS256": (raw(header(alg="HS256"), GOOD), "algorithm-not-allowed"),
    "alg EdDSA": (raw(header(alg="EdDSA"), GOOD), "algorithm-not-allowed"),
    "alg by case": (raw(header(alg="es256"), GOOD), "algorithm-not-allowed"),
    "alg missing": (raw('{"typ":"JWT"}', GOOD), "algorithm-not-allowed"),
    "alg a list": (raw(header(alg=["ES256"]), GOOD), "malformed"),
    "kid a number": (raw(header(kid=1), GOOD), "malformed"),
    "crit unknown": (raw(header(crit=["x"]), GOOD), "critical-header"),
    "crit empty": (raw(header(crit=[]), GOOD), "critical-header"),
    "b64 without crit": (raw(header(b64=False), GOOD), "critical-header"),
    "duplicate header member": (raw('{"alg":"none","alg":"ES256"}', GOOD), "duplicate-member"),
    "duplicate claim": (raw(header(), GOOD[:-1] + ',"sub":"admin"}'), "duplicate-member"),
    "duplicate nested member": (
        raw(header(), GOOD[:-1] + ',"a":{"b":1,"b":2}}'),
        "duplicate-member",
    ),
    "duplicate by escape": (raw(header(), GOOD[:-1] + ',"\\u0073ub":"x"}'), "duplicate-member"),
    "header a list": (raw("[]", GOOD), "malformed"),
    "claims a string": (raw(header(), '"x"'), "malformed"),
    "claims not UTF-8": (f"{b64(header())}.{b64(bytes([0xFF]))}.{b64(b'x')}", "malformed"),
    "claims not JSON": (raw(header(), "{"), "malformed"),
    "byte order mark": (raw(header(), "\ufeff" + GOOD), "malformed"),
    "lone surrogate": (raw(header(), changed(sub="\ud800")), "malformed"),
    "deep nesting": (raw(header(), '{"a":' + "[" * 40 + "]" * 40 + "}"), "too-deep"),
    "padding": (SIGNED + "=", "malformed"),
    "standard alphabet": (SIGNED[:-2] + "+/", "malformed"),
    "trailing bits": (raw(header(), GOOD, b"x")[:-1] + "B", "malformed"),
    "exp a text": (raw(header(), changed(exp=str(NOW))), "malformed"),
    "exp true": (raw(header(), changed(exp=True)), "malformed"),
    "exp NaN": (raw(header(), GOOD.replace(str(NOW + 200), "NaN")), "malformed"),
    "exp 1e400": (raw(header(), GOOD.replace(str(NOW + 200), "1e400")), "malformed"),
    "exp negative": (raw(header(), changed(exp=-1)), "malformed"),
    "exp beyond all time": (raw(header(), changed(exp=10**30)), "malformed"),
    "exp of five thousand digits": (
        raw(header(), GOOD.replace(str(NOW + 200), "9" * 5000)),
        "malformed",
    ),
    "nbf a text": (raw(header(), changed(nbf="0")), "malformed"),
    "sub a number": (raw(header(), changed(sub=1)), "malformed"),
    "aud a number": (raw(header(), changed(aud=1)), "malformed"),
    "aud with a number in it": (raw(header(), changed(aud=["a", 1])), "malformed"),
}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("case", REFUSED)
def test_gate_refuses(case: str, profile: Profile) -> None:
    token, code = REFUSED[case]
    answer = parse(token, profile)
    assert isinstance(answer, Refusal), answer
    assert answer.code == code
    assert token not in repr(answer) or token in ("", "x")


@pytest.mark.parametrize("profile", [STRICT, AWS], ids=lambda profile: profile.name)
@pytest.mark.parametrize(
    "claims",
    [
        *(pytest.param(without(name), id=f"no {name}") for name in CLAIMS),
        pytest.param(changed(aud=[]), id="aud empty"),
        pytest.param(changed(exp=None), id="exp null"),
    ],
)
def test_gate_refuses_a_token_without_a_required_claim(claims: str, profile: Profile) -> None:
    answer = parse(raw(header(), claims), profile)
    assert isinstance(answer, Refusal), answer
    assert answer.code == "missing-claim"


def test_gate_refuses_a_token_that_is_too_long() -> None:
    answer = parse("a" * 9000, STRICT)
    assert isinstance(answer, Refusal)
    assert answer.code == "too-long"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (KEY.sign(CLAIMS, typ="dpop+jwt"), "wrong-typ"),
        (KEY.sign(CLAIMS, typ="at+jwt"), "wrong-typ"),
        (KEY.sign(CLAIMS, header={"jku": "https://evil.example"}), "header-not-allowed"),
        (KEY.sign(CLAIMS, header={"x5c": ["x"]}), "header-not-allowed"),
        (KEY.sign(CLAIMS, header={"kid": ""}), "missing-header"),
        (RSA.sign(CLAIMS), "algorithm-not-allowed"),
    ],
)
def test_strict_profile_refuses_what_the_clouds_let_pass(token: str, code: str) -> None:
    answer = parse(token, STRICT)
    assert isinstance(answer, Refusal)
    assert answer.code == code
    assert isinstance(parse(token, AWS), UnverifiedToken)


@pytest.mark.parametrize(
    "typ", ["agent-proof+jwt", "application/agent-proof+jwt", "Agent-Proof+JWT"]
)
def test_typ_is_a_media_type(typ: str) -> None:
    assert isinstance(parse(KEY.sign(CLAIMS, typ=typ), strict("agent-proof+jwt")), UnverifiedToken)


@settings(deadline=None)
@given(st.text())
def test_gate_never_raises_on_text(text: str) -> None:
    for profile in PROFILES:
        assert isinstance(parse(text, profile), Refusal | UnverifiedToken)
    assert peek(text) is None or isinstance(peek(text), UnverifiedToken)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["alg", "kid", "typ", "crit", "jku", "exp", "iat", "nbf", "aud", "sub"])


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSON), st.dictionaries(NAMES, JSON), st.binary(max_size=80))
def test_no_token_makes_gate_or_verifier_raise(
    head: dict[str, Any], claims: dict[str, Any], signature: bytes
) -> None:
    token = raw(
        json.dumps({"alg": "ES256", "kid": KEY.kid, **head}),
        json.dumps({**CLAIMS, **claims}),
        signature or b"x",
    )
    keys = key_set(KEY.public_jwk())
    for profile in PROFILES:
        parsed = parse(token, profile)
        if isinstance(parsed, UnverifiedToken):
            check_time(parsed.unverified_claims, NOW, profile)
        seen = peek(token)
        if seen is not None:
            assert isinstance(verify_signature(seen, keys, profile), Refusal)


@settings(deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda v: json.dumps({"keys": [v]}).encode()))
def test_no_key_set_makes_the_parser_raise(document: bytes) -> None:
    assert isinstance(parse_key_set(document, AWS), Refusal | KeySet)


def key_set(*jwks: dict[str, Any]) -> KeySet:
    keys = parse_key_set({"keys": list(jwks)}, AWS)
    assert isinstance(keys, KeySet)
    return keys


def verified(token: str, *jwks: dict[str, Any]) -> str:
    parsed = parse(token, AWS)
    assert isinstance(parsed, UnverifiedToken), parsed
    answer = verify_signature(parsed, key_set(*jwks), AWS)
    return answer.code if isinstance(answer, Refusal) else "verified"


PUBLIC = KEY.public_jwk()


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"])
def test_verifier_accepts_every_allowed_algorithm(alg: str) -> None:
    key = SigningKey.generate(alg)
    assert verified(key.sign(CLAIMS), key.public_jwk()) == "verified"
    assert SigningKey.from_jwk(key.private_jwk()).kid == key.kid


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "verified"),
        ({"alg": None, "use": None}, "verified"),
        ({"key_ops": ["verify"]}, "verified"),
        ({"use": "enc"}, "unknown-key"),
        ({"key_ops": ["sign"]}, "unknown-key"),
        ({"key_ops": "verify"}, "unknown-key"),
        ({"alg": "ES384"}, "unknown-key"),
        ({"kid": "other"}, "unknown-key"),
        ({"kid": KEY.kid.upper()}, "unknown-key"),
        ({"kid": 1}, "unknown-key"),
        ({"kty": "OKP"}, "unknown-key"),
        ({"kty": "oct", "k": "AAAA"}, "unknown-key"),
        ({"crv": "P-384"}, "unknown-key"),
        ({"x": PUBLIC["x"] + "="}, "unknown-key"),
        ({"x": PUBLIC["y"]}, "unknown-key"),
        ({"d": KEY.private_jwk()["d"]}, "unknown-key"),
        (SigningKey.generate("ES256").public_jwk() | {"kid": KEY.kid}, "signature-mismatch"),
    ],
)
def test_published_key_is_used_for_what_it_was_published_for(
    changes: dict[str, Any], code: str
) -> None:
    jwk = {name: value for name, value in {**PUBLIC, **changes}.items() if value is not None}
    assert verified(SIGNED, jwk) == code


def test_short_rsa_key_is_no_key() -> None:
    modulus = b64((1 << 1023 | 1).to_bytes(128, "big"))
    keys = key_set({"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "k"})
    assert keys.keys == ()


def test_token_without_kid_needs_a_set_that_leaves_no_choice() -> None:
    token = KEY.sign(CLAIMS, header={"kid": ""}).split(".")
    bare = json.dumps({"alg": "ES256"})
    signed = KEY.sign(CLAIMS, header={"kid": ""})
    assert verified(signed, PUBLIC) == "unknown-key"
    assert verified(f"{b64(bare)}.{token[1]}.{token[2]}", PUBLIC) == "signature-mismatch"
    other = SigningKey.generate("ES256").public_jwk()
    assert verified(f"{b64(bare)}.{token[1]}.{token[2]}", PUBLIC, other) == "unknown-key"


def test_public_key_is_never_a_shared_secret() -> None:
    head = b64(header(alg="HS256", kid=KEY.kid))
    signing_input = f"{head}.{SIGNED.split('.')[1]}"
    mac = hmac.new(json.dumps(PUBLIC).encode(), signing_input.encode(), hashlib.sha256).digest()
    token = f"{signing_input}.{b64(mac)}"
    assert isinstance(parse(token, AWS), Refusal)
    seen = peek(token)
    assert seen is not None
    answer = verify_signature(seen, key_set(PUBLIC), AWS)
    assert isinstance(answer, Refusal)
    assert answer.code == "algorithm-not-allowed"


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128], ids=str)
def test_signature_of_the_wrong_length_is_refused(size: int) -> None:
    signing_input = SIGNED.rpartition(".")[0]
    seen = peek(f"{signing_input}.{b64(bytes(size))}")
    assert seen is not None
    answer = verify_signature(seen, key_set(PUBLIC), AWS)
    assert isinstance(answer, Refusal)


def test_zero_signature_is_refused() -> None:
    signing_input = SIGNED.rpartition(".")[0]
    assert verified(f"{signing_input}.{b64(bytes(64))}", PUBLIC) == "signature-mismatch"


def test_verified_claims_are_made_by_verification_alone() -> None:
    with pytest.raises(TypeError):
        VerifiedClaims(CLAIMS, seal=None)


@pytest.mark.parametrize(
    ("profile", "claims", "code"),
    [
        (STRICT, {"exp": NOW - 5}, None),
        (STRICT, {"exp": NOW - 6}, "expired"),
        (STRICT, {"iat": NOW + 5, "exp": NOW + 100}, None),
        (STRICT, {"iat": NOW + 6, "exp": NOW + 100}, "not-yet-valid"),
        (STRICT, {"nbf": NOW + 6}, "not-yet-valid"),
        (STRICT, {"iat": NOW, "exp": NOW + 300}, None),
        (STRICT, {"iat": NOW, "exp": NOW + 301}, "lifetime-too-long"),
        (STRICT, {"iat": NOW, "exp": NOW}, "lifetime-too-long"),
        (AWS, {"exp": NOW - 300}, None),
        (AWS, {"exp": NOW - 301}, "expired"),
        (AWS, {"iat": NOW - 86_400, "exp": NOW + 10}, None),
        (AWS, {"iat": NOW - 441_398, "exp": NOW + 3600}, "too-old"),
        (AWS, {"iat": NOW, "exp": NOW + 999_999}, None),
        (GCP, {"exp": NOW - 1}, "expired"),
        *(
            (GCP, {name: value}, "malformed")
            for name in ("exp", "nbf", "iat")
            for value in NO_DATES
        ),
        (AWS, {"exp": NOW + 1.5}, "malformed"),
        (GCP, {"iat": NOW - 10, "exp": NOW + 86_400}, "lifetime-too-long"),
    ],
)
def test_time_is_judged_by_the_profile(
    profile: Profile, claims: dict[str, Any], code: str | None
) -> None:
    answer = check_time({**CLAIMS, **claims}, NOW, profile)
    assert (answer.code if answer else None) == code


def test_the_last_second_counts_in_full() -> None:
    claims = {**CLAIMS, "exp": NOW}
    assert check_time(claims, NOW + 300.9, AWS) is None
    assert check_time(claims, NOW + 301.0, AWS)


def test_no_repr_shows_a_secret() -> None:
    parsed = parse(SIGNED, STRICT)
    secrets = [KEY.private_jwk()["d"], *SIGNED.split(".")]
    shown = repr([KEY, parsed, key_set(PUBLIC)])
    assert not [secret for secret in secrets if secret in shown]
