"""What each thing is called, derived from an agent's name and nothing else.

- Names are pure functions of the declaration, so a rename changes names and no decision.
- A derived name never collides with another: short and shortened names have prefixes of their own,
  and `settings` refuses two agents that would share one.
"""

from __future__ import annotations

from hashlib import sha256

ACCESS_ROLE = "OrganizationAccountAccessRole"
AGENT_PATH = "/agents/"
SERVICE_PATH = "/service/"
SHARED_PATH = "/shared/"
FUNCTION_PATH = "/functions/"
PLATFORM_PATH = "/platform/"
RELEASE_ROLE = "release"
GOOGLE_ISSUER = "https://accounts.google.com"
GOOGLE_PATH = "/google/"
COPIER_ROLE = "backup-copier"
VENDOR_PATH = "/vendor/"
VENDOR_ROLE = "monitoring"
VENDOR_SECRET = "monitoring/report"  # noqa: S105 - the name of a secret, not its value
TRAIL = "iamrange"
WORKER_ROLE = "project-worker"
RECORDS_ROLE = "records-reader"
DATA_KEYS_TABLE = "wrapped-data-keys"
BACKUP_USER = "backup"
SIGNING_KEY_SECRET = "platform/signing-key"  # noqa: S105 - the name of a secret, not its value
BACKUP_KEY_SECRET = "platform/backup-key"  # noqa: S105 - the name of a secret, not its value
GCP_BACKUP_ACCOUNT = "backup"
GCP_BACKUP_SECRET = "platform-backup-key"  # noqa: S105 - the name of a secret, not its value
POOL = "agents"
POOL_PROVIDER = "idp"
VAULT_STORE = "agents"
"""Where the vault keeps what agents read: a key-value store of version 2."""

VAULT_LOGIN = "jwt"
VAULT_DATABASE = "database"
"""Where the vault makes logins of the database."""

STATIC = "-static"
"""What a role of the vault ends in that keeps one login, instead of making many."""

DATABASE = "records"
DATABASE_MANAGER = "vault"
"""The login by which the vault makes others; it reads nothing."""
VAULT_CERTIFICATES = "certificates"
"""Where the vault is a certificate authority; each agent's role there has the agent's name."""

VAULT_ISSUER = "agents"
VAULT_KEYS = "keys"
"""Where the vault keeps keys that never leave it; each agent's has the agent's name."""

AWS_AUDIENCE = "sts.amazonaws.com"

_GCP_ACCOUNT_ID_LENGTH = 30
_DIGEST_LENGTH = 10


def spiffe_id(trust_domain: str, agent: str) -> str:
    """Return the agent's SPIFFE id, which is the `sub` of its assertions."""
    return f"spiffe://{trust_domain}/agent/{agent}"


def role(agent: str) -> str:
    """Return the name of the agent's IAM role (64 characters at most)."""
    return f"{agent}-role"


def role_arn(account: str, agent: str) -> str:
    """Return the ARN of the agent's IAM role."""
    return f"arn:aws:iam::{account}:role{AGENT_PATH}{role(agent)}"


def shared_role_arn(account: str, name: str) -> str:
    """Return the ARN of a role that agents share."""
    return f"arn:aws:iam::{account}:role{SHARED_PATH}{name}"


def trail_bucket(account: str) -> str:
    """Return the bucket that the account's trail goes to; buckets of all accounts share names."""
    return f"iamrange-trail-{account}"


def function(agent: str) -> str:
    """Return the name of the function that an agent deploys, and of its role."""
    return f"{agent}-function"


def function_role_arn(account: str, agent: str) -> str:
    """Return the ARN of the role that an agent's function runs with."""
    return f"arn:aws:iam::{account}:role{FUNCTION_PATH}{function(agent)}"


def secret(agent: str) -> str:
    """Return the name of the agent's own secret in AWS Secrets Manager."""
    return f"agents/{agent}/credentials"


def secret_arn_pattern(region: str, account: str, name: str) -> str:
    """Return the pattern of a secret's ARN: Secrets Manager appends a hyphen and six characters."""
    return f"arn:aws:secretsmanager:{region}:{account}:secret:{name}-??????"


def table(project: str) -> str:
    """Return the name of the table that holds a project's records."""
    return f"projects-{project}-records"


def gcp_account_id(agent: str) -> str:
    """Return the id of the agent's service account: 6 to 30 characters, whatever the name.

    A name that does not fit is cut, and a digest of the whole name keeps it apart from others;
    the prefix keeps the cut ones apart from the short ones.
    """
    whole = f"agent-{agent}"
    if len(whole) <= _GCP_ACCOUNT_ID_LENGTH:
        return whole
    digest = sha256(agent.encode()).hexdigest()[:_DIGEST_LENGTH]
    room = _GCP_ACCOUNT_ID_LENGTH - len("agentx--") - _DIGEST_LENGTH
    return f"agentx-{agent[:room].rstrip('-')}-{digest}"


def gcp_secret(agent: str) -> str:
    """Return the id of the agent's own secret in Google Secret Manager."""
    return f"agent-{agent}-credentials"


def gcp_provider(project_number: str) -> str:
    """Return the full resource name of the workload identity provider.

    The project is named by number: the exchange refuses the project's id in its place.
    """
    return (
        f"projects/{project_number}/locations/global/workloadIdentityPools/{POOL}"
        f"/providers/{POOL_PROVIDER}"
    )


def gcp_audience(project_number: str) -> str:
    """Return the one audience that tokens for the workload identity provider carry."""
    return f"https://iam.googleapis.com/{gcp_provider(project_number)}"


def gcp_subject(pool: str, agent: str) -> str:
    """Return the IAM member that stands for one agent of the pool, and for that one only.

    `pool` is the pool's full resource name, with the project's number.
    """
    return f"principal://iam.googleapis.com/{pool}/subject/{agent}"


def vault_path(agent: str) -> str:
    """Return the path of the agent's own secret in the vault's store."""
    return f"{agent}/credentials"


def vault_bootstrap(agent: str) -> str:
    """Return the path of what the agent hands to workers that it starts."""
    return f"{agent}/bootstrap"


def vault_role(agent: str) -> str:
    """Return the name of the agent's role and policy in the vault."""
    return f"agent-{agent}"


def database_static_role(agent: str) -> str:
    """Return the name of the agent's role in the vault where its login is one that stays.

    The vault keeps roles of both kinds under one set of names.
    """
    return f"{vault_role(agent)}{STATIC}"


def database_reader(agent: str) -> str:
    """Return the role of the database that may read the agent's own schema, of the same name.

    Nobody logs in as it: the logins that the vault makes are its members.
    """
    return vault_role(agent)
