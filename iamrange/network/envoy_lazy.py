"""An Envoy that starts at the first connection to one of its names.

- Most worlds of a range never use theirs, and an idle one holds some 60 MiB.
- Connections that come while it starts wait for the same start; each hears of its failure.
- One that died is started again by the next connection; `deaths` counts.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from iamrange.network.envoy import EnvoyDiedError, EnvoyError, EnvoyProcess
from iamrange.network.proxy import TargetDownError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from iamrange.network.ca import ServerCertificate
    from iamrange.network.envoy_config import EnvoyConfig, WorkloadCertificate

_RETRY_AFTER = 1.0


class LazyEnvoy:
    """A target for `Proxy`: call it for the address of the running Envoy."""

    def __init__(
        self,
        configure: Callable[[], EnvoyConfig],
        folder: Path,
        *,
        retry_after: float = _RETRY_AFTER,
    ) -> None:
        """Describe the Envoy; `configure` is called when it starts, and each time that it does."""
        self._configure = configure
        self._folder = folder
        self._retry_after = retry_after
        self._start: asyncio.Task[EnvoyProcess] | None = None
        self._failed_at = 0.0
        self.deaths = 0
        self.last_error: EnvoyError | None = None

    async def __call__(self) -> tuple[str, int]:
        """Return where it listens, having started it if need be.

        Raises:
            TargetDownError: it does not run and cannot be started now.
        """
        envoy = await self._envoy()
        return "127.0.0.1", envoy.port

    def sidecar(self, name: str) -> Callable[[], Awaitable[tuple[str, int]]]:
        """Return a target for `Proxy`: where the sidecar of that name listens in the mesh."""

        async def address() -> tuple[str, int]:
            return (await self._envoy()).sidecar_address(name)

        return address

    async def _envoy(self) -> EnvoyProcess:
        self._forget_ended()
        if self._start is None:
            if self.last_error is not None and self._is_too_soon():
                raise TargetDownError(self.last_error.reason) from self.last_error
            self._start = asyncio.get_running_loop().create_task(self._begin())
        try:
            # A client that leaves must not take the start away from the others.
            return await asyncio.shield(self._start)
        except EnvoyError as error:
            raise TargetDownError(error.reason) from error

    @property
    def running(self) -> EnvoyProcess | None:
        """The Envoy, if it has been started and was not seen to end."""
        start = self._start
        if start is None or not start.done() or start.cancelled() or start.exception():
            return None
        return start.result()

    def replace_certificate(self, certificate: ServerCertificate) -> None:
        """Hand a new server certificate to the Envoy, if it runs."""
        if self.running is not None:
            self.running.replace_certificate(certificate)

    def replace_gateway_svid(self, svid: WorkloadCertificate) -> None:
        """Hand a new SVID to the gateway, if it runs."""
        if self.running is not None:
            self.running.replace_gateway_svid(svid)

    def replace_sidecar_svid(self, name: str, svid: WorkloadCertificate) -> None:
        """Hand a new SVID to the sidecar, if it runs."""
        if self.running is not None:
            self.running.replace_sidecar_svid(name, svid)

    def replace_trust_bundle(self, pem: str, lists: str) -> None:
        """Hand other authorities and lists to the sidecars and the gateway, if they run."""
        if self.running is not None:
            self.running.replace_trust_bundle(pem, lists)

    async def stop(self) -> None:
        """End the Envoy, or its start. May be called again."""
        start, self._start = self._start, None
        if start is None:
            return
        start.cancel()
        await asyncio.wait([start])
        if not start.cancelled() and start.exception() is None:
            await start.result().stop()

    async def _begin(self) -> EnvoyProcess:
        return await EnvoyProcess.start(self._configure(), self._folder)

    def _forget_ended(self) -> None:
        """Drop a start that failed, and an Envoy that died, so that the next may be tried."""
        start = self._start
        if start is None or not start.done():
            return
        if start.cancelled():
            self._start = None
            return
        error = start.exception()
        if error is None:
            try:
                start.result().check()
            except EnvoyDiedError as died:
                self.deaths += 1
                self.last_error = died
                self._failed_at = 0.0  # the first try after a death is made at once
                self._start = None
            return
        self._start = None
        if not isinstance(error, EnvoyError):
            raise error
        if self.last_error is not error:
            self.last_error = error
            self._failed_at = time.monotonic()

    def _is_too_soon(self) -> bool:
        return self._failed_at > 0 and time.monotonic() - self._failed_at < self._retry_after
