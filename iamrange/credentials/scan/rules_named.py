"""Rules that know a secret by where it stands: in a URL, a header, under a telling name. Pure."""

from __future__ import annotations

import re
from typing import Final

from iamrange.credentials.scan.rules_by_name import NAMES, NO_SECRET_VALUE, named
from iamrange.credentials.scan.rules_types import (
    BETWEEN,
    Level,
    SecretRule,
    by_pattern,
    entropy,
    random_looking,
)

_DATABASE: Final = re.compile(
    r"(?:(?i:postgres|mysql|mariadb|mongodb|redis|valkey|amqp|mssql|sqlserver|oracle|clickhouse"
    r"|cockroachdb|snowflake)[A-Za-z]{0,9}|(?i:jdbc):[A-Za-z]{3,12})(?:\+[A-Za-z0-9]{1,20})?"
    r"(?::[a-z]{3,12})?$"
)
_LONGEST_SCHEME: Final = 64
_USER: Final = r"""[^\s:/@"'`<>{}]{0,64}"""
_PASSWORD: Final = r"""(?P<secret>[^\s/@"'`<>\\]{3,256})@[A-Za-z0-9\[_%$.-]"""  # noqa: S105 - a pattern
_LEAST_ENTROPY: Final = 2.0
_FORMAT: Final = re.compile(r"[%$:{]\S*|\S*\}")
"""A password that something will put in."""

_HEADER: Final = r"(?i:authorization)" + BETWEEN + r"(?i:basic|bearer|token)\s{1,4}"
_CLIENT_SECRET: Final = r"(?i:client_?-?secret)" + BETWEEN


def _of_a_database(match: re.Match[str]) -> bool:
    at = match.start()
    return _DATABASE.search(match.string[max(0, at - _LONGEST_SCHEME) : at]) is not None


def _random_password(match: re.Match[str]) -> bool:
    secret = match["secret"]
    return entropy(secret) >= _LEAST_ENTROPY and not _FORMAT.fullmatch(secret)


NAMED: Final = (
    SecretRule(
        id="database-url",
        summary="A database's URL with a password in it.",
        keywords=("://",),
        find=by_pattern(
            r"://" + _USER + ":" + _PASSWORD,
            accepts=lambda match: _of_a_database(match) and _random_password(match),
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
                random_looking(match["secret"], 3.5) and not NO_SECRET_VALUE.match(match["secret"])
            ),
        ),
        source="RFC 6749 section 2.3.1",
    ),
    SecretRule(
        id="named-secret",
        summary="A value that looks random under a name that says it is secret.",
        keywords=NAMES,
        find=named,
        source="CWE-798",
        reach=200,
        last=True,
        level=Level.WARNING,
    ),
)
