r"""A call's method, host and path, read once, before anything goes by them.

- What has two readings is refused, never repaired: one proxy would match what another serves.
- What is accepted is accepted byte for byte: `Target` holds what came, and gives it back.
- One spelling for each thing: RFC 3986 section 6.2.2 says which forms mean the same, and all but
  the normal one are refused; so is what common servers take for a separator (`;`, `\`, encoded
  slashes) and what they cut off or fold (NUL, trailing dots, compatibility characters).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Upper case only (RFC 9110 section 9.1); TRACE and CONNECT are nobody's business behind here."""

OVERRIDES: Final = frozenset(
    {
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
    }
)
"""Headers by which frameworks let a request be another one than it says."""

MAX_PATH: Final = 1024
MAX_QUERY: Final = 4096
_MAX_HOST: Final = 253
_HOST: Final = re.compile(
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
# most paths that anybody means; what does not fit is looked at closely
_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_~-]+(?:\.[A-Za-z0-9_~-]+)*)+")
_TRIPLET: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_QUERY: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@/?%-]*")
_UNRESERVED: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_SEGMENT: Final = frozenset(_UNRESERVED + "!$&'()*+,=:@%")
"""pchar of RFC 3986 section 3.3, without `;`, which servers take for the start of parameters."""
_FIRST_PRINTABLE: Final = 0x21
_LAST_ASCII: Final = 0x7E
_SEPARATORS: Final = {"/": "encoded-slash", "\\": "encoded-backslash", "%": "double-encoding"}
_CUT_SHORT: Final = frozenset("?#;")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class CanonicalRefusal:
    """Why a call has no one meaning: a stable code, and nothing of what came."""

    reason: str


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of whom. Each part is as it came."""

    method: str
    host: str
    path: str
    query: str | None = field(default=None, repr=False)

    @property
    def raw(self) -> str:
        """The request target as it came (RFC 9112 section 3.2.1)."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def url(self) -> str:
        """The whole URL: what an approval is for."""
        return f"https://{self.host}{self.raw}"

    @property
    def location(self) -> str:
        """The URL without its query: what a proof names (RFC 9449 section 4.2)."""
        return f"https://{self.host}{self.path}"


def canonical(method: str, hosts: Sequence[str], target: str) -> Target | CanonicalRefusal:
    """Return the target that the call means, or why it could mean several.

    `hosts` are all Host headers, or the one authority of HTTP/2; `target` is the request target
    as it came, its bytes decoded as Latin-1.
    """
    refusal = (None if method in METHODS else "odd-method") or _host_refusal(hosts) or _form(target)
    if refusal is not None:
        return CanonicalRefusal(refusal)
    path, asked, query = target.partition("?")
    refusal = path_refusal(path) or (query_refusal(query) if query else None)
    if refusal is not None:
        return CanonicalRefusal(refusal)
    return Target(method, hosts[0], path, query if asked else None)


def as_it_came(method: str, hosts: Sequence[str], target: str) -> Target:
    """Return the target unread: for the lapse of the control, which takes whatever comes."""
    path, asked, query = target.partition("?")
    return Target(method, hosts[0].lower() if hosts else "", path, query if asked else None)


def _host_refusal(hosts: Sequence[str]) -> str | None:
    if len(hosts) != 1:
        return "several-hosts" if hosts else "no-host"
    host = hosts[0]
    # a port, a trailing dot, upper case: other spellings of a name that has one
    if len(host) > _MAX_HOST or _HOST.fullmatch(host) is None:
        return "odd-host"
    return None


def _form(target: str) -> str | None:
    """Refuse what is no origin-form (RFC 9112 section 3.2)."""
    if target.startswith("/"):
        return None
    return "absolute-form" if "://" in target else "no-path"


def path_refusal(path: str) -> str | None:
    """Return why a path is not the only way to write what it means, or None."""
    if len(path) > MAX_PATH:
        return "path-too-long"
    if path == "/" or _PLAIN.fullmatch(path) is not None:
        return None
    return _character_refusal(path) or _escape_refusal(path) or _segments_refusal(path)


def query_refusal(query: str) -> str | None:
    """Return why a query is none (RFC 3986 section 3.4), or None. Its sense is the service's."""
    if len(query) > MAX_QUERY:
        return "query-too-long"
    if _QUERY.fullmatch(query) is None:
        return "odd-query"
    for found in _TRIPLET.finditer(query):
        if found[1] is None:
            return "bad-escape"
        if int(found[1], 16) < _FIRST_PRINTABLE - 1:
            return "odd-query"
    return None


def _character_refusal(path: str) -> str | None:
    for character in path:
        if character == "\0":
            return "nul"
        if not _FIRST_PRINTABLE <= ord(character) <= _LAST_ASCII:
            return "not-ascii"
        if character == "\\":
            return "backslash"
        if character == ";":
            return "path-parameter"
        if character == "#":
            return "fragment"
        if character != "/" and character not in _SEGMENT:
            return "odd-character"
    return None


def _escape_refusal(path: str) -> str | None:
    for found in _TRIPLET.finditer(path):
        refusal = _one_escape_refusal(found[1])
        if refusal is not None:
            return refusal
    return _text_refusal(unquote_to_bytes(path)) if "%" in path else None


def _one_escape_refusal(digits: str | None) -> str | None:
    if digits is None:
        return "bad-escape"
    character = chr(int(digits, 16))
    if character in _SEPARATORS:
        return _SEPARATORS[character]
    if character == "\0":
        return "nul"
    if character == ".":
        return "encoded-dot"
    if character in _CUT_SHORT:
        return "encoded-delimiter"
    if digits != digits.upper():
        return "lower-case-escape"
    return "needless-escape" if character in _SEGMENT else None


def _text_refusal(decoded: bytes) -> str | None:
    try:
        text = decoded.decode()  # strict: no overlong form, no surrogate (RFC 3629 section 3)
    except UnicodeDecodeError:
        return "bad-utf-8"
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        return "odd-character"
    # a full-width slash or dot becomes a plain one where a file system or framework normalises
    return None if unicodedata.normalize("NFKC", text) == text else "compatibility-character"


def _segments_refusal(path: str) -> str | None:
    segments = path.split("/")[1:]
    if segments[-1] == "":
        return "trailing-slash" if all(segments[:-1]) else "empty-segment"
    for segment in segments:
        if not segment:
            return "empty-segment"
        if segment in (".", ".."):
            return "dot-segment"
        if segment.endswith("."):
            return "trailing-dot"
    return None
