"""How a client presents a token: in one Authorization header, and nowhere else.

- RFC 6750 allows form and query too; RFC 9700 section 4.3.2 advises against, and we refuse both,
  and cookies: a token in a URL is a token in a log.
- Nothing is decoded here beyond the names of parameters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Final
from urllib.parse import unquote_plus

from iamrange.identity.names import ACCESS_TOKEN_TYPE
from iamrange.jose import Refusal, peek

MAX_LENGTH: Final = 8192
_MOST_LOOKED_AT: Final = 32
_PARAMETER: Final = re.compile(r"(?:^|[&;])\s*access_token\s*(?:[=&;]|$)", re.IGNORECASE)
_ANOTHER: Final = re.compile(r",\s*(bearer|dpop)\s", re.IGNORECASE)
# from the start of a run only: every "eyJ" within one would be read to its end
_COMPACT: Final = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class Scheme(StrEnum):
    """The HTTP authentication schemes that carry our tokens."""

    BEARER = "Bearer"
    DPOP = "DPoP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a protected resource, as far as its protection goes.

    `url` is what the client must have meant: the resource's own origin and the path as it came.
    `authorization`, `dpop` and `cookies` are the header values as they came, each header one.
    `form` is the body of a form, if it is one. `certificate` is the client's, in DER, from the
    peer that terminates TLS. `scopes` are those that the operation needs.
    """

    method: str
    url: str = field(repr=False)
    authorization: tuple[str, ...] = field(repr=False)
    dpop: tuple[str, ...] = field(default=(), repr=False)
    query: str = field(default="", repr=False)
    form: str = field(default="", repr=False)
    cookies: tuple[str, ...] = field(default=(), repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    scopes: frozenset[str] = frozenset()
    peer: str = ""
    user_agent: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Presented:
    """The scheme and token of a call, where there is one, and why that is not how to present it."""

    scheme: Scheme | None
    token: str | None = field(repr=False)
    refusal: Refusal | None = None


def presented(call: Call) -> Presented:
    """Return the token of a call, or why none is taken from it."""
    if any(len(value) > MAX_LENGTH for value in call.authorization):
        return Presented(None, None, Refusal("too-long", f"at most {MAX_LENGTH} characters"))
    found = _in_header(call.authorization)
    elsewhere = _elsewhere(call) if call.query or call.form or call.cookies else None
    if elsewhere is not None:
        return Presented(found.scheme, found.token, elsewhere)
    return found


def _in_header(values: tuple[str, ...]) -> Presented:
    if not values:
        return Presented(None, None, Refusal("no-token"))
    if len(values) > 1:
        return Presented(None, None, Refusal("several-authorizations"))
    # RFC 9110 section 11.4: a scheme, spaces, the rest; whether that is a token is asked later
    name, _, rest = values[0].partition(" ")
    scheme = _SCHEMES.get(name.lower())
    if scheme is None:
        return Presented(None, None, Refusal("no-token", "another authentication scheme"))
    token = rest.strip(" ")
    if not token:
        return Presented(scheme, None, Refusal("malformed-authorization"))
    if "," in token and _ANOTHER.search(token):
        # what a proxy makes of two headers
        return Presented(scheme, None, Refusal("several-authorizations"))
    return Presented(scheme, token)


_SCHEMES: Final = {scheme.lower(): scheme for scheme in Scheme}


def _elsewhere(call: Call) -> Refusal | None:
    """Return where else the call holds a token, under its name or recognisable as one of ours."""
    if _holds_token(call.query):
        return Refusal("token-in-query")
    if _holds_token(call.form):
        return Refusal("token-in-form")
    if any(_holds_token(cookie) for cookie in call.cookies):
        return Refusal("token-in-cookie")
    return None


def _holds_token(text: str) -> bool:
    decoded = unquote_plus(text)
    if _PARAMETER.search(decoded):
        return True
    if "eyJ" not in decoded:
        return False
    found = [one[0] for one in islice(_COMPACT.finditer(decoded), _MOST_LOOKED_AT)]
    # more than anyone sends by accident, and more than is worth looking at
    return len(found) == _MOST_LOOKED_AT or any(_is_ours(one) for one in found)


def _is_ours(text: str) -> bool:
    seen = peek(text, max_length=MAX_LENGTH)
    typ = seen.header.get("typ") if seen else None
    return isinstance(typ, str) and typ.lower().removeprefix("application/") == ACCESS_TOKEN_TYPE
