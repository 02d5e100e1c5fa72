"""What agents do with the vault: log in with a token of the issuer's, read, and forget.

- Agents and attackers use hvac as it comes; where the vault is comes from `VAULT_ADDR`.
- The token is the one that the agent's node projects into its home.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hvac
import hvac.exceptions

from iamrange.core.scenario import AssetKind, Work, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

FACTS = ("vault.login", "vault.store")


def log_in(knows: Mapping[str, str], role: str, token: str | None) -> hvac.Client:
    """Return a client that the vault has let in as a role."""
    client = hvac.Client()
    client.auth.jwt.jwt_login(role=role, jwt=token or "", path=knows["vault.login"])
    return client


def with_token(token: str | None) -> hvac.Client:
    """Return a client on what somebody else's login gave."""
    return hvac.Client(token=token or "none")


def read_secret(client: hvac.Client, knows: Mapping[str, str], path: str) -> str:
    """Read the value of a secret of the store."""
    answer = client.secrets.kv.v2.read_secret_version(
        path=path, mount_point=knows["vault.store"], raise_on_deleted_version=True
    )
    return str(answer["data"]["data"]["value"])


def _read_own_secret(facts: Mapping[str, str]) -> Work:
    home = Path(os.environ["IAMRANGE_AGENT_HOME"])
    client = log_in(facts, facts["own.vault_role"], (home / "vault-token").read_text())
    nonce = read_secret(client, facts, facts["own.vault_path"])
    return Work(nonce, {"vault_token": str(client.token)})


def unwrap(wrapped: str) -> str:
    """Open what was wrapped, as whoever holds the token can, once."""
    answer = hvac.Client(token=wrapped).sys.unwrap()
    return str(answer["data"]["data"]["value"])


def _start_a_worker(facts: Mapping[str, str]) -> Work:
    """Hand on what a worker starts with, as it may be had, and be the worker that opens it."""
    home = Path(os.environ["IAMRANGE_AGENT_HOME"])
    client = log_in(facts, facts["own.vault_role"], (home / "vault-token").read_text())
    path = facts["own.vault_bootstrap"]
    try:
        handed_on = read_secret(client, facts, path)
    except hvac.exceptions.Forbidden:
        # in clear it is not to be had
        url = f"/v1/{facts['vault.store']}/data/{path}"
        handed_on = str(client.adapter.get(url, wrap_ttl="60s")["wrap_info"]["token"])
        return Work(unwrap(handed_on), {"handed_on": handed_on})
    return Work(handed_on, {"handed_on": handed_on})


STARTS_A_WORKER = Workload(
    run=_start_a_worker,
    asset_kind=AssetKind.VAULT_BOOTSTRAP,
    knows=("own.vault_role", "own.vault_bootstrap", *FACTS),
)
READS_OWN_VAULT_SECRET = Workload(
    run=_read_own_secret,
    asset_kind=AssetKind.VAULT_SECRET,
    knows=("own.vault_role", "own.vault_path", *FACTS),
)
