"""What stands on the stage: the names that the stack's outputs give to agents and assets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.core.scenario import Asset, AssetKind, Part
from iamrange.detect.audit_segments import LOG_FILE
from iamrange.identity.names import AUTH_ISSUER
from iamrange.network.names import DROP_HOST
from iamrange.range.services import APPROVALS, PLACES, SERVICE_OF, SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.core.scenario import Scenario


OF_AGENTS: Mapping[AssetKind, str] = {
    AssetKind.AWS_SECRET: "own.aws_secret_arn",
    AssetKind.GCP_SECRET: "own.gcp_secret",
    AssetKind.VAULT_SECRET: "own.vault_path",
    AssetKind.VAULT_BOOTSTRAP: "own.vault_bootstrap",
    AssetKind.DATABASE_RECORDS: "own.database_schema",
    AssetKind.AWS_RECORDS: "own.aws_table",
    AssetKind.AWS_DATA_KEY: "own.name",
    AssetKind.SERVICE_RECORDS: "own.service",
    AssetKind.AGENT_RECORD: "own.record_url",
}
"""What each agent has one of, and the fact that says where it is."""

OF_SOME_AGENTS = frozenset({AssetKind.DATABASE_RECORDS})
"""Of these, only what the stack's outputs name: whoever queries no database has none there."""

OF_PLATFORM: Mapping[AssetKind, str] = {
    AssetKind.AWS_PLATFORM_SECRET: "aws.platform_secret_arn",
    AssetKind.AWS_BACKUP_SECRET: "aws.backup_secret_arn",
    AssetKind.GCP_BACKUP_SECRET: "gcp.backup_secret",
    AssetKind.AWS_SILENCE: "aws.trail_arn",
    AssetKind.AWS_VENDOR_REPORT: "aws.vendor_secret_arn",
    AssetKind.AUDIT_SILENCE: "audit.log",
    **{kind: f"services.{kind}" for kind in PLACES},
}
"""What there is one of, and the fact that says where."""


class StageError(Exception):
    """The stack's outputs lack something that the range needs."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Facts of one provisioned stack: for each part, for AWS, and for Google Cloud.

    What the range itself serves is no output of the stack: its facts are added here.
    """

    agents: Mapping[Part, Mapping[str, str]]
    aws: Mapping[str, str]
    gcp: Mapping[str, str]
    vault: Mapping[str, str] = field(default_factory=dict)

    def facts(
        self, names: Iterable[str], *, victim: Part | None = None, target: Part | None = None
    ) -> dict[str, str]:
        """Resolve dotted names: `victim.X`, `own.X`, `target.X` of agents, `aws.X` and the like.

        Raises:
            StageError: a name is not among the stack's outputs.
        """
        groups: dict[str, Mapping[str, str]] = {
            "aws": self.aws,
            "gcp": self.gcp,
            "vault": self.vault,
            "identity": {"issuer": AUTH_ISSUER},
            "audit": {"log": LOG_FILE},
            "attacker": {"drop": f"https://{DROP_HOST}/collect"},
            "services": {
                **{kind.value: url for kind, url in PLACES.items()},
                **{name: service.resource for name, service in SERVICES.items()},
                "approvals": APPROVALS.resource,
                **{f"{name}_mesh": f"https://{s.mesh_host}" for name, s in SERVICES.items()},
            },
        }
        if victim is not None:
            groups["victim"] = groups["own"] = self.agents[victim]
        if target is not None:
            groups["target"] = self.agents[target]
        facts: dict[str, str] = {}
        for name in names:
            group, _, fact = name.partition(".")
            if group not in groups or fact not in groups[group]:
                raise StageError(f"fact '{name}' expected among the stack's outputs, not found")
            facts[name] = groups[group][fact]
        return facts

    def known_to(self, scenario: Scenario) -> dict[str, str]:
        """Return the facts that a scenario's attacker has learnt."""
        return self.facts(scenario.knows, victim=scenario.foothold.victim, target=scenario.asset.of)

    def assets(self) -> tuple[Asset, ...]:
        """Return every asset on this stage, each of which gets a value of its own."""
        of_agents = (
            Asset(kind, part)
            for part, facts in self.agents.items()
            for kind, fact in OF_AGENTS.items()
            if kind not in OF_SOME_AGENTS or fact.removeprefix("own.") in facts
        )
        return (*of_agents, *(Asset(kind) for kind in OF_PLATFORM))

    def place_of(self, asset: Asset) -> str:
        """Return what holds an asset: a secret's ARN or name, a table's name, an item's key.

        Raises:
            StageError: the stack's outputs do not name it.
        """
        fact = OF_PLATFORM[asset.kind] if asset.of is None else OF_AGENTS[asset.kind]
        return self.facts([fact], victim=asset.of)[fact]


def stage_from_outputs(outputs: Mapping[str, Any]) -> Stage:
    """Read the stage from the stack's outputs `agents`, `aws`, `gcp` and `vault`.

    Raises:
        StageError: an output is missing, or a part of the range has no agent.
    """
    for name in ("agents", "aws", "gcp", "vault"):
        if not isinstance(outputs.get(name), dict):
            raise StageError(f"stack output '{name}' expected an object, got {outputs.get(name)!r}")
    agents = outputs["agents"]
    missing = sorted(set(Part) - set(agents))
    if missing:
        raise StageError(
            f"stack config 'iamrange:agents': no agent plays the part '{missing[0]}'; "
            f"parts are {', '.join(Part)}"
        )
    tables = outputs["aws"].get("tables", {})
    return Stage(
        agents={
            Part(part): {
                **_facts_of_agent(facts, tables),
                **_facts_of_service(Part(part), str(facts.get("name", part))),
            }
            for part, facts in agents.items()
        },
        aws={key: str(value) for key, value in outputs["aws"].items() if key != "tables"},
        gcp={key: str(value) for key, value in outputs["gcp"].items()},
        vault={key: str(value) for key, value in outputs["vault"].items()},
    )


def _facts_of_agent(facts: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, str]:
    table = tables.get(facts.get("project", ""))
    own = {key: str(value) for key, value in facts.items()}
    return own if table is None else {**own, "aws_table": str(table)}


def _facts_of_service(part: Part, name: str) -> dict[str, str]:
    service = SERVICES[SERVICE_OF[part]]
    return {
        "service": service.resource,
        "service_scope": service.reads,
        "record_url": f"{service.resource}/records/{name}",
    }
