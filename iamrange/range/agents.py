"""The agents of a deployed stack: their keys, their registration, their homes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization

from iamrange.core.scenario import Part
from iamrange.identity.agent import write_private
from iamrange.identity.agent_home import (
    CLIENT_SECRET,
    SVID,
    SVID_KEY,
    AwsTarget,
    GoogleTarget,
    OauthTarget,
    VaultTarget,
    write_agent_home,
)
from iamrange.identity.certificates.svid import new_key
from iamrange.identity.names import AUTH_ISSUER
from iamrange.identity.tokens.secrets import hash_secret
from iamrange.jose import SigningKey
from iamrange.range.config import AgentRegistration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.range.landing import Landing
    from iamrange.range.stage import Stage
    from iamrange.range.world import World

SESSION_NAME_LIMIT = 64

OVER_MTLS = frozenset({Part.PAYMENTS_AGENT})
"""Those that prove themselves to our services with a service certificate."""

WITH_A_SECRET = frozenset({Part.FLEET_SENSOR})
"""Those in whose configuration somebody once put a client secret; nothing takes it any more."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Enrols the agents of one stage in one world."""

    world: World
    stage: Stage
    run_id: str
    landing: Landing

    def all(self) -> dict[Part, Path]:
        """Enrol every agent; return their homes."""
        return {part: self.one(part, self.world.folder) for part in self.stage.agents}

    def one(self, part: Part, below: Path) -> Path:
        """Give an agent a new key, register it, write its home below a folder; return the home.

        An agent that is enrolled again has its key replaced.
        """
        facts = self.stage.agents[part]
        declared = self.landing.agents[part]
        key = SigningKey.generate("ES256")
        secret = secrets.token_urlsafe(24) if part in WITH_A_SECRET else None
        agent_id = self.world.register_agent(
            AgentRegistration(
                name=facts["name"],
                public_jwk=key.public_jwk(),
                audiences=(
                    self.stage.aws["audience"],
                    self.stage.gcp["audience"],
                    self.stage.vault["audience"],
                ),
                aws_role_arn=facts["aws_role_arn"],
                aws_session_policy=facts["aws_session_policy"] or None,
                owner=declared.owner,
                purpose=declared.purpose,
                project=declared.project,
                classification=declared.classification,
                # what a part may do at our services is the policy's to say, by role
                roles=(part.value,),
                scopes=declared.scopes,
                expires=declared.expires,
                tls_subject=part in OVER_MTLS,
                secret_hash=None if secret is None else hash_secret(secret),
            )
        )
        home = write_agent_home(
            below / "agents" / part,
            name=facts["name"],
            key=key,
            aws=self._aws(facts),
            google=self._google(facts),
            oauth=OauthTarget(issuer=AUTH_ISSUER),
            vault=VaultTarget(audience=self.stage.vault["audience"]),
        )
        if secret is not None:
            write_private(home / CLIENT_SECRET, secret)
        if part in OVER_MTLS:
            self._certify(agent_id, home)
        return home

    def _certify(self, agent_id: str, home: Path) -> None:
        """Have a key of the agent's own certified, and put both into its home."""
        key, private = new_key()
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        chain = self.world.control("issue_svid", agent_id=agent_id, public_key_pem=public.decode())
        write_private(home / SVID, str(chain))
        write_private(home / SVID_KEY, private)

    def namesake(self, part: Part, tenant: str) -> Path:
        """Register another tenant's agent that bears the same name; return its home.

        It may have tokens for both clouds, which that tenant uses as we do.
        """
        facts = self.stage.agents[part]
        key = SigningKey.generate("ES256")
        self.world.register_agent(
            AgentRegistration(
                name=facts["name"],
                public_jwk=key.public_jwk(),
                audiences=(self.stage.aws["audience"], self.stage.gcp["audience"]),
                tenant=tenant,
            )
        )
        return write_agent_home(
            self.world.folder / "tenants" / tenant / part,
            name=facts["name"],
            key=key,
            tenant=tenant,
            aws=self._aws(facts),
            google=self._google(facts),
        )

    def _aws(self, facts: Mapping[str, str]) -> AwsTarget:
        return AwsTarget(
            role_arn=facts["aws_role_arn"],
            session_name=f"{facts['name']}-{self.run_id}"[:SESSION_NAME_LIMIT],
            region=self.landing.region,
        )

    def _google(self, facts: Mapping[str, str]) -> GoogleTarget:
        return GoogleTarget(
            provider=self.stage.gcp["provider"],
            service_account=facts["gcp_service_account"],
            project=self.stage.gcp["project"],
        )
