"""An agent's home folder: its key, and the files by which unmodified SDKs find credentials.

- No file holds a cloud credential: boto3 runs `credential_process`, google-auth runs an
  executable; both call the agent's own client, which proves itself anew each time.
- A second AWS profile and a second Google file read projected token files instead.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iamrange.identity.agent import KEY_FILE, SETTINGS_FILE, write_private
from iamrange.identity.directory.model import DEFAULT_TENANT, agent_id
from iamrange.identity.names import AWS_AUDIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.jose.sign import SigningKey

AWS_CONFIG = "aws-config"
OWN_FEDERATION = "web-identity"
"""The AWS profile of an agent that federates by itself; its sessions last an hour."""
GOOGLE_CONFIG = "google.json"
GOOGLE_FILE_CONFIG = "google-file.json"
AWS_TOKEN = "aws-token"  # noqa: S105 - a file's name
VAULT_TOKEN = "vault-token"  # noqa: S105 - a file's name
GOOGLE_TOKEN = "google-token"  # noqa: S105 - a file's name
CLIENT_SECRET = "client-secret"  # noqa: S105 - a file's name
SVID = "svid.pem"
SVID_KEY = "svid-key.pem"
_MODULE = "iamrange.identity.agent_credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsTarget:
    """The role that the agent works as."""

    role_arn: str
    session_name: str
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleTarget:
    """The workload identity provider, by full resource name, and the service account behind it.

    `provider` is `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/ID`.
    """

    provider: str
    service_account: str | None = None
    project: str | None = None

    @property
    def token_audience(self) -> str:
        """What the assertion's `aud` must be: the provider's default allowed audience."""
        return f"https://iam.googleapis.com/{self.provider}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OauthTarget:
    """The token service, by its issuer identifier."""

    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultTarget:
    """The vault, by the audience of the tokens that open it."""

    audience: str


def write_agent_home(  # noqa: PLR0913 - keyword-only parts of one declaration
    folder: Path,
    *,
    name: str,
    key: SigningKey,
    tenant: str = DEFAULT_TENANT,
    aws: AwsTarget | None = None,
    google: GoogleTarget | None = None,
    oauth: OauthTarget | None = None,
    vault: VaultTarget | None = None,
    python: str = sys.executable,
) -> Path:
    """Write the home of an agent and return the folder."""
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / KEY_FILE, json.dumps(key.private_jwk()))
    settings: dict[str, Any] = {"id": agent_id(name, tenant), "name": name}
    if google is not None:
        settings["google"] = {"audience": google.token_audience, "project": google.project}
        for file, source in (
            (GOOGLE_CONFIG, _executable_source(folder, python)),
            (GOOGLE_FILE_CONFIG, {"file": str(folder / GOOGLE_TOKEN)}),
        ):
            write_private(folder / file, json.dumps(_google_config(google, source), indent=2))
    if oauth is not None:
        settings["oauth"] = {"issuer": oauth.issuer}
    if vault is not None:
        settings["vault"] = {"audience": vault.audience}
    if aws is not None:
        settings["aws"] = {"audience": AWS_AUDIENCE, "region": aws.region}
        write_private(folder / AWS_CONFIG, _aws_config(folder, aws, python))
    write_private(folder / SETTINGS_FILE, json.dumps(settings, indent=2))
    return folder


def credentials_in(folder: Path) -> dict[str, str]:
    """Return the long-lived credentials that lie in a home, as whoever read it would have them."""
    files = {
        "client_key": KEY_FILE,
        "client_secret": CLIENT_SECRET,
        "certificate": SVID,
        "certificate_key": SVID_KEY,
    }
    return {name: (folder / f).read_text() for name, f in files.items() if (folder / f).exists()}


def agent_environment(folder: Path) -> dict[str, str]:
    """Return the variables by which SDKs find this agent's credentials."""
    folder = folder.resolve()
    settings = json.loads((folder / SETTINGS_FILE).read_bytes())
    environment = {"IAMRANGE_AGENT_HOME": str(folder)}
    if "aws" in settings:
        environment |= {
            "AWS_CONFIG_FILE": str(folder / AWS_CONFIG),
            # Absent on purpose: a credentials file of the machine's owner must not be read.
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-aws-credentials"),
            "AWS_DEFAULT_REGION": settings["aws"]["region"],
        }
    if "google" in settings:
        environment |= {
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / GOOGLE_CONFIG),
            "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1",
        }
        if settings["google"]["project"]:
            environment["GOOGLE_CLOUD_PROJECT"] = settings["google"]["project"]
    return environment


def _aws_config(folder: Path, aws: AwsTarget, python: str) -> str:
    command = shlex.join([python, "-m", _MODULE, "aws", "--home", str(folder)])
    return (
        f"[default]\nregion = {aws.region}\nsts_regional_endpoints = regional\n"
        f"credential_process = {command}\n\n"
        f"[profile {OWN_FEDERATION}]\nregion = {aws.region}\nsts_regional_endpoints = regional\n"
        f"role_arn = {aws.role_arn}\nrole_session_name = {aws.session_name}\n"
        f"web_identity_token_file = {folder / AWS_TOKEN}\n"
    )


def _executable_source(folder: Path, python: str) -> dict[str, Any]:
    command = shlex.join([python, "-m", _MODULE, "gcp", "--home", str(folder)])
    return {"executable": {"command": command, "timeout_millis": 30_000}}


def _google_config(google: GoogleTarget, source: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "type": "external_account",
        "audience": f"//iam.googleapis.com/{google.provider}",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
    }
    if google.service_account is not None:
        config["service_account_impersonation_url"] = (
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
            f"{google.service_account}:generateAccessToken"
        )
    return config
