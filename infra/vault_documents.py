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

_MADE = f"{names.VAULT_DATABASE}/creds/"


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


def use_own(agent: str, *, database: bool = False) -> VaultPolicy:
    """Let the agent use what is its own: secret, certificates, key; and hand on what workers need.

    The key's own path is not among them: the agent neither reads nor configures nor rotates it.
    With `database` it may have logins made of its own role there.
    """
    data = f"{names.VAULT_STORE}/data"
    keys = names.VAULT_KEYS
    logins = {made_logins(agent): PathRule(("read",))} if database else {}
    return VaultPolicy(
        {
            f"{data}/{names.vault_path(agent)}": PathRule(("read",)),
            f"{data}/{names.vault_bootstrap(agent)}": PathRule(("read",), wrapped=True),
            f"{names.VAULT_CERTIFICATES}/sign/{agent}": PathRule(
                ("update",), parameters=_IN_A_REQUEST
            ),
            f"{keys}/encrypt/{agent}": PathRule(("update",)),
            f"{keys}/decrypt/{agent}": PathRule(("update",)),
            **logins,
        }
    )


def use_everybodys() -> VaultPolicy:
    """Return the same for whoever stands in an agent's place in the path: `+` is any name."""
    return use_own("+")


def made_logins(agent: str) -> str:
    """Return the path at which each reading makes a login of the database."""
    return f"{_MADE}{names.vault_role(agent)}"


def makes_logins(path: str) -> bool:
    """Tell whether a path is one at which logins are made."""
    return path.startswith(_MADE)


def kept_login(path: str) -> str:
    """Return the path of the one login that is kept where this one makes logins; else the path."""
    if not makes_logins(path):
        return path
    return f"{names.VAULT_DATABASE}/static-creds/{path.removeprefix(_MADE)}{names.STATIC}"


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
