"""What administrators have written into a vault, in order: enough to make the same vault again.

- A world's vault keeps everything in its own memory. When a world is forked, or its vault is
  killed, another starts and is told the same again; its seal key, its root token and every token
  and lease that it gave out are new, or dead.
- The journal holds secrets: it stays in the world's memory and is never written anywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_MOUNTS: Mapping[str, str] = MappingProxyType({})

WRITES = frozenset({"DELETE", "PATCH", "POST", "PUT"})

_ACTS = (
    "auth/token/",
    "identity/lookup/",
    "sys/audit-hash/",
    "sys/capabilities",
    "sys/generate-root/",
    "sys/init",
    "sys/leases/",
    "sys/rekey/",
    "sys/rotate",
    "sys/seal",
    "sys/step-down",
    "sys/tools/",
    "sys/unseal",
    "sys/wrapping/",
)
"""Paths to which one writes to have something done: nothing of it is to be done again."""

_ACTS_OF = {
    "pki": ("issue/", "revoke", "sign", "tidy"),
    "transit": (
        "datakey/",
        "decrypt/",
        "encrypt/",
        "hash",
        "hmac/",
        "random",
        "rewrap/",
        "sign/",
        "verify/",
    ),
}
"""The same below mounts, by their kind. They name numbers and ciphertexts that another server does
not know, which makes keys of its own."""

_MOUNTS = "sys/mounts/"


_MADE_UP = ("identity/entity", "identity/entity-alias", "identity/group", "identity/group-alias")
_BY_ID = tuple(f"{one}/id/" for one in _MADE_UP)
"""What the vault names by ids of its own: another server has others."""


@dataclass(frozen=True, slots=True)
class Alias:
    """Who an entity is at a login. `login` is its mount, like `jwt/`."""

    login: str
    name: str


@dataclass(frozen=True, slots=True)
class Written:
    """One write that the vault took; its representation hides what was written.

    One about an entity has its `aliases`: it is told again by those.
    """

    method: str
    path: str
    body: bytes = field(repr=False)
    aliases: tuple[Alias, ...] = ()

    def unchecked(self) -> Written:
        """Return the same write of a secret without its check of the version before.

        What agents wrote in between is gone with the server that had it, and its versions too.
        """
        try:
            value = json.loads(self.body)
            del value["options"]["cas"]
        except (ValueError, KeyError, TypeError):
            return self
        return replace(self, body=json.dumps(value).encode())


def mounted(written: Written) -> tuple[str, str] | None:
    """Return path and kind of what a write has mounted, None if it has mounted nothing."""
    path = written.path.removeprefix(_MOUNTS)
    if not written.path.startswith(_MOUNTS) or path.endswith("/tune"):
        return None
    try:
        value = json.loads(written.body)
    except ValueError:
        return None
    return (path.strip("/"), str(value.get("type", ""))) if isinstance(value, dict) else None


def is_lasting(method: str, path: str, mounts: Mapping[str, str] = _NO_MOUNTS) -> bool:
    """Tell whether a request writes what a vault keeps. `path` is without `/v1/`.

    `mounts` are those whose kind is known: path -> kind.
    """
    if method not in WRITES or path.startswith((*_ACTS, *_BY_ID)) or path in _MADE_UP:
        return False
    for mount, kind in mounts.items():
        if path.startswith(f"{mount}/") and path.removeprefix(f"{mount}/").startswith(
            _ACTS_OF.get(kind, ())
        ):
            return False
    return not (path.startswith("auth/") and path.endswith("/login"))
