"""The Pulumi program of the range: it reads the settings and wires the components, no more."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp
import pulumi_vault

from infra import database_documents, documents, names, settings, vault_documents
from infra.aws.accounts import member_provider
from infra.aws.agent_boundary import AgentBoundary, AgentBoundaryArgs
from infra.aws.agent_principal import AgentPrincipal, AgentPrincipalArgs
from infra.aws.audit_trail import AuditTrail, AuditTrailArgs
from infra.aws.data_keys import DataKeys, DataKeysArgs
from infra.aws.google_copier import GoogleCopier, GoogleCopierArgs
from infra.aws.guardrails import OrganisationGuardrails, OrganisationGuardrailsArgs
from infra.aws.issuer_trust import IssuerTrust, IssuerTrustArgs
from infra.aws.platform_assets import PlatformAssets as AwsPlatformAssets
from infra.aws.platform_assets import PlatformAssetsArgs as AwsPlatformAssetsArgs
from infra.aws.project_records import ProjectRecords, ProjectRecordsArgs
from infra.aws.project_worker import ProjectWorker, ProjectWorkerArgs
from infra.aws.vendor_access import VendorAccess, VendorAccessArgs
from infra.gcp.agent_account import AgentAccount, AgentAccountArgs
from infra.gcp.agent_pool import AgentPool, AgentPoolArgs
from infra.gcp.guardrails import ProjectGuardrails, ProjectGuardrailsArgs
from infra.gcp.platform_assets import PlatformAssets as GcpPlatformAssets
from infra.gcp.platform_assets import PlatformAssetsArgs as GcpPlatformAssetsArgs
from infra.unsafe import UnsafeOmissions
from infra.vault.agent_access import AgentAccess, AgentAccessArgs
from infra.vault.agent_database import AgentDatabase, AgentDatabaseArgs
from infra.vault.agent_keys import AgentKeys, AgentKeysArgs
from infra.vault.agent_store import AgentStore, AgentStoreArgs
from infra.vault.certificate_authority import (
    AgentCertificate,
    AgentCertificateArgs,
    CertificateAuthority,
    CertificateAuthorityArgs,
)
from infra.vault.database_engine import DatabaseEngine, DatabaseEngineArgs

stack = settings.load()
omissions = UnsafeOmissions(stack.left_out)
place = documents.Place(account=stack.accounts.workloads, region=stack.region)
audience = names.gcp_audience(stack.gcp.project_number)

# AWS: the organisation is the management account's, the rest lives in the workloads account

OrganisationGuardrails(
    "organisation",
    OrganisationGuardrailsArgs(
        account=stack.accounts.workloads,
        issuers=(stack.issuer, names.GOOGLE_ISSUER),
        trust_domain=stack.trust_domain,
        corporate_networks=stack.corporate_networks,
        omissions=omissions,
    ),
)
workloads = pulumi.ResourceOptions(
    providers={
        "aws": member_provider("workloads", account=place.account, region=place.region),
    }
)
trust = IssuerTrust(
    "issuer",
    IssuerTrustArgs(issuer=stack.issuer, gcp_audience=audience, omissions=omissions),
    workloads,
)
boundary = AgentBoundary("agent-boundary", AgentBoundaryArgs(place=place), workloads)
principals = {
    agent.part: AgentPrincipal(
        agent.part,
        AgentPrincipalArgs(
            agent=agent,
            place=place,
            issuer=stack.issuer,
            spiffe_id=names.spiffe_id(stack.trust_domain, agent.name),
            provider_arn=trust.provider_arn,
            boundary_arn=(
                boundary.administrators_arn
                if settings.ADMINISTRATION & agent.powers
                else boundary.arn
            ),
            incident=stack.incidents.get(agent.part),
            omissions=omissions,
        ),
        workloads,
    )
    for agent in stack.agents
}
records = {
    project: ProjectRecords(project, ProjectRecordsArgs(project=project), workloads)
    for project in stack.projects
}
trail = AuditTrail("trail", AuditTrailArgs(place=place), workloads)
vendor = (
    None
    if stack.vendor is None
    else VendorAccess(
        "vendor",
        VendorAccessArgs(vendor=stack.vendor, place=place, omissions=omissions),
        workloads,
    )
)
workers = ProjectWorker("project", ProjectWorkerArgs(place=place, omissions=omissions), workloads)
data_keys = DataKeys("data-keys", DataKeysArgs(place=place, omissions=omissions), workloads)
aws_platform = AwsPlatformAssets("platform", AwsPlatformAssetsArgs(place=place), workloads)

# Google Cloud: one project holds the agents

in_project = pulumi.ResourceOptions(
    providers={"gcp": gcp.Provider("agents", project=stack.gcp.project)}
)
ProjectGuardrails(
    "project", ProjectGuardrailsArgs(project=stack.gcp.project, omissions=omissions), in_project
)
pool = AgentPool(
    "agents",
    AgentPoolArgs(
        issuer=stack.issuer,
        tenant=stack.tenant,
        trust_domain=stack.trust_domain,
        project_number=stack.gcp.project_number,
        omissions=omissions,
    ),
    in_project,
)
accounts = {
    agent.part: AgentAccount(
        agent.part,
        AgentAccountArgs(
            agent=agent,
            project=stack.gcp.project,
            pool_name=pool.pool_name,
            omissions=omissions,
        ),
        in_project,
    )
    for agent in stack.agents
}
gcp_platform = GcpPlatformAssets(
    "platform",
    GcpPlatformAssetsArgs(
        key_administrators={
            agent.part: accounts[agent.part].member
            for agent in stack.agents
            if settings.Power.MANAGE_SERVICE_KEYS in agent.powers
        }
    ),
    in_project,
)

# From one cloud into the other: Google's backup account fetches what AWS keeps for it

copier = GoogleCopier(
    "google",
    GoogleCopierArgs(place=place, subject=gcp_platform.backup_account_number, omissions=omissions),
    workloads,
)

# The vault: whoever runs the stack administers it, by the token of their own environment

vault_roles: dict[str, pulumi.Output[str]] = {}
vault_facts: dict[str, pulumi.Input[str]] = {}
querying = stack.querying
if stack.vault is not None:
    in_vault = pulumi.ResourceOptions(
        providers={"vault": pulumi_vault.Provider("vault", address=stack.vault.address)}
    )
    store = AgentStore("agents", AgentStoreArgs(issuer=stack.issuer), in_vault)
    vault_roles = {
        agent.part: AgentAccess(
            agent.part,
            AgentAccessArgs(
                agent=agent.name,
                login=store.login,
                binding=vault_documents.one_agent(
                    audience=stack.vault.address,
                    trust_domain=stack.trust_domain,
                    tenant=stack.tenant,
                    agent=agent.name,
                    lease=stack.vault.lease,
                ),
                database=agent in querying,
                omissions=omissions,
            ),
            in_vault,
        ).role
        for agent in stack.agents
    }
    if stack.vault.database is not None:
        logins = {
            agent.part: omissions.database_logins(
                database_documents.DatabaseLogins(agent=agent.name, lease=stack.vault.lease)
            )
            for agent in querying
        }
        engine = DatabaseEngine(
            "database",
            DatabaseEngineArgs(
                url=stack.vault.database,
                roles=[made.role for made in logins.values()],
            ),
            in_vault,
        )
        for part, made in logins.items():
            AgentDatabase(
                part,
                AgentDatabaseArgs(path=engine.path, connection=engine.connection, logins=made),
                in_vault,
            )
    authority = CertificateAuthority(
        "agents", CertificateAuthorityArgs(trust_domain=stack.trust_domain), in_vault
    )
    for agent in stack.agents:
        AgentCertificate(
            agent.part,
            AgentCertificateArgs(
                agent=agent.name, trust_domain=stack.trust_domain, authority=authority.path
            ),
            in_vault,
        )
    keys = AgentKeys(
        "agents", AgentKeysArgs(agents={agent.part: agent.name for agent in stack.agents}), in_vault
    )
    vault_facts = {
        "address": stack.vault.address,
        "audience": stack.vault.address,
        "store": store.path,
        "login": store.login,
        "certificates": authority.path,
        "keys": keys.path,
        "lease": str(stack.vault.lease),
        **(
            {}
            if stack.vault.database is None
            else {
                "database_engine": names.VAULT_DATABASE,
                "database": stack.vault.database_name,
            }
        ),
    }

pulumi.export(
    "agents",
    {
        agent.part: {
            "name": agent.name,
            "spiffe_id": names.spiffe_id(stack.trust_domain, agent.name),
            "project": agent.project,
            "aws_role_arn": principals[agent.part].role_arn,
            "aws_account": place.account,
            "aws_session_policy": (
                documents.session_policy(place, agent.name).to_json() if agent.task else ""
            ),
            "aws_secret_arn": principals[agent.part].secret_arn,
            **(
                {
                    "aws_function": names.function(agent.name),
                    "aws_function_role_arn": names.function_role_arn(place.account, agent.name),
                }
                if settings.Power.DEPLOY_FUNCTIONS in agent.powers
                else {}
            ),
            "gcp_service_account": accounts[agent.part].email,
            "gcp_secret": pulumi.Output.concat(
                "projects/", stack.gcp.project, "/secrets/", accounts[agent.part].secret_id
            ),
            **(
                {
                    "vault_role": vault_roles[agent.part],
                    "vault_path": names.vault_path(agent.name),
                    "vault_bootstrap": names.vault_bootstrap(agent.name),
                }
                if stack.vault is not None
                else {}
            ),
            **(
                {
                    "database_role": names.vault_role(agent.name),
                    "database_static_role": names.database_static_role(agent.name),
                    "database_schema": names.database_reader(agent.name),
                }
                if agent in querying
                else {}
            ),
        }
        for agent in stack.agents
    },
)
pulumi.export(
    "aws",
    {
        "provider_arn": trust.provider_arn,
        "audience": names.AWS_AUDIENCE,
        "region": place.region,
        "tables": {project: table.table_name for project, table in records.items()},
        "platform_secret_arn": aws_platform.signing_key_arn,
        "backup_secret_arn": aws_platform.backup_key_arn,
        "backup_user": aws_platform.backup_user,
        "trail_arn": trail.arn,
        "google_role_arn": copier.role_arn,
        "release_role_arn": aws_platform.release_role_arn,
        "worker_role_arn": workers.worker_arn,
        "records_role_arn": workers.reader_arn,
        "data_key_arn": data_keys.key_arn,
        "data_keys_table": data_keys.table_name,
        "workloads_account": place.account,
        **({} if vendor is None else vendor.facts),
    },
)
pulumi.export(
    "gcp",
    {
        "provider": pool.provider_name,
        "audience": audience,
        "project": stack.gcp.project,
        "backup_service_account": gcp_platform.backup_account,
        "backup_secret": pulumi.Output.concat(
            "projects/", stack.gcp.project, "/secrets/", gcp_platform.backup_secret
        ),
    },
)
pulumi.export("vault", vault_facts)
