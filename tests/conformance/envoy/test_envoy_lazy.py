"""An Envoy behind a CONNECT proxy that starts when somebody first dials one of its names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from iamrange.network.ca import CertificateAuthority
from iamrange.network.envoy import EnvoyConfig, EnvoyMissingError, EnvoyStartError, Upstream
from iamrange.network.envoy_lazy import LazyEnvoy
from iamrange.network.proxy import Proxy, Refused, TargetDownError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

AUTH = "auth.iamrange.example"


def envoys() -> list[psutil.Process]:
    """Return this process's Envoys: other tests' servers may be its children too."""
    return [child for child in psutil.Process().children() if child.name() == "envoy"]


class Network:
    """A proxy with a lazy Envoy behind it; `starts` counts how often it was configured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.starts = 0
        self.error: Exception | None = None
        self.refusals: list[Refused] = []
        authority = CertificateAuthority.create("test")
        self.config = EnvoyConfig(
            upstreams=(Upstream((AUTH,), folder / "a.sock"),),
            certificate=authority.server_certificate([AUTH]),
        )
        self.lazy = LazyEnvoy(self._configure, folder, retry_after=0.2)
        self.proxy = Proxy("corporate", targets={AUTH: self.lazy}, on_refusal=self.refusals.append)

    def _configure(self) -> EnvoyConfig:
        self.starts += 1
        if self.error is not None:
            raise self.error
        return self.config

    async def dial(self, host: str = AUTH) -> int:
        """Return the proxy's status for a CONNECT."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        writer.write(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return int(line.split(b" ")[1])


@contextlib.asynccontextmanager
async def network(folder: Path) -> AsyncIterator[Network]:
    made = Network(folder)
    await made.proxy.start()
    try:
        yield made
    finally:
        await made.proxy.stop()
        await made.lazy.stop()
        assert envoys() == []


def test_nothing_runs_until_one_of_its_names_is_dialled(tmp_path: Path) -> None:
    async def live() -> None:
        async with network(tmp_path) as net:
            assert await net.dial("elsewhere.example") == 403
            assert (net.starts, net.lazy.running) == (0, None)
            assert envoys() == []
            assert await net.dial() == 200
            assert net.lazy.running is not None

    asyncio.run(live())
    assert list(tmp_path.iterdir()) == []


def test_connections_that_come_at_once_share_one_start(tmp_path: Path) -> None:
    async def live() -> None:
        async with network(tmp_path) as net:
            assert await asyncio.gather(*(net.dial() for _ in range(20))) == [200] * 20
            assert net.starts == 1
            assert len(envoys()) == 1

    asyncio.run(live())


def test_a_client_that_leaves_does_not_end_the_start_that_others_wait_for(tmp_path: Path) -> None:
    async def live() -> None:
        async with network(tmp_path) as net:
            leaving = asyncio.ensure_future(net.lazy())
            staying = asyncio.ensure_future(net.lazy())
            await asyncio.sleep(0)
            leaving.cancel()
            host, port = await staying
            assert (host, port > 0, net.starts) == ("127.0.0.1", True, 1)

    asyncio.run(live())


@pytest.mark.parametrize("error", [EnvoyMissingError("no"), EnvoyStartError("no")])
def test_a_start_that_fails_is_502_with_its_reason_and_is_tried_again_later(
    tmp_path: Path,
    error: Any,  # noqa: ANN401 - either error
) -> None:
    async def live() -> None:
        async with network(tmp_path) as net:
            net.error = error
            assert await asyncio.gather(*(net.dial() for _ in range(5))) == [502] * 5
            assert {refused.reason for refused in net.refusals} == {error.reason}
            assert await net.dial() == 502
            assert net.starts == 1  # too soon to try again
            net.error = None
            await asyncio.sleep(0.25)
            assert await net.dial() == 200
            assert net.starts == 2

    asyncio.run(live())


def test_a_killed_envoy_is_counted_and_the_next_connection_has_another(tmp_path: Path) -> None:
    async def live() -> None:
        async with network(tmp_path) as net:
            for deaths in (1, 2):
                assert await net.dial() == 200
                running = net.lazy.running
                assert running is not None
                os.kill(running.pid, signal.SIGKILL)
                await asyncio.to_thread(psutil.Process(running.pid).wait, 20)
                assert await net.dial() == 200
                assert net.lazy.deaths == deaths

    asyncio.run(live())


def test_a_target_that_has_just_gone_is_asked_once_more(tmp_path: Path) -> None:
    """An Envoy that was killed closes its socket some milliseconds before it is seen to end."""

    async def live() -> None:
        async with network(tmp_path) as net:
            _, port = await net.lazy()
            addresses = [("127.0.0.1", 1), ("127.0.0.1", port)]

            async def target() -> tuple[str, int]:
                return addresses.pop(0)

            await net.proxy.stop()
            net.proxy = Proxy("other", targets={AUTH: target})
            await net.proxy.start()
            assert await net.dial() == 200
            assert addresses == []

    asyncio.run(live())


def test_stopping_while_it_starts_leaves_no_process(tmp_path: Path) -> None:
    async def live() -> None:
        async with network(tmp_path) as net:
            waiting = asyncio.ensure_future(net.lazy())
            await asyncio.sleep(0.01)
            await net.lazy.stop()
            with pytest.raises((asyncio.CancelledError, TargetDownError)):
                await waiting

    asyncio.run(live())


def test_a_plain_address_and_an_edge_that_is_away_are_as_before(tmp_path: Path) -> None:
    async def live() -> None:
        refusals: list[Refused] = []
        async with network(tmp_path) as net:
            assert await net.dial() == 200
            running = net.lazy.running
            assert running is not None
            targets = {
                "plain.example": ("127.0.0.1", running.port),
                "away.example": ("127.0.0.1", 1),
            }
            await net.proxy.stop()
            net.proxy = Proxy("other", targets=targets, on_refusal=refusals.append)
            await net.proxy.start()
            assert await net.dial("plain.example") == 200
            assert await net.dial("away.example") == 502
            assert [refused.reason for refused in refusals] == ["edge-unreachable"]

    asyncio.run(live())
