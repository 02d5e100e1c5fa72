"""Measure what the behaviour baselines find in months of traffic, beside a plain z-score.

- The traffic is made from a seed, and so are the incidents in it (`bench.baselines_traffic`). Both
  detectors see the same calls in the same order, and learn as they go.
- An incident is found if its agent is accused while it lasts. An accusation at another time is a
  false one. Whoever is accused is released at once, and what an agent was wrongly accused of is
  accepted as ordinary.
- The z-score: calls an hour by agent, three deviations above the mean of its working hours so far.
- Junk that names agents without proof is mixed in, one call in twenty: it must change nothing.
- On a running range, for five agents in turn: from the call that is accused to the refusal of the
  next one, as the agent's own client sees it.

Run as `python -m bench.baselines [AGENTS] [DAYS] [SEED]`; with `--no-range` without the last part.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.baselines_traffic import DAY, HOUR, KINDS, Incident, traffic
from iamrange.detect.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from iamrange.detect.behaviour import Call, Declared

AGENTS, DAYS, SEED = 30, 84, 7
TARGETS = {"events a second": 5_000, "seconds to the next refusal": 1}
JUNK = 20
_Z = 3.0
_ENOUGH = 24


class ZScore:
    """Calls an hour against mean and deviation of all working hours before."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self._open: dict[str, tuple[int, int]] = {}
        self._known: dict[str, tuple[int, float, float]] = {}
        self._said: set[tuple[str, int]] = set()

    def see(self, call: Call) -> bool:
        """Tell whether this call is one too many; once an hour."""
        hour = int(call.time // HOUR)
        index, count = self._open.get(call.agent, (hour, 0))
        if index != hour:
            self._learn(call.agent, count)
            count = 0
        self._open[call.agent] = (hour, count + 1)
        n, mean, squares = self._known.get(call.agent, (0, 0.0, 0.0))
        if n < _ENOUGH or (call.agent, hour) in self._said:
            return False
        if count + 1 <= mean + _Z * math.sqrt(squares / n):
            return False
        self._said.add((call.agent, hour))
        return True

    def _learn(self, agent: str, count: int) -> None:
        n, mean, squares = self._known.get(agent, (0, 0.0, 0.0))
        delta = count - mean
        mean += delta / (n + 1)
        self._known[agent] = (n + 1, mean, squares + delta * (count - mean))


def judged(
    calls: Iterable[Call],
    incidents: list[Incident],
    accuses: Callable[[Call], bool],
    wronged: Callable[[str], None] = lambda _: None,
    release: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return precision and recall of one detector, overall and by kind."""
    by_agent: dict[str, list[Incident]] = {}
    for incident in incidents:
        by_agent.setdefault(incident.worker.name, []).append(incident)
    found: set[Incident] = set()
    false: set[tuple[str, int]] = set()
    for call in calls:
        if not accuses(call):
            continue
        hit = [i for i in by_agent.get(call.agent, ()) if i.start - HOUR / 2 <= call.time <= i.end]
        if hit:
            found.update(hit[:1])
        else:
            false.add((call.agent, int(call.time // DAY)))
            wronged(call.agent)
        release(call.agent)
    totals, hits = Counter(i.kind for i in incidents), Counter(i.kind for i in found)
    return {
        "precision": round(len(found) / max(len(found) + len(false), 1), 3),
        "recall": round(len(found) / len(incidents), 3),
        "false accusations": len(false),
        "found, by kind": {kind: f"{hits[kind]} of {totals[kind]}" for kind in KINDS},
    }


def baselines(
    calls: list[Call], incidents: list[Incident], declared: dict[str, Declared]
) -> dict[str, Any]:
    """Judge with the range's own watcher; return what it found, and how fast it was."""
    watcher = Watcher(declared.get)
    spent = 0.0

    def accuses(call: Call) -> bool:
        nonlocal spent
        began = time.perf_counter()
        said = watcher.see(call)
        spent += time.perf_counter() - began
        return any(one.contains for one in said)

    def wronged(agent: str) -> None:
        watcher.accept(agent)

    answer = judged(calls, incidents, accuses, wronged, watcher.release)
    answer["events a second"] = round(len(calls) / spent)
    answer["bytes an agent"] = round(
        len(json.dumps(watcher.to_json()["agents"])) / len(watcher.agents)
    )
    junk = [replace(c, id=f"j{c.id}", service="hr", authenticated=False) for c in calls[::JUNK]]
    before = json.dumps(watcher.to_json()["agents"])
    if any(watcher.see(one) for one in junk) or json.dumps(watcher.to_json()["agents"]) != before:
        raise SystemExit("junk that names an agent changed something")
    answer["junk calls without effect"] = len(junk)
    return answer


CLIENT = """
import sys, time, requests
from scenarios import oauth
own = oauth.Own.from_home()
client = oauth.client_with_key(own.client_id, own.issuer, own.key(), dpop_bound_access_tokens=True)
token = client.client_credentials(resource=sys.argv[1])
session, sent = requests.Session(), []
while True:
    sent.append(time.monotonic())
    answer = session.get(sys.argv[1] + "/records/latest", auth=token, timeout=20)
    if answer.status_code == 401:
        break
    if answer.status_code != 200 or len(sent) > 200:
        sys.exit(f"call {len(sent)}: {answer.status_code}")
    time.sleep(0.05)
print(time.monotonic() - sent[int(sys.argv[2]) - 1])
"""
TOO_MANY = 11
"""The call of a minute that is one too many for an agent that makes one: `FLOORS` of baselines."""


def on_a_range() -> list[float]:
    """Return for each of five agents the seconds from the call that is accused to a refusal."""
    from iamrange.core.scenario import Part  # noqa: PLC0415 - the figures above need no range
    from iamrange.identity.agent_home import agent_environment  # noqa: PLC0415
    from iamrange.range.behaviour_watch import watched  # noqa: PLC0415
    from iamrange.range.catalogue import chosen  # noqa: PLC0415
    from iamrange.range.deployment import Deployment  # noqa: PLC0415
    from iamrange.range.history import history_of  # noqa: PLC0415
    from iamrange.range.progress import ConsoleProgress  # noqa: PLC0415
    from iamrange.range.runner import RunOptions, workshop  # noqa: PLC0415

    from iamrange.cli_console import err  # noqa: PLC0415 # isort: skip

    (entry,) = chosen(["rogue-agents/call-rate-up"])
    parts = (
        Part.LOG_WRITER,
        Part.HR_ASSISTANT,
        Part.DATA_ANALYST,
        Part.DEPLOY_BOT,
        Part.FLEET_SENSOR,
    )
    progress = ConsoleProgress(err)
    seconds = []
    with workshop(RunOptions(), progress) as tools, Deployment.create(tools) as base:
        taught = []
        for part in parts:
            foothold = replace(entry.scenario.foothold, victim=part)
            of_it = replace(entry.scenario, foothold=foothold, bystander=Part.PAYMENTS_AGENT)
            taught += history_of(base, of_it)
        with watched(base, teach=taught) as watch:
            for part in parts:
                progress.step(f"{part} calls too often")
                done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
                    [
                        sys.executable,
                        "-c",
                        CLIENT,
                        base.stage.agents[part]["service"],
                        f"{TOO_MANY}",
                    ],
                    env={
                        **os.environ,
                        **base.world.environment(),
                        **agent_environment(base.homes[part]),
                    },
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                seconds.append(round(float(done.stdout), 3))
            watch.check()
    return seconds


def main(agents: int, days: int, seed: int, *, with_range: bool) -> None:
    """Print the figures as one JSON document."""
    calls, incidents, team = traffic(agents, days, seed)
    figures: dict[str, Any] = {
        "agents": agents,
        "days": days,
        "seed": seed,
        "calls": len(calls),
        "incidents": len(incidents),
        "load average": os.getloadavg(),
        "baselines": baselines(calls, incidents, {one.name: one.declared for one in team}),
        "z-score": judged(calls, incidents, ZScore().see),
    }
    if with_range:
        figures["seconds to the next refusal"] = on_a_range()
    figures["targets"] = TARGETS
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:] if text.isdecimal()]
    main(
        *[*numbers, *(AGENTS, DAYS, SEED)[len(numbers) :]], with_range="--no-range" not in sys.argv
    )
