"""Entities of a vault, told again to another server by what they stand for.

- A vault makes entities and their ids up itself. What an administrator wrote about one (that it is
  disabled, above all) is kept with the logins and names that are its aliases, and written about
  whatever entity has these aliases in the next server; one that is not there is made.
Source: https://openbao.org/api-docs/secret/identity/
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iamrange.credentials.vault.journal import Alias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Ask = Callable[[str, str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
    """Asks a server as its administrator: method, path, body -> answer."""

BY_ID: Final = "identity/entity/id/"


async def aliases_of(ask: Ask, path: str) -> tuple[Alias, ...]:
    """Return the aliases of the entity at a path that names it by its id.

    Raises:
        VaultDownError: the server does not answer as it should.
    """
    told = (await ask("GET", path, {})).get("data") or {}
    return tuple(
        Alias(str(one["mount_path"]).removeprefix("auth/"), str(one["name"]))
        for one in told.get("aliases") or ()
    )


async def write_again(ask: Ask, aliases: tuple[Alias, ...], body: bytes) -> None:
    """Write about the entity that has these aliases in this server.

    Raises:
        VaultDownError: the server does not take it.
    """
    logins = (await ask("GET", "sys/auth", {})).get("data") or {}
    known = [(logins[one.login]["accessor"], one.name) for one in aliases if one.login in logins]
    entity = ""
    for accessor, name in known:
        asked = {"alias_name": name, "alias_mount_accessor": accessor}
        found = await ask("POST", "identity/lookup/entity", asked)
        entity = entity or str((found.get("data") or {}).get("id") or "")
    if not entity:
        made = await ask("POST", "identity/entity", {})
        entity = str(made["data"]["id"])
        for accessor, name in known:
            alias = {"name": name, "canonical_id": entity, "mount_accessor": accessor}
            await ask("POST", "identity/entity-alias", alias)
    await ask("POST", f"{BY_ID}{entity}", json.loads(body))
