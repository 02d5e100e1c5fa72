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


@dataclass(frozen=True, slots=True)
class Written:
    """One write that the vault took; its representation hides what was written."""

    method: str
    path: str
    body: bytes = field(repr=False)

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
    if method not in WRITES or path.startswith(_ACTS):
        return False
    return not (path.startswith("auth/") and path.endswith("/login"))
