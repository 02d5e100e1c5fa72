"""The processes behind the bench's gateway: the decision service, and a service that answers.

- Decisions as in a gateway of many workers: a process of its own, uvloop, the directory on disk
  read through its view, replay and revocation in memory, the real policy, all rates counted.
- Run by `bench.gateway` alone: the first line of standard input says what to be; a line with a
  token's id revokes it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvicorn
import uvloop

import iamrange.access
from iamrange.access.decider import GatewayDecider
from iamrange.access.decision_app import DecisionApp
from iamrange.access.gateway_counters import GatewayCounters
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.access.policy_bundle import PolicyFolder
from iamrange.access.policy_engine import read_folder
from iamrange.access.record_tap import RecordTap
from iamrange.core.clock import SystemClock
from iamrange.identity.access_token import PROFILE
from iamrange.identity.directory.directory import Directory
from iamrange.identity.directory.model import AgentSpec, Classification
from iamrange.identity.directory.view import DirectoryView
from iamrange.identity.nonces import NonceSource
from iamrange.identity.protected import TokenVerifier, VerifierSettings
from iamrange.identity.stores.directory import DirectoryRevocation
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.stores.ports import Rate
from iamrange.jose import KeySet, parse_key_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.decision import DecisionRecord

POLICY = Path(iamrange.access.__file__).parent / "policy"
_PLENTY = Rate(amount=10_000_000, seconds=60)
_KEPT = 10_000
_BATCH = 20_000
_REPLAYS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the decision service is to be."""

    socket: str
    folder: str
    secret: str
    keys: Mapping[str, Any]
    nonce_secret: str
    agents: int
    rules: int
    bearer: bool


def rules_text(count: int) -> str:
    """Return so many more rules, none of which is about the bench's agents.

    Each looks at a role, an action and a service of its own, as roles that are added do.
    """
    return "package ai.authorization\n" + "".join(
        f"""
rules contains "role-{number}-reads" if {{
	some role in input.agent.roles
	role == "role-{number}"
	input.action == "read"
	input.resource.service == "service-{number % 20}"
}}
"""
        for number in range(count)
    )


def policy_texts(rules: int) -> dict[str, str]:
    """Return the range's policy and so many more rules."""
    texts = {n: text for n, text in read_folder(POLICY).items() if not n.endswith("_test.rego")}
    return {**texts, "more.rego": rules_text(rules)} if rules else texts


def policy(folder: Path, rules: int) -> PolicyFolder:
    """Write such a policy down, and follow that folder."""
    folder.mkdir()
    for name, text in policy_texts(rules).items():
        (folder / name).write_text(text)
    return PolicyFolder(folder)


def register(directory: Directory, count: int) -> None:
    """Register so many data analysts."""
    for start in range(0, count, _BATCH):
        specs = [
            AgentSpec(
                name=f"agent-{number}",
                owner="bench",
                project="analytics",
                classification=Classification.PUBLIC,
                roles=frozenset({"data-analyst"}),
                scopes=frozenset({"read:customers"}),
            )
            for number in range(start, min(count, start + _BATCH))
        ]
        directory.register_many(specs, actor="bench", activate=True)


class Records:
    """Keeps the last records, as a world does."""

    def __init__(self) -> None:
        """Start with none."""
        self._last: deque[DecisionRecord] = deque(maxlen=_KEPT)

    def __call__(self, record: DecisionRecord) -> None:
        """Keep one."""
        self._last.append(record)


def decider(wanted: Wanted, revocation: MemoryRevocation, followed: PolicyFolder) -> GatewayDecider:
    """Return the decider with everything that it is asked to be."""
    clock = SystemClock()
    folder = Path(wanted.folder)
    directory = Directory.open(f"sqlite:///{folder}/directory.sqlite", folder, clock=clock)
    register(directory, wanted.agents)
    agents = DirectoryView(directory)
    keys = parse_key_set(wanted.keys, PROFILE)
    if not isinstance(keys, KeySet):
        raise SystemExit(f"the issuer's keys are none: {keys.code}")
    tap = RecordTap(Records())
    verifier = TokenVerifier(
        "https://customers.iamrange.example",
        keys=lambda: keys,
        replay=MemoryReplay(capacity=_REPLAYS),
        revocation=DirectoryRevocation(agents, revocation, clock=clock),
        nonces=NonceSource(bytes.fromhex(wanted.nonce_secret), clock),
        clock=clock,
        records=tap,
        settings=VerifierSettings(unsafe_accepts_bearer=wanted.bearer),
    )
    return GatewayDecider(
        verifiers=lambda _: verifier,
        agents=agents,
        policy=followed.current,
        approvals=None,
        limits=GatewayCounters(),
        clock=clock,
        records=tap,
        settings=GatewaySettings(
            peer_rate=_PLENTY, global_rate=_PLENTY, agent_rate=_PLENTY, route_rate=_PLENTY
        ),
    )


async def decide(wanted: Wanted) -> None:
    """Serve decisions until standard input ends."""
    revocation = MemoryRevocation()
    followed = policy(Path(wanted.folder) / "policy", wanted.rules)
    app = DecisionApp(decider(wanted, revocation, followed), wanted.secret)
    config = uvicorn.Config(
        app,
        uds=wanted.socket,
        interface="asgi3",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        # longer than Envoy's own: whoever closes first while the other sends fails a call
        timeout_keep_alive=75,
    )
    server = uvicorn.Server(config)
    gc.collect()
    gc.freeze()

    def told() -> None:
        line = sys.stdin.readline().strip()
        if not line:
            server.should_exit = True
            asyncio.get_running_loop().remove_reader(sys.stdin)
            return
        revocation.revoke(line, expires=SystemClock().now() + 300)
        print("revoked", flush=True)

    asyncio.get_running_loop().add_reader(sys.stdin, told)
    following = asyncio.create_task(followed.follow())
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await serving
    following.cancel()


class Answers(asyncio.Protocol):
    """A service that has the same record for everybody."""

    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n" + b'{"value":"42"}'

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        # uvloop's transports are no subclasses of asyncio's
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request; they have no bodies."""
        self._buffer += data
        *whole, self._buffer = self._buffer.split(b"\r\n\r\n")
        if whole:
            self._transport.write(self.answer * len(whole))


async def answer(path: str) -> None:
    """Serve records until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(Answers, path)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    print("ready", flush=True)
    await ended.wait()
    server.close()


def main() -> None:
    """Be what the first line says."""
    first = json.loads(sys.stdin.readline())
    if "answers" in first:
        uvloop.run(answer(first["answers"]))
    else:
        uvloop.run(decide(Wanted(**first)))


if __name__ == "__main__":
    main()
