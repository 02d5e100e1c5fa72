"""A running Envoy: started when it is needed, ended with its owner.

- Its bootstrap document goes over a descriptor: the secret in it is in no file and no argument.
- It dies with the process that started it, more exactly with the thread: a world has but one.
- After a fork it belongs to the parent alone; the child starts one of its own.
- No threads and no child watcher of asyncio's: whoever started it asks whether it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from iamrange.network import envoy_launch
from iamrange.network.envoy_binary import EnvoyError, EnvoyMissingError, find_envoy
from iamrange.network.envoy_bootstrap import bootstrap
from iamrange.network.envoy_config import (
    Authorizer,
    EnvoyConfig,
    Limits,
    Sidecar,
    Upstream,
    WorkloadCertificate,
    new_secret,
)
from iamrange.network.envoy_folder import (
    file_names,
    last_words,
    remove_files,
    shorten_logs,
    write_document,
    write_documents,
)
from iamrange.network.envoy_log import LOG_FILE
from iamrange.network.envoy_sidecars import sidecar_address
from iamrange.network.envoy_svid import check_bundle, check_lists
from iamrange.network.envoy_tls import (
    BUNDLE_FILE,
    GATEWAY_FILE,
    TLS_FILE,
    bundle_document,
    documents,
    secret_document,
    sidecar_file,
    svid_document,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.network.ca import ServerCertificate

__all__ = [
    "Authorizer",
    "EnvoyConfig",
    "EnvoyDiedError",
    "EnvoyError",
    "EnvoyMissingError",
    "EnvoyProcess",
    "EnvoyStartError",
    "Limits",
    "Sidecar",
    "Upstream",
    "WorkloadCertificate",
    "new_secret",
    "validate",
]

_EDGE_ADDRESS = "127.0.0.1"
_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 3.0
_POLL = 0.01
_LOOK_AT_LOGS = 1.0


class EnvoyStartError(EnvoyError):
    """Envoy did not come up; the message has its last words."""

    reason = "envoy-did-not-start"


class EnvoyDiedError(EnvoyError):
    """Envoy ended without having been told to."""

    reason = "envoy-died"


async def validate(config: EnvoyConfig) -> None:
    """Have Envoy judge the configuration, without serving.

    Raises:
        EnvoyMissingError: there is no Envoy.
        EnvoyStartError: it refuses the configuration.
    """
    program = find_envoy()
    with tempfile.TemporaryDirectory(prefix="iamrange-envoy-") as name:
        folder = Path(name)
        log = folder / LOG_FILE
        write_documents(folder, config)
        arguments = (*_workers(config), "--mode", "validate")
        child = _spawn(program, bootstrap(config, folder), folder, log, arguments)
        try:
            status = await _wait(child, _START_TIMEOUT)
        finally:
            child.kill()
            child.wait()
        if status is None or "OK" not in log.read_text(errors="replace"):
            raise EnvoyStartError(f"envoy refuses its configuration{last_words(log, config)}")


class EnvoyProcess:
    """One running Envoy; `port` is where it listens on 127.0.0.1."""

    def __init__(self, child: subprocess.Popen[bytes], folder: Path, config: EnvoyConfig) -> None:
        """Use `start`."""
        self._child = child
        self._folder = folder
        self._owner = os.getpid()
        self._ids = {sidecar.name: sidecar.svid.spiffe_id for sidecar in config.sidecars}
        self._ignores_withdrawal = config.unsafe_ignores_withdrawal
        self._gateway = None if config.gateway_svid is None else config.gateway_svid.spiffe_id
        self._addresses = {name: sidecar_address(config, name) for name in self._ids}
        self._files = file_names(config, folder)
        self._log_bytes = config.limits.log_bytes
        self._timer: asyncio.TimerHandle | None = None
        self._ports: dict[str, int] = {}

    @classmethod
    async def start(cls, config: EnvoyConfig, folder: Path) -> EnvoyProcess:
        """Start Envoy with its files in the folder, and return when it listens.

        Raises:
            EnvoyMissingError: there is no Envoy.
            EnvoyStartError: it did not come up.
        """
        program = find_envoy()
        try:
            document = bootstrap(config, folder)
            write_documents(folder, config)
            child = _spawn(program, document, folder, folder / LOG_FILE, _workers(config))
        except (OSError, ValueError) as error:
            remove_files(folder, tuple(documents(config)))
            raise EnvoyStartError(f"envoy: cannot be started in {folder}: {error}") from error
        envoy = cls(child, folder, config)
        try:
            await envoy._listen(config)
        except BaseException:
            child.kill()
            child.wait()
            remove_files(folder, tuple(documents(config)))
            raise
        envoy._keep_logs_short()
        return envoy

    async def _listen(self, config: EnvoyConfig) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        expected = {_EDGE_ADDRESS, *self._addresses.values()}
        while not expected <= (ports := _listening_ports(self.pid)).keys():
            if self._child.poll() is not None:
                words = last_words(self._folder / LOG_FILE, config)
                raise EnvoyStartError(f"envoy ended at once{words}")
            if time.monotonic() > deadline:
                raise EnvoyStartError(f"envoy: not listening within {_START_TIMEOUT:g} s")
            await asyncio.sleep(_POLL)
        self._ports = ports

    @property
    def port(self) -> int:
        """Where the edge listens on 127.0.0.1."""
        return self._ports[_EDGE_ADDRESS]

    def sidecar_address(self, name: str) -> tuple[str, int]:
        """Return where the sidecar listens in the mesh; its address is no other listener's."""
        address = self._addresses[name]
        return address, self._ports[address]

    def sidecar_port(self, name: str) -> int:
        """Return the port of `sidecar_address`."""
        return self.sidecar_address(name)[1]

    @property
    def pid(self) -> int:
        """Envoy's process."""
        return self._child.pid

    def check(self) -> None:
        """Raise if Envoy is gone.

        Raises:
            EnvoyDiedError: it is.
        """
        if os.getpid() != self._owner:
            raise EnvoyDiedError("envoy: it is the parent's: this process is a fork")
        if self._child.poll() is not None:
            raise EnvoyDiedError(
                f"envoy: its process ({self.pid}) ended{last_words(self._folder / LOG_FILE)}"
            )

    def replace_certificate(self, certificate: ServerCertificate) -> None:
        """Present this certificate to connections from now on; those that are open go on."""
        write_document(self._folder, TLS_FILE, secret_document(certificate))

    def replace_gateway_svid(self, svid: WorkloadCertificate) -> None:
        """Present this SVID to sidecars from now on.

        Raises:
            ValueError: it is another id's: the sidecars go by the first one.
        """
        _check_same(svid.spiffe_id, self._gateway)
        write_document(self._folder, GATEWAY_FILE, svid_document("gateway", svid))

    def replace_sidecar_svid(self, name: str, svid: WorkloadCertificate) -> None:
        """Have the sidecar present this SVID from now on.

        Raises:
            ValueError: it is another id's: the gateway expects the first one.
        """
        _check_same(svid.spiffe_id, self._ids[name])
        write_document(self._folder, sidecar_file(name), svid_document(name, svid))

    def replace_trust_bundle(self, pem: str, lists: str) -> None:
        """Believe these authorities from now on, at sidecars and of sidecars, and their lists.

        Handshakes go by it; connections that are open go on, as long as they may.

        Raises:
            ValueError: it holds none, one has no list, or there is nobody whom it could concern.
        """
        check_bundle(pem)
        if not self._ignores_withdrawal:
            check_lists(pem, lists)
        if not self._ids:
            raise ValueError("envoy: no sidecars")
        asked = "" if self._ignores_withdrawal else lists
        write_document(self._folder, BUNDLE_FILE, bundle_document(pem, asked))

    def _keep_logs_short(self) -> None:
        """Look at the logs, now and from now on each second."""
        if self._child.poll() is not None:
            return
        if shorten_logs(self._folder, self._log_bytes):
            os.kill(self.pid, signal.SIGUSR1)  # Envoy opens its access logs again
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LOOK_AT_LOGS, self._keep_logs_short)

    async def stop(self) -> None:
        """End Envoy, wait for it, and remove its files. May be called again."""
        if os.getpid() != self._owner:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._child.poll() is None:
            self._child.terminate()
            try:
                await _wait(self._child, _STOP_TIMEOUT)
            finally:
                self._child.kill()
                self._child.wait()
        remove_files(self._folder, self._files)


