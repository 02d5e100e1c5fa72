"""From decision records to calls by agents, as the watch judges them.

- Only records of a caller whose identity was verified make a call that counts: at the gateway the
  token and its proof held; the clouds decide nothing about a caller that they did not authenticate.
- A record of another point, or of nobody that is an agent of ours, is no call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.access import routes
from iamrange.core.access_controls import GATEWAY
from iamrange.core.decision import Effect, Outcome
from iamrange.detect.behaviour import CLASSES, NO_DATA, Call, Declared
from iamrange.detect.places import Places
from iamrange.detect.unmanaged import attributed
from iamrange.range.principals import of_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.core.decision import DecisionRecord

AWS: Final = "aws.authorize"
GCP: Final = "gcp.authorize"
VAULT: Final = "vault.authorize"
_ROUTES: Final = {(r.service, r.method, r.path): r for r in routes.ROUTES}
_SERVICES_OF_SCOPE: Final = {
    route.scope: frozenset(r.service for r in routes.ROUTES if r.scope == route.scope)
    for route in routes.ROUTES
}
_TEMPLATE_LIMIT: Final = 128
_MOST_PRINCIPALS: Final = 10_000

CALLS_A_MINUTE: Final = 120
"""The most that any agent of the range will ever need: half of what the gateway lets through."""


def declared_of(registered: Mapping[str, object], homes: Iterable[str]) -> Declared:
    """Return what a directory's entry (`World.declared`) declares."""
    scopes = registered["scopes"]
    found = [_SERVICES_OF_SCOPE.get(str(scope), ()) for scope in scopes]  # type: ignore[attr-defined] # a list
    return Declared(
        services=frozenset(service for services in found for service in services),
        level=CLASSES.index(str(registered["classification"])),
        rate=CALLS_A_MINUTE,
        homes=frozenset(homes),
    )


class Calls:
    """Reads records as calls."""

    def __init__(
        self,
        agents: Iterable[Mapping[str, str]],
        networks: Mapping[str, str],
        *,
        domain: str,
        projects: Iterable[str] = (),
    ) -> None:
        """Take the agents' facts (as the stage has them) and the networks, name -> address.

        `domain` is the trust domain, like `iamrange.example`; `projects` are the numbers of the
        Google Cloud projects whose pools map the agents' names. Where data carries no labels
        (`labelled` False) none is seen here either.
        """
        self.labelled = True
        self._domain = f"spiffe://{domain}/agent/"
        self._places = Places({address: name for name, address in networks.items()})
        numbers = tuple(projects)
        self._whose = tuple(one for facts in agents for one in of_facts(facts, numbers))
        self._known: dict[str, str | None] = {}

    def call(self, record: DecisionRecord) -> Call | None:
        """Return the call that a record is of, or None."""
        if record.point == GATEWAY:
            return self._at_gateway(record)
        if record.point == AWS:
            return self._in_cloud(record, self._agent(record.principal), "aws")
        if record.point == VAULT and record.principal.startswith(self._domain):
            return self._in_vault(record)
        if record.point == GCP:
            return self._in_cloud(record, self._agent(record.principal), "gcp")
        return None

    def _at_gateway(self, record: DecisionRecord) -> Call | None:
        if not record.principal.startswith(self._domain):
            return None
        facts = record.facts
        key = (facts.get("service", ""), facts.get("method", ""), facts.get("route", ""))
        route = _ROUTES.get(key)
        host = record.resource.removeprefix("https://").partition("/")[0]
        service = routes.SERVICE_OF_HOST.get(host)
        if service is None:
            return None
        return Call(
            id=f"{record.point} {record.request_id}",
            time=record.time,
            agent=record.principal,
            service=service,
            operation="no such route" if route is None else f"{route.method} {route.path}",
            level=route.classification.level if route and self.labelled else NO_DATA,
            place=self._places.place(record.source_ip),
            allowed=record.outcome is Outcome.ALLOW,
            authenticated=_proved(record),
        )

    def _in_cloud(self, record: DecisionRecord, agent: str | None, cloud: str) -> Call | None:
        if agent is None:
            return None
        split = ":" if cloud == "aws" else "."
        return Call(
            id=f"{record.point} {record.request_id} {record.action}",
            time=record.time,
            agent=agent,
            service=f"{cloud}:{record.action.partition(split)[0].lower()}",
            operation=record.action[:_TEMPLATE_LIMIT],
            level=NO_DATA,
            place=self._places.place(record.source_ip),
            allowed=record.outcome is Outcome.ALLOW,
            authenticated=True,
        )

    def _in_vault(self, record: DecisionRecord) -> Call:
        """Return a call at the vault, by its mount: what is below is the agent's own path."""
        mount = record.resource.partition("/")[0]
        verb = record.action.rpartition(":")[2]
        return Call(
            id=f"{record.point} {record.request_id}",
            time=record.time,
            agent=record.principal,
            service=f"vault:{mount}"[:_TEMPLATE_LIMIT],
            operation=verb[:_TEMPLATE_LIMIT],
            level=NO_DATA,
            place=self._places.place(record.source_ip),
            allowed=record.outcome is Outcome.ALLOW,
            authenticated=True,
        )

    def _agent(self, principal: str) -> str | None:
        """Return the agent that a principal of a cloud stands for; None: none of ours."""
        if principal not in self._known:
            if len(self._known) >= _MOST_PRINCIPALS:
                self._known.clear()
            found = attributed(principal, self._whose)
            self._known[principal] = found.agent if found is not None else None
        return self._known[principal]


def _proved(record: DecisionRecord) -> bool:
    """Tell whether the gateway verified whose call it was: the scope is asked for last."""
    token = next((one for one in record.layers if one.layer == "token"), None)
    return token is not None and (token.effect is Effect.ALLOW or token.detail == "scope")
