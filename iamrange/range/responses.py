"""What the range's operators do about a victim, between the theft and the attack."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from iamrange.core.scenario import Response
from iamrange.range.rotated import rotate_client_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.core.scenario import Part
    from iamrange.range.behaviour_watch import BehaviourWatch
    from iamrange.range.deployment import Deployment

INCIDENT_DELAY = 2.0
"""AWS tells moments of issue apart by whole seconds: the world's clock is moved by this much."""


def declare_incident(world: Deployment, victim: Part, off: frozenset[str]) -> None:
    """Declare the victim's incident: a new key for the agent, and the stack's response.

    The world's clock moves on, so that what is issued afterwards is told apart.
    """
    offset = INCIDENT_DELAY
    moment = datetime.fromtimestamp(time.time() + offset, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.reconfigure(off=off, incidents={victim.value: moment})
    world.world.change_agent(world.stage.agents[victim]["spiffe_id"], "revoke")
    world.world.set_clock(2 * offset)
    world.homes[victim] = world.enrolment.one(victim, world.world.folder / "reissued")


def offboard(world: Deployment, victim: Part, off: frozenset[str]) -> None:
    """Retire the victim in the directory."""
    world.reconfigure(off=off)
    world.world.change_agent(world.stage.agents[victim]["spiffe_id"], "retire")


def rotate_key(world: Deployment, victim: Part, off: frozenset[str]) -> None:
    """Give the victim a new key, and end the old one."""
    world.reconfigure(off=off)
    world.homes[victim] = world.enrolment.one(victim, world.world.folder / "rotated")


def recover(world: Deployment, victim: Part, watch: BehaviourWatch) -> None:
    """Let an agent that was cut off work again, with a new key: somebody has looked into it.

    AWS takes sessions of the second in which older ones were revoked for old: it is waited out.
    """
    agent = world.stage.agents[victim]["spiffe_id"]
    if agent not in watch.accused:
        return
    watch.release(agent)
    world.homes[victim] = world.enrolment.one(victim, world.world.folder / "reissued")
    time.sleep(1.0)


def rotate_secret(world: Deployment, victim: Part, off: frozenset[str]) -> None:
    """Replace the victim's client secret."""
    world.reconfigure(off=off)
    rotate_client_secret(world, victim)


RESPONSES: Mapping[Response, Callable[[Deployment, Part, frozenset[str]], None]] = {
    Response.INCIDENT: declare_incident,
    Response.OFFBOARDING: offboard,
    Response.KEY_ROTATION: rotate_key,
    Response.SECRET_ROTATION: rotate_secret,
}
