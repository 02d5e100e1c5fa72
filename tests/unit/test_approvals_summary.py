"""What people read: nothing that an agent writes hides, moves or imitates anything."""

from __future__ import annotations

import json
import unicodedata
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.access.approvals import page
from iamrange.access.approvals.declared import describe
from iamrange.access.approvals.model import ApprovalRefusal, ApprovalRequest, Summary
from iamrange.access.approvals.shown import HEAD, TAIL, doubtful, shown
from iamrange.access.approvals.summary import MOST_ROWS, DeclaredCall, summarise
from tests.conformance.access.approvals_lab import AGENT, BODY, JSON, TRANSFERS

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM = "application/x-www-form-urlencoded"
EVIL = "\u202e<img src=x onerror=alert(1)>\x1b[2J\u200b"


def summary(body: bytes = BODY, content_type: str = JSON, url: str = TRANSFERS) -> Summary:
    call = describe("POST", url)
    assert isinstance(call, DeclaredCall), call
    return summarise(
        call, agent=AGENT, owner="olga@example.com", body=body, content_type=content_type
    )


def rows(made: Summary) -> Mapping[str, str]:
    return {row.name: row.value for row in made.rows}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, 100.50 EUR", "plain text, 100.50 EUR"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a\nb\tc\0", "a\\u{a}b\\u{9}c\\u{0}"),
        ("\x1b[31m", "\\u{1b}[31m"),
        ("\x7f\x9b", "\\u{7f}\\u{9b}"),
        ("evil\u202egnp.exe", "evil\\u{202e}gnp.exe"),
        ("\u2066a\u2069\u200b\ufeff\u00ad", "\\u{2066}a\\u{2069}\\u{200b}\\u{feff}\\u{ad}"),
        ("a\u2028b\u2029", "a\\u{2028}b\\u{2029}"),
        ("no\u00a0break", "no\\u{a0}break"),
        ("Z\u0335\u0321", "Z\\u{335}\\u{321}"),
        ("\U000e0041", "\\u{e0041}"),
        ("\ue000", "\\u{e000}"),
        ("\\u{202e}", "\\\\u{202e}"),
        ("9 \u05d0 1", "9 \\u{5d0} 1"),
        ("\u0661\u06f1", "\\u{661}\u06f1 ⟪in ASCII: \\u{661}\\u{6f1}⟫"),
        ("a\u3164\u115f\u2800b", "a\\u{3164}\\u{115f}\\u{2800}b"),
        ("p\u0430ypal", "p\u0430ypal ⟪in ASCII: p\\u{430}ypal⟫"),
        ("\u6771\u4eac", "\u6771\u4eac ⟪in ASCII: \\u{6771}\\u{4eac}⟫"),
        ("⟪9 of 9 characters are not shown⟫", "\\u{27ea}9 of 9 characters are not shown\\u{27eb}"),
        ("body → amount", "body \\u{2192} amount"),
        ("", ""),
    ],
)
def test_text_is_shown_as_it_is_or_written_out(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_long_text_keeps_both_ends_and_says_what_is_missing() -> None:
    text = "A" * 150 + "x" * 10_000 + "the end: 900 EUR"
    found = shown(text)
    hidden = len(text) - HEAD - TAIL
    assert f"⟪{hidden} of {len(text)} characters are not shown⟫" in found
    assert found.startswith("A" * 150)
    assert found.endswith("the end: 900 EUR")
    assert doubtful(text)


@given(st.text())
def test_nothing_shown_can_move_hide_or_imitate(text: str) -> None:
    for character in shown(text):
        assert character == " " or unicodedata.category(character)[0] in "LNPS"
        assert unicodedata.bidirectional(character) not in {"R", "AL", "AN", "RLO", "LRO"}
    body = shown(text[: HEAD + TAIL])
    assert body.count("⟪") == body.count("⟫") <= 1


@given(st.text(max_size=HEAD + TAIL), st.text(max_size=HEAD + TAIL))
def test_two_texts_that_differ_are_shown_differently(one: str, other: str) -> None:
    assert (shown(one) == shown(other)) == (one == other)


def test_a_json_body_is_shown_member_by_member_as_it_was_written() -> None:
    body = b'{"to":{"iban":"DE02"},"amount":1.0000000000000000001,"n":[true,null,"tr\\"ue"],"e":{}}'
    assert list(rows(summary(body)).items())[-6:] == [
        ("body → to → iban", '"DE02"'),
        ("body → amount", "1.0000000000000000001"),
        ("body → n → [0]", "true"),
        ("body → n → [1]", "null"),
        ("body → n → [2]", '"tr\\"ue"'),
        ("body → e", "{}"),
    ]


def test_what_a_route_declares_comes_first_and_the_agents_words_after() -> None:
    made = summary(json.dumps({"action": "read", "agent": "somebody"}).encode())
    assert made.title == "Transfer of money: POST on payments"
    assert list(rows(made).items())[:6] == [
        ("agent", AGENT),
        ("agent's owner", "olga@example.com"),
        ("action", "transfer"),
        ("service", "payments"),
        ("data", "money, restricted"),
        ("call", f"POST {TRANSFERS}"),
    ]
    assert rows(made)["body → action"] == '"read"'


def test_the_production_in_a_deployment_is_in_its_title() -> None:
    made = summary(b"{}", url="https://deployments.iamrange.example/deployments/production")
    assert made.title == "Deployment in production: POST on deployments"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"a":1', JSON),
        (b'{"amount":1,"amount":900}', JSON),
        (b'{"a":NaN}', JSON),
        (b'{"a":1e999}', JSON),
        (b'{"a":' + b"9" * 5000 + b"}", JSON),
        (b'{"a":"\xff"}', JSON),
        (b'\xef\xbb\xbf{"a":1}', JSON),
        ('{"a":1}'.encode("utf-16"), JSON),
        (b'{"a":1}', f"{JSON}; charset=utf-16"),
        (b'{"a":"\\ud800"}', JSON),
        (b"[" * 100 + b"]" * 100, JSON),
        (b'{"a":1} {"a":2}', JSON),
        (b"a=1&b", FORM),
        (b"a=%ff", FORM),
        (b"\xff\xfe", "text/plain"),
        (b"\x1f\x8b\x08\x00" * 20, "application/gzip"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (BODY, ""),
        (BODY, "application/xml"),
        (b"x" * 100, "json"),
    ],
)
def test_a_body_that_is_not_what_its_type_says_is_opaque(body: bytes, content_type: str) -> None:
    made = summary(body, content_type)
    assert "the body is not what its content type says: it cannot be shown" in made.warnings
    first = rows(made)["body begins with"]
    assert first.startswith(body[:8].hex(" "))
    assert len(rows(made)["body SHA-256"]) == 64
    assert not any(name.startswith("body →") for name in rows(made))


