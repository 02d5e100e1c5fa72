"""Sidecars of an Envoy that starts when somebody first dials one, through a CONNECT proxy."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from iamrange.network.envoy import EnvoyProcess, EnvoyStartError, validate
from iamrange.network.envoy_lazy import LazyEnvoy
from iamrange.network.proxy import Proxy, Target
from tests.conformance.access.envoy_mesh_config import (
    CUSTOMERS,
    GATEWAY,
    MESH,
    bundle,
    lists,
    mesh_config,
    service_id,
    workload,
)


async def dial(proxy: Proxy, host: str) -> int:
    """Return the proxy's status for a CONNECT."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split(b" ")[1])


def test_an_envoy_starts_for_a_sidecar_as_for_the_edge_and_anew_after_its_death(
    tmp_path: Path,
) -> None:
    made = mesh_config(tmp_path)
    state = tmp_path / "e"
    state.mkdir()

    async def live() -> None:
        lazy = LazyEnvoy(lambda: made.config, state)
        targets: dict[str, Target] = {MESH: lazy.sidecar("customers"), CUSTOMERS: lazy}
        proxy = Proxy("corporate", targets=targets)
        await proxy.start()
        try:
            # nobody is there to hear of it
            lazy.replace_gateway_svid(workload(made.authority, GATEWAY))
            lazy.replace_sidecar_svid("customers", made.config.sidecars[0].svid)
            lazy.replace_trust_bundle(bundle(made.authority), lists(made.authority))
            assert lazy.running is None
            assert [await dial(proxy, host) for host in (MESH, CUSTOMERS)] == [200, 200]
            running = lazy.running
            assert running is not None
            addresses = {running.sidecar_address(name) for name in ("customers", "logs")}
            assert len(addresses | {("127.0.0.1", running.port)}) == 3
            assert {address.startswith("127.") for address, _ in addresses} == {True}
            assert running.sidecar_port("logs") == running.sidecar_address("logs")[1]
            lazy.replace_gateway_svid(workload(made.authority, GATEWAY))
            lazy.replace_sidecar_svid("logs", workload(made.authority, service_id("logs")))
            lazy.replace_trust_bundle(bundle(made.authority), lists(made.authority))
            os.kill(running.pid, signal.SIGKILL)
            await asyncio.to_thread(psutil.Process(running.pid).wait, 20)
            assert await dial(proxy, MESH) == 200
            assert lazy.deaths == 1
        finally:
            await proxy.stop()
            await lazy.stop()

    asyncio.run(live())
    assert list(state.iterdir()) == []


def test_it_listens_on_loopback_and_private_sockets_alone(tmp_path: Path) -> None:
    made = mesh_config(tmp_path)

    async def live() -> None:
        envoy = await EnvoyProcess.start(made.config, tmp_path)
        try:
            process = psutil.Process(envoy.pid)
            listening = {
                (connection.laddr.ip, connection.laddr.port)
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
            assert listening == {
                ("127.0.0.1", envoy.port),
                envoy.sidecar_address("customers"),
                envoy.sidecar_address("logs"),
            }
            private = list(await asyncio.to_thread(lambda: [*tmp_path.iterdir()]))
            assert {path.name for path in private} >= {"customers.sock", "logs.sock"}
            assert [path for path in private if path.stat().st_mode & 0o077] == []
            for path in private:
                if path.is_file():
                    assert made.config.secret not in path.read_text()
        finally:
            await envoy.stop()

    asyncio.run(live())


@pytest.mark.parametrize("setting", ["", "accept_anyone", "keeps_identity", "raw_paths"])
def test_envoy_itself_finds_each_configuration_good(tmp_path: Path, setting: str) -> None:
    settings = {
        "": {},
        "accept_anyone": {"unsafe_sidecars_accept_anyone": True},
        "keeps_identity": {"unsafe_keeps_identity_headers": True},
        "raw_paths": {"unsafe_raw_paths": True},
    }[setting]
    made = mesh_config(tmp_path, **settings)
    asyncio.run(validate(made.config))
    assert list(tmp_path.iterdir()) == []


def workers_of(pid: int) -> int:
    names = [(task / "comm").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(name.startswith("wrk:worker") for name in names)


def test_several_workers_are_a_setting(tmp_path: Path) -> None:
    made = mesh_config(tmp_path, workers=2)

    async def live() -> int:
        envoy = await EnvoyProcess.start(made.config, tmp_path)
        try:
            return await asyncio.to_thread(workers_of, envoy.pid)
        finally:
            await envoy.stop()

    assert asyncio.run(live()) == 2


def test_a_folder_too_deep_for_sockets_is_an_error_that_says_so(tmp_path: Path) -> None:
    made = mesh_config(tmp_path)
    deep = tmp_path / ("a" * 100)
    deep.mkdir()
    with pytest.raises(EnvoyStartError, match="at most 107"):
        asyncio.run(EnvoyProcess.start(made.config, deep))
    assert list(deep.iterdir()) == []
