"""How an identity is cut off in the clouds, by each cloud's own means. boto3 and HTTP.

- AWS: a policy that denies everything, or everything to sessions from before a moment; it is asked
  at each call, so live sessions end with it. A user's keys are deactivated beside.
- Google: the service account is disabled.
- Each cut is read back. One that cannot be seen is an error, never a success.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from iamrange.detect.cut import CutError

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICY: Final = "iamrange-quarantine"
OLDER_SESSIONS: Final = "AWSRevokeOlderSessions"
"""What the console's own button calls it."""
_DENY_ALL: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "Quarantine", "Effect": "Deny", "Action": "*", "Resource": "*"}],
}
_CONFIG: Final = Config(
    user_agent_extra=POLICY,
    proxies={},
    connect_timeout=5,
    read_timeout=20,
    retries={"total_max_attempts": 2},
)
_TIMEOUT: Final = 20
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsHand:
    """Cuts roles, or users, off in accounts whose administrators' keys it has.

    A target is ACCOUNT/NAME. With `until` (RFC 3339) a role's sessions from before then are cut
    off, and no others.
    """

    endpoint: str | None
    keys: Mapping[str, Mapping[str, str]] = field(repr=False)
    users: bool
    until: str | None = None

    def cut(self, target: str) -> str:
        """Deny everything to the target; a user's keys are deactivated too.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        account, _, name = target.partition("/")
        if account not in self.keys:
            raise CutError(f"account {account}: none of ours")
        try:
            return self._cut(self._client(self.keys[account]), name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            raise CutError(f"{error.operation_name}: {code}") from error
        except BotoCoreError as error:
            raise CutError(type(error).__name__) from error

    def _client(self, key: Mapping[str, str]) -> Any:  # noqa: ANN401 - made at run time
        session: Any = boto3.Session()
        return session.client(
            "iam",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
            config=_CONFIG,
        )

    def _cut(self, iam: Any, name: str) -> str:  # noqa: ANN401 - a boto3 client
        called, document = (POLICY, _DENY_ALL) if self.until is None else _older(self.until)
        policy = {"PolicyName": called, "PolicyDocument": json.dumps(document)}
        if not self.users:
            iam.put_role_policy(RoleName=name, **policy)
            seen = iam.get_role_policy(RoleName=name, PolicyName=called)["PolicyDocument"]
        else:
            iam.put_user_policy(UserName=name, **policy)
            seen = iam.get_user_policy(UserName=name, PolicyName=called)["PolicyDocument"]
            for key in _keys_of(iam, name):
                iam.update_access_key(
                    UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive"
                )
            if any(key["Status"] == "Active" for key in _keys_of(iam, name)):
                raise CutError(f"user {name}: a key is still active")
        if seen != document:
            raise CutError(f"{name}: its policy reads otherwise than it was written")
        if self.until is not None:
            return f"role {name} denies sessions from before {self.until}"
        return f"everything denied to {name}"


def _older(until: str) -> tuple[str, dict[str, Any]]:
    """Return the policy that ends sessions from before a moment, as the console makes it."""
    statement = {
        "Effect": "Deny",
        "Action": ["*"],
        "Resource": ["*"],
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": until}},
    }
    return OLDER_SESSIONS, {"Version": "2012-10-17", "Statement": [statement]}


def _keys_of(iam: Any, user: str) -> list[dict[str, Any]]:  # noqa: ANN401 - a boto3 client
    pages = iam.get_paginator("list_access_keys").paginate(UserName=user)
    return [key for page in pages for key in page["AccessKeyMetadata"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleHand:
    """Disables service accounts of projects whose administrators' tokens it has."""

    endpoint: str
    tokens: Mapping[str, str] = field(repr=False)

    def cut(self, target: str) -> str:
        """Disable an account, by its e-mail address.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        return self._switch(target, "disable")

    def release(self, target: str) -> str:
        """Enable an account again.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        return self._switch(target, "enable")

    def _switch(self, target: str, verb: str) -> str:
        project = target.partition("@")[2].partition(".")[0]
        if project not in self.tokens:
            raise CutError(f"project {project}: none of ours")
        path = f"/v1/projects/{project}/serviceAccounts/{target}"
        self._call("POST", f"{path}:{verb}", project)
        if bool(self._call("GET", path, project).get("disabled")) is not (verb == "disable"):
            raise CutError(f"{target}: it reads as not {verb}d")
        return f"service account {verb}d"

    def _call(self, method: str, path: str, project: str) -> dict[str, Any]:
        try:
            with requests.Session() as http:
                http.trust_env = False
                answer = http.request(
                    method,
                    self.endpoint.rstrip("/") + path,
                    json={} if method == "POST" else None,
                    headers={"authorization": f"Bearer {self.tokens[project]}"},
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                )
            value = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise CutError(f"{method} {path}: {type(error).__name__}") from None
        if answer.status_code != _OK or not isinstance(value, dict):
            raise CutError(f"{method} {path}: {answer.status_code}")
        return value
