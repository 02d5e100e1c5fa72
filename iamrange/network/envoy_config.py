"""What an Envoy of ours is for: its upstreams, its certificate, its secret, its limits.

- What would be misread, or regretted, is refused when the configuration is made.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iamrange.network.names import canonical_host

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.network.ca import ServerCertificate

SECRET_HEADER = "x-iamrange-edge"  # noqa: S105 - the header's name
_SECRET = re.compile(r"[A-Za-z0-9_-]{32,}")  # a percent sign would be one of Envoy's own commands
_MAX_SOCKET_PATH = 107


def new_secret() -> str:
    """Return a fresh value for the header by which a service knows its edge."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service: the host names that it answers for, and the unix socket where it listens."""

    hosts: tuple[str, ...]
    socket: Path

    def __post_init__(self) -> None:
        """Check what Envoy would misread.

        Raises:
            ValueError: no host, or one that is no DNS name in lower case; or too long a path.
        """
        if not self.hosts:
            raise ValueError(f"upstream {self.socket}: no host names")
        for host in self.hosts:
            if canonical_host(host) != host:
                raise ValueError(f"upstream {self.socket}: no host name: {host!r}")
        if len(str(self.socket).encode()) > _MAX_SOCKET_PATH:
            raise ValueError(
                f"upstream socket: expected at most {_MAX_SOCKET_PATH} bytes, got {self.socket}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of the machine strangers may take; times in seconds."""

    connections: int = 1024
    header_kib: int = 32
    header_count: int = 64
    body_bytes: int = 1 << 20
    handshake: float = 5
    headers: float = 10
    request: float = 30
    response: float = 15
    idle: float = 75
    upstream_connect: float = 2
    upstream_idle: float = 30
    """Below the 75 s after which our services close idle connections: Envoy closes them first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyConfig:
    """One Envoy: its upstreams, its first server certificate, its secret."""

    upstreams: tuple[Upstream, ...]
    certificate: ServerCertificate
    secret: str = field(default_factory=new_secret, repr=False)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Check what Envoy would accept and we would regret.

        Raises:
            ValueError: no upstream, a host given twice, or a secret that is too short.
        """
        if not self.upstreams:
            raise ValueError("envoy: no upstreams")
        if not _SECRET.fullmatch(self.secret):
            raise ValueError("envoy: the edge's secret: expected 32 or more URL-safe characters")
        hosts = self.hosts
        for host in hosts:
            if hosts.count(host) > 1:
                raise ValueError(f"envoy: host {host!r} has more than one upstream")

    @property
    def hosts(self) -> tuple[str, ...]:
        """All names that the listener answers for."""
        return tuple(host for upstream in self.upstreams for host in upstream.hosts)