def _spawn(
    program: Path,
    document: Mapping[str, Any],
    folder: Path,
    log: Path,
    arguments: Sequence[str],
) -> subprocess.Popen[bytes]:
    memory = os.memfd_create("envoy-bootstrap")
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(os.dup(memory), "wb") as file:
            file.write(json.dumps(document).encode())
        command = [
            # -I -S: nothing of the environment or of site-packages is loaded.
            *(sys.executable, "-I", "-S", envoy_launch.__file__),
            *(str(os.getpid()), str(program)),
            *("-c", f"/dev/fd/{memory}"),
            *("--log-level", "warning"),  # below this level, headers are logged
            *("--file-flush-interval-msec", "250"),  # a refusal is looked up soon after it
            "--disable-hot-restart",
            *arguments,
        ]
        return subprocess.Popen(  # noqa: S603 - our own program and arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={},
            umask=0o077,
            pass_fds=(memory,),
        )
    finally:
        os.close(memory)
        os.close(output)


def _workers(config: EnvoyConfig) -> tuple[str, str]:
    return "--concurrency", str(config.workers)


async def _wait(child: subprocess.Popen[bytes], timeout: float) -> int | None:  # noqa: ASYNC109 - the caller goes on after it
    """Return the exit status, or None if it still runs after the timeout.

    Under a process that ignores SIGCHLD, as a world does, the status is unknown and reads 0.
    """
    deadline = time.monotonic() + timeout
    while (status := child.poll()) is None and time.monotonic() < deadline:  # noqa: ASYNC110 - no asyncio.Event tells a process's end
        await asyncio.sleep(_POLL)
    return status


def _listening_ports(pid: int) -> dict[str, int]:
    """Return the ports on which the process listens, by address."""
    with contextlib.suppress(psutil.Error):
        return {
            connection.laddr.ip: int(connection.laddr.port)
            for connection in psutil.Process(pid).net_connections("tcp4")
            if connection.status == psutil.CONN_LISTEN
        }
    return {}


def _check_same(spiffe_id: str, expected: str | None) -> None:
    if spiffe_id != expected:
        raise ValueError(f"svid: expected {expected!r}, got {spiffe_id!r}")
