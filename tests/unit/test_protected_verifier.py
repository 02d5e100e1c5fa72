"""The verifier apart from the wire: stores away, keys that come and go, memory, lapses."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.decision import Effect, Outcome
from iamrange.identity import verified_tokens
from iamrange.identity.presentation import Call
from iamrange.identity.protected import Admitted, Denied, TokenVerifier, VerifierSettings
from iamrange.identity.remote_keys import KeyFetchError, RemoteKeys
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from tests.conformance.protected_lab import (
    AGENT,
    NOW,
    RESOURCE,
    SCOPES,
    URL,
    Key,
    Lab,
    compact,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iamrange.identity.stores.ports import RevocationState
    from iamrange.jose import KeySet


def make_lab(**options: Any) -> Lab:  # noqa: ANN401 - handed on as they are
    return Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW), **options)


def call(lab: Lab, token: str, proof: str | None = None, **changed: Any) -> Call:  # noqa: ANN401 - same
    members: dict[str, Any] = {
        "method": "GET",
        "url": URL,
        "authorization": (f"DPoP {token}",),
        "dpop": (proof or lab.proof(token),),
        "scopes": frozenset({SCOPES}),
        "request_id": "r",
        **changed,
    }
    return Call(**members)


def bearer(token: str, **changed: Any) -> Call:  # noqa: ANN401 - same
    members: dict[str, Any] = {"authorization": (f"Bearer {token}",), "dpop": (), **changed}
    return Call(method="GET", url=URL, **members)


def reason(lab: Lab, sent: Call) -> str:
    lab.verifier.verify(sent)
    return lab.records[-1].reason


class Away:
    """Every store at once, all of them away."""

    def insert(self, scope: str, jti: str, *, expires: float, now: float) -> bool:
        raise StoreDownError("replay", f"{scope[:0]}{jti[:0]}{expires * 0}{now * 0}")

    def seen(self, scope: str, jti: str, *, expires: float) -> bool:
        raise StoreDownError("replay", f"{scope[:0]}{jti[:0]}{expires * 0}")

    def state(self, agents: Sequence[str], jtis: Sequence[str]) -> RevocationState:
        raise StoreDownError("revocation", f"{len(agents) * 0}{len(jtis) * 0}")


def keys_away() -> KeySet:
    raise StoreDownError("keys")


@pytest.mark.parametrize("away", ["replay", "revocation", "keys"])
def test_a_store_that_is_away_refuses_and_serves_again(away: str) -> None:
    lab = make_lab()
    good: dict[str, Any] = {
        "keys": lambda: lab.keys,
        "replay": lab.replay,
        "revocation": lab.revocation,
    }
    down = {"replay": Away(), "revocation": Away(), "keys": keys_away}
    verifier = TokenVerifier(
        RESOURCE,
        **{**good, away: down[away]},
        nonces=lab.nonces,
        clock=lab.clock,
        records=lab.records.append,
    )
    token = lab.token()
    sent = call(lab, token)
    answer = verifier.verify(sent)
    assert isinstance(answer, Denied)
    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert lab.records[-1].reason == f"{away}-unavailable"
    # the proof was not spent: the same call is admitted once the store is back
    assert isinstance(lab.verifier.verify(sent), Admitted)


def test_a_record_holds_every_layer_in_order_and_no_secret() -> None:
    lab = make_lab()
    token = lab.token()
    sent = call(lab, token)
    lab.verifier.verify(sent)
    (record,) = lab.records
    assert [layer.layer for layer in record.layers] == [
        "presentation",
        "token",
        "keys",
        "signature",
        "issuer",
        "audience",
        "time",
        "binding",
        "proof",
        "revocation",
        "scope",
    ]
    assert record.point == "rs.token"
    assert record.principal == AGENT
    assert record.outcome is Outcome.ALLOW
    for secret in (token, token.rpartition(".")[2], sent.dpop[0]):
        assert secret not in repr(record)
        assert secret not in repr(sent)


def test_every_layer_is_asked_after_one_has_refused() -> None:
    lab = make_lab()
    dead = lab.token(jti="dead", aud="https://hr.iamrange.example", exp=NOW - 60, scope="x")
    lab.revocation.revoke("dead", expires=NOW + 300)
    forged = dead[:-9] + "AAAAAAAAA"
    lab.verifier.verify(call(lab, forged, lab.proof("another", key=lab.other)))
    refusing = {layer.layer: layer.reason for layer in lab.records[-1].layers if layer.refuses}
    assert refusing == {
        "signature": "signature-mismatch",
        "audience": "wrong-audience",
        "time": "expired",
        "binding": "key-mismatch",
        "proof": "ath-mismatch",
        "revocation": "token-revoked",
        "scope": "insufficient-scope",
    }


def test_a_replay_is_told_beside_what_refuses_first() -> None:
    lab = make_lab()
    token = lab.token(jti="dies-later")
    sent = call(lab, token)
    assert isinstance(lab.verifier.verify(sent), Admitted)
    lab.revocation.revoke("dies-later", expires=NOW + 300)
    lab.verifier.verify(sent)
    refusing = {layer.layer: layer.reason for layer in lab.records[-1].layers if layer.refuses}
    assert refusing == {"revocation": "token-revoked", "proof": "replayed"}


LAPSES: list[tuple[str, Callable[[Lab], Call], str]] = [
    (
        "unsafe_ignores_audience",
        lambda lab: call(lab, lab.token(aud="https://hr.iamrange.example")),
        "wrong-audience",
    ),
    (
        "unsafe_ignores_revocation",
        lambda lab: call(lab, lab.token(epochs={AGENT: 0})),
        "epoch-raised",
    ),
    ("unsafe_accepts_bearer", lambda lab: bearer(lab.token()), "bound-token-as-bearer"),
    ("unsafe_accepts_bearer", lambda lab: bearer(lab.token(cnf=None)), "not-sender-constrained"),
    (
        "unsafe_ignores_certificate",
        lambda lab: bearer(lab.token(cnf={"x5t#S256": "A" * 43})),
        "missing-certificate",
    ),
]


@pytest.mark.parametrize(("lapse", "build", "refusal"), LAPSES)
def test_a_lapse_lets_through_what_its_control_refuses(
    lapse: str, build: Callable[[Lab], Call], refusal: str
) -> None:
    strict = make_lab()
    assert reason(strict, build(strict)) == refusal
    lax = make_lab(settings=VerifierSettings(**{lapse: True}))  # type: ignore[arg-type] # names of switches
    assert isinstance(lax.verifier.verify(build(lax)), Admitted)
    assert Effect.DENY not in {layer.effect for layer in lax.records[-1].layers}
    # and nothing else is let through
    assert reason(lax, call(lax, lax.token(exp=NOW - 60))) == "expired"


def test_a_lapse_of_replay_lets_a_proof_through_twice() -> None:
    lab = make_lab(settings=VerifierSettings(unsafe_ignores_replay=True))
    sent = call(lab, lab.token())
    assert [reason(lab, sent), reason(lab, sent)] == ["admitted", "admitted"]


def test_without_nonces_a_proof_needs_none() -> None:
    lab = make_lab(settings=VerifierSettings(nonce_required=False))
    token = lab.token()
    assert reason(lab, call(lab, token, lab.proof(token, nonce=None))) == "admitted"


@dataclass
class Issuer:
    """A key endpoint that counts how often it is asked."""

    documents: list[bytes] = field(default_factory=list)
    fetches: int = 0
    down: bool = False

    def publish(self, *keys: Key) -> None:
        self.documents.append(compact({"keys": [key.published for key in keys]}))

    def fetch(self) -> bytes:
        self.fetches += 1
        if self.down:
            raise KeyFetchError("away")
        return self.documents[-1]


@dataclass
class Remote:
    """A lab whose verifier fetches its issuer's keys."""

    lab: Lab = field(default_factory=make_lab)
    issuer: Issuer = field(default_factory=Issuer)
    moment: float = 1000.0

    def __post_init__(self) -> None:
        self.issuer.publish(self.lab.issuer)
        self.keys = RemoteKeys(self.issuer.fetch, monotonic=lambda: self.moment)
        self.verifier = TokenVerifier(
            RESOURCE,
            keys=self.keys,
            replay=self.lab.replay,
            revocation=self.lab.revocation,
            nonces=self.lab.nonces,
            clock=self.lab.clock,
            records=self.lab.records.append,
        )

    def reason(self, token: str) -> str:
        self.verifier.verify(call(self.lab, token))
        return self.lab.records[-1].reason

    def by(self, key: Key) -> str:
        return key.sign(self.lab.header(kid=key.thumbprint), self.lab.claims())


