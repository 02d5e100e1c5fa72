"""Footholds: what an attacker starts with, taken from a victim that did its legitimate work.

- Nothing is made up: each thing really lay in the victim's memory, home or log.
- What was taken is used again for a while, and then taken anew: tokens live 300 s.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.core.scenario import Material
from iamrange.identity.agent_home import AWS_TOKEN, GOOGLE_TOKEN, VAULT_TOKEN, credentials_in
from iamrange.range.vendor import collect_as_vendor
from iamrange.range.work import FootholdError, do_work, project_tokens
from iamrange.range.workloads import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.core.scenario import Scenario
    from iamrange.core.verdict import Legitimate
    from iamrange.range.deployment import Deployment

FRESH_SECONDS = 120.0
"""How long something taken is used again: tokens live 300 s and must outlive the attack."""

FRESH_REQUEST_SECONDS = 20.0
"""The same for a request with its proof: proofs and nonces live for 60 s."""

OAUTH: Mapping[Material, tuple[str, ...]] = {
    Material.NETWORK: (),
    Material.DOCUMENT: (),
    Material.LOG_FOLDER: (),
    Material.LOG_READER: ("access_token", "dpop_key"),
    Material.REPOSITORY: (),
    Material.CONFIGURATION: (),
    Material.CLIENT_KEY: ("client_key",),
    Material.CLIENT_SECRET: ("client_secret",),
    Material.ACCESS_TOKEN: ("access_token",),
    Material.DPOP_SESSION: ("access_token", "dpop_key"),
    Material.CLIENT_SESSION: ("access_token", "dpop_key", "client_key"),
    Material.CERTIFICATE: ("certificate", "certificate_key"),
    Material.APPROVED_SESSION: (
        "access_token",
        "dpop_key",
        "approval_id",
        "used_approval_id",
    ),
    Material.CAPTURED_REQUEST: ("access_token", "proof", "method", "url"),
}
"""What each kind of foothold at our own token service consists of, by the names in `Taken`."""


OF_ONE_VAULT = frozenset({Material.VAULT_SESSION, Material.VAULT_HANDOVER, Material.DATABASE_LOGIN})
"""What a vault has given out: it ends with that vault, and each world has a vault of its own."""


@dataclass(frozen=True, slots=True)
class Footing:
    """What a victim left behind, and when."""

    work: Legitimate
    material: Mapping[str, Any]
    taken_at: float


class Snapshot:
    """A world kept as it is, from which attacks are forked; victims do their work in it."""

    def __init__(self, deployment: Deployment) -> None:
        """Take the deployment over."""
        self.deployment = deployment
        self._footings: dict[tuple[Any, ...], Footing] = {}

    def footing(self, scenario: Scenario) -> Footing:
        """Return what the scenario's attacker starts with, taken anew when it is old.

        Raises:
            FootholdError: the victim could not work.
        """
        foothold = scenario.foothold
        workload = name_of(scenario.legitimate)
        key = (foothold.victim, foothold.takes, foothold.tenant, workload)
        with self.deployment.lock:
            known = self._footings.get(key)
            fresh = (
                FRESH_REQUEST_SECONDS
                if foothold.takes is Material.CAPTURED_REQUEST
                else FRESH_SECONDS
            )
            if known is None or time.monotonic() - known.taken_at > fresh:
                known = self._footings[key] = self._take(scenario)
            return known

    def _take(self, scenario: Scenario) -> Footing:
        foothold = scenario.foothold
        deployment = self.deployment
        home = deployment.homes[foothold.victim]
        if foothold.tenant is not None:
            tokens = project_tokens(
                deployment, deployment.enrolment.namesake(foothold.victim, foothold.tenant)
            )
        else:
            tokens = project_tokens(deployment, home)
        work, memory = do_work(deployment, foothold.victim, scenario.legitimate, "before")
        if not work.ok:
            raise FootholdError(f"{work.part} could not do its work: {work.detail}")
        if foothold.takes is Material.VENDOR_SESSION:
            collected, session = collect_as_vendor(deployment, "before")
            if not collected.ok:
                raise FootholdError(f"the vendor could not do its work: {collected.detail}")
            return Footing(work, {"aws_session": session}, time.monotonic())
        material = _material(foothold.takes, tokens, memory, home)
        if material is None:
            raise FootholdError(f"{foothold.victim}: no {foothold.takes} found after its work")
        return Footing(work, material, time.monotonic())

    def stop(self) -> None:
        """Stop its world."""
        self.deployment.stop()


def _material(
    takes: Material, tokens: Mapping[str, str], memory: Mapping[str, str], home: Path
) -> dict[str, Any] | None:
    """Return what is taken, by the names of `Taken`; None when a part of it does not lie there."""
    if takes in OAUTH:
        lying = {**memory, **credentials_in(home)}
        oauth = {name: lying.get(name) for name in OAUTH[takes]}
        return {"oauth": oauth} if all(oauth.values()) else None
    offered: Mapping[Material, dict[str, Any]] = {
        Material.AWS_TOKEN: {"token": tokens.get(AWS_TOKEN)},
        Material.GCP_TOKEN: {"token": tokens.get(GOOGLE_TOKEN)},
        Material.VAULT_ASSERTION: {"token": tokens.get(VAULT_TOKEN)},
        Material.VAULT_SESSION: {"vault_token": memory.get("vault_token")},
        Material.VAULT_HANDOVER: {"vault_token": memory.get("handed_on")},
        Material.DATABASE_LOGIN: {"database_login": _login_in(memory)},
        Material.AWS_SESSION: {"aws_session": memory if "session_token" in memory else None},
        Material.GCP_ACCESS_TOKEN: {"gcp_access_token": memory.get("access_token")},
    }
    return offered[takes] if all(offered[takes].values()) else None


def _login_in(memory: Mapping[str, str]) -> dict[str, str] | None:
    if "database_user" not in memory:
        return None
    return {"user": memory["database_user"], "password": memory["database_password"]}
