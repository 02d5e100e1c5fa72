"""Secret reads a second from a world's vault: by the source, by hvac, and by hvac past the world.

    python -m bench.vault [SECONDS]

One reader, one connection, the same real OpenBao and the same secret in all rows; rows take turns.
`source` and `hvac` go through the world, which records each decision from the vault's audit entry;
`straight` is hvac on OpenBao's own socket, which no client of a range reaches. No TLS anywhere.
Prints one JSON line.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import hvac
import hvac.exceptions
import psutil
import requests
import requests.adapters
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from iamrange.credentials.vault.openbao import CONFIG_FILE, SOCKET_FILE
from iamrange.credentials.vault_source import VaultSource
from iamrange.range.config import WorldConfig
from iamrange.range.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
STORE, NAME, VALUE = "agents", "one", "a secret of forty bytes, which nobody uses"


class _Connection(HTTPConnection):
    """A connection to a unix socket, whatever the host."""

    path = ""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _OnSocket(requests.adapters.HTTPAdapter):
    """Sends everything to one unix socket."""

    def __init__(self, path: Path) -> None:
        _Connection.path = str(path)
        self._pool = _Pool("vault")
        super().__init__()

    def get_connection_with_tls_context(self, *_: object, **__: object) -> _Pool:
        return self._pool


def _socket_of(world: World) -> Path:
    """Return the socket of the server that this world has started."""
    for process in psutil.Process(world.pid).children():
        for argument in process.cmdline():
            if argument.startswith("-config=") and argument.endswith(CONFIG_FILE):
                return Path(argument.removeprefix("-config=")).with_name(SOCKET_FILE)
    raise SystemExit("the world has no vault running")


def _client(url: str, token: str, session: requests.Session | None = None) -> hvac.Client:
    session = session or requests.Session()
    session.trust_env = False
    return hvac.Client(url=url, token=token, session=session)


def _by_hvac(client: hvac.Client) -> Callable[[], str]:
    def read() -> str:
        answer = client.secrets.kv.v2.read_secret_version(
            path=NAME, mount_point=STORE, raise_on_deleted_version=True
        )
        return str(answer["data"]["data"]["value"])

    return read


def _prepare(administrator: hvac.Client) -> str:
    """Have a secret, and a token that reads it and nothing else."""
    administrator.sys.enable_secrets_engine("kv", path=STORE, options={"version": "2"})
    while True:
        try:
            administrator.secrets.kv.v2.create_or_update_secret(
                path=NAME, secret={"value": VALUE}, mount_point=STORE
            )
            break
        except hvac.exceptions.InvalidRequest:
            time.sleep(0.05)  # the store is being made
    rules = f'path "{STORE}/data/{NAME}" {{ capabilities = ["read"] }}'
    administrator.sys.create_or_update_policy("reader", rules)
    made = administrator.auth.token.create_orphan(policies=["reader"], no_default_policy=True)
    return str(made["auth"]["client_token"])


def _rate(read: Callable[[], str], seconds: float) -> tuple[int, float]:
    """Return how many reads were made in how many seconds."""
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        if read() != VALUE:
            raise SystemExit("another value was read")
        count += 1
    return count, spent


def main() -> None:
    """Measure all rows in turn, and print them."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    with World.start(WorldConfig(run_id="bench")) as world:
        began = time.perf_counter()
        token = _prepare(_client(world.vault_endpoint, world.vault_token))
        ready = time.perf_counter() - began
        past = requests.Session()
        past.mount("http://", _OnSocket(_socket_of(world)))

        def login(client: hvac.Client) -> float:
            client.token = token
            return 3600.0

        source = VaultSource(_client(world.vault_endpoint, ""), login, store=STORE)
        rows = {
            "source": lambda: source.read(NAME).value,
            "hvac": _by_hvac(_client(world.vault_endpoint, token)),
            "straight": _by_hvac(_client("http://vault", token, past)),
        }
        for read in rows.values():
            read()
        done = dict.fromkeys(rows, (0, 0.0))
        for _ in range(ROUNDS):
            for name, read in rows.items():
                count, spent = _rate(read, seconds / ROUNDS / len(rows))
                done[name] = (done[name][0] + count, done[name][1] + spent)
    print(
        json.dumps(
            {
                "bench": "vault",
                "first_use_seconds": round(ready, 3),
                "reads_per_second": {n: round(c / s) for n, (c, s) in done.items()},
                "reads": {n: c for n, (c, _) in done.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
