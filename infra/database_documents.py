"""How the vault makes and ends logins of PostgreSQL, as pure functions of values.

- Everything here is the strong form. A form with a control left out is made in `unsafe.py` only.
- The vault puts a name, a password and a time in where braces stand.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra import names

USERNAMES = "{{.RoleName}}-{{random 16}}"
"""Whose login it is shows in every log. The longest that an agent can have is of 63 bytes, at which
PostgreSQL cuts names off."""

STATIC_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLogins:
    """An agent's logins: `lease` in seconds.

    `static` is one login for everybody, as which the reader itself is opened.
    """

    agent: str
    lease: int
    static: bool = False

    @property
    def reader(self) -> str:
        """What logins are members of: it may read the agent's own schema."""
        return names.database_reader(self.agent)

    @property
    def role(self) -> str:
        """The vault's role that makes the logins, or keeps the one."""
        name = names.database_static_role if self.static else names.vault_role
        return name(self.agent)

    @property
    def creation(self) -> list[str]:
        """Make a member of the reader; the database itself ends it, if the vault cannot."""
        made = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
        return [f"{made} IN ROLE {quoted(self.reader)}"]

    @property
    def revocation(self) -> list[str]:
        """Cut its sessions off and drop it, in one transaction.

        A session that is opened between the two is a member of nothing, and reads nothing.
        """
        return [
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
            'DROP ROLE IF EXISTS "{{name}}"',
        ]

    @property
    def renewal(self) -> list[str]:
        """Have the database end it as much later as the lease ends."""
        return ["ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'"]

    @property
    def rotation(self) -> list[str]:
        """Let whoever has the one password in, with no end."""
        return ["ALTER ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'"]


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
