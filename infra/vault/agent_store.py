"""What all agents share in the vault: the store, and the login by our issuer's tokens."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_vault as vault

from infra import names


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStoreArgs:
    """The issuer whose tokens open the vault."""

    issuer: str


class AgentStore(pulumi.ComponentResource):
    """A key-value store of version 2, empty: nobody's secret goes through the stack's state."""

    path: pulumi.Output[str]
    login: pulumi.Output[str]

    def __init__(
        self, name: str, args: AgentStoreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the store and the login."""
        super().__init__("iamrange:vault:AgentStore", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        store = vault.Mount(
            name,
            path=names.VAULT_STORE,
            type="kv",
            options={"version": "2"},
            description="One path for each agent.",
            opts=child,
        )
        login = vault.jwt.AuthBackend(
            name,
            path=names.VAULT_LOGIN,
            description="Agents that our issuer vouches for.",
            oidc_discovery_url=args.issuer,
            bound_issuer=args.issuer,
            jwt_supported_algs=["RS256"],
            opts=child,
        )
        self.path = store.path
        self.login = login.path.apply(str)
        self.register_outputs({"path": self.path, "login": self.login})
