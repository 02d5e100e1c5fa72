"""The vault's way into the database: it makes logins there, and ends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_vault as vault

from infra import database_documents, names

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseEngineArgs:
    """The database's URL without its password, and who may have logins made."""

    url: str
    roles: Sequence[str]


class DatabaseEngine(pulumi.ComponentResource):
    """A mount and one connection.

    The manager's password goes through no stack: whoever administers the vault writes it there
    once, and has it rotated. So nothing is connected to while this is declared.
    """

    path: pulumi.Output[str]
    connection: pulumi.Output[str]

    def __init__(
        self, name: str, args: DatabaseEngineArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the mount and the connection."""
        super().__init__("iamrange:vault:DatabaseEngine", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        mount = vault.Mount(
            name,
            path=names.VAULT_DATABASE,
            type="database",
            description="Logins of the database, made when they are asked for.",
            opts=child,
        )
        connection = vault.database.SecretBackendConnection(
            name,
            backend=mount.path,
            name=names.DATABASE,
            allowed_roles=list(args.roles),
            verify_connection=False,
            postgresql={
                "connection_url": args.url,
                "username": names.DATABASE_MANAGER,
                # what the server is sent is no password, and in no log of its own
                "password_authentication": "scram-sha-256",
                "username_template": database_documents.USERNAMES,
            },
            opts=child,
        )
        self.path = mount.path
        self.connection = connection.name
        self.register_outputs({"path": self.path, "connection": self.connection})
