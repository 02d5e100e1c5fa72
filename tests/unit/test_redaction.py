"""What a log may hold: marks in the place of secrets, and everything else as it was."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.credentials.redaction import spans as spans_module
from iamrange.credentials.redaction.marks import MARK
from iamrange.credentials.redaction.members import OF_LOGS, REDACTED
from iamrange.credentials.redaction.redactor import Redactor, new_redactor
from iamrange.credentials.scan.finding import Hasher
from iamrange.credentials.scan.rules_types import Flavour, Hit, SecretRule
from iamrange.credentials.scan.samples import SAMPLES, invented
from iamrange.credentials.scan.text import find
from iamrange.range.processes import last_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REDACTOR = Redactor(Hasher(b"a key of the tests, of 32 bytes."))
KINDS = sorted(set(SAMPLES) - {"aws-access-key-id"})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in a line": lambda text: f"2026-11-26T05:04:19Z INFO worker-3 said {text} for 12 calls",
    "JSON": lambda text: json.dumps({"message": text, "count": 3}),
    "JSON in JSON": lambda text: json.dumps({"m": json.dumps({"body": text})}),
    "JSON in a line": lambda text: f"called with {json.dumps({'x': [text]})} and went on",
    "Python's repr": lambda text: repr(text.encode()),
    "a form": lambda text: f"grant=x&note={quote_plus(text)}&n=1",
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "base64": _base64,
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "JSON in base64": lambda text: f"body={_base64(json.dumps({'x': text, 'name': 'Zoë'}))} ok",
    "base64 in JSON": lambda text: json.dumps({"body": _base64(text)}),
}


def secrets_in(text: str) -> set[str]:
    """Return what the scanner itself sees in an invented credential."""
    found = find(text, Flavour.CONFIGURATION).matches
    return {match.secret for match in found if match.rule.id != "aws-access-key-id"}


@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 1 << 32),
    encoding=st.sampled_from([*ENCODINGS]),
)
def test_no_invented_secret_survives_in_any_encoding_that_is_claimed(
    kind: str, seed: int, encoding: str
) -> None:
    text = invented(kind, seed)
    secrets = secrets_in(text)
    assert secrets
    written = ENCODINGS[encoding](text)
    redacted = REDACTOR.text(written)
    assert MARK.search(redacted)
    for secret in secrets:
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), _base64(secret)):
            assert form not in redacted
    assert REDACTOR.text(redacted) == redacted


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 1 << 32), where=st.floats(0.1, 0.9))
def test_a_token_broken_over_two_lines_goes_whole(kind: str, seed: int, where: float) -> None:
    (secret,) = sorted(secrets_in(invented(kind, seed)), key=len)[-1:]
    one_word = not set(secret) - set("".join(map(chr, range(33, 127)))) and len(secret) > 40
    tells_itself = secrets_in(secret) == {secret}  # what only its name tells is broken from it
    if not (one_word and tells_itself) or set(secret) & set("\"'`:@;,?&%!*()[]{}<>$#^|\\"):
        return
    at = int(len(secret) * where)
    redacted = REDACTOR.text(f"INFO begins\n{secret[:at]}\n{secret[at:]}\nINFO ends here\n")
    assert secret[:at] not in redacted
    assert secret[at:] not in redacted
    assert redacted.startswith("INFO begins\n")
    assert redacted.endswith("\nINFO ends here\n")


PIECES = st.sampled_from(
    [
        *(f" {word}" for word in ("password", "token", "authorization", "secret", "cookie", "://")),
        "=",
        ": ",
        '"',
        "'",
        "\\",
        "\n",
        "{",
        "}",
        "[",
        "]",
        "&",
        "@",
        "user:",
        "%22",
        "%3D",
        "bearer ",
        "AKIAABCDEFGHIJKLMNOP",
        "-----BEGIN PRIVATE KEY-----",
        "[redacted:jwt:0123456789abcdef]",
        "[redacted:",
    ]
)


@given(
    st.lists(
        PIECES
        | st.text(max_size=12)
        | st.builds(invented, st.sampled_from(KINDS), st.integers(0, 99)),
        max_size=14,
    ).map("".join)
)
def test_to_redact_twice_is_to_redact_once(text: str) -> None:
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_values_are_redacted_once_and_for_all(value: object) -> None:
    once = REDACTOR.value(value)
    assert REDACTOR.value(once) is once


@given(st.text(alphabet="abcdefgh 0123456789.,!\n", max_size=200))
def test_text_without_secrets_comes_back_as_the_same_object(text: str) -> None:
    assert REDACTOR.text(text) is text


MUST_STAY = {
    "a request's id": "request 0b7d2d3e-6c1f-4a57-9c39-5e1d2a9b8f10 was refused",
    "a digest": "image sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "a commit": "at commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "a moment": "2026-11-26T05:04:19.123456+00:00 took 0.123 s",
    "an agent": "spiffe://iamrange.example/agent/data-analyst wrote 12 rows",
    "an ARN": "arn:aws:sts::123456789012:assumed-role/agent-data-analyst/data-analyst-1f2e3d4c",
    "the id of an AWS key": "AccessKeyId AKIAIOSFODNN7EXAMPLE of user backup",
    "a key's thumbprint": '{"kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "alg": "ES256"}',
    "a trace": "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "an address": "from 127.0.0.1:43211 by https://customers.iamrange.example/records/latest?n=2",
    "a refusal": "authorization: denied by deny-policy; the bearer token expired",
    "words about secrets": "the password was wrong three times; no token came, the secret expired",
    "a secret's ARN": "read arn:aws:secretsmanager:eu-west-1:123456789012:secret:hr-x7Bq2Z9kPw1v3a",
    "an ARN alone": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:agent/hr-bot-Xy12Zq",
    "numbers": '{"count": 120, "ratio": 0.25, "token_type": "DPoP", "expires_in": 300}',
    "names": '{"secret_arn": "arn:aws:secretsmanager:x:1:secret:hr-Ab1cdE", "api_key_id": 7}',
    "a cursor": "next=eyJpZCI6MTIzLCJwYWdlIjoyfQ",
    "a path": "/v1/secret/data/agents/data-analyst opened by role data-analyst",
    "a key's public half": '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8T",'
    ' "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
}


@pytest.mark.parametrize("text", MUST_STAY.values(), ids=MUST_STAY)
def test_what_debugging_needs_stays_as_it_was(text: str) -> None:
    assert REDACTOR.text(text) is text


MUST_GO: dict[str, tuple[str, str]] = {
    "a short password": ('{"password": "hunter2", "n": 1}', "hunter2"),
    "a password that is a number": ('{"pwd": 481516}', "481516"),
    "one in a form": ("POST user=bob&password=hunter2&n=1", "hunter2"),
    "one in Python's repr": ("{'user': 'bob', 'password': 'hunter2'}", "hunter2"),
    "a member given twice": ('{"password": "hunter2", "password": ""}', "hunter2"),
    "a client secret in a query": ("GET /t?client_secret=abc123&n=1", "abc123"),
    "credentials of Basic": ("Authorization: Basic Ym9iOmh1bnRlcjI=", "Ym9iOmh1bnRlcjI="),
    "a bearer token": ('"authorization": "Bearer 2YotnFZFEjr1zCsi"', "2YotnFZFEjr1zCsi"),
    "a cookie": ("Cookie: session=abc; theme=dark\nHost: x", "session=abc"),
    "a vault's header": ("X-Vault-Token: s.short", "s.short"),
    "a header as a pair": ('[["X-Api-Key", "k-12"], ["Host", "x"]]', "k-12"),
    "a header as an object": ('{"name": "Cookie", "value": "a=b"}', "a=b"),
    "a list of headers": ('{"headers": {"authorization": ["Basic YTpi"]}}', "YTpi"),
    "the beginning of a token": ("token eyJhbGciOiJFUzI1NiIsInR5cCI6Imp3dCJ9.eyJz was", "eyJz"),
    "an encrypted token": (
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp.48V1_ALb6US04U3b.5eym8TW.XFBo",
        "48V1_ALb6US04U3b",
    ),
    "a private member of a JWK": ('{"kty": "oct", "k": "c2hvcnQ"}', "c2hvcnQ"),
    "a database's URL": ("dsn=postgresql://app:pa55w0rd@db.internal/main", "pa55w0rd"),
    "one that a comment allows": ("password=hunter2 # iamrange:allow-secret it is mine", "hunter2"),
    "one that says example": ("password=example-hunter2", "example-hunter2"),
    "one beside an ARN": ("role=arn:aws:iam::1:role/x token=Xy12Zq9kPw1v3aB7", "Xy12Zq9kPw1v3aB7"),
    "a signed URL": (
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=0a1b2c&X-Amz-Expires=9",
        "0a1b2c",
    ),
}


@pytest.mark.parametrize(("text", "secret"), MUST_GO.values(), ids=MUST_GO)
def test_what_is_secret_by_its_name_goes_however_it_looks(text: str, secret: str) -> None:
    redacted = REDACTOR.text(text)
    assert secret not in redacted
    assert MARK.search(redacted)
    assert REDACTOR.text(redacted) == redacted


def test_lines_of_one_secret_are_joined_by_its_mark_however_it_was_written() -> None:
    token = invented("github-token", 7)
    forms = (token, json.dumps({"said": token}), _base64(f"it is {token}"), quote(f" {token} "))
    marks = {MARK.search(REDACTOR.text(form)) for form in forms}
    assert len({found[0] for found in marks if found}) == 1
    assert None not in marks


def test_another_key_gives_another_mark() -> None:
    text = invented("github-token", 7)
    assert new_redactor().text(text) != new_redactor().text(text)


def test_a_mark_that_somebody_made_up_hides_nothing() -> None:
    token = invented("github-token", 1)
    forged = f"[redacted:{token}:0123456789abcdef] [redacted:jwt:{token}]"
    assert token not in REDACTOR.text(forged)


def test_json_is_written_as_it_was_before() -> None:
    compact = REDACTOR.text('{"password":"hunter2","n":[1,2.5,null]}')
    assert compact.startswith('{"password":"[redacted:')
    assert compact.endswith(']","n":[1,2.5,null]}')


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 50_000, '{"' * 20_000, "[{" * 20_000],
    ids=["lists", "objects", "half of them", "mixed"],
)
def test_deep_nesting_is_read_as_text_or_goes_as_a_whole(text: str) -> None:
    redacted = REDACTOR.text(text)
    assert redacted is text or MARK.fullmatch(redacted)


def test_a_value_nested_deeper_than_can_be_walked_goes_as_a_whole() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert MARK.fullmatch(REDACTOR.value(value))


def test_a_text_with_too_many_places_that_look_like_secrets_goes_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costly = SecretRule(
        id="costly",
        summary="One that looks at very much.",
        keywords=("x",),
        find=lambda _text, _at, _flavour: None,
        source="this test",
        reach=10_000_000,
    )
    monkeypatch.setattr(spans_module, "REDACTED", (costly,))
    assert MARK.fullmatch(REDACTOR.text("x" * 1000 + " password=hunter2"))


def _tries(text: str) -> int:
    """Count how many places of a text the rules are tried at."""
    tried = 0
    lowered = text.lower()

    def counted(rule: SecretRule) -> Callable[[str, int, Flavour], Hit | None]:
        def find(text: str, at: int, flavour: Flavour) -> Hit | None:
            nonlocal tried
            tried += 1
            return rule.find(text, at, flavour)

        return find

    for rule in REDACTED:
        again = SecretRule(
            id=rule.id,
            summary=rule.summary,
            keywords=rule.keywords,
            find=counted(rule),
            source=rule.source,
            reach=rule.reach,
        )
        list(again.hits(text, lowered, Flavour.CONFIGURATION))
    return tried


@pytest.mark.parametrize(
    "piece", ["password=", "authorization: bearer ", "cookie:", "eyJ", "a://b:"]
)
def test_twice_the_hostile_text_is_twice_the_work(piece: str) -> None:
    small, large = _tries(piece * 200), _tries(piece * 400)
    assert 0 < large <= 2 * small + len(REDACTED)


@pytest.mark.parametrize("rule", OF_LOGS, ids=lambda rule: rule.id)
def test_each_rule_for_logs_reads_no_further_than_it_says(rule: SecretRule) -> None:
    text = rule.keywords[0] + '="' + "x" * (4 * rule.reach)
    hit = rule.find(text, 0, Flavour.CONFIGURATION)
    assert hit is None or hit.end <= 3 * rule.reach


def test_samples_are_of_every_kind_that_is_redacted() -> None:
    seen = {one.rule.id for kind in KINDS for one in spans_module.spans(invented(kind, 3))}
    named_better = {"authorization-header", "named-secret"}
    assert {rule.id for rule in REDACTED} - {rule.id for rule in OF_LOGS} - seen <= named_better
    assert Random(1).random()  # noqa: S311 - samples are made again from a seed


def test_the_last_words_of_a_process_come_into_a_message_without_their_secrets(
    tmp_path: Path,
) -> None:
    token = invented("github-token", 9)
    (tmp_path / "log").write_text(f"began\nKeyError: '{token}' for request 12\n")
    words = last_words(tmp_path / "log")
    assert token not in words
    assert words.startswith("; last words: KeyError: '[redacted:github-token:")
    assert words.endswith("for request 12")


def test_a_secret_is_not_let_through_by_being_cut(tmp_path: Path) -> None:
    token = invented("github-token", 9)
    (tmp_path / "log").write_text("x" * 280 + f" {token}\n")
    assert token[:12] not in last_words(tmp_path / "log")
