"""What is written in base64 or percent-encoded is read, in linear time, whatever the text is."""

from __future__ import annotations

import base64
import itertools
import json
import urllib.parse
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.credentials.scan.document import Origin, scan_bytes
from iamrange.credentials.scan.encoded import decoded, encoded
from iamrange.credentials.scan.finding import Hasher
from iamrange.credentials.scan.samples import invented

if TYPE_CHECKING:
    from collections.abc import Callable

HASHER = Hasher(b"a key for these tests")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


WRITTEN: dict[str, Callable[[str], str]] = {
    "base64": lambda t: b64(t.encode()),
    "base64 for URLs": lambda t: base64.urlsafe_b64encode(f"?>~?>~ {t}".encode()).decode(),
    "base64 without its end": lambda t: b64(t.encode()).rstrip("="),
    "base64 of MIME": lambda t: base64.encodebytes(
        f"{'some words ' * 9}{t}\nend".encode()
    ).decode(),
    "base64 of MIME, indented": lambda t: (
        "data: |\n    "
        + base64.encodebytes(f"{'some words ' * 9}{t}".encode()).decode().replace("\n", "\r\n    ")
    ),
    "base64 twice": lambda t: b64(b64(t.encode()).encode()),
    "base64 of more than ASCII": lambda t: b64(f"schlüssel: {t}".encode()),
    "base64 of UTF-16": lambda t: b64(f"$x; {t}".encode("utf-16-le")),
    "base64 of JSON in a string": lambda t: json.dumps({"v": b64(json.dumps({"a": t}).encode())}),
    "base64 after a name": lambda t: f"CREDENTIALS={b64(t.encode())}",
    "a data URL": lambda t: f'<a href="data:text/plain;base64,{b64(t.encode())}">',
    "percent": lambda t: "q=" + urllib.parse.quote(f'{{"v": "{t}"}}', safe=""),
    "percent in base64": lambda t: b64(urllib.parse.quote(f"v = {t}\n", safe="").encode()),
}


@pytest.mark.parametrize("name", ["note.md", "agent.py", "a.yaml"])
@pytest.mark.parametrize("rule", ["private-key", "github-token", "vault-token", "database-url"])
@pytest.mark.parametrize("way", WRITTEN)
def test_a_secret_is_found_however_it_is_written(way: str, rule: str, name: str) -> None:
    plain = scan_bytes(f"{invented(rule, 4)}\n".encode(), Origin(path="plain"), HASHER)
    (wanted,) = {one.value for one in plain.findings if one.rule == rule}
    content = f"before\n{WRITTEN[way](invented(rule, 4))}\nafter\n"
    scan = scan_bytes(content.encode(), Origin(path=name), HASHER)
    found = {(one.rule, one.value) for one in scan.findings}
    assert (rule, wanted) in found


@given(st.text(min_size=18))
def test_base64_of_text_says_the_text_or_that_it_is_none(text: str) -> None:
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        assert decoded(alphabet(text.encode()).decode()) in (
            text,
            text.removeprefix("\ufeff"),
            None,
        )


@given(st.lists(st.sampled_from(["A" * 64, "a1B2" * 19, "\n", "\r\n  ", "%22", "%", " ", "-_+/="])))
def test_places_are_in_their_order_and_in_the_text(parts: list[str]) -> None:
    text = "".join(parts)
    for percent in (False, True):
        places = [one for one in encoded(text) if ("%" in text[one.start : one.end]) is percent]
        assert all(0 <= one.start < one.end <= len(text) for one in places)
        assert all(a.end <= b.start for a, b in itertools.pairwise(places))


@pytest.mark.parametrize(
    "text",
    [
        b64(bytes(range(256)) * 12_000),
        base64.encodebytes(bytes(range(256)) * 12_000).decode(),
        "%22" * 400_000,
        "%3D " * 400_000,
        ("A" * 64 + "\n") * 20_000,
        ("B1a" * 8 + " ") * 50_000,
    ],
    ids=["one line", "many lines", "one word", "many words", "one letter", "short"],
)
def test_what_is_made_to_keep_it_busy_ends(text: str) -> None:
    # put together anew at each line, the second alone would take hours
    assert sum(one.end - one.start for one in encoded(text)) <= len(text)
