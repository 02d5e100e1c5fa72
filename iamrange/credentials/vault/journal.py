"""What administrators have written into a vault, in order: enough to make the same vault again.

- A world's vault keeps everything in its own memory. When a world is forked, or its vault is
  killed, another starts and is told the same again; its seal key, its root token and every token
  and lease that it gave out are new, or dead.
- The journal holds secrets: it stays in the world's memory and is never written anywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

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


def is_lasting(method: str, path: str) -> bool:
    """Tell whether a request writes what a vault keeps. `path` is without `/v1/`."""
    if method not in WRITES or path.startswith((*_ACTS, *_BY_ID)) or path in _MADE_UP:
        return False
    return not (path.startswith("auth/") and path.endswith("/login"))
