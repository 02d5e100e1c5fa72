"""An agent's logins at the database: what the vault makes when the agent asks, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_vault as vault

from infra import database_documents


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDatabaseArgs:
    """One agent's logins, a control left out or not.

    `path` and `connection` are outputs, so that roles wait for them.
    """

    path: pulumi.Input[str]
    connection: pulumi.Input[str]
    logins: database_documents.DatabaseLogins


class AgentDatabase(pulumi.ComponentResource):
    """A role of the vault's database engine."""

    def __init__(
        self, name: str, args: AgentDatabaseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the role."""
        super().__init__("iamrange:vault:AgentDatabase", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        logins = args.logins
        if logins.static:
            vault.database.SecretBackendStaticRole(
                name,
                backend=args.path,
                name=logins.role,
                db_name=args.connection,
                username=logins.reader,
                rotation_period=database_documents.STATIC_SECONDS,
                rotation_statements=logins.rotation,
                opts=child,
            )
        else:
            vault.database.SecretBackendRole(
                name,
                backend=args.path,
                name=logins.role,
                db_name=args.connection,
                creation_statements=logins.creation,
                renew_statements=logins.renewal,
                revocation_statements=logins.revocation,
                default_ttl=logins.lease,
                max_ttl=logins.lease,
                opts=child,
            )
        self.register_outputs({})
