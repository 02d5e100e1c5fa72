"""Names whose values are secrets whatever they look like, and how they stand in texts. Pure.

The scanner's rules ask that a named value look random: in a repository a short one is mostly an
example. In a log it is somebody's password.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from iamrange.credentials.scan.rules import RULE_OF, RULES, jwt_part
from iamrange.credentials.scan.rules_types import Flavour, Hit, SecretRule, by_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES: Final = (
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "client_secret",
    "client_assertion",
    "assertion",
    "access_token",
    "refresh_token",
    "id_token",
    "subject_token",
    "actor_token",
    "session_token",
    "auth_token",
    "bearer_token",
    "vault_token",
    "private_token",
    "security_token",
    "secret_access_key",
    "secret_key",
    "secret_id",
    "private_key",
    "api_key",
    "code_verifier",
    "x_amz_signature",
    "x_goog_signature",
)
"""In snake case; other spellings are the same name."""

_WHOLE_LINES: Final = ("cookie", "set_cookie")
_SCHEMED: Final = ("authorization", "proxy_authorization")
_ALONE: Final = frozenset(
    name.replace("_", "") for name in (*NAMES, *_WHOLE_LINES, *_SCHEMED)
) | frozenset({"xapikey", "xvaulttoken", "xauthtoken", "xamzsecuritytoken", "awssecretaccesskey"})
_ENDINGS: Final = tuple(name.replace("_", "") for name in NAMES)
_SEPARATORS: Final = re.compile(r"[-_. ]")
_SCHEME: Final = re.compile(
    r"(?i)(basic|bearer|dpop|token|negotiate|digest|apikey|aws4-hmac-sha256)\s+"
)
_LONGEST_NAME: Final = 64
_TELLING: Final = RULE_OF["named-secret"].keywords
JWK_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
"""RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1."""


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Tell whether a member of this name holds a secret, whatever it looks like."""
    plain = _SEPARATORS.sub("", name.lower())
    return plain in _ALONE or plain.endswith(_ENDINGS)


@lru_cache(maxsize=4096)
def is_telling(name: str) -> bool:
    """Tell whether a member of this name holds a secret if its value looks like one."""
    return len(name) <= _LONGEST_NAME and any(word in name.lower() for word in _TELLING)


def scheme_of(value: str) -> int:
    """Return how many characters of a header's value name its scheme."""
    found = _SCHEME.match(value)
    return found.end() if found else 0


def _spellings(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((name, name.replace("_", "-"), name.replace("_", ""))))


_NAMED: Final = "(?:" + "|".join(name.replace("_", "[_-]?") for name in NAMES) + ")"
_QUOTES: Final = r"""[\\"']"""
_QUOTED: Final = (
    rf"(?i:{_NAMED})"
    + _QUOTES
    + r"{0,4}\]?\s{0,4}(?:=>|:=|=|:)\s{0,4}[rbuf]?"
    + _QUOTES
    + r"""{1,4}(?P<secret>[^"'\\\r\n]{1,4096})"""
    + _QUOTES
)
_ASSIGNED: Final = (
    rf"(?i:{_NAMED})" + r"""=(?P<secret>(?![=~])[^\s"'`&;,<>\\(){}]{1,4096})(?![(\[{])"""
)
_HEADERS: Final = (
    "x-vault-token",
    "x-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-goog-api-key",
    "private-token",
)
_HEADER: Final = r"(?i:" + "|".join(_HEADERS) + r"):\s{0,4}(?P<secret>[^\s\"'`,;<>\\]{1,4096})"
_COOKIE: Final = (
    r"(?i:(?:set-)?cookie)"
    + _QUOTES
    + r"{0,4}\s{0,4}:\s{0,4}"
    + (_QUOTES + r"""{0,4}(?P<secret>[^"'\\\r\n]{0,2048}=[^"'\\\r\n]{0,4096})""")
)
_AUTHORIZATION: Final = (
    r"(?i:authorization)"
    + _QUOTES
    + r"{0,4}\s{0,4}[:=,]\s{0,4}[rbuf]?"
    + _QUOTES
    + r"{0,4}(?i:basic|bearer|dpop|token|negotiate|apikey)\s{1,4}"
    + r"(?P<secret>[A-Za-z0-9._~+/=-]{4,8192})"
)
_SIGNATURE: Final = r"(?i:aws4-hmac-sha256)\s[^\r\n]{0,1024}?Signature=(?P<secret>[0-9a-f]{64})"
_LONG: Final = 20
_JOSE: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+){0,4}")


def _a_credential(match: re.Match[str]) -> bool:
    value = match["secret"]
    return len(value) >= _LONG or any(c.isdigit() or c in "=+/" for c in value)


def _begins_a_name(text: str, at: int) -> bool:
    return not (at and text[at - 1].isalnum())


def _member(*patterns: str) -> Callable[[str, int, Flavour], Hit | None]:
    found = by_pattern(*patterns)

    def find(text: str, at: int, flavour: Flavour) -> Hit | None:
        return found(text, at, flavour) if _begins_a_name(text, at) else None

    return find


def _token(text: str, at: int, _flavour: Flavour) -> Hit | None:
    """See whatever of a JWS or JWE is there, however short it was cut.

    JSON in base64 begins like one; without an algorithm it is looked into instead.
    """
    match = _JOSE.match(text, at)
    if match is None:
        return None
    header, dot, _ = match[0].partition(".")
    said = jwt_part(header)
    if said and not dot and not {"alg", "enc"} & said.keys():
        return None
    return Hit(*match.span())


_SOURCE: Final = "CWE-532"
OF_LOGS: Final = (
    SecretRule(
        id="secret-member",
        summary="A member of a form, a query or an object, by its name.",
        keywords=tuple(spelling for name in NAMES for spelling in _spellings(name)),
        find=_member(_QUOTED, _ASSIGNED),
        source=_SOURCE,
        reach=4096,
    ),
    SecretRule(
        id="secret-header",
        summary="A header that carries a credential alone.",
        keywords=_HEADERS,
        find=_member(_HEADER),
        source=_SOURCE,
        reach=4096,
    ),
    SecretRule(
        id="cookie",
        summary="What cookies hold.",
        keywords=("cookie",),
        find=by_pattern(_COOKIE),
        source="RFC 6265",
        reach=4096,
    ),
    SecretRule(
        id="authorization",
        summary="Credentials in an Authorization header, however short.",
        keywords=("authorization", "aws4-hmac-sha256"),
        find=by_pattern(_AUTHORIZATION, _SIGNATURE, accepts=_a_credential),
        source="RFC 9110 section 11.6.2",
        reach=4096,
    ),
    SecretRule(
        id="token",
        summary="A JWS or JWE, or the beginning of one.",
        keywords=("eyj",),
        find=_token,
        source="RFC 7515, RFC 7516",
        reach=4096,
    ),
)

_NAMES_NO_SECRET: Final = frozenset({"aws-access-key-id"})
"""An access key's id is in every trail of AWS's, and what lines are joined by: it stays."""

REDACTED: Final = (*(rule for rule in RULES if rule.id not in _NAMES_NO_SECRET), *OF_LOGS)
"""The rules of redaction: the scanner's, then those for logs."""
