"""Rules that know a secret by where it stands: in a URL, a header, under a telling name. Pure."""

from __future__ import annotations

import re
from typing import Final

from iamrange.credentials.scan.rules_types import (
    BETWEEN,
    Flavour,
    Hit,
    Level,
    SecretRule,
    by_pattern,
    entropy,
    made_of_words,
    random_looking,
)

_DATABASES: Final = (
    "postgres",
    "mysql",
    "mariadb",
    "mongodb",
    "redis",
    "valkey",
    "amqp",
    "mssql",
    "sqlserver",
    "oracle",
    "clickhouse",
    "cockroachdb",
    "snowflake",
    "jdbc:",
)
_USER: Final = r"""[^\s:/@"'`<>{}]{0,64}"""
_PASSWORD: Final = r"""(?P<secret>[^\s/@"'`<>\\]{3,256})@[A-Za-z0-9\[_%$.-]"""  # noqa: S105 - a pattern
_LEAST_ENTROPY: Final = 2.0
_FORMAT: Final = re.compile(r"[%$:{]\S*|\S*\}")
"""A password that something will put in."""

_HEADER: Final = r"(?i:authorization)" + BETWEEN + r"(?i:basic|bearer|token)\s{1,4}"
_CLIENT_SECRET: Final = r"(?i:client_?-?secret)" + BETWEEN
_VALUE: Final = r"""(?P<secret>[^\s"'`,;<>(){}\[\]\\]{8,512})"""
_NAMES: Final = (
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
)
_NAMED: Final = re.compile(
    r"(?i:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private_?key"
    r"|auth_?key|credentials?|encryption_key|signing_key)"
    r"(?P<more>[\w.-]{0,24})(?P<q1>[\\\"']{0,4}\]?)\s{0,8}"
    r"(?:(?::\s?[A-Za-z]{1,12}\s?)?=>?|:=?)\s{0,8}[rbuf]?(?P<q2>[\\\"'`]{0,4})" + _VALUE
)
_A_PASSWORD: Final = re.compile(r"(?i)pass|pwd")
_NO_SECRET_NAME: Final = re.compile(
    r"(?i)(?:hash|digest|sum|name|id|ids|file|path|dir|folder|url|uri|endpoint|host|type|kind|env"
    r"|field|label|length|len|size|count|max|min|limit|ttl|expiry|expires|expiration|arn|ref"
    r"|version|prefix|suffix|format|regex|pattern|policy|rule|class|provider|manager|store|source"
    r"|scope|scopes|audience|issuer|status|state|alg|algorithm|hint|address|bucket|index|s)$"
)
_NO_SECRET_VALUE: Final = re.compile(
    r"(?i)(?:https?://|/|\./|~/|\$|arn:|spiffe://|urn:|sha\d{3}[:-]|[a-z_]+(?:\.[a-z_]+)+$"
    r"|[a-z]+(?:[-_.][a-z]+)*$|[a-z0-9-]+:[a-z*]+$|[\d.:T+-]+Z?$|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$)"
)


def _random_password(match: re.Match[str]) -> bool:
    secret = match["secret"]
    return entropy(secret) >= _LEAST_ENTROPY and not _FORMAT.fullmatch(secret)


def _named(text: str, at: int, flavour: Flavour) -> Hit | None:
    match = _NAMED.match(text, at)
    if match is None:
        return None
    secret, quoted = match["secret"], bool(match["q2"])
    if not quoted and flavour is not Flavour.CONFIGURATION:
        return None
    more = match["more"].lower().strip("_.-")
    if _NO_SECRET_NAME.search(more) or more.startswith(("_id", "name")):
        return None
    after = text[match.end() : match.end() + 1]
    if not quoted and after and after not in " \t\r\n#,;":
        return None  # an expression, not a value
    if _NO_SECRET_VALUE.match(secret) or not random_looking(secret, 3.0):
        return None
    if not _A_PASSWORD.match(text, at) and made_of_words(secret):
        return None
    return Hit(*match.span("secret"))


NAMED: Final = (
    SecretRule(
        id="database-url",
        summary="A database's URL with a password in it.",
        keywords=_DATABASES,
        find=by_pattern(
            r"(?i:jdbc:)?[A-Za-z]{3,12}(?:\+[A-Za-z0-9]{1,20})?(?::[a-z]{3,12})?://"
            + _USER
            + ":"
            + _PASSWORD,
            accepts=_random_password,
        ),
        source="RFC 3986 section 3.2.1",
    ),
    SecretRule(
        id="basic-auth-url",
        summary="A URL with a user and a password in it.",
        keywords=("://",),
        find=by_pattern(r"://" + _USER + ":" + _PASSWORD, accepts=_random_password),
        source="RFC 3986 section 3.2.1",
    ),
    SecretRule(
        id="authorization-header",
        summary="Credentials in an Authorization header.",
        keywords=("authorization",),
        find=by_pattern(
            _HEADER + r"(?P<secret>[A-Za-z0-9._~+/-]{12,2048}={0,2})",
            accepts=lambda match: random_looking(match["secret"], 3.0),
        ),
        source="RFC 7617, RFC 6750",
    ),
    SecretRule(
        id="client-secret",
        summary="An OAuth client's secret, as the range's token service takes one.",
        keywords=("client_secret", "clientsecret", "client-secret"),
        find=by_pattern(
            _CLIENT_SECRET + r"(?P<secret>[A-Za-z0-9_~.-]{16,256})(?![A-Za-z0-9_(\[])",
            accepts=lambda match: (
                random_looking(match["secret"], 3.5) and not _NO_SECRET_VALUE.match(match["secret"])
            ),
        ),
        source="RFC 6749 section 2.3.1",
    ),
    SecretRule(
        id="named-secret",
        summary="A value that looks random under a name that says it is secret.",
        keywords=_NAMES,
        find=_named,
        source="CWE-798",
        reach=200,
        last=True,
        level=Level.WARNING,
    ),
)
