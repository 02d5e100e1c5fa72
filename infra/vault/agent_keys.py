"""Keys that agents use and never hold: the vault encrypts and decrypts with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_vault as vault

from infra import names

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKeysArgs:
    """The agents, part -> name: each has a key of its name."""

    agents: Mapping[str, str]


class AgentKeys(pulumi.ComponentResource):
    """A key for each agent, none of which can be had or deleted.

    They go with their mount, and what they have encrypted is lost with them.
    """

    path: pulumi.Output[str]

    def __init__(
        self, name: str, args: AgentKeysArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the keys."""
        super().__init__("iamrange:vault:AgentKeys", name, None, opts)
        mount = vault.Mount(
            f"{name}-keys",
            path=names.VAULT_KEYS,
            type="transit",
            description="One key for each agent.",
            opts=pulumi.ResourceOptions(parent=self),
        )
        for part, agent in args.agents.items():
            vault.transit.SecretBackendKey(
                part,
                backend=mount.path,
                name=agent,
                type="aes256-gcm96",
                exportable=False,
                allow_plaintext_backup=False,
                deletion_allowed=False,
                opts=pulumi.ResourceOptions(parent=self, deleted_with=mount),
            )
        self.path = mount.path
        self.register_outputs({"path": self.path})