def test_keys_are_fetched_once_for_many_calls() -> None:
    remote = Remote()
    assert {remote.reason(remote.lab.token()) for _ in range(20)} == {"admitted"}
    assert remote.issuer.fetches == 1


def test_a_withdrawn_key_is_refused_within_a_second_and_by_remembered_tokens_too() -> None:
    remote = Remote()
    token = remote.lab.token()
    assert remote.reason(token) == "admitted"
    remote.issuer.publish(remote.lab.other)
    remote.moment += 1.0
    assert remote.reason(token) == "unknown-key"
    assert remote.reason(remote.by(remote.lab.other)) == "admitted"


def test_a_flood_of_unknown_key_ids_is_no_flood_of_fetches() -> None:
    remote = Remote()
    assert remote.reason(remote.lab.token()) == "admitted"
    flood = [remote.lab.token(header={"kid": f"made-up-{number}"}) for number in range(200)]
    remote.moment += 0.5
    assert {remote.reason(token) for token in flood} == {"unknown-key"}
    assert remote.issuer.fetches <= 2
    # and a key that is new is found before the old set is out of date
    remote.issuer.publish(remote.lab.issuer, remote.lab.other)
    remote.moment += 0.4
    assert remote.reason(remote.by(remote.lab.other)) == "admitted"


