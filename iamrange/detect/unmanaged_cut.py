"""How an unmanaged identity is cut off: what is to be done is pure, the clouds' clients the edge.

- Who did not prove itself is not touched: otherwise whoever can write a name could have its bearer
  cut off.
- AWS: a policy that denies everything; it is asked at each call, so live sessions end with it. A
  user's keys are deactivated beside. Google: the service account is disabled.
- Each cut is read back. One that cannot be seen is an error, never a success.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from iamrange.detect.unmanaged import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iamrange.detect.unmanaged import Unmanaged

POLICY: Final = "iamrange-quarantine"
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


class Means(StrEnum):
    """How an identity is cut off."""

    DIRECTORY = "quarantine in the directory"
    AWS_ROLE = "deny policy on the AWS role"
    AWS_USER = "deny policy on the AWS user, keys inactive"
    GOOGLE_ACCOUNT = "Google service account disabled"
    NONE = "by hand"


class CutError(Exception):
    """An identity could not be cut off, or not be seen to be; the message says why."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is to be done about one identity. `why` says why nothing is, where nothing is."""

    principal: str
    means: Means
    target: str
    why: str = ""


def planned(found: Iterable[Unmanaged]) -> tuple[Cut, ...]:
    """Return what is to be done about each identity, once for each target."""
    cuts: dict[tuple[Means, str], Cut] = {}
    for one in found:
        cut = _cut(one)
        cuts.setdefault((cut.means, cut.target), cut)
    return tuple(cuts.values())


def _cut(one: Unmanaged) -> Cut:
    who = one.principal
    if not one.proven:
        return Cut(who, Means.NONE, who, "it never proved itself: anybody can write a name")
    if one.agent is not None and one.reason in {Reason.FOREIGN_SESSION, Reason.EXPIRED}:
        return Cut(who, Means.DIRECTORY, one.agent)
    if who.startswith("arn:aws:sts::") and ":assumed-role/" in who:
        return Cut(who, Means.AWS_ROLE, f"{who.split(':')[4]}/{who.split('/')[1]}")
    if who.startswith("arn:aws:iam::") and ":user/" in who:
        return Cut(who, Means.AWS_USER, f"{who.split(':')[4]}/{who.rpartition('/')[2]}")
    if who.startswith("serviceAccount:"):
        return Cut(who, Means.GOOGLE_ACCOUNT, who.removeprefix("serviceAccount:"))
    if one.agent is not None and one.reason is Reason.NOT_ACTIVE:
        return Cut(who, Means.DIRECTORY, one.agent)
    if one.agent is not None:
        return Cut(
            who, Means.NONE, who, "the directory gives it nothing; find who still lets it in"
        )
    return Cut(who, Means.NONE, who, "no means of the clouds' fits it; take away what lets it in")


class Hand(Protocol):
    """Carries out one kind of cut."""

    def cut(self, target: str) -> None:
        """Cut a target off, and see that it is.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """How one cut went; `error` is empty where it did."""

    cut: Cut
    error: str = ""


def carried_out(cuts: Iterable[Cut], hands: Mapping[Means, Hand]) -> tuple[Done, ...]:
    """Carry out every cut that has means; one that fails keeps none of the others."""
    done = []
    for cut in cuts:
        if cut.means is Means.NONE:
            continue
        try:
            hands[cut.means].cut(cut.target)
        except CutError as error:
            done.append(Done(cut, str(error)))
        except KeyError:
            done.append(Done(cut, f"nothing here can do it: {cut.means}"))
        else:
            done.append(Done(cut))
    return tuple(done)


@dataclass(frozen=True, slots=True)
class FromFunction:
    """A hand that is a function."""

    do: Callable[[str], None]

    def cut(self, target: str) -> None:
        """Cut a target off."""
        self.do(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsHand:
    """Cuts roles, or users, off in accounts whose administrators' keys it has."""

    endpoint: str | None
    keys: Mapping[str, Mapping[str, str]] = field(repr=False)
    users: bool

    def cut(self, target: str) -> None:
        """Deny everything to `ACCOUNT/NAME`; a user's keys are deactivated too.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        account, _, name = target.partition("/")
        if account not in self.keys:
            raise CutError(f"account {account}: none of ours")
        try:
            self._cut(self._client(self.keys[account]), name)
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

    def _cut(self, iam: Any, name: str) -> None:  # noqa: ANN401 - a boto3 client
        policy = {"PolicyName": POLICY, "PolicyDocument": json.dumps(_DENY_ALL)}
        if not self.users:
            iam.put_role_policy(RoleName=name, **policy)
            seen = iam.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]
        else:
            iam.put_user_policy(UserName=name, **policy)
            seen = iam.get_user_policy(UserName=name, PolicyName=POLICY)["PolicyDocument"]
            for key in _keys_of(iam, name):
                iam.update_access_key(
                    UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive"
                )
            if any(key["Status"] == "Active" for key in _keys_of(iam, name)):
                raise CutError(f"user {name}: a key is still active")
        if seen != _DENY_ALL:
            raise CutError(f"{name}: its policy reads otherwise than it was written")


def _keys_of(iam: Any, user: str) -> list[dict[str, Any]]:  # noqa: ANN401 - a boto3 client
    pages = iam.get_paginator("list_access_keys").paginate(UserName=user)
    return [key for page in pages for key in page["AccessKeyMetadata"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleHand:
    """Disables service accounts of projects whose administrators' tokens it has."""

    endpoint: str
    tokens: Mapping[str, str] = field(repr=False)

    def cut(self, target: str) -> None:
        """Disable an account, by its e-mail address.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        project = target.partition("@")[2].partition(".")[0]
        if project not in self.tokens:
            raise CutError(f"project {project}: none of ours")
        path = f"/v1/projects/{project}/serviceAccounts/{target}"
        self._call("POST", f"{path}:disable", project)
        if self._call("GET", path, project).get("disabled") is not True:
            raise CutError(f"{target}: it reads as not disabled")

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
