"""The agents of a deployed stack: their keys, their registration, their homes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.identity.agent_home import AwsTarget, GoogleTarget, write_agent_home
from iamrange.jose import SigningKey
from iamrange.range.config import AgentRegistration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.core.scenario import Part
    from iamrange.range.stage import Stage
    from iamrange.range.world import World

SESSION_NAME_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Enrols the agents of one stage in one world."""

    world: World
    stage: Stage
    run_id: str
    region: str

    def all(self) -> dict[Part, Path]:
        """Enrol every agent; return their homes."""
        return {part: self.one(part, self.world.folder) for part in self.stage.agents}

    def one(self, part: Part, below: Path) -> Path:
        """Give an agent a new key, register it, write its home below a folder; return the home.

        An agent that is enrolled again has its key replaced.
        """
        facts = self.stage.agents[part]
        key = SigningKey.generate("ES256")
        google = self._google(facts)
        self.world.register_agent(
            AgentRegistration(
                name=facts["name"],
                public_jwk=key.public_jwk(),
                audiences=(self.stage.aws["audience"], self.stage.gcp["audience"]),
                aws_role_arn=facts["aws_role_arn"],
            )
        )
        return write_agent_home(
            below / "agents" / part,
            name=facts["name"],
            key=key,
            aws=AwsTarget(
                role_arn=facts["aws_role_arn"],
                session_name=f"{facts['name']}-{self.run_id}"[:SESSION_NAME_LIMIT],
                region=self.region,
            ),
            google=google,
        )

    def namesake(self, part: Part, tenant: str) -> Path:
        """Register another tenant's agent that bears the same name; return its home.

        It may have tokens for the Google provider alone: that tenant uses the same one.
        """
        facts = self.stage.agents[part]
        key = SigningKey.generate("ES256")
        self.world.register_agent(
            AgentRegistration(
                name=facts["name"],
                public_jwk=key.public_jwk(),
                audiences=(self.stage.gcp["audience"],),
                tenant=tenant,
            )
        )
        return write_agent_home(
            self.world.folder / "tenants" / tenant / part,
            name=facts["name"],
            key=key,
            tenant=tenant,
            google=self._google(facts),
        )

    def _google(self, facts: Mapping[str, str]) -> GoogleTarget:
        return GoogleTarget(
            provider=self.stage.gcp["provider"],
            service_account=facts["gcp_service_account"],
            project=self.stage.gcp["project"],
        )
