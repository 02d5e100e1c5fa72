"""The process of one world that serves the embedded Pulumi providers to the engine."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.engine.endpoints import ProviderEndpoints


def serve_providers(*, ready: Callable[[Any], None], clouds: Mapping[str, Any]) -> None:
    """Serve until ended. `clouds` is what `clouds_of` makes; `ready` gets the providers' ports."""
    from iamrange.engine.server import serve  # noqa: PLC0415 - grpc must not run before the fork

    running = serve(_endpoints(clouds))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ready({"debug_providers": running.debug_providers})
    ended.wait()
    running.stop()


def _endpoints(clouds: Mapping[str, Any]) -> ProviderEndpoints:
    from iamrange.engine.endpoints import (  # noqa: PLC0415 - as above
        AccessKey,
        AwsEndpoint,
        GcpEndpoint,
        ProviderEndpoints,
        VaultEndpoint,
    )

    aws, gcp, vault = clouds["aws"], clouds["gcp"], clouds["vault"]
    return ProviderEndpoints(
        aws=AwsEndpoint(
            url=aws["url"],
            accounts={account: AccessKey(**key) for account, key in aws["keys"].items()},
            management=aws["management"],
            region=aws["region"],
        ),
        gcp=GcpEndpoint(url=gcp["url"], tokens=gcp["tokens"], numbers=gcp["numbers"]),
        vault=VaultEndpoint(url=vault["url"], token=vault["token"]),
    )
