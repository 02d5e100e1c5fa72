"""What an Envoy of ours is for: its upstreams, its sidecars, its certificates, its limits.

- What would be misread, or regretted, is refused when the configuration is made.
- Certificates come as PEM: who issued them is another room's business.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iamrange.network.envoy_svid import WorkloadCertificate, check_bundle, check_lists, is_spiffe_id
from iamrange.network.names import canonical_host

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.network.ca import ServerCertificate

__all__ = [
    "MAX_SOCKET_PATH",
    "SECRET_HEADER",
    "Authorizer",
    "EnvoyConfig",
    "Limits",
    "Sidecar",
    "Upstream",
    "WorkloadCertificate",
    "check_socket",
    "new_secret",
]

SECRET_HEADER = "x-iamrange-edge"  # noqa: S105 - the header's name
MAX_SOCKET_PATH = 107
_SECRET = re.compile(r"[A-Za-z0-9_-]{32,}")  # a percent sign would be one of Envoy's own commands
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_MAX_SIDECARS = 200
_MAX_WORKERS = 64
_MAX_BODY = 16 << 20


def new_secret() -> str:
    """Return a fresh value for the header by which a service knows its edge."""
    return secrets.token_urlsafe(32)


def _check_hosts(what: str, hosts: tuple[str, ...]) -> None:
    if not hosts:
        raise ValueError(f"{what}: no host names")
    for host in hosts:
        if canonical_host(host) != host:
            raise ValueError(f"{what}: no host name: {host!r}")


def check_socket(what: str, path: Path) -> None:
    """Check that the path fits into a unix socket's address.

    Raises:
        ValueError: it is too long.
    """
    if len(str(path).encode()) > MAX_SOCKET_PATH:
        raise ValueError(f"{what}: expected at most {MAX_SOCKET_PATH} bytes, got {path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorizer:
    """The decision service: where it listens, how much of a call it is shown, how long it may take.

    A body that is longer is refused with 413, never shown in part: whoever hashes it must have
    all of it.
    """

    socket: Path
    body_bytes: int = 64 * 1024
    timeout: float = 1.0

    def __post_init__(self) -> None:
        """Check what Envoy would misread.

        Raises:
            ValueError: too long a path, no room for a body, or no time.
        """
        check_socket("authorizer socket", self.socket)
        if not 0 < self.body_bytes <= _MAX_BODY:
            raise ValueError(f"authorizer: body_bytes: expected 1 to {_MAX_BODY}")
        if not 0 < self.timeout <= 60:  # noqa: PLR2004 - a minute is no decision any more
            raise ValueError("authorizer: timeout: expected more than 0 and at most 60 seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A service's own listener: mutual TLS, for the listed SPIFFE ids and nobody else.

    `hosts` are its names in the mesh; `socket` is where the service listens.
    """

    name: str
    hosts: tuple[str, ...]
    accepts: tuple[str, ...]
    socket: Path
    svid: WorkloadCertificate

    def __post_init__(self) -> None:
        """Check what Envoy would misread.

        Raises:
            ValueError: a name, host, SPIFFE id or path that is none, or nobody is accepted.
        """
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"sidecar: no name: {self.name!r}")
        what = f"sidecar {self.name}"
        _check_hosts(what, self.hosts)
        check_socket(f"{what}: socket", self.socket)
        if not self.accepts:
            raise ValueError(f"{what}: accepts nobody")
        for spiffe_id in self.accepts:
            if not is_spiffe_id(spiffe_id):
                raise ValueError(f"{what}: accepts: no SPIFFE id: {spiffe_id!r}")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service: the host names that it answers for, and where it is reached.

    That is a unix socket, or a sidecar. `judged` calls are shown to the authorizer first; calls
    to others go through, because they judge their callers themselves.
    """

    hosts: tuple[str, ...]
    socket: Path | None = None
    judged: bool = field(default=False, kw_only=True)
    sidecar: Sidecar | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Check what Envoy would misread.

        Raises:
            ValueError: no host, or one that is no DNS name in lower case; too long a path; or not
                exactly one way to reach it.
        """
        what = f"upstream {self.socket or ', '.join(self.hosts)}"
        _check_hosts(what, self.hosts)
        if (self.socket is None) == (self.sidecar is None):
            raise ValueError(f"{what}: expected a socket or a sidecar")
        if self.socket is not None:
            check_socket("upstream socket", self.socket)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of the machine strangers may take; times in seconds."""

    connections: int = 1024
    sidecar_connections: int = 256
    """Of one sidecar's listener in the mesh; the gateway's own connections are not among them."""
    header_kib: int = 32
    header_count: int = 64
    body_bytes: int = 1 << 20
    handshake: float = 5
    headers: float = 10
    request: float = 30
    response: float = 15
    idle: float = 75
    connection: float = 300
    """Between gateway and sidecar: what was proved at a handshake is proved again after this."""
    upstream_connect: float = 2
    upstream_idle: float = 30
    """Below the 75 s after which our services close idle connections: Envoy closes them first."""
    memory_bytes: int = 256 << 20
    """Of Envoy's heap; what is beyond it when idle, some 50 MiB, is program."""
    log_bytes: int = 16 << 20
    """Of the access log: it is kept below twice this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyConfig:
    """One Envoy: its upstreams and sidecars, its first certificates, its secret.

    Each `unsafe_...` is one control left out, as operators leave it out.
    """

    upstreams: tuple[Upstream, ...]
    certificate: ServerCertificate
    secret: str = field(default_factory=new_secret, repr=False)
    limits: Limits = field(default_factory=Limits)
    authorizer: Authorizer | None = None
    sidecars: tuple[Sidecar, ...] = ()
    gateway_svid: WorkloadCertificate | None = None
    """What the edge presents to sidecars; its SPIFFE id alone may speak for agents there."""
    trust_bundle: str = field(default="", repr=False)
    """The authorities, as PEM, in which the certificates of sidecars and their callers end."""
    revocation_lists: str = field(default="", repr=False)
    """What those authorities have withdrawn, as PEM: a list (RFC 5280 section 5) of each."""
    workers: int = 1

    unsafe_sidecars_accept_anyone: bool = False
    """Permissive mutual TLS: a sidecar asks for no certificate, and takes whoever comes for the
    gateway."""
    unsafe_keeps_identity_headers: bool = False
    """What clients say about themselves stays; what the authorizer says is put behind it."""
    unsafe_raw_paths: bool = False
    """Paths are neither normalised nor refused: each server on the way reads its own meaning."""
    unsafe_ignores_withdrawal: bool = False
    """Nobody asks the revocation lists: a certificate is good until it ends."""

    def __post_init__(self) -> None:
        """Check what Envoy would accept and we would regret.

        Raises:
            ValueError: no upstream, a host or sidecar given twice, a secret that is too short, or
                a part missing that another one needs.
        """
        if not self.upstreams:
            raise ValueError("envoy: no upstreams")
        if not _SECRET.fullmatch(self.secret):
            raise ValueError("envoy: the edge's secret: expected 32 or more URL-safe characters")
        if not 1 <= self.workers <= _MAX_WORKERS:
            raise ValueError(f"envoy: workers: expected 1 to {_MAX_WORKERS}, got {self.workers}")
        hosts = self.hosts + tuple(host for sidecar in self.sidecars for host in sidecar.hosts)
        for host in hosts:
            if hosts.count(host) > 1:
                raise ValueError(f"envoy: host {host!r} has more than one upstream")
        if self.authorizer is None and any(upstream.judged for upstream in self.upstreams):
            raise ValueError("envoy: an upstream is judged, and there is no authorizer")
        self._check_mesh()

    def _check_mesh(self) -> None:
        names = [sidecar.name for sidecar in self.sidecars]
        if len(set(names)) != len(names) or len(names) > _MAX_SIDECARS:
            raise ValueError(f"envoy: sidecars: expected at most {_MAX_SIDECARS}, each name once")
        used = [upstream.sidecar for upstream in self.upstreams if upstream.sidecar is not None]
        for sidecar in used:
            if sidecar not in self.sidecars:
                raise ValueError(f"envoy: sidecar {sidecar.name} is not among the sidecars")
        if used and self.gateway_svid is None:
            raise ValueError("envoy: an upstream has a sidecar, and the gateway has no SVID")
        if self.sidecars:
            check_bundle(self.trust_bundle)
            if not self.unsafe_ignores_withdrawal:
                check_lists(self.trust_bundle, self.revocation_lists)

    @property
    def lists_asked(self) -> str:
        """The revocation lists that Envoy is given."""
        return "" if self.unsafe_ignores_withdrawal else self.revocation_lists

    @property
    def hosts(self) -> tuple[str, ...]:
        """All names that the edge answers for."""
        return tuple(host for upstream in self.upstreams for host in upstream.hosts)
