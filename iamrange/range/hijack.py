"""The victim that reads what an attacker wrote: a process of its own that obeys its documents.

- It has its own home, credentials and clients, and one way out, to the gateway; without the
  control `access.gateway-only-egress`, or where the machine allows no jail, the host's network.
- What the attacker has of it is what arrives at a host of the attacker's own, no more.
- Its daily work is the first thing that it does, in there: that is seen to go on.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.core.access_controls import GATEWAY_ONLY_EGRESS
from iamrange.core.scenario import Asset, AssetKind, Network
from iamrange.identity.agent_home import agent_environment
from iamrange.identity.names import AUTH_ISSUER
from iamrange.range.jail import Finished, Job, NetworkNamespace, NotJailed, Open, machine_jails
from iamrange.range.processes import ProcessError
from iamrange.range.services import APPROVALS, SERVICES
from iamrange.range.work import actor_environment, actor_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from iamrange.core.scenario import Part
    from iamrange.range.deployment import Deployment
    from iamrange.range.jail import Egress
    from iamrange.range.jail_relay import TurnedAway

AGENT = "scenarios.support_llm_tools"
"""The agent's program: `python -m AGENT FOLDER` reads the folder and prints its transcript."""

WAYS_OUT = (
    AUTH_ISSUER.removeprefix("https://"),
    APPROVALS.host,
    *(service.host for service in SERVICES.values()),
)
"""The names that lead to the gateway."""

_NO_WAY_OUT = "no-way-out"


class HijackedProcessError(ProcessError):
    """The agent's process said nothing that can be read: that says nothing about any control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hijacked:
    """What an agent did that obeys its documents.

    `steps` are its calls with their answers (`scenarios.support_llm.Step`, as JSON); the first is
    its daily work. `turned_away` are the ways out that were refused, with the ids of their records.
    `outside` are the texts that arrived at the attacker's host.
    """

    steps: tuple[Mapping[str, Any], ...] = field(repr=False)
    turned_away: tuple[tuple[TurnedAway, str], ...]
    outside: tuple[str, ...] = field(repr=False)
    jailed: bool


def obey(world: Deployment, victim: Part, documents: Sequence[str], asset: Asset) -> dict[str, Any]:
    """Have the victim read the documents; report as an actor does (`range.actor`).

    `loot` is what arrived outside. Where the asset did not, `refused` and `request_id` are those of
    the first thing that the victim was refused.

    Raises:
        JailBrokeError: the supervisor of its jail broke.
        HijackedProcessError: its process did.
    """
    done = read(world, victim, documents)
    daily = done.steps[0]["answer"]
    if world.canaries[Asset(AssetKind.SERVICE_RECORDS, victim)] not in values([daily["text"]]):
        return {"broke": f"the agent's daily work: {daily['refused'] or 'read another value'}"}
    sent = tuple(values(done.outside))
    if world.canaries[asset] not in sent and (refusal := first_refusal(done)):
        return refusal  # "send it" sends something even so: what the agent had read before
    return {"loot": sent}


def read(world: Deployment, victim: Part, documents: Sequence[str]) -> Hijacked:
    """Have the victim read the documents and do what they say.

    Raises:
        JailBrokeError: the supervisor of its jail broke.
        HijackedProcessError: its process did.
    """
    folder = actor_folder(world, "hijacked")
    for number, text in enumerate(documents):
        (folder / f"{number:03}.txt").write_text(text)
    environment = world.world.environment(Network.CORPORATE)
    home = world.homes[victim]
    way_out = _way_out(world, environment)
    done = way_out.run(
        Job(
            argv=(sys.executable, "-m", AGENT, str(folder)),
            env=actor_environment(world, folder) | environment | agent_environment(home),
            allowed_hosts=WAYS_OUT,
            cwd=str(folder),
            readable=(world.world.ca_file, str(home)),
        )
    )
    if isinstance(done, NotJailed):
        raise HijackedProcessError(f"the agent's process: {done.step}: {done.detail}")
    agent_id = world.stage.agents[victim]["spiffe_id"]
    return Hijacked(
        steps=_steps(done),
        turned_away=tuple(
            (away, world.world.record_egress(agent_id, away.target, away.reason))
            for away in done.turned_away
        ),
        outside=world.world.dropped(),
        jailed=isinstance(way_out, NetworkNamespace),
    )


def _way_out(world: Deployment, environment: Mapping[str, str]) -> Egress:
    if GATEWAY_ONLY_EGRESS.id in world.off or machine_jails() is not None:
        return Open()
    host, _, port = environment["HTTPS_PROXY"].removeprefix("http://").partition(":")
    return NetworkNamespace((host, int(port)))


def _steps(done: Finished) -> tuple[Mapping[str, Any], ...]:
    with contextlib.suppress(ValueError, KeyError):
        if steps := json.loads(done.stdout)["steps"]:
            return tuple(steps)
    raise HijackedProcessError(
        f"the agent's process: expected its transcript, got status {done.status}"
    )


def values(texts: Iterable[str]) -> Iterator[str]:
    """Yield the records' values in texts that hold answers of services, one or several."""
    decoder = json.JSONDecoder()
    for text in texts:
        at = text.find("{")
        while at >= 0:
            try:
                found, end = decoder.raw_decode(text, at)
            except ValueError:
                found, end = None, at + 1
            if isinstance(found, dict) and isinstance(found.get("value"), str):
                yield found["value"]
            at = text.find("{", end)


def first_refusal(done: Hijacked) -> dict[str, Any] | None:
    """Return what the agent was first refused beyond its daily work, as an actor reports it."""
    for step in done.steps[1:]:
        answer = step["answer"]
        if answer["refused"] == _NO_WAY_OUT:
            url = step["call"]["url"]
            ids = (one for away, one in done.turned_away if away.target.partition(":")[0] in url)
            return {"refused": _NO_WAY_OUT, "request_id": next(ids, None)}
        if answer["token_refused"] is not None:
            return {"refused": answer["token_refused"], "request_id": answer["token_request_id"]}
        if answer["refused"] is not None:
            return {"refused": answer["refused"], "request_id": answer["request_id"]}
    return None