def test_a_form_is_shown_field_by_field_twice_given_ones_too() -> None:
    body = urlencode([("to", "DE02"), ("amount", "1"), ("amount", "900"), ("x", "")]).encode()
    fields = [row for row in summary(body, FORM).rows if row.name.startswith("body →")]
    assert [(row.name, row.value) for row in fields] == [
        ("body → to", '"DE02"'),
        ("body → amount", '"1"'),
        ("body → amount", '"900"'),
        ("body → x", '""'),
    ]


def test_members_that_are_not_shown_are_counted_in_a_warning() -> None:
    made = summary(json.dumps({f"m{n}": n for n in range(100)}).encode())
    assert f"{100 - MOST_ROWS} of 100 members are not shown" in made.warnings


def test_no_body_and_a_query_are_shown_too() -> None:
    made = summary(b"", "", f"{TRANSFERS}?limit=none&amount=900")
    assert rows(made)["body"] == "none"
    assert rows(made)["query"] == "limit=none&amount=900"


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=5))
def test_any_json_text_makes_a_summary_that_survives_its_own_json(members: dict[str, str]) -> None:
    made = summary(json.dumps(members).encode())
    assert Summary.from_json(json.loads(json.dumps(made.as_json()))) == made
    assert len(made.rows) >= 8


@given(st.binary(max_size=300), st.sampled_from((JSON, FORM, "text/plain", "", "x/y")))
def test_any_bytes_make_a_summary(body: bytes, content_type: str) -> None:
    assert summary(body, content_type).rows


class Markup(HTMLParser):
    """Collects what a browser would make elements of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]


def _request(body: bytes) -> ApprovalRequest:
    return ApprovalRequest(
        id="1" * 48,
        agent=AGENT,
        action="transfer",
        method="POST",
        url=TRANSFERS,
        content_type=JSON,
        body_sha256="0" * 64,
        body_length=len(body),
        summary=summary(body),
        roles=frozenset({"manager"}),
        created=0,
        expires=900,
    )


@pytest.mark.parametrize(
    "evil",
    [
        EVIL,
        "</script><script>alert(1)</script>",
        '"><svg onload=alert(1)>',
        "' onmouseover='alert(1)",
        "<!--",
        "<plaintext>",
        "</dd></dl></main><button data-verdict=approve>",
        "&lt;script&gt;",
        "javascript:alert(1)",
    ],
)
def test_the_page_has_no_element_of_an_agents_making(evil: str) -> None:
    harmless = Markup()
    harmless.feed(bytes(page.review(_request(b'{"a":"b"}'), 0).body).decode())
    hostile = Markup()
    text = bytes(page.review(_request(json.dumps({evil: evil}).encode()), 0).body).decode()
    hostile.feed(text)
    added = [tag for tag in hostile.tags if tag not in {"ul", "li"}]
    assert added == [tag for tag in harmless.tags if tag not in {"ul", "li"}]
    assert hostile.handlers == harmless.handlers == []
    assert "\u202e" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("POST", "http://payments.iamrange.example/transfers", "malformed"),
        ("post", TRANSFERS, "malformed"),
        ("POST", f"{TRANSFERS}/", "malformed"),
        ("POST", TRANSFERS.replace("/transfers", "//transfers"), "malformed"),
        ("POST", TRANSFERS.replace("transfers", "%74ransfers"), "malformed"),
        ("POST", TRANSFERS.replace("transfers", "x/../transfers"), "malformed"),
        ("POST", f"{TRANSFERS}#x", "malformed"),
        ("POST", TRANSFERS.replace("payments", "payments@evil"), "malformed"),
        ("POST", TRANSFERS.replace(".example", ".example:443"), "malformed"),
        ("POST", TRANSFERS.upper(), "malformed"),
        ("POST", "https://evil.example/transfers", "no-route"),
        ("POST", "https://payments.iamrange.example", "malformed"),
        ("GET", TRANSFERS, "no-route"),
        ("POST", TRANSFERS.replace("transfers", "unknown"), "no-route"),
        ("CONNECT", TRANSFERS, "malformed"),
    ],
)
def test_a_call_that_the_gateway_would_not_take_cannot_be_asked_for(
    method: str, url: str, expected: str
) -> None:
    found = describe(method, url)
    assert isinstance(found, ApprovalRefusal)
    assert found.reason == expected
