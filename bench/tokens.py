"""Measure access tokens a second a core with `private_key_jwt` and DPoP, beside Ory Hydra.

- Our service: one uvicorn process (uvloop, httptools), replay store and rates in memory, a
  directory of a thousand agents on disk; each request is a new assertion and a new proof, over
  real HTTP on loopback.
- The load comes from another process with requests signed beforehand; what counts is the service's
  own processor time, over all tokens that were granted; one that it refuses fails the bench.
- The peer does less: client_credentials with a secret as it comes, and with `private_key_jwt`;
  no DPoP. Same machine, same run, same load generator.

Run as `python -m bench.tokens [REQUESTS]`.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
import uvloop
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.jwk import ECKey

from bench.go_program import GoBuildError
from bench.hydra import Hydra, running
from bench.load import Load, load, post
from iamrange.core.clock import SystemClock
from iamrange.identity.directory.directory import Directory
from iamrange.identity.directory.model import AgentKey, AgentSpec, agent_id
from iamrange.identity.directory.view import DirectoryView
from iamrange.identity.names import (
    AUTH_ISSUER,
    DEFAULT_RESOURCE,
    DPOP_TYPE,
    TOKEN_ENDPOINT,
)
from iamrange.identity.nonces import NonceSource
from iamrange.identity.stores.limits import LocalLimiter
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.stores.ports import Rate
from iamrange.identity.tokens.keys import AuthorityKeys
from iamrange.identity.tokens.service import TokenService
from iamrange.identity.tokens.settings import TokenSettings
from iamrange.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.core.decision import DecisionRecord

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
AGENTS = 1_000
SCOPES = ("read:database", "write:logs")
REQUESTS = 12_000
PEER_REQUESTS = 1_000
WARM = AGENTS
"""Every agent once: what is measured is a service that knows its agents."""
TARGET = 1_500
GENEROUS = Rate(amount=10_000_000, seconds=60)


class Records:
    """Keeps the last records, as a world does."""

    def __init__(self) -> None:
        """Start with none."""
        self._last: list[DecisionRecord] = []

    def __call__(self, record: DecisionRecord) -> None:
        """Keep one."""
        self._last.append(record)
        if len(self._last) > 1_000:  # noqa: PLR2004 - a bound on memory
            self._last.clear()


def service(jwks: Sequence[dict[str, Any]], folder: Path) -> TokenService:
    """Return the service with an agent for each key, in a directory on disk."""
    clock = SystemClock()
    directory = Directory.open(f"sqlite:///{folder}/directory.sqlite", folder, clock=clock)
    specs = [
        AgentSpec(
            name=f"agent-{number}",
            owner="bench",
            scopes=frozenset(SCOPES),
            keys=(AgentKey.from_jwk(jwk),),
        )
        for number, jwk in enumerate(jwks)
    ]
    directory.register_many(specs, actor="bench", activate=True)
    return TokenService(
        agents=DirectoryView(directory),
        keys=AuthorityKeys(clock=clock),
        replay=MemoryReplay(),
        revocation=MemoryRevocation(),
        limiter=LocalLimiter(),
        nonces=NonceSource(None, clock),
        resources={DEFAULT_RESOURCE: frozenset(SCOPES)},
        clock=clock,
        records=Records(),
        settings=TokenSettings(peer_rate=GENEROUS, agent_rate=GENEROUS, global_rate=GENEROUS),
    )


def serve(descriptor: int) -> None:
    """Serve on an inherited socket, with the agents' keys from standard input."""
    with tempfile.TemporaryDirectory() as folder:
        _serve(descriptor, service(json.loads(sys.stdin.readline()), Path(folder)))


def _serve(descriptor: int, app: TokenService) -> None:
    # what lives as long as the process is not looked through again at each collection
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    uvloop.run(uvicorn.Server(config).serve(sockets=[socket.socket(fileno=descriptor)]))


@contextmanager
def own_service(jwks: Sequence[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Run the service in a process of its own; yield its pid and port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = int(listener.getsockname()[1])
        process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, "-m", "bench.tokens", "--serve", str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
        )
        assert process.stdin is not None  # noqa: S101 - for the type
        process.stdin.write(json.dumps(jwks).encode() + b"\n")
        process.stdin.flush()
        try:
            yield process.pid, port
        finally:
            process.terminate()
            process.wait(timeout=30)


def assertion(key: SigningKey, client: str, audience: str) -> str:
    """Return a new client assertion."""
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 300}
    return key.sign(claims | {"jti": secrets.token_urlsafe(18)})


def proof(key: SigningKey) -> str:
    """Return a new DPoP proof for our token endpoint."""
    public = key.public_jwk()
    jwk = {name: public[name] for name in ("kty", "crv", "x", "y")}
    claims = {
        "jti": secrets.token_urlsafe(18),
        "htm": "POST",
        "htu": TOKEN_ENDPOINT,
        "iat": int(time.time()),
    }
    signed: str = jws.serialize_compact(
        {"typ": DPOP_TYPE, "alg": "ES256", "jwk": jwk},
        json.dumps(claims),
        ECKey.import_key(key.private_jwk()),
        algorithms=["ES256"],
    )
    return signed


