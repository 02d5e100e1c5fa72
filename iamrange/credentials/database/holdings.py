"""What a world's database is to hold, whichever server holds it. Pure.

- One schema an agent with one table, and one role that may read it and that nobody logs in as:
  whoever is to read becomes its member.
- One login that makes others, the vault's: it reads nothing, and can end what it has made alone.
- Kept in the world's memory; a fork carries it along, and a server is told it when it starts.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from iamrange.credentials.database.launch import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANAGER = "vault"
"""The login by which the vault makes others."""

TABLE = "records"


class DatabaseState:
    """Values by reader: the group role `READER` may read the schema of that name."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.values: dict[str, str] = {}
        self.renew()

    def renew(self) -> None:
        """Choose another password for the vault: a new server is told it, and a new vault."""
        self.password = secrets.token_urlsafe(32)

    def plant(self, reader: str, value: str) -> None:
        """Have a value lie in a reader's table, in every server that starts from now on.

        Raises:
            ValueError: no statement can hold it.
        """
        identifier(reader), literal(value)
        self.values[reader] = value

    def statements(self) -> bytes:
        """Return what makes an empty cluster hold all this, one statement a line."""
        return "".join(f"{line}\n" for line in _statements(self.values, self.password)).encode()

    def completed(self, path: str, body: bytes) -> bytes:
        """Return an administrator's write to the vault, with the password if it is for us.

        A connection that names no host is one to this world's own database: no stack can know its
        password, so that none lies in any state. All else is returned as it is.
        """
        if "/config/" not in path:
            return body
        try:
            asked = json.loads(body)
        except ValueError:
            return body
        if not isinstance(asked, dict) or not _is_ours(asked):
            return body
        return json.dumps({**asked, "password": self.password}).encode()


def _is_ours(connection: Mapping[str, object]) -> bool:
    url = str(connection.get("connection_url", ""))
    scheme, separator, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    return (
        bool(separator)
        and scheme in ("postgres", "postgresql")
        and not host
        and "?" not in rest  # options may name a host too
        and connection.get("username") == MANAGER
        and not connection.get("password")
    )


def _statements(values: Mapping[str, str], password: str) -> Iterator[str]:
    yield "REVOKE ALL ON SCHEMA public FROM PUBLIC"
    yield f"CREATE ROLE {MANAGER} LOGIN CREATEROLE PASSWORD {literal(password)}"
    # to end the sessions of what it drops
    yield f"GRANT pg_signal_backend TO {MANAGER}"
    yield f"GRANT CONNECT ON DATABASE {DATABASE} TO {MANAGER}"
    for reader, value in values.items():
        name = identifier(reader)
        yield f"CREATE ROLE {name} NOLOGIN"
        yield f"GRANT {name} TO {MANAGER} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        yield f"GRANT CONNECT ON DATABASE {DATABASE} TO {name}"
        yield f"CREATE SCHEMA {name}"
        yield f"CREATE TABLE {name}.{TABLE} (id text PRIMARY KEY, value text NOT NULL)"
        yield f"INSERT INTO {name}.{TABLE} VALUES ('latest', {literal(value)})"  # noqa: S608 - quoted
        yield f"GRANT USAGE ON SCHEMA {name} TO {name}"
        yield f"GRANT SELECT ON {name}.{TABLE} TO {name}"


def identifier(name: str) -> str:
    """Return a name as an identifier of SQL.

    Raises:
        ValueError: no identifier can hold it.
    """
    return '"' + _on_one_line(name).replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text as a literal of SQL.

    Raises:
        ValueError: it does not fit into a line.
    """
    return "'" + _on_one_line(text).replace("'", "''") + "'"


def _on_one_line(text: str) -> str:
    if any(ord(character) < ord(" ") for character in text):
        raise ValueError("database: expected a text without control characters")
    return text