def test_an_issuer_that_is_away_refuses_and_is_not_flooded() -> None:
    remote = Remote()
    token = remote.lab.token()
    assert remote.reason(token) == "admitted"
    remote.issuer.down = True
    remote.moment += 1.0
    before = remote.issuer.fetches
    assert {remote.reason(token) for _ in range(50)} == {"keys-unavailable"}
    assert remote.issuer.fetches == before + 1
    remote.issuer.down = False
    remote.moment += 0.31
    assert remote.reason(token) == "admitted"


def test_an_issuer_that_publishes_no_key_set_is_away() -> None:
    remote = Remote()
    remote.issuer.documents.append(b'{"keys": 1}')
    assert remote.reason(remote.lab.token()) == "keys-unavailable"


def test_a_key_under_another_keys_id_is_no_key() -> None:
    remote = Remote()
    swapped = {**remote.lab.other.published, "kid": remote.lab.issuer.thumbprint}
    remote.issuer.documents.append(compact({"keys": [swapped]}))
    made = remote.lab.other.sign(remote.lab.header(), remote.lab.claims())
    assert remote.reason(made) == "unknown-key"


def test_of_many_callers_one_fetches() -> None:
    issuer, gate = Issuer(), threading.Barrier(16)
    issuer.publish(Key())
    keys = RemoteKeys(issuer.fetch)

    def ask(_: int) -> KeySet:
        gate.wait()
        return keys()

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(16)))
    assert issuer.fetches == 1
    assert all(one is found[0] for one in found)


def test_the_memory_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_tokens, "_CAPACITY", 8)
    lab = make_lab()
    tokens = [lab.token() for _ in range(30)]
    assert {reason(lab, call(lab, token)) for token in tokens} == {"admitted"}
    assert len(lab.verifier._tokens._known) == 8  # noqa: SLF001 - a bound is seen from inside only


def test_a_remembered_token_expires_and_is_revoked_all_the_same() -> None:
    lab = make_lab()
    token, other = lab.token(), lab.token(jti="other")
    assert reason(lab, call(lab, token)) == "admitted"
    assert reason(lab, call(lab, other)) == "admitted"
    lab.revocation.revoke("other", expires=NOW + 300)
    assert reason(lab, call(lab, other)) == "token-revoked"
    lab.clock.moment = NOW + 206
    assert reason(lab, call(lab, token, lab.proof(token, iat=NOW + 206))) == "expired"


def test_only_what_every_layer_allowed_is_remembered() -> None:
    lab = make_lab()
    for token in (lab.token(aud="https://hr.iamrange.example"), lab.token()[:-9] + "AAAAAAAAA"):
        lab.verifier.verify(call(lab, token))
    assert lab.verifier._tokens._known == {}  # noqa: SLF001 - as above


@pytest.mark.parametrize(
    "authorization",
    [
        (),
        ("",),
        (" ",),
        ("DPoP",),
        ("DPoP ",),
        ("\x00",),
        ("DPoP \x00",),
        ("DPoP é.é.é",),
        ("DPoP " + "." * 5000,),
        ("DPoP " + "A" * 9000,),
        ("Bearer a, DPoP b",),
        ("DPoP \ud800.\ud800.\ud800",),
        ("a", "b", "c"),
    ],
)
def test_any_authorization_is_answered(authorization: tuple[str, ...]) -> None:
    lab = make_lab()
    answer = lab.verifier.verify(Call(method="GET", url=URL, authorization=authorization))
    assert isinstance(answer, Denied)
    assert answer.status in (400, 401, 431)
    assert dict(answer.headers)["DPoP-Nonce"] == lab.nonces.current()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("access_token=x", "token-in-query"),
        ("a=1&access_token", "token-in-query"),
        ("&".join(f"a{n}=1" for n in range(3000)) + "&access_token=x", "token-in-query"),
        ("a=1&Access%5ftoken=x", "token-in-query"),
        ("a=1;access_token=x", "token-in-query"),
        ("a=" + "eyJ.e.e+" * 5000, "token-in-query"),
        ("a=" + "eyJ" * 20_000, "no-token"),
        ("a=" + "eyJ+" * 15_000, "no-token"),
        ("my_access_token=x", "no-token"),
        ("access_token_hint=x", "no-token"),
        ("a=%ff%00%&&&==", "no-token"),
        ("\ud800", "no-token"),
    ],
    ids=lambda value: value[:30],
)
def test_any_query_is_searched_for_a_token(query: str, expected: str) -> None:
    lab = make_lab()
    assert reason(lab, Call(method="GET", url=URL, authorization=(), query=query)) == expected


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_any_presentation_is_answered(authorization: str, query: str, proof: str) -> None:
    lab = LAB
    sent = Call(
        method="GET",
        url=URL,
        authorization=(f"DPoP {authorization}",),
        dpop=(proof,),
        query=query,
        cookies=(query,),
    )
    assert isinstance(lab.verifier.verify(sent), Denied)


LAB = make_lab()
