"""Request URIs as RFC 9449 compares them: normalised by syntax and scheme, query left out.

- RFC 3986 section 6.2.2 (case, percent-encoding, dot segments) and 6.2.3 (default ports, empty
  path); nothing beyond: what is then different, is different.
- Total: any text gives a normalised URI or None. Python's own URL parser drops tabs and newlines
  and lets backslashes pass, so the form is checked here first.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MAX_LENGTH: Final = 2048
_FORM: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)"
    r"(?::(?P<port>[0-9]*))?"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*)"
    r"(?:\?[\x21-\x22\x24-\x7e]*)?"
    r"(?:\#[\x21-\x7e]*)?\Z"
)
_ENCODED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@lru_cache(maxsize=1024)
def normalised(uri: str) -> str | None:
    """Return the URI in its normal form, without query and fragment; None if it is none."""
    if len(uri) > MAX_LENGTH:
        return None
    form = _FORM.match(uri)
    if form is None:
        return None
    scheme = form["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        return None
    host = _ENCODED.sub(_decoded, form["host"]).lower()
    # an empty port is the default one (section 6.2.3)
    port = int(form["port"][:6]) if form["port"] else _DEFAULT_PORTS[scheme]
    shown = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    path = _without_dots(_ENCODED.sub(_decoded, form["path"]))
    return f"{scheme}://{host}{shown}{path or '/'}"


def _decoded(found: re.Match[str]) -> str:
    """Decode what need not be encoded; write the rest in upper case (6.2.2.1 and 6.2.2.2)."""
    character = chr(int(found[0][1:], 16))
    return character if character in _UNRESERVED else found[0].upper()


def _without_dots(path: str) -> str:
    """Remove dot segments (section 5.2.4)."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
