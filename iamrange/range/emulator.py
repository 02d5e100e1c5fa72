"""An AWS emulator that is running already: where it is, what it is, and accounts of our own in it.

- It is on loopback, as all that the range talks to. Its state is its user's: each world works in
  accounts that it made up, and deletes what it has made there.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from iamrange.clouds.aws.upstream import UpstreamDownError
from iamrange.range.content import imported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.upstream_kinds import Recognised

DEFAULT_PORT = 4566
_RECOGNISE = "iamrange.clouds.aws.upstream_kinds:recognise"
_LACKING = "iamrange.clouds.aws.upstream_kinds:lacking"
_ACCOUNT_DIGITS = 12


class EmulatorUrlError(ValueError):
    """A URL that no emulator can be at."""


class EmulatorDownError(Exception):
    """Nothing answers where the emulator should be; the message says how to start one."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator, as it says itself; `lacking` are the services that it does not have."""

    url: str
    kind: str
    version: str
    lacking: tuple[str, ...] = ()


def loopback_url(url: str) -> str:
    """Return an emulator's base URL.

    Raises:
        EmulatorUrlError: it is not http on a loopback address and a port.
    """
    expected = EmulatorUrlError(f"expected http://HOST:PORT on loopback, got {url!r}")
    try:
        parts = urlsplit(url)
        # A literal address, so that no resolver is asked and no name can be pointed elsewhere.
        local = parts.hostname in ("localhost", "localhost.localstack.cloud")
        address = ipaddress.ip_address("127.0.0.1" if local else parts.hostname or "")
        port = parts.port
    except ValueError as error:
        raise expected from error
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme != "http" or not address.is_loopback or port is None or not plain:
        raise expected
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"  # noqa: PLR2004 - IPv6


def localstack_url(environment: Mapping[str, str]) -> str:
    """Return where LocalStack is, by localstack-client's conventions.

    `AWS_ENDPOINT_URL`, else `LOCALSTACK_HOST` with or without a port, else 127.0.0.1; the port is
    `EDGE_PORT` or 4566. https://github.com/localstack/localstack-python-client

    Raises:
        EmulatorUrlError: it is not on loopback.
    """
    named = environment.get("AWS_ENDPOINT_URL")
    if named:
        return loopback_url(named)
    host, _, port = (environment.get("LOCALSTACK_HOST") or "127.0.0.1").partition(":")
    return loopback_url(f"http://{host}:{port or environment.get('EDGE_PORT') or DEFAULT_PORT}")


def find_emulator(url: str) -> Emulator:
    """Ask what answers at a URL.

    Raises:
        EmulatorDownError: nothing does.
    """
    try:
        # By path: a range without an emulator needs no HTTP client for one.
        found: Recognised = asyncio.run(imported(_RECOGNISE)(url))
        lacking: tuple[str, ...] = asyncio.run(imported(_LACKING)(url, found.kind))
    except UpstreamDownError as error:
        raise EmulatorDownError(
            f"no emulator answers at {url}; way out: start LocalStack there, "
            "or name another by AWS_ENDPOINT_URL or LOCALSTACK_HOST"
        ) from error
    return Emulator(url, str(found.kind), found.version, lacking)


def in_fresh_accounts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stack's config with every account's id replaced by one that nobody else uses."""
    named = [config.get("iamrange:accounts"), config.get("iamrange:vendor")]
    values = [value for part in named if isinstance(part, dict) for value in part.values()]
    fresh = {
        value: _random_account()
        for value in values
        if isinstance(value, str) and value.isdigit() and len(value) == _ACCOUNT_DIGITS
    }
    return {key: _replaced(value, fresh) for key, value in config.items()}


def _random_account() -> str:
    return str(10 ** (_ACCOUNT_DIGITS - 1) + secrets.randbelow(9 * 10 ** (_ACCOUNT_DIGITS - 1)))


def _replaced(value: Any, fresh: Mapping[str, str]) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, str):
        return fresh.get(value, value)
    if isinstance(value, list):
        return [_replaced(item, fresh) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, fresh) for key, item in value.items()}
    return value
