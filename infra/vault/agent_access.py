"""An agent at the vault: a role that its tokens alone open, and a policy for its own path."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_vault as vault

from infra import names, vault_documents
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAccessArgs:
    """One agent and its binding. `login` is an output, so that roles wait for the backend.

    With `database` it may have logins of the database made.
    """

    agent: str
    login: pulumi.Input[str]
    binding: vault_documents.LoginBinding
    database: bool = False
    omissions: UnsafeOmissions = NOTHING_OMITTED


class AgentAccess(pulumi.ComponentResource):
    """A policy and a role, of one name."""

    role: pulumi.Output[str]

    def __init__(
        self, name: str, args: AgentAccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the policy and the role."""
        super().__init__("iamrange:vault:AgentAccess", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        omissions = args.omissions
        own = vault_documents.use_own(args.agent, database=args.database)
        policy = vault.Policy(
            name,
            name=names.vault_role(args.agent),
            policy=omissions.vault_policy(own).to_hcl(),
            opts=child,
        )
        binding = omissions.vault_binding(args.binding)
        role = vault.jwt.AuthBackendRole(
            name,
            backend=args.login,
            role_name=names.vault_role(args.agent),
            role_type="jwt",
            user_claim="sub",
            bound_audiences=[binding.audience],
            bound_subject=binding.subject,
            bound_claims=dict(binding.claims) or None,
            token_policies=[policy.name],
            token_no_default_policy=True,
            token_ttl=binding.lease,
            token_max_ttl=binding.lease,
            opts=child,
        )
        self.role = role.role_name
        self.register_outputs({"role": self.role})
