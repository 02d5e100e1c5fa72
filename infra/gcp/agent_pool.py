"""The project's trust in our issuer: a workload identity pool with one provider."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from iamrange.core import gcp_controls
from infra import documents, names
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPoolArgs:
    """The issuer, and the tenant of it that is ours."""

    issuer: str
    tenant: str
    trust_domain: str
    project_number: str
    omissions: UnsafeOmissions = NOTHING_OMITTED


class AgentPool(pulumi.ComponentResource):
    """A pool in which a subject is an agent's name.

    One provider only: subjects of a pool are bound without naming the provider they came through.
    """

    pool_name: pulumi.Output[str]
    provider_name: pulumi.Output[str]

    def __init__(
        self, name: str, args: AgentPoolArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the pool and its provider."""
        super().__init__("iamrange:gcp:AgentPool", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        omissions = args.omissions
        pool = gcp.iam.WorkloadIdentityPool(
            name,
            workload_identity_pool_id=names.POOL,
            display_name="AI agents",
            description="Agents that our issuer vouches for.",
            opts=child,
        )
        provider = gcp.iam.WorkloadIdentityPoolProvider(
            name,
            # the id, not `pool.id` or `pool.name`: those are the full path
            workload_identity_pool_id=pool.workload_identity_pool_id,
            workload_identity_pool_provider_id=names.POOL_PROVIDER,
            display_name="Agents' issuer",
            description=omissions.description(
                "Our tenant's agents.",
                gcp_controls.ATTRIBUTE_CONDITION,
                gcp_controls.ALLOWED_AUDIENCES,
            ),
            attribute_mapping=documents.attribute_mapping(),
            attribute_condition=omissions.attribute_condition(
                documents.attribute_condition(tenant=args.tenant, trust_domain=args.trust_domain)
            ),
            oidc=gcp.iam.WorkloadIdentityPoolProviderOidcArgs(
                issuer_uri=args.issuer,
                allowed_audiences=omissions.allowed_audiences(
                    [names.gcp_audience(args.project_number)]
                ),
            ),
            opts=child,
        )
        self.pool_name = pool.name
        self.provider_name = provider.name
        self.register_outputs({"pool_name": self.pool_name, "provider_name": self.provider_name})
