"""The closed vocabulary of actions: what a route does to its resource.

- The policy, the table of routes and approvals speak of actions in these words only.
- Deploy, transfer and execute are no kinds of write: who may write may do none of them.
"""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What a call does. A verb that is not here is refused."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    DEPLOY = "deploy"
    TRANSFER = "transfer"
    EXECUTE = "execute"


PRODUCTION = "production"
"""The environment where a deployment is high impact."""
