"""One configured AWS provider instance: whose keys, which account, which clients.

- The clients are made once each and shared by all threads; making one is not thread-safe.
- No environment variable, profile or file of the user's decides where calls go or as whom.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.loaders import Loader
from grpc import StatusCode

from iamrange.engine.endpoints import AccessKey, AwsEndpoint
from iamrange.engine.package import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.engine.resource import Properties

_CLIENT = Config(
    proxies={},
    retries={"total_max_attempts": 3, "mode": "standard"},
    max_pool_connections=32,
    s3={"addressing_style": "path"},
    parameter_validation=True,
    user_agent_extra="iamrange-provider",
)
_STATUS = {
    "AccessDenied": StatusCode.PERMISSION_DENIED,
    "AccessDeniedException": StatusCode.PERMISSION_DENIED,
    "EntityAlreadyExists": StatusCode.ALREADY_EXISTS,
    "NoSuchEntity": StatusCode.NOT_FOUND,
    "ResourceNotFoundException": StatusCode.NOT_FOUND,
}
# service models are large: parsed once for all accounts
LOADER = Loader()
_MAKING = threading.Lock()


class AwsSession:
    """The credentials, clients and default tags of one provider instance."""

    def __init__(self, endpoint: AwsEndpoint, config: Properties) -> None:
        """Choose keys and account by the configuration; calls nothing yet.

        Raises:
            ConfigurationError: the configuration names an account that has no administrator here.
        """
        self._endpoint = endpoint
        self.region: str = config.get("region") or endpoint.region
        self.default_tags: Mapping[str, str] = (config.get("defaultTags") or {}).get("tags") or {}
        self._allowed: list[str] = config.get("allowedAccountIds") or []
        self._forbidden: list[str] = config.get("forbiddenAccountIds") or []
        self._roles = [role for role in config.get("assumeRoles") or [] if role.get("roleArn")]
        self._clients: dict[tuple[str, str], Any] = {}
        self._boto: boto3.Session | None = None
        self._account: str | None = None
        self._lock = threading.RLock()
        self._key = self._own_key()

    def _own_key(self) -> AccessKey:
        if self._roles or not self._allowed:
            account = self._endpoint.default_account
        else:
            known = [a for a in self._allowed if a in self._endpoint.accounts]
            if not known:
                raise ConfigurationError(
                    f"allowedAccountIds {self._allowed}: none is an account of this range;"
                    f" has {sorted(self._endpoint.accounts)}"
                )
            account = known[0]
        return self._endpoint.accounts[account]

    @property
    def partition(self) -> str:
        """The partition of the region."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def account(self) -> str:
        """The account that the credentials belong to, as the cloud says."""
        self._ready()
        return self._account or ""

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3's clients are made at run time
        """Return the shared client of a service."""
        return self._client(self._ready(), service)

    def _ready(self) -> boto3.Session:
        """Return the session, its roles assumed and its account checked once."""
        with self._lock:
            if self._boto is None:
                boto = self._open(self._key)
                for role in self._roles:
                    boto = self._open(self._assumed(boto, role))
                account = self._client(boto, "sts").get_caller_identity()["Account"]
                if self._allowed and account not in self._allowed:
                    raise ConfigurationError(
                        f"account {account} is not among allowedAccountIds {self._allowed}"
                    )
                if account in self._forbidden:
                    raise ConfigurationError(f"account {account} is among forbiddenAccountIds")
                self._boto, self._account = boto, account
            return self._boto

    def _open(self, key: AccessKey) -> boto3.Session:
        nothing = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        core = botocore.session.Session(session_vars=nothing)
        core.register_component("data_loader", LOADER)
        return boto3.Session(
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            aws_session_token=key.session_token,
            region_name=self.region,
            botocore_session=core,
        )

    def _assumed(self, boto: boto3.Session, role: Properties) -> AccessKey:
        arguments = {
            "RoleArn": role["roleArn"],
            "RoleSessionName": role.get("sessionName") or "iamrange-provider",
            "ExternalId": role.get("externalId"),
            "Policy": role.get("policy"),
            "PolicyArns": [{"arn": arn} for arn in role.get("policyArns") or []],
            "SourceIdentity": role.get("sourceIdentity"),
            "Tags": [{"Key": k, "Value": v} for k, v in (role.get("tags") or {}).items()],
            "TransitiveTagKeys": role.get("transitiveTagKeys"),
            "DurationSeconds": _seconds(role.get("duration")),
        }
        given = {key: value for key, value in arguments.items() if value}
        answer = self._client(boto, "sts").assume_role(**given)["Credentials"]
        return AccessKey(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer.get("SessionToken")
        )

    def _client(self, boto: boto3.Session, service: str) -> Any:  # noqa: ANN401 - boto3's clients are made at run time
        credentials = boto.get_credentials()
        key = (credentials.access_key if credentials else "", service)
        with self._lock:
            if key not in self._clients:
                with _MAKING:
                    # the stubs know each service's name as a literal only
                    make: Any = boto.client
                    url = self._endpoint.url
                    self._clients[key] = make(service, endpoint_url=url, config=_CLIENT)
            return self._clients[key]


def _seconds(duration: str | None) -> int | None:
    """Return a Go duration (`1h`, `15m`, `900s`, `1h30m`) in seconds."""
    if not duration:
        return None
    units = {"h": 3600, "m": 60, "s": 1}
    total, digits = 0, ""
    for character in duration:
        if character.isdigit():
            digits += character
        elif character in units and digits:
            total, digits = total + int(digits) * units[character], ""
        else:
            raise ConfigurationError(f"assumeRoles: duration {duration!r} is not like '1h30m'")
    return total


def describe(error: BaseException) -> tuple[StatusCode, str] | None:
    """Return the status and words of an AWS error, or None for any other exception."""
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        code = str(details.get("Code", "Unknown"))
        message = f"{code}: {details.get('Message', '')} (calling {error.operation_name})"
        return _STATUS.get(code, StatusCode.UNKNOWN), message
    if isinstance(error, ParamValidationError):
        # its text quotes the values, which may be secret
        return StatusCode.INVALID_ARGUMENT, "the parameters do not fit the AWS operation"
    if isinstance(error, BotoCoreError):
        return StatusCode.UNAVAILABLE, f"{type(error).__name__}: {error}"
    return None
