"""Serves the embedded providers: one gRPC server a package, on a port the kernel picks.

- Nothing is opened at import: a range forks from a parent that has this module loaded.
- The packages have ports of their own because a request does not name its package.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from iamrange.engine.aws_types.package import aws_package
from iamrange.engine.endpoints import (
    AccessKey,
    AwsEndpoint,
    GcpEndpoint,
    ProviderEndpoints,
)
from iamrange.engine.gcp_types.package import gcp_package
from iamrange.engine.provider import Provider
from iamrange.engine.vault_types.package import vault_package

if TYPE_CHECKING:
    from iamrange.engine.package import Package

__all__ = ["AccessKey", "AwsEndpoint", "GcpEndpoint", "ProviderEndpoints", "Running", "serve"]

_LARGEST_MESSAGE = 400 * 1024 * 1024  # as Pulumi's own plugins: a state may be large
_WORKERS = 16


class Running:
    """The providers being served."""

    def __init__(self, servers: dict[str, tuple[Any, int]], pool: ThreadPoolExecutor) -> None:
        """Take over the started servers and the threads they share."""
        self._servers = servers
        self._pool = pool

    @property
    def debug_providers(self) -> str:
        """The value of PULUMI_DEBUG_PROVIDERS that makes the engine use these providers."""
        return ",".join(f"{name}:{port}" for name, (_, port) in self._servers.items())

    def stop(self) -> None:
        """Close the ports and end the threads; idempotent."""
        ending = [server.stop(grace=1.0) for server, _ in self._servers.values()]
        for event in ending:
            event.wait()
        self._pool.shutdown(wait=True)


def serve(endpoints: ProviderEndpoints) -> Running:
    """Serve the AWS, Google Cloud and Vault packages on loopback.

    Raises:
        OSError: no port could be opened.
    """
    pool = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="provider")
    servers = {package.name: _start(package, pool) for package in _packages(endpoints)}
    return Running(servers, pool)


def _packages(endpoints: ProviderEndpoints) -> tuple[Package, ...]:
    return aws_package(endpoints.aws), gcp_package(endpoints.gcp), vault_package(endpoints.vault)


def _start(package: Package, pool: ThreadPoolExecutor) -> tuple[Any, int]:
    server = grpc.server(
        pool,
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            ("grpc.so_reuseport", 0),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(package), server)
    port = server.add_insecure_port("127.0.0.1:0")
    if not port:
        raise OSError(f"the {package.name} provider got no port on loopback")
    server.start()
    return server, port
