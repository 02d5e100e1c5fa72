"""The one gate that every token passes before a library sees it.

- No signature is checked here: what comes out is called unverified.
- The libraries accept duplicate members, `crit: []`, `typ` of another kind and more (see
  tests/unit/test_jose_gate.py); this gate refuses them for all of its callers.
- Total: any string gives a token or a refusal, never an exception.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.jose.profile import Profile

MAX_DEPTH = 16
# over bytes: text is translated ten times as slowly
_STANDARD = bytes.maketrans(b"-_", b"+/")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\Z")
DATES = ("exp", "nbf", "iat")
_NOTHING: tuple[Any, ...] = (None, "", [])
_LATEST_DATE = 2**40
_SHORT = 512
_TEXT_HEADERS = ("alg", "kid", "typ", "cty")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a token or key set was refused: a stable code and a detail that holds no token."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed token whose signature nobody has checked yet. Its repr shows no secret."""

    header: Mapping[str, Any] = field(repr=False)
    unverified_claims: Mapping[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def __repr__(self) -> str:
        """Show issuer, subject and expiry only."""
        shown = {name: self.unverified_claims.get(name) for name in ("iss", "sub", "exp")}
        return f"UnverifiedToken({shown!r})"


class DocumentError(ValueError):
    """A JSON document that the gate refuses; carries the refusal's code."""

    def __init__(self, code: str, detail: str) -> None:
        """Keep the code apart from the text."""
        super().__init__(detail)
        self.code = code


def parse(token: str, profile: Profile) -> UnverifiedToken | Refusal:
    """Return the token's parts if its form is right under the profile, else the refusal."""
    if len(token) > profile.max_length:
        return Refusal("too-long", f"{len(token)} characters, at most {profile.max_length}")
    form = _COMPACT.match(token)
    if form is None:
        return _without_signature(token)
    try:
        part = form[1]
        header = _header(part) if len(part) <= _SHORT else _object(_decode(part), "header")
        claims = _object(_decode(form[2]), "claims")
        signature = _decode(form[3])
    except DocumentError as error:
        return Refusal(error.code, str(error))
    unverified = UnverifiedToken(
        header=MappingProxyType(header),
        unverified_claims=MappingProxyType(claims),
        signing_input=f"{form[1]}.{form[2]}".encode(),
        signature=signature,
    )
    return _header_refusal(header, profile) or _claims_refusal(claims, profile) or unverified


def peek(token: str, *, max_length: int = 20_000) -> UnverifiedToken | None:
    """Read what can be read of a token that was refused: for records and for rogue clouds only.

    Nothing that this returns was checked: an honest decision never rests on it.
    """
    if len(token) > max_length:
        return None
    parts = token.split(".")
    try:
        header, claims = (_object(_decode(part), "part") for part in parts[:2])
        signature = _decode(parts[2]) if len(parts) > 2 and parts[2] else b""  # noqa: PLR2004 - header.payload.signature
    except (DocumentError, ValueError):
        return None
    return UnverifiedToken(
        header=MappingProxyType(header),
        unverified_claims=MappingProxyType(claims),
        signing_input=".".join(parts[:2]).encode(),
        signature=signature,
    )


def read_json(document: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON as the gate does: no duplicate members, no NaN, no deep nesting, UTF-8 only.

    Raises:
        DocumentError: the document is not such JSON.

    """
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError("malformed", "not UTF-8") from error
    if _depth(text) > MAX_DEPTH:
        raise DocumentError("too-deep", f"nested deeper than {MAX_DEPTH}")
    try:
        value = _decoder().decode(text)
        # a lone surrogate is no Unicode text: it could not be compared or shown later
        # (only an escape can name one: the document itself is UTF-8)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except DocumentError:
        raise
    except (ValueError, RecursionError) as error:
        raise DocumentError("malformed", "not JSON") from error
    return value


def base64url(value: bytes) -> str:
    """Encode as RFC 7515 section 2 does: URL alphabet, no padding."""
    encoded = binascii.b2a_base64(value, newline=False)
    return encoded.rstrip(b"=").translate(_URL_SAFE).decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Decode canonical base64url.

    Raises:
        DocumentError: another alphabet, padding, or non-zero trailing bits (RFC 4648 3.5).

    """
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise DocumentError("malformed", "not base64url")
    return _decode(text)


def _without_signature(token: str) -> Refusal:
    """Tell an unsigned token (`alg: none`) from text that is no token at all."""
    seen = peek(token)
    if seen is not None and not seen.signature and token.count(".") == 2:  # noqa: PLR2004 - two dots
        return Refusal("algorithm-not-allowed", "the token has no signature")
    return Refusal("malformed", "not a compact JWS")


def _decode(part: str) -> bytes:
    try:
        standard = part.encode("ascii").translate(_STANDARD)
        value = binascii.a2b_base64(standard + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as error:
        raise DocumentError("malformed", "not base64url") from error
    # whatever the decoder skipped, or took for its own alphabet, does not come out again
    if base64url(value) != part:
        raise DocumentError("malformed", "base64url is not canonical")
    return value


@lru_cache(maxsize=2048)
def _header(part: str) -> Mapping[str, Any]:
    """Read a header once: one key's tokens all begin with the same one. Bounded; never changed."""
    return _object(_decode(part), "header")


def _object(document: bytes, what: str) -> dict[str, Any]:
    value = read_json(document)
    if not isinstance(value, dict):
        raise DocumentError("malformed", f"{what} is not a JSON object")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise DocumentError("duplicate-member", "a member name is given twice")
    return members


def _no_constant(name: str) -> Any:  # noqa: ANN401 - never returns
    raise DocumentError("malformed", f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise DocumentError("malformed", "a number is out of range")
    return value


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
    )


def _depth(text: str) -> int:
    """Count nesting without recursion; brackets inside strings do not count."""
    brackets = text.count("[") + text.count("{")
    if brackets <= MAX_DEPTH:
        # not deeper than there are brackets: most documents need no closer look
        return brackets
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _header_refusal(header: Mapping[str, Any], profile: Profile) -> Refusal | None:
    not_text = [name for name in _TEXT_HEADERS if not isinstance(header.get(name, ""), str)]
    if not_text:
        return Refusal("malformed", f"header member {not_text[0]} is not text")
    if header.get("alg") not in profile.algorithms:
        return Refusal("algorithm-not-allowed", "alg is not one of those allowed")
    # We understand no extension (RFC 7515 4.1.11), and `crit: []` is forbidden there too.
    # `b64` is acted on by libraries even when it is not critical (RFC 7797 6).
    if "crit" in header or "b64" in header:
        return Refusal("critical-header", "crit and b64 are not supported")
    return _declared_header_refusal(header, profile)


def _declared_header_refusal(header: Mapping[str, Any], profile: Profile) -> Refusal | None:
    """Apply what only some profiles declare."""
    if profile.header_allow_list is not None and header.keys() - profile.header_allow_list:
        return Refusal("header-not-allowed", "a header member outside the allow-list")
    if profile.requires_kid and not header.get("kid"):
        return Refusal("missing-header", "kid")
    if profile.required_typ is not None and not _same_typ(header.get("typ"), profile.required_typ):
        return Refusal("wrong-typ", f"typ expected {profile.required_typ!r}")
    return None


def _same_typ(given: Any, expected: str) -> bool:  # noqa: ANN401 - any JSON value
    """Compare media types: without case, `application/` may be left out (RFC 7515 4.1.9)."""
    if not isinstance(given, str):
        return False
    return given.lower().removeprefix("application/") == expected.lower().removeprefix(
        "application/"
    )


def _claims_refusal(claims: Mapping[str, Any], profile: Profile) -> Refusal | None:
    missing = [n for n in profile.required_claims if claims.get(n) in _NOTHING]
    if missing:
        return Refusal("missing-claim", min(missing))
    for name in DATES:
        if name in claims and not is_date(claims[name], integer=profile.integer_dates):
            return Refusal("malformed", f"claim {name} is not a numeric date")
    for name in ("iss", "sub", "azp", "jti"):
        if name in claims and not isinstance(claims[name], str):
            return Refusal("malformed", f"claim {name} is not text")
    if "aud" in claims and not _is_audience(claims["aud"]):
        return Refusal("malformed", "claim aud is neither text nor a list of texts")
    return None


def is_date(value: Any, *, integer: bool = False) -> bool:  # noqa: ANN401 - any JSON value
    """Tell whether a claim is a NumericDate (RFC 7519 section 2) of a sane age."""
    if isinstance(value, bool) or not isinstance(value, int if integer else (int, float)):
        return False
    return bool(0 <= value <= _LATEST_DATE)


def _is_audience(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return True
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
