"""The policies and bindings of the hardened vault, as pure functions of values.

- Everything here is the strong form. A form with a control left out is made in `unsafe.py` only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infra import names

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class VaultPolicy:
    """A policy: path pattern -> capabilities. What no path names is refused.

    `mark` is a comment, for whoever reads it.
    """

    paths: Mapping[str, tuple[str, ...]]

    mark: str = ""

    def to_hcl(self) -> str:
        """Return the policy's text, the same for the same policy. HCL's strings are JSON's."""
        rules = (
            f"path {json.dumps(path)} {{\n  capabilities = {json.dumps(list(can))}\n}}\n"
            for path, can in self.paths.items()
        )
        return (f"# {self.mark}\n" if self.mark else "") + "".join(rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginBinding:
    """Whose tokens open a role, and for how long: `lease` in seconds, 0 is the vault's default."""

    audience: str
    lease: int
    subject: str | None = None
    claims: Mapping[str, str] = field(default_factory=dict)


def read_own(agent: str) -> VaultPolicy:
    """Let the agent read its own secret."""
    return VaultPolicy({f"{names.VAULT_STORE}/data/{names.vault_path(agent)}": ("read",)})


def every_agents_data() -> str:
    """Return the pattern that covers what all agents have in the store."""
    return f"{names.VAULT_STORE}/data/*"


def one_agent(
    *, audience: str, trust_domain: str, tenant: str, agent: str, lease: int
) -> LoginBinding:
    """Open a role to one agent of our tenant.

    The subject alone would do: the other claims say it again, in the issuer's own words.
    """
    return LoginBinding(
        audience=audience,
        lease=lease,
        subject=names.spiffe_id(trust_domain, agent),
        claims={"agent": agent, "tenant": tenant},
    )
