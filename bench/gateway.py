"""Measure calls a second through the real Envoy and our decision service, beside Envoy with OPA.

- Everything is on this machine and counts: the load generator, Envoy, the decision service, and a
  service that answers. What each takes of the processors is printed with the figure.
- `flood` is what goes through; `steady` is a thousand calls a second at moments fixed before, each
  answer timed from its moment. Every fiftieth call is an attack, and must be refused with its
  reason; one that is not, or a good call that is refused, fails the bench.
- A verified token is remembered by its hash, as by default; proof, replay, revocation, state,
  policy and rates are asked each time.

Run as `python -m bench.gateway [CALLS]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import gateway_peer
from bench.gateway_load import Load, Result, Shot
from bench.gateway_party import ATTACKS, HOST, TARGET, Party
from bench.gateway_service import Wanted, policy_texts
from bench.load import cpu_seconds
from iamrange.access.policy_engine import PolicyEngine
from iamrange.access.policy_input import CallContext, policy_input
from iamrange.access.routes import Matched, match
from iamrange.identity.directory.model import Agent, AgentState, Classification
from iamrange.network.ca import CertificateAuthority
from iamrange.network.envoy import EnvoyProcess
from iamrange.network.envoy_config import Authorizer, EnvoyConfig, Upstream, new_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CALLS = 15_000
STEADY_RATE, STEADY_SECONDS = 1000, 10
TARGETS = {"dpop": 3000, "bearer": 4000}
AGENTS = (10, 1_000, 100_000)
RULES = (10, 100, 1_000)
GROWTH_CALLS = 4_000
QUESTIONS = 300
WORKERS = 2


@contextmanager
def process(first: Mapping[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """Run a process of `bench.gateway_service`, and return when it serves."""
    command = [sys.executable, "-m", "bench.gateway_service"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module
    try:
        if tell(child, json.dumps(first)) != "ready":
            raise SystemExit("a process of the bench did not start")
        yield child
    finally:
        child.terminate()
        child.communicate()


def tell(child: subprocess.Popen[str], line: str) -> str:
    """Tell a process something and return what it answers."""
    if child.stdin is None or child.stdout is None:
        raise SystemExit("a process of the bench has no pipes")
    child.stdin.write(f"{line}\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


class Bench:
    """What all gateways of one run share: certificate, service, folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Start the service."""
        self.folder = folder
        self.ca = CertificateAuthority.create("bench")
        self.context = ssl.create_default_context(cadata=self.ca.pem)
        self.service = stack.enter_context(process({"answers": str(folder / "service.sock")}))

    def config(self, name: str, *, judged: bool) -> EnvoyConfig:
        """Return the edge of our gateway; unjudged, that which the peer's filters go into."""
        socket = self.folder / f"{name}.sock"
        return EnvoyConfig(
            upstreams=(Upstream((HOST,), self.folder / "service.sock", judged=judged),),
            certificate=self.ca.server_certificate([HOST]),
            secret=new_secret(),
            authorizer=Authorizer(socket=socket) if judged else None,
            workers=WORKERS,
        )

    @contextmanager
    def gateway(
        self, party: Party, *, agents: int = 1000, rules: int = 0, bearer: bool = False
    ) -> Iterator[Gateway]:
        """Run our gateway."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            folder = Path(name)
            config = self.config(f"{folder.name}/d", judged=True)
            wanted = Wanted(
                socket=str(folder / "d.sock"),
                folder=name,
                secret=config.secret,
                keys=party.keys,
                nonce_secret=party.nonce_secret,
                agents=agents,
                rules=rules,
                bearer=bearer,
            )
            with process(asdict(wanted)) as decisions, asyncio.Runner() as runner:
                (folder / "envoy").mkdir()
                envoy = runner.run(EnvoyProcess.start(config, folder / "envoy"))
                pids = {"envoy": envoy.pid, "decisions": decisions.pid}
                try:
                    with self.loaded(envoy.port, pids) as gateway:
                        gateway.decisions = decisions
                        yield gateway
                finally:
                    runner.run(envoy.stop())

    @contextmanager
    def loaded(self, port: int, pids: Mapping[str, int]) -> Iterator[Gateway]:
        """Connect the load generator to a gateway."""
        load = Load(port, HOST, self.context)
        try:
            yield Gateway(load, {**pids, "service": self.service.pid})
        finally:
            load.close()


class Gateway:
    """A gateway under load."""

    decisions: subprocess.Popen[str] | None = None

    def __init__(self, load: Load, pids: Mapping[str, int]) -> None:
        """Take the connections and whose processor time counts."""
        self._load = load
        self._pids = pids

    def revoke(self, jti: str) -> None:
        """Revoke a token while the gateway runs."""
        if self.decisions is None or tell(self.decisions, jti) != "revoked":
            raise SystemExit("a token could not be revoked")

    def flood(self, shots: Sequence[Shot]) -> dict[str, Any]:
        """Return what goes through, and what it takes."""
        result, cpu = self._measured(shots, None)
        return {"calls a second": round(result.per_second), **_shares(result, cpu)}

    def steady(self, shots: Sequence[Shot], rate: float) -> dict[str, Any]:
        """Return how long answers take at this rate."""
        result, cpu = self._measured(shots, rate)
        figures = {
            "calls a second": round(result.per_second),
            "p50 ms": round(result.percentile(0.5), 2),
            "p99 ms": round(result.percentile(0.99), 2),
            "p99.9 ms": round(result.percentile(0.999), 2),
        }
        return {**figures, **_shares(result, cpu)}

    def _measured(
        self, shots: Sequence[Shot], rate: float | None
    ) -> tuple[Result, Mapping[str, float]]:
        before = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        result = self._load.flood(shots) if rate is None else self._load.steady(shots, rate)
        spent = {name: cpu_seconds(pid) - before[name] for name, pid in self._pids.items()}
        if result.wrong:
            raise SystemExit(f"not as it should be: {dict(result.wrong)}")
        return result, {"load": result.cpu, **spent}


def _shares(result: Result, cpu: Mapping[str, float]) -> dict[str, Any]:
    answers = sum(result.outcomes.values())
    refused = {name: count for name, count in result.outcomes.items() if name != "200"}
    return {
        "of a core": {name: round(spent / result.seconds, 2) for name, spent in cpu.items()},
        "us a call": {name: round(1e6 * spent / answers) for name, spent in cpu.items()},
        **({"attacks refused": refused} if refused else {}),
    }


def ours(bench: Bench, calls: int) -> dict[str, Any]:
    """Measure our gateway with proofs and attacks, and with bearer tokens."""
    party = Party()
    figures: dict[str, Any] = {}
    with bench.gateway(party) as gateway:
        gateway.flood(party.shots(500, attacks=False))
        gateway.revoke(party.revoked.jti)
        figures["dpop"] = gateway.flood(party.shots(calls))
        shots = party.shots(STEADY_RATE * STEADY_SECONDS)
        figures["dpop, steady"] = gateway.steady(shots, STEADY_RATE)
    for name in ("dpop", "dpop, steady"):
        if set(figures[name]["attacks refused"]) != set(ATTACKS.values()):
            raise SystemExit(f"attacks are missing: {figures[name]}")
    party.refresh()
    with bench.gateway(party, bearer=True) as gateway:
        gateway.flood(party.shots(500, bearer=True))
        figures["bearer"] = gateway.flood(party.shots(calls, bearer=True))
        shots = party.shots(STEADY_RATE * STEADY_SECONDS, bearer=True)
        figures["bearer, steady"] = gateway.steady(shots, STEADY_RATE)
    for name, target in TARGETS.items():
        figures[name]["target"] = target
    return figures


def peers(bench: Bench, calls: int) -> dict[str, Any]:
    """Measure Envoy with OPA and a plain JWT."""
    party = Party()
    config = bench.config("unused", judged=False)
    try:
        with tempfile.TemporaryDirectory(dir=bench.folder) as name:
            peer = gateway_peer.running(config, Path(name), party.keys)
            with peer as (port, envoy, opa):
                pids = {"envoy": envoy, "opa": opa}
                with bench.loaded(port, pids) as gateway:
                    gateway.flood(party.shots(500, bearer=True))
                    gateway.flood(party.strangers())
                    flood = gateway.flood(party.shots(calls, bearer=True))
                    shots = party.shots(STEADY_RATE * STEADY_SECONDS, bearer=True)
                    return {
                        "opa and a plain JWT": flood,
                        "opa and a plain JWT, steady": gateway.steady(shots, STEADY_RATE),
                    }
    except gateway_peer.PeerError as error:
        return {"opa and a plain JWT": str(error)}


def growth(bench: Bench) -> dict[str, Any]:
    """Measure what more agents and more rules cost a call."""
    figures: dict[str, Any] = {}
    sizes = [(f"{count} agents", {"agents": count}) for count in AGENTS]
    sizes += [(f"{count} more rules", {"rules": count}) for count in RULES]
    for name, options in sizes:
        party = Party(options.get("agents", 1000))
        started = time.monotonic()
        with bench.gateway(party, **options) as gateway:  # type: ignore[arg-type] # counts
            ready = time.monotonic() - started
            party.refresh()
            gateway.flood(party.shots(500, attacks=False))
            flood = gateway.flood(party.shots(GROWTH_CALLS, attacks=False))
            figures[name] = {
                "calls a second": flood["calls a second"],
                "us a decision": flood["us a call"]["decisions"],
                "ready after": round(ready, 1),
            }
            if "rules" in options:
                figures[name]["us a question anew"] = round(asked_anew(options["rules"]))
    return figures


def asked_anew(rules: int) -> float:
    """Return the microseconds of a question that the policy's engine has not answered before."""
    engine = PolicyEngine(policy_texts(rules))
    agent = Agent(
        name="bench",
        owner="bench",
        project="analytics",
        classification=Classification.PUBLIC,
        roles=frozenset({"data-analyst"}),
        state=AgentState.ACTIVE,
    )
    matched = match("customers", "GET", TARGET)
    if not isinstance(matched, Matched):
        raise SystemExit("the bench's route is none")
    context = CallContext(time=time.time(), tenant=agent.tenant)
    text = policy_input(agent, matched, None, context)
    if not engine.ask(text).allow:
        raise SystemExit("the bench's policy does not allow")
    started = time.process_time()
    for _ in range(QUESTIONS):
        engine.ask(text)
    return 1e6 * (time.process_time() - started) / QUESTIONS


def main(calls: int) -> None:
    """Print the figures as one JSON document."""
    with tempfile.TemporaryDirectory(prefix="iamrange-") as name, ExitStack() as stack:
        bench = Bench(Path(name), stack)
        figures: dict[str, Any] = {"calls": calls, "load average": os.getloadavg()}
        figures.update(ours(bench, calls))
        figures.update(peers(bench, calls))
        figures["growth"] = growth(bench)
        figures["load average after"] = os.getloadavg()
        print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)
