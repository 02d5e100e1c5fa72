"""No bytes break the scanner, none keep it for long, and what it did not read it says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.credentials.scan.bytes import Archive, Binary, text_of
from iamrange.credentials.scan.document import Origin, scan_bytes
from iamrange.credentials.scan.finding import Hasher, Place, Skipped, Unread, shown
from iamrange.credentials.scan.jsonc import without_comments
from iamrange.credentials.scan.rules import RULES
from iamrange.credentials.scan.samples import SAMPLES, invented
from iamrange.credentials.scan.structure import MAX_YAML, StructureError, values
from iamrange.credentials.scan.text import MAX_FOUND, find

if TYPE_CHECKING:
    from iamrange.credentials.scan.finding import Scan

HASHER = Hasher(b"a key for these tests")
NAMES = ["a.json", "a.ipynb", "a.yaml", "a.toml", ".env", "a.ini", "a.py", "mcp.json", "x"]
SPICE = [keyword for rule in RULES for keyword in rule.keywords]
SPICE += [invented(rule, 5) for rule in SAMPLES]
SPICE += ["{", "}", "[", '"', "'", "\\", ": ", "\n", "- &a *a", "/*", "//", "*/", "<<: ", "\x00"]

MEMBERS = st.text(max_size=6) | st.sampled_from(
    ["type", "kty", "name", "key", "value", "auth", "instances", "attributes", "result",
     "sensitive", "plaintext", "4dabf18193072939515e22adb298388d"]
)  # fmt: skip
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(MEMBERS, inner),
    max_leaves=20,
)


def scanned(path: str, content: bytes) -> Scan:
    return scan_bytes(content, Origin(path=path), HASHER)


@pytest.mark.parametrize("path", NAMES)
@settings(max_examples=60)
@given(content=st.binary(max_size=400))
def test_no_bytes_break_it(path: str, content: bytes) -> None:
    scanned(path, content)


@pytest.mark.parametrize("path", NAMES)
@settings(max_examples=60)
@given(parts=st.lists(st.one_of(st.sampled_from(SPICE), st.text(max_size=12)), max_size=25))
def test_no_text_made_of_what_it_looks_for_breaks_it(path: str, parts: list[str]) -> None:
    scan = scanned(path, "".join(parts).encode("utf-8", "surrogatepass"))
    assert all(finding.place.line >= 1 for finding in scan.findings)


@given(DOCUMENTS)
def test_every_text_of_a_json_document_is_read(document: object) -> None:
    def texts(value: object) -> list[str]:
        if isinstance(value, str):
            return [value]
        inner = list(value.values()) if isinstance(value, dict) else value
        return [t for one in inner for t in texts(one)] if isinstance(inner, list) else []

    read = [value.text for value in values("a.json", json.dumps(document))]
    assert set(texts(document)) <= set(read) | {"".join(read)}
    assert json.loads(without_comments(json.dumps(document))) == document


@given(DOCUMENTS, st.sampled_from(["a.json", "a.yaml", ".env", "terraform.tfstate"]))
def test_no_document_breaks_it_whatever_its_members_mean(document: object, path: str) -> None:
    text = json.dumps({"type": "random_password", "auth": json.dumps(document), "a": document})
    scanned(path, text.encode())


@given(st.text(alphabet='{}[]",/*\\ \na1:', max_size=60))
def test_taking_comments_out_keeps_the_lines(text: str) -> None:
    assert without_comments(text).count("\n") == text.count("\n")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
@pytest.mark.parametrize("tail", ["", "=", ': "', "A1b", "\n"])
def test_a_text_of_nothing_but_a_rules_keyword_ends(rule: object, tail: str) -> None:
    # A quadratic pattern would take hours for these; the budget makes each end, and says so.
    for keyword in rule.keywords:  # type: ignore[attr-defined]
        find((keyword + tail) * (40_000 // len(keyword + tail)), rules=[rule])  # type: ignore[list-item]


def test_a_rule_that_gives_up_says_so() -> None:
    scan = scanned("a.txt", b"ya29." + b"ya29.\n" * 400_000)
    assert [one.reason for one in scan.not_read] == [Unread.TOO_MANY]
    assert "gcp-oauth-token" in scan.not_read[0].detail


def test_a_file_full_of_secrets_is_cut_and_says_so() -> None:
    token = invented("github-token", 1)
    many = "\n".join(f"{token[:-5]}{number:05}" for number in range(MAX_FOUND + 10))
    scan = scanned("a.txt", many.encode())
    assert len(scan.findings) == MAX_FOUND
    assert [one.reason for one in scan.not_read] == [Unread.TOO_MANY]


def test_one_line_of_megabytes_is_searched_to_its_end() -> None:
    token = invented("github-token", 1)
    scan = scanned("bundle.min.js", b"var a=1;" * 300_000 + b'"' + token.encode() + b'";')
    assert [finding.rule for finding in scan.findings] == ["github-token"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.json", "[" * 100_000),
        ("a.json", '{"a":' * 100_000),
        ("a.yaml", "[" * 20_000),
        ("a.yaml", "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(99)) + "c: ["),
        ("a.json", '{"n": ' + "9" * 10_000 + ",}}"),
        ("a.toml", "a = " + "[" * 10_000),
        ("a.yaml", "a: b\n" * (MAX_YAML // 5 + 1)),
        ("a.yaml", "a: \x01"),
        ("a.json", "{bad"),
    ],
)
def test_a_document_that_cannot_be_read_is_said_and_searched_as_text(
    path: str, content: str
) -> None:
    token = invented("github-token", 1)
    scan = scanned(path, f"# {token}\n{content}".encode())
    assert [one.reason for one in scan.not_read] == [Unread.STRUCTURE]
    assert "github-token" in [finding.rule for finding in scan.findings]


def test_aliases_do_not_grow() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
    )
    assert len(list(values("a.yaml", bomb))) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x7fELF\x02\x01\x01\x00" + bytes(64), Binary),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", Binary),
        (bytes(range(256)) * 4, Binary),
        (b"PK\x03\x04" + bytes(32), Archive),
        (b"\x1f\x8b\x08\x00", Archive),
        (bytes(257) + b"ustar\x0000", Archive),
        (b"SQLite format 3\x00\x10\x00\x01\x01" + bytes(40), Binary),
        (b"a name\x00" + bytes(64), Binary),
        (b"A=1\x00TOKEN=x\x00HOME=/root\x00", str),
        (b"one line of a log\nand one that was cut\x00\n", str),
        (b"", str),
        (b"plain", str),
        ("übermäßig".encode(), str),
        ("übermäßig".encode("latin-1"), str),
        ("token".encode("utf-16"), str),
        ("a token of ours".encode("utf-16-be"), str),
        ("a token of ours".encode("utf-32-le"), str),
    ],
)
def test_bytes_are_text_or_said_to_be_something_else(content: bytes, expected: type) -> None:
    assert isinstance(text_of(content), expected)


def test_binaries_are_counted_and_archives_are_listed() -> None:
    assert scanned("a.so", b"\x7fELF\x00").skipped[Skipped.BINARY] == 1
    (unread,) = scanned("a.zip", b"PK\x03\x04").not_read
    assert (unread.reason, unread.detail) == (Unread.ARCHIVE, "zip: not looked into")


@given(st.text(), st.integers(min_value=1))
def test_a_place_is_one_printable_line_whatever_the_name(name: str, line: int) -> None:
    place = Place(path=name, line=line, member=name)
    assert str(place).isprintable()


def test_bytes_of_a_name_that_are_no_text_are_shown() -> None:
    assert shown(b"a\xff\n\x1b[31m".decode("utf-8", "surrogateescape")) == r"a\xff\n\x1b[31m"


def test_values_of_a_format_that_is_not_read_are_none() -> None:
    assert list(values("a.py", "x = 1")) == []
    with pytest.raises(StructureError, match="not well-formed"):
        list(values("a.json", "{"))
