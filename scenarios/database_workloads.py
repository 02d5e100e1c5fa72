"""What agents do with the database: have a login made by the vault, query, and forget.

- Agents and attackers use psycopg as it comes; where the database is comes from `PGHOST`.
- No password is anywhere until the vault is asked, and none is kept afterwards.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hvac
import hvac.exceptions
import psycopg
from psycopg import sql

from iamrange.core.scenario import AssetKind, DatabaseLogin, Work, Workload
from scenarios import vault_workloads

if TYPE_CHECKING:
    from collections.abc import Mapping

FACTS = ("vault.database",)
_SECONDS = 10
_TRIES = 3


def have_login(client: hvac.Client, knows: Mapping[str, str]) -> DatabaseLogin:
    """Have a login made by the vault, or read the one that is kept there for everybody.

    An agent is set up for one of the two by whoever runs it; the range's finds out which.
    """
    engine = client.secrets.database
    mount = knows["vault.database_engine"]
    try:
        answer = engine.generate_credentials(name=knows["own.database_role"], mount_point=mount)
    except hvac.exceptions.Forbidden:
        kept = knows["own.database_static_role"]
        answer = engine.get_static_credentials(name=kept, mount_point=mount)
    return DatabaseLogin(str(answer["data"]["username"]), str(answer["data"]["password"]))


def read_record(login: DatabaseLogin, knows: Mapping[str, str], schema: str) -> str:
    """Read the latest record of a schema."""
    with psycopg.connect(
        dbname=knows["vault.database"],
        user=login.user,
        password=login.password,
        connect_timeout=_SECONDS,
    ) as connection:
        query = sql.SQL("SELECT value FROM {}.records WHERE id = 'latest'")
        row = connection.execute(query.format(sql.Identifier(schema))).fetchone()
    return str(row[0]) if row else ""


def _query_own_records(facts: Mapping[str, str]) -> Work:
    """Have a login made and query with it: again, with another, if its lease was over too soon."""
    home = Path(os.environ["IAMRANGE_AGENT_HOME"])
    token = (home / "vault-token").read_text()
    for _ in range(_TRIES - 1):
        try:
            return _queried(facts, token)
        except (hvac.exceptions.Forbidden, psycopg.OperationalError):
            continue  # leases of seconds: a machine that is busy can be slower than that
    return _queried(facts, token)


def _queried(facts: Mapping[str, str], token: str) -> Work:
    client = vault_workloads.log_in(facts, facts["own.vault_role"], token)
    login = have_login(client, facts)
    nonce = read_record(login, facts, facts["own.database_schema"])
    return Work(nonce, {"database_user": login.user, "database_password": login.password})


QUERIES_OWN_RECORDS = Workload(
    run=_query_own_records,
    asset_kind=AssetKind.DATABASE_RECORDS,
    knows=(
        "own.vault_role",
        "own.database_role",
        "own.database_static_role",
        "own.database_schema",
        "vault.login",
        "vault.database_engine",
        *FACTS,
    ),
)
