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


WRAPPED_SECONDS = 120
"""How long what was wrapped waits to be opened."""


@dataclass(frozen=True, slots=True)
class PathRule:
    """What may be done at a path; `wrapped` answers only with a token that opens it once.

    With `parameters` a request may have these and no others.
    """

    capabilities: tuple[str, ...]
    wrapped: bool = False
    parameters: tuple[str, ...] = ()

    def to_hcl(self, path: str) -> str:
        """Return the rule's text. HCL's strings are JSON's."""
        lines = [f"capabilities = {json.dumps(list(self.capabilities))}"]
        if self.wrapped:
            lines += ['min_wrapping_ttl = "1s"', f'max_wrapping_ttl = "{WRAPPED_SECONDS}s"']
        if self.parameters:
            allowed = " ".join(f"{json.dumps(name)} = []," for name in self.parameters)
            lines += [f"allowed_parameters = {{ {allowed} }}"]
        body = "".join(f"  {line}\n" for line in lines)
        return f"path {json.dumps(path)} {{\n{body}}}\n"


@dataclass(frozen=True, slots=True)
class VaultPolicy:
    """A policy: path pattern -> rule. What no path names is refused.

    `mark` is a comment, for whoever reads it.
    """

    paths: Mapping[str, PathRule]
    mark: str = ""

    def to_hcl(self) -> str:
        """Return the policy's text, the same for the same policy."""
        rules = (rule.to_hcl(path) for path, rule in self.paths.items())
        return (f"# {self.mark}\n" if self.mark else "") + "".join(rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginBinding:
    """Whose tokens open a role, and for how long: `lease` in seconds, 0 is the vault's default."""

    audience: str
    lease: int
    subject: str | None = None
    claims: Mapping[str, str] = field(default_factory=dict)


CERTIFICATE_SECONDS = 3600
"""How long a certificate of the vault's lives at most."""

LIST_SECONDS = 600
"""For how long its revocation list answers."""

_IN_A_REQUEST = ("csr", "uri_sans", "ttl")
"""What a request for a certificate may say. With `not_after` it would choose its own end: a role's
`max_ttl` does not bind it."""


def use_own(agent: str) -> VaultPolicy:
    """Let the agent use what is its own: secret, certificates, key; and hand on what workers need.

    The key's own path is not among them: the agent neither reads nor configures nor rotates it.
    """
    data = f"{names.VAULT_STORE}/data"
    keys = names.VAULT_KEYS
    return VaultPolicy(
        {
            f"{data}/{names.vault_path(agent)}": PathRule(("read",)),
            f"{data}/{names.vault_bootstrap(agent)}": PathRule(("read",), wrapped=True),
            f"{names.VAULT_CERTIFICATES}/sign/{agent}": PathRule(
                ("update",), parameters=_IN_A_REQUEST
            ),
            f"{keys}/encrypt/{agent}": PathRule(("update",)),
            f"{keys}/decrypt/{agent}": PathRule(("update",)),
        }
    )


def use_everybodys() -> VaultPolicy:
    """Return the same for whoever stands in an agent's place in the path: `+` is any name."""
    return use_own("+")


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
