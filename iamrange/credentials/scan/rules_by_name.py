"""A value that looks random under a name that says it is secret, however the two are written. Pure.

Settings, code (also typed, as an argument, or with a default), a command's flags, Dockerfile's and
C's directives, SQL, XML, a URL's query, a header in a string.
"""

from __future__ import annotations

import re
from typing import Final

from iamrange.credentials.scan.rules_types import (
    Flavour,
    Hit,
    made_of_words,
    random_base64,
    random_looking,
)

NAMES: Final = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "accesskey",
    "access-key",
    "private_key",
    "privatekey",
    "auth_key",
    "authkey",
    "credential",
    "encryption_key",
    "signing_key",
    "_pass",
    "requirepass",
    "identified by",
    "_key=",
    "_key = ",
)
_VALUE: Final = r"""(?P<secret>[^\s"'`,;<>(){}\[\]\\]{8,512})"""
_NAMED: Final = re.compile(
    r"(?P<name>(?i:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key"
    r"|private_?key|auth_?key|credentials?|encryption_key|signing_key|requirepass|identified by"
    r"|_pass(?![a-z]))|_KEY(?![A-Za-z]))"
    r"(?P<more>[\w.-]{0,24}+)(?P<q1>[\\\"']{0,4}+[\])]?+)"
    r"(?P<sep>\s{0,8}+(?:(?::\s?[A-Za-z]{1,12}\s?)?=>?|:=?)\s{0,8}+"
    r"|\s{0,4}:\s{0,4}[&A-Za-z][^=:\"'`\n]{0,40}=\s{0,8}"  # a type
    r"|\s{0,2},\s{0,8}"  # an argument
    r"|\s{0,2}(?:\|\||\?\?|or)\s{0,2}"  # a default
    r"|>|[ \t]{1,4}value=|[ \t]{1,8})"
    r"(?P<call>(?:[A-Za-z_][\w.]{1,30}\((?:default=)?)?)"
    r"(?:[rbuf](?=[\\\"'`]))?(?P<q2>[\\\"'`]{0,4})" + _VALUE
)
_A_PASSWORD: Final = re.compile(r"(?i)_?pass|pwd|requirepass|identified")
_NO_SECRET_NAME: Final = re.compile(
    r"(?i)(?:hash|digest|sum|name|id|ids|file|path|dir|folder|url|uri|endpoint|host|type|kind|env"
    r"|field|label|length|len|size|count|max|min|limit|ttl|expiry|expires|expiration|arn|ref"
    r"|version|prefix|suffix|format|regex|pattern|policy|rule|class|provider|manager|store|source"
    r"|scope|scopes|audience|issuer|status|state|alg|algorithm|hint|address|bucket|index|s"
    r"|izer|header)$"
)
_NO_KEY: Final = re.compile(
    r"(?:PUBLIC|PUB|PRIMARY|FOREIGN|CACHE|SORT|KMS|HOST|UNIQUE|PARTITION|GROUP|REGISTRY|INDEX|KNOWN)$"
)
_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_UUID_NAMES: Final = re.compile(r"(?i)secret[_-]?id|(?:api[_-]?key|password|passwd)")
NO_SECRET_VALUE: Final = re.compile(
    r"(?i)(?:[a-z][a-z0-9+.-]{1,24}://|/|\./|~/|\$|arn:|spiffe://|urn:|sha\d{3}[:-]"
    r"|[a-z_]+(?:\.[a-z_]+)+$|[a-z]+(?:[-_.][a-z]+)*$|[a-z0-9-]+:[a-z*]+$|[\d.:T+-]+Z?$"
    r"|x-[a-z-]+\d*$|(?-i:[a-z]{3,}[a-z-]*)/|(?:vault|keyring|secretref|ssm|secretsmanager):"
    r"|(?-i:Ag)[A-Za-z0-9+/]{300,}|ENC\b)"  # what a sealed secret or SOPS has encrypted
)
_A_NAME: Final = re.compile(r"[A-Za-z]+\d{0,3}(?:[-_./][A-Za-z]*\d{0,8}){1,12}[*!]{0,2}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")
_DIRECTIVE: Final = re.compile(
    r"\s*(?:#\s*define|ENV|ARG|set|setenv|set\s+-\w+|export|[%!]env|%set_env|proxy_set_header)\s+[\w-]*"
)
_FLAG: Final = re.compile(r"(?:^|[\s\"'])--?[A-Za-z][\w-]*$|(?:^|[\s\"'])--?$")
_BEFORE: Final = 80
_ENDS: Final = " \t\r\n#,;\"'`&\\|<"
_LEAST, _LEAST_IN_A_STRING, _LEAST_KEY = 3.0, 3.3, 3.2
_LEAST_KEY_CHARACTERS: Final = 16