def own_requests(keys: Sequence[SigningKey], count: int) -> list[bytes]:
    """Sign the requests beforehand."""
    made = []
    for number in range(count):
        index = number % len(keys)
        form = urllib.parse.urlencode(
            {
                "grant_type": "client_credentials",
                "scope": " ".join(SCOPES),
                "client_assertion_type": JWT_BEARER,
                "client_assertion": assertion(keys[index], agent_id(f"agent-{index}"), AUTH_ISSUER),
            }
        )
        headers = [("DPoP", proof(keys[index]))]
        made.append(post("/oauth/token", "auth.iamrange.example", form, headers))
    return made


def peer_requests(
    peer: Hydra, *, secret: str | None, key: SigningKey, clients: Sequence[str], count: int
) -> list[bytes]:
    """Make the peer's requests: with the secret, or with an assertion each."""
    made = []
    for number in range(count):
        client = clients[number % len(clients)]
        form = {"grant_type": "client_credentials", "scope": " ".join(SCOPES)}
        if secret is not None:
            form |= {"client_id": client, "client_secret": secret}
        else:
            form |= {
                "client_assertion_type": JWT_BEARER,
                "client_assertion": assertion(key, client, peer.token_url),
            }
        host = f"127.0.0.1:{peer.public}"
        made.append(post("/oauth2/token", host, urllib.parse.urlencode(form)))
    return made


def register_peer_clients(
    peer: Hydra, key: SigningKey, secret: str | None, count: int
) -> list[str]:
    """Register clients with one secret, or with one key."""
    made = []
    for number in range(count):
        client: dict[str, Any] = {
            "client_name": f"agent-{number}",
            "grant_types": ["client_credentials"],
            "scope": " ".join(SCOPES),
        }
        if secret is not None:
            client |= {"client_secret": secret, "token_endpoint_auth_method": "client_secret_post"}
        else:
            client |= {
                "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_signing_alg": "ES256",
                "jwks": {"keys": [key.public_jwk()]},
            }
        made.append(str(peer.register(client)["client_id"]))
    return made


def show(name: str, result: Load) -> None:
    """Print one row, and what was refused."""
    print(
        f"{name:<44} {result.per_cpu_second:>8.0f} tokens/CPU-s "
        f"{result.per_second:>8.0f} tokens/s wall  ({result.good} tokens)",
        flush=True,
    )
    if result.good != result.answers:
        refused = result.answers - result.good
        print(f"  {refused} of {result.answers} not granted, first: {result.first_bad[:200]!r}")


def arithmetic_ceiling() -> float:
    """Return the tokens a CPU-second if there were nothing but P-256: two checks, one signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    message = secrets.token_bytes(400)
    signature, public = key.sign(message, algorithm), key.public_key()
    rounds = 2_000
    start = time.process_time()
    for _ in range(rounds):
        public.verify(signature, message, algorithm)
        public.verify(signature, message, algorithm)
        key.sign(message, algorithm)
    return rounds / (time.process_time() - start)


def measure_own(count: int) -> Load:
    """Load our own service."""
    keys = [SigningKey.generate() for _ in range(AGENTS)]
    with own_service([key.public_jwk() for key in keys]) as (pid, port):
        warm = load(pid, port, own_requests(keys, WARM))
        if warm.good != WARM:
            raise SystemExit(f"our own service refused: {warm.first_bad!r}")
        return load(pid, port, own_requests(keys, count))


def measure_peer(count: int) -> dict[str, Load]:
    """Load the peer, in both ways."""
    results = {}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as peer:
        for name, secret in (("client secret", secrets.token_hex(16)), ("private_key_jwt", None)):
            key = SigningKey.generate()
            clients = register_peer_clients(peer, key, secret, 20)

            def ask(
                number: int,
                secret: str | None = secret,
                key: SigningKey = key,
                clients: Sequence[str] = clients,
            ) -> Load:
                made = peer_requests(peer, secret=secret, key=key, clients=clients, count=number)
                return load(peer.pid, peer.public, made)

            ask(30)
            results[name] = ask(count)
    return results


def main(arguments: Sequence[str]) -> int:
    """Print the figures and their ratios."""
    count = int(arguments[0]) if arguments else REQUESTS
    print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    own = measure_own(count)
    show("iamrange, private_key_jwt and DPoP", own)
    if own.good != count:
        return 3
    ceiling = arithmetic_ceiling()
    print(f"  the signatures alone, here and now: {ceiling:.0f} a CPU-second")
    verdict = "met" if own.per_cpu_second >= TARGET else "missed"
    print(f"target {TARGET} tokens a second a core: {verdict}")
    try:
        peers = measure_peer(PEER_REQUESTS)
    except GoBuildError as error:
        print(f"Ory Hydra: not measured, {error}")
        return 0
    for name, result in peers.items():
        show(f"Ory Hydra, {name}, no DPoP", result)
        ratio = own.per_cpu_second / result.per_cpu_second
        print(f"  ratio of tokens a CPU-second: {ratio:.1f}")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
