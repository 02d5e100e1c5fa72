"""A running OpenBao of one world: started when it is needed, ended with its owner.

- It keeps everything in its own memory and listens on a unix socket alone: it has no port, and
  nothing of it lies on a disk but a configuration without a secret.
- Its seal key and its root token are made anew by each start. The root token is revoked before the
  start is over; what stays is the administrator's token that its owner chose.
- Every request is audited into a socket of its owner's, and refused while nobody listens there.
- It dies with the process that started it, as Envoy does.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from iamrange.credentials.errors import VaultDownError, VaultStartError
from iamrange.credentials.vault.binary import find_openbao
from iamrange.credentials.vault.identities import write_again
from iamrange.network import envoy_launch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from iamrange.credentials.vault.journal import Written

REQUEST_ID = "x-request-id"
"""The header that the audit entries carry along in clear."""

ADMINISTRATOR = "administrator"
"""What the vault calls whoever administers it, behind `token-`."""

CONFIG_FILE = "openbao.hcl"
LOG_FILE = "openbao.log"
SOCKET_FILE = "b.sock"
MAX_ANSWER = 8 * 1024 * 1024

_START_SECONDS = 30.0
_STOP_SECONDS = 3.0
_ANSWER_SECONDS = 30.0
_POLL = 0.01
_CONNECTIONS = 64
_SUCCESS = range(200, 300)
_UPGRADING = b"Upgrading from non-versioned to versioned"
"""What a KV store of version 2 answers for a moment after it was mounted."""
_CHECKED = b"check-and-set parameter did not match"
"""What it answers a write that names another version than is there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def errors(self) -> tuple[str, ...]:
        """The vault's own words for a refusal."""
        found = self.json().get("errors")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def json(self) -> dict[str, Any]:
        """Return the body's JSON object, empty if it holds none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class OpenBao:
    """One running server."""

    def __init__(self, child: subprocess.Popen[bytes], folder: Path) -> None:
        """Use `start`."""
        self._child = child
        self._folder = folder
        self._owner = os.getpid()
        self._seal_key = ""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(folder / SOCKET_FILE), limit=_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            auto_decompress=False,
            trust_env=False,
        )

    @classmethod
    async def start(  # noqa: PLR0913 - keyword-only ports
        cls,
        folder: Path,
        *,
        audit: Path,
        administrator: str,
        address: str,
        environment: Mapping[str, str],
        journal: Iterable[Written] = (),
    ) -> OpenBao:
        """Start a server that holds what the journal says, and return when it serves.

        `folder` has a short path and is the server's own; at `audit` a unix socket takes its
        entries; `administrator` is the token of whoever administers it; `environment` says how
        it reaches an issuer's keys.

        Raises:
            VaultMissingError: there is no OpenBao.
            VaultStartError: it did not come up, or did not take what it had held.
        """
        program = find_openbao()
        (folder / CONFIG_FILE).write_text(_configuration(folder, audit, address))
        server = cls(_spawn(program, folder, environment), folder)
        try:
            await server._open(administrator)
            for written in journal:
                await server._write(written, administrator)
        except (VaultDownError, OSError) as error:
            await server.stop()
            raise VaultStartError(f"{error}{_last_words(folder)}") from error
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs, and is this process's own: a fork's parent's is not."""
        return os.getpid() == self._owner and self._child.poll() is None

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        query: str = "",
    ) -> Answer:
        """Send a request and return the answer. `path` is without `/v1/`, and not yet quoted.

        Raises:
            VaultDownError: there is none.
        """
        target = f"http://vault/v1/{quote(path, safe='/+*@:,')}" + (f"?{query}" if query else "")
        try:
            async with self._session.request(
                method,
                URL(target, encoded=True),
                data=body or None,
                headers=headers,
                allow_redirects=False,
            ) as response:
                read = await response.content.read(MAX_ANSWER + 1)
                while len(read) <= MAX_ANSWER and not response.content.at_eof():
                    read += await response.content.read(MAX_ANSWER + 1 - len(read))
                if len(read) > MAX_ANSWER:
                    raise VaultDownError(f"openbao: an answer of more than {MAX_ANSWER} bytes")
                return Answer(response.status, dict(response.headers), read)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise VaultDownError(f"openbao: no answer: {type(error).__name__}") from error

    async def unseal(self) -> None:
        """Open it again, after it was sealed.

        Raises:
            VaultDownError: it did not open.
        """
        await self._ask("PUT", "sys/unseal", {"key": self._seal_key})

    async def stop(self) -> None:
        """End the server and wait for it. May be called again."""
        if os.getpid() != self._owner:
            return
        await self._session.close()
        if self._child.poll() is None:
            # nothing is to be kept: the lease of everything that it gave out ends with it
            self._child.kill()
            deadline = time.monotonic() + _STOP_SECONDS
            while self._child.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - no asyncio.Event tells a process's end
                await asyncio.sleep(_POLL)
        (self._folder / SOCKET_FILE).unlink(missing_ok=True)

    async def _open(self, administrator: str) -> None:
        await self._listening()
        made = await self._ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._seal_key, root = str(made["keys_base64"][0]), str(made["root_token"])
        await self.unseal()
        header = f"sys/config/auditing/request-headers/{REQUEST_ID}"
        await self._ask("PUT", header, {"hmac": False}, token=root)
        chosen = {
            "id": administrator,
            "display_name": ADMINISTRATOR,
            "policies": ["root"],
            "no_default_policy": True,
        }
        await self._ask("POST", "auth/token/create-orphan", chosen, token=root)
        await self._ask("POST", "auth/token/revoke-self", {}, token=root)

    async def _listening(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._child.poll() is not None:
                raise VaultDownError("openbao ended at once")
            if (self._folder / SOCKET_FILE).exists():
                try:
                    await self.request("GET", "sys/seal-status")
                except VaultDownError:
                    pass  # the socket is there before the server answers on it
                else:
                    return
            if time.monotonic() > deadline:
                raise VaultDownError(f"openbao: not listening within {_START_SECONDS:g} s")
            await asyncio.sleep(_POLL)

    async def ask(
        self, method: str, path: str, value: Mapping[str, Any], *, token: str
    ) -> dict[str, Any]:
        """Ask for something that must succeed; return the answer.

        Raises:
            VaultDownError: it did not.
        """
        return await self._ask(method, path, value, token=token)

    async def _write(self, written: Written, administrator: str) -> None:
        if written.aliases:
            ask = functools.partial(self._ask, token=administrator)
            await write_again(ask, written.aliases, written.body)
            return
        deadline = time.monotonic() + _START_SECONDS
        while True:
            answer = await self.request(
                written.method,
                written.path,
                headers=_headers(administrator, merge=written.method == "PATCH"),
                body=written.body,
            )
            if _CHECKED in answer.body and written != written.unchecked():
                written = written.unchecked()
                continue
            if _UPGRADING not in answer.body or time.monotonic() > deadline:
                break
            await asyncio.sleep(_POLL)
        if answer.status not in _SUCCESS:
            raise VaultStartError(
                f"openbao: {written.method} {written.path}: it took this once, and answers "
                f"{answer.status} now"
            )

    async def _ask(
        self, method: str, path: str, value: Mapping[str, Any], *, token: str = ""
    ) -> dict[str, Any]:
        body = json.dumps(value).encode()
        answer = await self.request(method, path, headers=_headers(token), body=body)
        if answer.status not in _SUCCESS:
            raise VaultDownError(f"openbao: {method} {path}: expected success, got {answer.status}")
        return answer.json()


def _headers(token: str, *, merge: bool = False) -> dict[str, str]:
    kind = "application/merge-patch+json" if merge else "application/json"
    headers = {"Content-Type": kind, "X-Vault-Request": "true"}
    return headers | ({"X-Vault-Token": token} if token else {})


def _configuration(folder: Path, audit: Path, address: str) -> str:
    """Return the configuration in HCL, whose strings are JSON's; the JSON form has no audit."""
    listener, entries, api = (json.dumps(str(v)) for v in (folder / SOCKET_FILE, audit, address))
    return f"""
storage "inmem" {{}}
listener "unix" {{ address = {listener} }}
api_addr = {api}
disable_clustering = true
audit "socket" "records" {{
  options {{
    address = {entries}
    socket_type = "unix"
  }}
}}
"""


def _spawn(program: Path, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    log = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - our own program and arguments
            [
                # -I -S: nothing of the environment or of site-packages is loaded.
                *(sys.executable, "-I", "-S", envoy_launch.__file__),
                *(str(os.getpid()), str(program)),
                *("server", f"-config={folder / CONFIG_FILE}", "-log-level=warn"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={"HOME": str(folder), **environment},
            umask=0o077,
        )
    finally:
        os.close(log)


def _last_words(folder: Path) -> str:
    """Return the end of the server's log; at this level it names no request and no token."""
    try:
        lines = (folder / LOG_FILE).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "; it said: " + " | ".join(lines[-3:]) if lines else ""
