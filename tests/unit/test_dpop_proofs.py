"""DPoP proofs: the RFC's own examples, the window, the URIs, and anything at all."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.clock import FixedClock
from iamrange.identity.dpop import (
    Proof,
    ProofRefusal,
    access_token_hash,
    check_proof,
)
from iamrange.identity.nonces import STEP, NonceSource
from iamrange.identity.request_uri import normalised
from iamrange.identity.stores.memory import MemoryReplay
from tests.conformance.protected_lab import Key

# RFC 9449 figures 2, 7 and 13: one header, three bodies
HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0"
    "VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10"
    "NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
TOKEN_REQUEST = (
    f"{HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2Vydm"
    "VyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLv"
    "qRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
REFRESH_REQUEST = (
    f"{HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2Vydm"
    "VyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjY1Mjk2fQ.pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP"
    "2hjiaG5QsGSuKDYW7_X620BxqhvYC8ynrrvZLTk41mSRroapUA"
)
RESOURCE_REQUEST = (
    f"{HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdX"
    "JjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJ"
    "aM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1"
    "plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
ACCESS_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
ATH = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
SERVER = "https://server.example.com/token"
RESOURCE = "https://resource.example.org/protectedresource"

NOW = 1_800_000_000
URL = "https://logs.iamrange.example/records"
KEY = Key()


def proof(*, key: Key = KEY, header: dict[str, Any] | None = None, **changed: Any) -> str:  # noqa: ANN401 - JSON
    claims = {"jti": "j" * 22, "htm": "GET", "htu": URL, "iat": NOW, **changed}
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk, **(header or {})}
    return key.sign(head, {n: v for n, v in claims.items() if v is not None})


def check(made: str, *, now: float = NOW, ath: str | None = None) -> Proof | ProofRefusal:
    return check_proof(made, method="GET", url=URL, now=now, ath=ath, nonce_ok=None)


def code(answer: Proof | ProofRefusal) -> str:
    return answer.code if isinstance(answer, ProofRefusal) else "holds"


@pytest.mark.parametrize(
    ("made", "method", "url", "iat", "ath"),
    [
        (TOKEN_REQUEST, "POST", SERVER, 1562262616, None),
        (REFRESH_REQUEST, "POST", SERVER, 1562265296, None),
        (RESOURCE_REQUEST, "GET", RESOURCE, 1562262618, ATH),
    ],
    ids=["figure 2", "figure 7", "figure 13"],
)
def test_the_rfcs_own_proofs_hold(
    made: str, method: str, url: str, iat: int, ath: str | None
) -> None:
    answer = check_proof(made, method=method, url=url, now=iat + 1, ath=ath, nonce_ok=None)
    assert isinstance(answer, Proof), answer
    assert answer.jkt == JKT
    assert answer.iat == iat
    assert answer.jti in ("-BwC3ESc6acc2lTc", "e1j3V_bKic8-LAEB")
    late = check_proof(made, method=method, url=url, now=iat + 66, ath=ath, nonce_ok=None)
    assert code(late) == "expired"


def test_the_rfcs_own_hash_of_an_access_token() -> None:
    assert access_token_hash(ACCESS_TOKEN) == ATH


def test_the_rfcs_own_proof_is_for_its_token_alone() -> None:
    answer = check_proof(
        RESOURCE_REQUEST,
        method="GET",
        url=RESOURCE,
        now=1562262618,
        ath=access_token_hash("another"),
        nonce_ok=None,
    )
    assert code(answer) == "ath-mismatch"
    assert isinstance(answer, ProofRefusal)
    assert (answer.error, answer.unverified_jkt) == ("invalid_dpop_proof", JKT)


@pytest.mark.parametrize(
    ("iat", "expected"),
    [
        (NOW - 65, "holds"),
        (NOW - 65.5, "expired"),
        (NOW - 66, "expired"),
        (NOW + 5, "holds"),
        (NOW + 5.5, "not-yet-valid"),
        (NOW + 6, "not-yet-valid"),
    ],
)
def test_a_proof_holds_for_a_minute_and_the_skew(iat: float, expected: str) -> None:
    assert code(check(proof(iat=iat))) == expected


@given(iat=st.integers(NOW - 65, NOW + 5), later=st.floats(0, 200))
def test_no_moment_of_acceptance_lies_beyond_what_replay_is_kept_for(
    iat: int, later: float
) -> None:
    """A proof that was used cannot outlive the memory of its use, early or late."""
    made = proof(iat=iat)
    first = check(made)
    assert isinstance(first, Proof)
    again = check(made, now=NOW + later)
    if isinstance(again, Proof):
        assert NOW + later < again.replay_until == first.replay_until


def test_a_proof_dated_ahead_is_remembered_to_the_end_of_its_own_window() -> None:
    store, ticks = MemoryReplay(monotonic=lambda: ticks[0]), [0.0]
    made = proof(iat=NOW + 5)
    first = check(made)
    assert isinstance(first, Proof)
    assert store.insert(first.jkt, first.jti, expires=first.replay_until, now=NOW)
    for second in range(1, 71):
        ticks[0] = second
        again = check(made, now=NOW + second)
        assert isinstance(again, Proof), second
        assert not store.insert(again.jkt, again.jti, expires=again.replay_until, now=NOW + second)
    assert code(check(made, now=NOW + 71)) == "expired"


def test_an_exp_that_a_proof_brings_along_is_honoured() -> None:
    assert code(check(proof(exp=NOW - 6))) == "expired"
    assert code(check(proof(nbf=NOW + 6))) == "not-yet-valid"
    assert code(check(proof(exp=NOW + 60))) == "holds"


def test_what_is_cheap_is_asked_before_the_signature() -> None:
    """A flood of forged proofs for elsewhere costs no verification: the reasons show the order."""
    forged = proof(key=Key(), header={"jwk": KEY.jwk}, htm="POST")
    assert code(check(forged)) == "method-mismatch"
    assert code(check(proof(key=Key(), header={"jwk": KEY.jwk}))) == "signature-mismatch"


def test_the_nonce_decides_which_error_it_is() -> None:
    asked: list[str | None] = []

    def refuse(nonce: str | None) -> bool:
        asked.append(nonce)
        return False

    for made, expected in ((proof(), "missing-nonce"), (proof(nonce="x"), "stale-nonce")):
        answer = check_proof(made, method="GET", url=URL, now=NOW, ath=None, nonce_ok=refuse)
        assert isinstance(answer, ProofRefusal)
        assert (answer.code, answer.error) == (expected, "use_dpop_nonce")
    assert asked == [None, "x"]


@given(st.text(max_size=300))
def test_any_text_is_a_proof_or_a_refusal(text: str) -> None:
    assert isinstance(check(text), ProofRefusal)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(name=st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce", "exp", "nbf"]), value=JSON)
def test_any_value_of_a_claim_is_judged(name: str, value: object) -> None:
    changed: dict[str, Any] = {"ath": ATH, name: value}
    answer = check_proof(
        proof(**changed),
        method="GET",
        url=URL,
        now=NOW,
        ath=ATH,
        nonce_ok=lambda _: True,
    )
    assert isinstance(answer, Proof | ProofRefusal)


@given(
    value=JSON
    | st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "d", "use", "alg", "key_ops", "k", "n", "e"]),
        JSON | st.sampled_from(["EC", "P-256", *KEY.jwk.values()]),
    )
)
def test_any_value_of_the_key_is_judged(value: object) -> None:
    assert isinstance(check(proof(header={"jwk": value})), Proof | ProofRefusal)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://a.example", "https://a.example/"),
        ("https://a.example?x=1", "https://a.example/"),
        ("HTTPS://A.EXAMPLE:443/B", "https://a.example/B"),
        ("http://a.example:80/", "http://a.example/"),
        ("https://a.example:80/", "https://a.example:80/"),
        ("https://a.example:8443/x", "https://a.example:8443/x"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]/"),
        ("https://a.example/%7euser/%2f%2e", "https://a.example/~user/%2F."),
        ("https://a.example/a/b/../c/./d", "https://a.example/a/c/d"),
        ("https://a.example/a/..", "https://a.example/"),
        ("https://a.example/a/.", "https://a.example/a/"),
        ("https://a.example/%2e%2e/a", "https://a.example/a"),
        ("https://a.example/../../a", "https://a.example/a"),
        ("https://a.example/...", "https://a.example/..."),
        ("https://a.example//a", "https://a.example//a"),
        ("https://a.example/a#b?c", "https://a.example/a"),
        ("https://a.example/%", None),
        ("https://a.example/%zz", None),
        ("https://a.example/\u00e9", None),
        ("https://a.example/a b", None),
        ("https://a.example/a\n", None),
        ("https://u:p@a.example/", None),
        ("https://a.example\\b", None),
        ("https:/a.example", None),
        ("ftp://a.example/", None),
        ("javascript:alert(1)", None),
        ("", None),
    ],
)
def test_uris_are_normalised_as_rfc_3986_says(uri: str, expected: str | None) -> None:
    assert normalised(uri) == expected


@given(st.text(max_size=60) | st.from_regex(r"https://[a-z.%0-9A-F]{1,9}/[./%a-zA-Z0-9?#]{0,20}"))
def test_normalising_ends_and_holds(uri: str) -> None:
    once = normalised(uri)
    if once is not None:
        assert normalised(once) == once


def test_a_nonce_is_good_for_its_minute_and_the_next() -> None:
    clock = FixedClock(NOW)
    source = NonceSource(None, clock)
    nonce = source.current()
    assert source.accepts(nonce)
    clock.moment += STEP
    assert source.accepts(nonce)
    assert source.current() != nonce
    clock.moment += STEP
    assert not source.accepts(nonce)
    clock.moment -= 4 * STEP
    assert not source.accepts(nonce)


def test_a_nonce_is_one_servers() -> None:
    clock = FixedClock(NOW)
    assert not NonceSource(None, clock).accepts(NonceSource(None, clock).current())
    secret = hashlib.sha256(b"shared by the processes of one server").digest()
    assert NonceSource(secret, clock).accepts(NonceSource(secret, clock).current())


def test_a_nonce_source_refuses_a_short_secret_and_shows_none() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        NonceSource(b"short", FixedClock(NOW))
    assert repr(NonceSource(None, FixedClock(NOW))) == "NonceSource()"


@given(st.none() | st.text(max_size=40))
def test_no_other_text_is_a_nonce(nonce: str | None) -> None:
    assert not NonceSource(None, FixedClock(NOW)).accepts(nonce)