def named(text: str, at: int, flavour: Flavour) -> Hit | None:
    """Return the value that stands under the name here, if it looks like a secret."""
    match = _NAMED.match(text, at)
    if match is None or not any(c.isdigit() for c in match["secret"]):
        return None  # most are words
    began = max(text.rfind("\n", max(0, at - _BEFORE), at) + 1, at - _BEFORE, 0)
    before = text[began:at]
    if not _is_written(match, before, flavour):
        return None
    start, end = match.span("secret")
    if re.search(r"[?&][\w.-]*$", before):  # a URL's query
        end = start + len(match["secret"].split("&", 1)[0])
    secret = text[start:end]
    if _UUID.fullmatch(secret):
        called = match["name"] + match["more"]
        return Hit(start, end) if _UUID_NAMES.fullmatch(called) else None
    if not _is_secret_name(match, before) or not _is_secret_value(match, secret):
        return None
    return Hit(start, end)


def _is_written(match: re.Match[str], before: str, flavour: Flavour) -> bool:
    """Tell whether name and value stand together in one of the ways that people write them."""
    quoted, sep = bool(match["q2"].strip("\\")), match["sep"].strip()
    after = match.string[match.end() : match.end() + 2]
    if sep == ">":
        return after == "</"
    if not sep:
        return _is_sql(match, before) or (
            _is_told(match, before)
            and (quoted or (flavour is Flavour.CONFIGURATION and _ends(after)))
        )
    if _is_loose(match):
        is_name = sep != "," or (bool(match["q1"]) and match["name"].isupper())
        return quoted and is_name and _is_random(match["secret"])
    if quoted:
        return True
    # what goes on behind it is an expression, not a value
    return _ends(after) and (flavour is Flavour.CONFIGURATION or _in_a_string(match, before))


def _is_loose(match: re.Match[str]) -> bool:
    """Tell whether there is more between name and value than a sign: a type, a call, a default."""
    sep = match["sep"].strip()
    typed = sep.startswith(":") and " " in sep[1:-1].strip()
    return typed or bool(match["call"]) or sep in (",", "||", "??", "or", "value=")


def _is_sql(match: re.Match[str], before: str) -> bool:
    name = match["name"].lower()
    told = match["name"].isupper() or name == "identified by" or "with" in before.lower()
    return (
        match["q2"] == "'" and not match["more"] and told and name in ("password", "identified by")
    )


def _is_told(match: re.Match[str], before: str) -> bool:
    """Tell whether a directive or a command's flag gives the value, with no sign between."""
    if match["name"] == "requirepass":
        return True
    return _DIRECTIVE.fullmatch(before) is not None or _FLAG.search(before) is not None


def _ends(after: str) -> bool:
    return not after or after[0] in _ENDS


def _in_a_string(match: re.Match[str], before: str) -> bool:
    """Tell whether name and value are both in one string of code, as in a header or a DSN."""
    inside = any(before.count(mark) % 2 for mark in "\"'`")
    return inside and _is_random(match["secret"])


def _is_random(secret: str) -> bool:
    """Tell whether a value looks random enough to be taken where a value is not plainly given."""
    named = _A_NAME.fullmatch(secret) is not None or made_of_words(secret)
    return random_looking(secret, _LEAST_IN_A_STRING) and not named


def _is_secret_name(match: re.Match[str], before: str) -> bool:
    more = match["more"].lower().strip("_.-")
    if match["name"] == "_KEY" and _NO_KEY.search(before):
        return False
    return not _NO_SECRET_NAME.search(more) and not more.startswith(("_id", "name"))


def _is_secret_value(match: re.Match[str], secret: str) -> bool:
    if match["name"] == "_KEY":
        long = len(secret) >= _LEAST_KEY_CHARACTERS and random_looking(secret, _LEAST_KEY)
        if not long or _A_NAME.fullmatch(secret):
            return False
    elif not random_looking(secret, _LEAST):
        return False
    if NO_SECRET_VALUE.match(secret) and not _is_base64(secret):
        return False
    return bool(_A_PASSWORD.match(match["name"])) or not made_of_words(secret)


def _is_base64(secret: str) -> bool:
    """Tell whether a value with a slash in front is base64 of random bytes rather than a path."""
    return (
        _BASE64.fullmatch(secret) is not None
        and not secret.startswith("Ag")
        and random_base64(secret)
    )
