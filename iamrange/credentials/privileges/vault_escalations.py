"""The known ways from some capabilities to more in a vault, as data.

Sources: OpenBao, "Policies" (root-protected paths), "Tokens" (token roles, sudo at creation),
"Identity" (policies of entities and groups); HashiCorp, "Production hardening" for Vault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WRITES: Final = ("create", "update")
ANY: Final = "any-name"
"""Stands for a name that nobody has yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultEscalation:
    """One way: each of `paths` must be open to writing, with `sudo` where the vault asks for it.

    In a path `{policy}` is each policy that the agent holds, `{role}` each of its roles, `{login}`
    each place where roles are kept, `{token_role}` each role by which tokens are made. `gives`:
    `all` whatever a policy can say, `token-role` what that role lets a token have.
    """

    id: str
    title: str
    paths: tuple[str, ...]
    way_out: str
    sudo: bool = False
    gives: str = "all"


_PIPELINE: Final = "keep it to the pipeline that deploys policies and roles"
_TOKENS: Final = "let the agent log in anew; make tokens for nobody"

VAULT_ESCALATIONS: Final = (
    VaultEscalation(
        id="policies.write-own",
        title="rewrites a policy that it holds",
        paths=("sys/policies/acl/{policy}",),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="policy.write-own",
        title="rewrites a policy that it holds, by the older path",
        paths=("sys/policy/{policy}",),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="role.write-own",
        title="gives its own login role other policies",
        paths=("{role}",),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="role.create",
        title="makes a login role with other policies",
        paths=("{login}/" + ANY,),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="token.create-sudo",
        title="makes tokens with policies that it does not have itself",
        paths=("auth/token/create",),
        sudo=True,
        way_out=_TOKENS,
    ),
    VaultEscalation(
        id="token.create-orphan",
        title="makes tokens that outlive its own, with other policies",
        paths=("auth/token/create-orphan",),
        sudo=True,
        way_out=_TOKENS,
    ),
    VaultEscalation(
        id="token.create-by-role",
        title="makes tokens by a role that lets them have more",
        paths=("auth/token/create/{token_role}",),
        gives="token-role",
        way_out=_TOKENS,
    ),
    VaultEscalation(
        id="token.role-write",
        title="makes a token role, and tokens by it",
        paths=("auth/token/roles/" + ANY, "auth/token/create/" + ANY),
        way_out=_TOKENS,
    ),
    VaultEscalation(
        id="auth.enable",
        title="enables a login of its own, and a role there",
        paths=("sys/auth/" + ANY, "auth/" + ANY + "/role/" + ANY),
        sudo=True,
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="identity.entity",
        title="gives its own entity policies",
        paths=("identity/entity",),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="identity.entity-by-id",
        title="gives its own entity policies",
        paths=("identity/entity/id/" + ANY,),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="identity.entity-by-name",
        title="gives its own entity policies",
        paths=("identity/entity/name/" + ANY,),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="identity.group",
        title="joins a group that has policies, or makes one",
        paths=("identity/group",),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="identity.group-by-id",
        title="joins a group that has policies",
        paths=("identity/group/id/" + ANY,),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="identity.alias",
        title="hangs its own login on another entity",
        paths=("identity/entity-alias",),
        way_out=_PIPELINE,
    ),
    VaultEscalation(
        id="raw",
        title="writes what the vault keeps below its policies",
        paths=("sys/raw/" + ANY,),
        sudo=True,
        way_out="leave `raw_storage_endpoint` off",
    ),
)
"""All of them. A way is a finding when our decider allows each step and it gives something new."""
