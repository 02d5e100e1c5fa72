"""Paths, hosts and methods that have two readings are refused; the rest goes on as it came."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iamrange.access.canonical import (
    MAX_PATH,
    MAX_QUERY,
    METHODS,
    CanonicalRefusal,
    Target,
    as_it_came,
    canonical,
)
from iamrange.access.raw_routes import match_raw
from iamrange.access.routes import Matched, match

HOST = ("customers.iamrange.example",)

ACCEPTED = (
    "/",
    "/records",
    "/records/latest",
    "/records/42",
    "/records/a.b-c_d~e",
    "/.well-known/oauth-protected-resource",
    "/records/x@y",
    "/records/a:b,c=d",
    "/records/(1)!$&'*+",
    "/records/a%20b",
    "/records/%C3%BC",
    "/records/...x",
    "/records?limit=10&after=%2Fx",
    "/records?",
    "/records??",
    "/records?path=/a/../b",
    "/records?x=%2e%2e",
)

CONFUSIONS = {
    "encoded slash": ("/records%2Flatest", "encoded-slash"),
    "encoded slash, lower case": ("/records%2flatest", "encoded-slash"),
    "encoded backslash": ("/records%5Clatest", "encoded-backslash"),
    "encoded dot": ("/records/%2E%2E/admin/status", "encoded-dot"),
    "encoded dot, lower case": ("/records/%2e%2e/admin/status", "encoded-dot"),
    "half encoded dots": ("/records/.%2e/admin/status", "encoded-dot"),
    "mixed case of one triplet": ("/records/%c3%Bc", "lower-case-escape"),
    "double encoding of a slash": ("/records/..%252Fadmin", "double-encoding"),
    "double encoding of a dot": ("/records/%252e%252e/admin", "double-encoding"),
    "an encoded percent": ("/records/100%25", "double-encoding"),
    "needlessly encoded letter": ("/%61dmin/status", "needless-escape"),
    "needlessly encoded at": ("/records/x%40y", "needless-escape"),
    "needlessly encoded tilde": ("/%7Eroot", "needless-escape"),
    "parameters": ("/records;x=1/latest", "path-parameter"),
    "parameters of a dot segment": ("/records/..;/admin/status", "path-parameter"),
    "encoded parameters": ("/records/..%3B/admin/status", "encoded-delimiter"),
    "encoded question mark": ("/records%3Fx", "encoded-delimiter"),
    "encoded hash": ("/records/latest%23", "encoded-delimiter"),
    "double slash": ("/records//latest", "empty-segment"),
    "double slash first": ("//admin/status", "empty-segment"),
    "only slashes": ("//", "empty-segment"),
    "double slash last": ("/records//", "empty-segment"),
    "trailing slash": ("/records/", "trailing-slash"),
    "dot segment": ("/records/./latest", "dot-segment"),
    "dot segment last": ("/records/.", "dot-segment"),
    "double dot": ("/records/../admin/status", "dot-segment"),
    "double dot last": ("/records/..", "dot-segment"),
    "double dot first": ("/../admin/status", "dot-segment"),
    "trailing dot": ("/records/latest.", "trailing-dot"),
    "trailing dots": ("/records/latest...", "trailing-dot"),
    "three dots": ("/records/.../latest", "trailing-dot"),
    "backslash": ("/records\\latest", "backslash"),
    "backslash dots": ("/records/..\\admin", "backslash"),
    "NUL": ("/records\0/latest", "nul"),
    "encoded NUL": ("/records/latest%00.json", "nul"),
    "tab": ("/records\t/latest", "not-ascii"),
    "newline": ("/records/latest\n", "not-ascii"),
    "space": ("/records/latest ", "not-ascii"),
    "delete": ("/records/\x7f", "not-ascii"),
    "encoded newline": ("/records/a%0Ab", "odd-character"),
    "encoded carriage return": ("/records/a%0D%0AX", "odd-character"),
    "raw byte above ASCII": ("/records/\xfc", "not-ascii"),
    "overlong slash": ("/records/..%C0%AFadmin", "bad-utf-8"),
    "overlong slash of three bytes": ("/records/..%E0%80%AFadmin", "bad-utf-8"),
    "overlong dot": ("/records/%C0%AE%C0%AE/admin", "bad-utf-8"),
    "surrogate": ("/records/%ED%A0%80", "bad-utf-8"),
    "cut off sequence": ("/records/%C3", "bad-utf-8"),
    "beyond Unicode": ("/records/%F4%90%80%80", "bad-utf-8"),
    "full-width slash": ("/records%EF%BC%8Flatest", "compatibility-character"),
    "full-width dots": ("/records/%EF%BC%8E%EF%BC%8E/admin", "compatibility-character"),
    "one dot leader": ("/records/%E2%80%A4%E2%80%A4/admin", "compatibility-character"),
    "zero width space": ("/records/%E2%80%8Blatest", "odd-character"),
    "right to left override": ("/records/%E2%80%AElatest", "odd-character"),
    "percent alone": ("/records/%", "bad-escape"),
    "percent and one digit": ("/records/%2", "bad-escape"),
    "percent and no digits": ("/records/%zz", "bad-escape"),
    "IIS Unicode escape": ("/records/%u002e%u002e/admin", "bad-escape"),
    "fragment": ("/records/latest#/admin", "fragment"),
    "fragment first": ("/#/admin/status", "fragment"),
    "brackets": ("/records/[1]", "odd-character"),
    "quote": ('/records/"1"', "odd-character"),
    "braces": ("/records/{id}", "odd-character"),
    "pipe": ("/records/a|b", "odd-character"),
    "absolute form": ("https://customers.iamrange.example/records", "absolute-form"),
    "absolute form elsewhere": ("http://hr.iamrange.example/records", "absolute-form"),
    "authority form": ("customers.iamrange.example:443", "no-path"),
    "asterisk form": ("*", "no-path"),
    "nothing": ("", "no-path"),
    "no slash": ("records/latest", "no-path"),
    "query alone": ("?x=1", "no-path"),
    "too long a path": ("/" + "a" * MAX_PATH, "path-too-long"),
    "too long a query": ("/a?" + "a" * (MAX_QUERY + 1), "query-too-long"),
    "fragment in the query": ("/records?x#y", "odd-query"),
    "space in the query": ("/records?x y", "odd-query"),
    "newline in the query": ("/records?x\ny", "odd-query"),
    "parameters in the query": ("/records?x;y", "odd-query"),
    "backslash in the query": ("/records?x\\y", "odd-query"),
    "NUL in the query": ("/records?x=%00", "odd-query"),
    "newline encoded in the query": ("/records?x=%0d%0aX", "odd-query"),
    "percent alone in the query": ("/records?x=%", "bad-escape"),
}


@pytest.mark.parametrize("target", ACCEPTED)
def test_what_has_one_meaning_is_accepted_byte_for_byte(target: str) -> None:
    found = canonical("GET", HOST, target)
    assert isinstance(found, Target)
    assert found.raw == target
    assert found.url == f"https://{HOST[0]}{target}"
    assert "?" not in found.location


@pytest.mark.parametrize(("target", "reason"), CONFUSIONS.values(), ids=CONFUSIONS)
def test_what_has_two_readings_is_refused(target: str, reason: str) -> None:
    assert canonical("GET", HOST, target) == CanonicalRefusal(reason)


@pytest.mark.parametrize(
    "method",
    ["get", "Get", "GET ", "", "TRACE", "CONNECT", "PROPFIND", "GET\r\n", "G\0ET", "\u0262ET"],
)
def test_a_method_that_is_none_of_ours_is_refused(method: str) -> None:
    assert canonical(method, HOST, "/records") == CanonicalRefusal("odd-method")


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        ((), "no-host"),
        (("customers.iamrange.example", "hr.iamrange.example"), "several-hosts"),
        (("customers.iamrange.example", "customers.iamrange.example"), "several-hosts"),
        (("",), "odd-host"),
        (("Customers.iamrange.example",), "odd-host"),
        (("customers.iamrange.example.",), "odd-host"),
        (("customers.iamrange.example:443",), "odd-host"),
        (("customers.iamrange.example:8443",), "odd-host"),
        (("user@customers.iamrange.example",), "odd-host"),
        (("customers.iamrange.example, hr.iamrange.example",), "odd-host"),
        ((" customers.iamrange.example",), "odd-host"),
        (("customers.iamrange.example/x",), "odd-host"),
        (("customers..example",), "odd-host"),
        (("-customers.example",), "odd-host"),
        (("customers\0.iamrange.example",), "odd-host"),
        (("customers.iamrange.example\n",), "odd-host"),
        (("[::1]",), "odd-host"),
        (("%63ustomers.iamrange.example",), "odd-host"),
        (("cus\u0442omers.iamrange.example",), "odd-host"),
        (("a" * 64 + ".example",), "odd-host"),
        ((".".join(["abcdefg"] * 40),), "odd-host"),
    ],
)
def test_a_host_that_has_another_spelling_is_refused(hosts: tuple[str, ...], reason: str) -> None:
    assert canonical("GET", hosts, "/records") == CanonicalRefusal(reason)


PIECES = st.sampled_from(
    [
        *"/.%;\\?#:@=~aA0- \0\n\xff",
        *("..", "//", "%2F", "%2f", "%2e", "%00", "%25", "%5C", "%C0%AF", "%EF%BC%8F", "%C3%BC"),
        *("records", "admin", "latest", "%61", "%3B", "%3F", "https://"),
    ]
)
TARGETS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40)


@given(target=TARGETS, method=st.sampled_from(sorted(METHODS)))
@example(target="/records/%2e", method="GET")
@settings(max_examples=1500)
def test_whatever_comes_is_accepted_unchanged_or_refused_by_a_code(
    target: str, method: str
) -> None:
    found = canonical(method, HOST, target)
    if isinstance(found, CanonicalRefusal):
        assert found.reason
        assert found.reason == found.reason.lower()
        assert target not in ("/", "/records")
        return
    assert found.raw == target
    assert canonical(found.method, (found.host,), found.raw) == found


def _readings(path: str) -> set[str]:
    """What lax servers make of a path: decoded once or twice, folded, cut, merged."""
    once = unquote(path)
    twice = unquote(once)
    readings = set()
    for text in (path, once, twice):
        whole = text.replace("\\", "/").partition("\0")[0].partition("#")[0]
        whole = "/".join(part.partition(";")[0] for part in whole.split("/"))
        readings.add(posixpath.normpath("/" + whole.lstrip("/")))
    return readings


@given(target=TARGETS.map(lambda text: "/" + text))
@settings(max_examples=1500)
def test_an_accepted_path_has_as_many_segments_for_every_lax_server(target: str) -> None:
    found = canonical("GET", HOST, target)
    if isinstance(found, CanonicalRefusal):
        return
    segments = found.path.strip("/").count("/")
    for reading in _readings(found.path):
        assert reading.strip("/").count("/") == segments
        assert "admin" not in reading or "admin" in found.path
    assert urlsplit(found.url).path == found.path


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=2), st.text(max_size=30))
def test_any_text_at_all_is_answered(method: str, hosts: list[str], target: str) -> None:
    assert isinstance(canonical(method, hosts, target), (Target, CanonicalRefusal))


def test_taken_as_it_comes_a_path_is_matched_by_its_beginning() -> None:
    target = as_it_came("GET", ("Customers.iamrange.example",), "/records/../admin/status?x")
    assert (target.path, target.query) == ("/records/../admin/status", "x")
    raw = match_raw("customers", "GET", target.path)
    assert isinstance(raw, Matched)
    assert raw.route.path == "/records/{id}"
    assert not isinstance(match("customers", "GET", target.path), Matched)
    assert not isinstance(match_raw("customers", "GET", "/nothing"), Matched)


def test_a_query_is_in_no_repr() -> None:
    found = canonical("GET", HOST, "/records?access=hidden")
    assert "hidden" not in repr(found)
