"""AWS's credentials: secrets of Secrets Manager, access keys of IAM users. boto3 at the edge.

Last use: DescribeSecret's LastAccessedDate (a day's grain, and the inventory's own reading counts
in it) and GetAccessKeyLastUsed; the audit log says it better where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from iamrange.credentials.inventory.gather import Credential, Fact, Kind, SourceDownError
from iamrange.credentials.inventory.moments import end_of
from iamrange.credentials.inventory.uses import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iamrange.credentials.inventory.gather import Marker
    from iamrange.credentials.inventory.uses import Uses

_CONFIG: Final = Config(
    user_agent_extra=USER_AGENT,
    connect_timeout=5,
    read_timeout=20,
    retries={"max_attempts": 2, "mode": "standard"},
)
_OWNER_TAG, _AGENT_TAG, _EXPIRES_TAG = "owner", "agent", "expires"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsAccess:
    """An account, and what to reach it by; without a key the shell's own credentials."""

    account: str
    region: str
    endpoint: str | None = None
    key: Mapping[str, str] | None = None

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 clients are made at run time
        """Return a client.

        Raises:
            BotoCoreError: boto3 finds no region or profile.
        """
        key = self.key or {}
        session: Any = boto3.Session()
        return session.client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=key.get("access_key_id"),
            aws_secret_access_key=key.get("secret_access_key"),
            config=_CONFIG if self.endpoint is None else _CONFIG.merge(Config(proxies={})),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsManagerReader:
    """The secrets of one account and region."""

    access: AwsAccess
    uses: Uses | None = None

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"aws secretsmanager {self.access.account} {self.access.region}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the secrets, current values marked.

        Raises:
            SourceDownError: they cannot be listed to the end.
        """
        try:
            client = self.access.client("secretsmanager")
            for page in client.get_paginator("list_secrets").paginate():
                for secret in page["SecretList"]:
                    yield self._credential(client, secret, marker)
        except (ClientError, BotoCoreError) as error:
            raise SourceDownError(_why(error)) from error

    def _credential(
        self,
        client: Any,  # noqa: ANN401 - a boto3 client
        secret: Mapping[str, Any],
        marker: Marker,
    ) -> Credential:
        arn, tags = secret["ARN"], _tags(secret.get("Tags"))
        unread: dict[Fact, str] = {}
        rotated = None
        try:
            rotated = self._rotated(client, secret)
        except ClientError as error:
            unread[Fact.ROTATED] = _why(error)
        marks: frozenset[str] = frozenset()
        try:
            value = client.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")
            marks = marker.of(value.get("SecretString") or value.get("SecretBinary") or "")
        except ClientError as error:
            # a secret that has no current version yet holds nothing
            if _code(error) != "ResourceNotFoundException":
                unread[Fact.VALUE] = _why(error)
        created = _moment(secret.get("CreatedDate"))
        used = _moment(secret.get("LastAccessedDate"))
        if self.uses is not None:
            used = self.uses.of_secret.get(arn, used if self.uses.began is None else None)
        why = self.uses.unknown_before(created) if self.uses and used is None else None
        if why is not None:
            unread[Fact.LAST_USED] = why
        expires, unreadable = end_of(tags.get(_EXPIRES_TAG))
        if unreadable:
            unread[Fact.EXPIRES] = unreadable
        return Credential(
            source=self.source,
            kind=Kind.AWS_SECRET,
            name=secret["Name"],
            created=created,
            rotated=rotated,
            last_used=used,
            expires=expires,
            owner=tags.get(_OWNER_TAG),
            agent=tags.get(_AGENT_TAG),
            active="DeletedDate" not in secret,
            marks=marks,
            unread=unread,
        )

    @staticmethod
    def _rotated(client: Any, secret: Mapping[str, Any]) -> float | None:  # noqa: ANN401 - same
        """Return when the value was last replaced: by AWS's own rotation, else its new version.

        A version is no newer than the last change of its secret.
        """
        if secret.get("LastRotatedDate"):
            return _moment(secret["LastRotatedDate"])
        versions: list[Mapping[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            page = client.list_secret_version_ids(
                SecretId=secret["ARN"], IncludeDeprecated=True, **more
            )
            versions += page["Versions"]
            if not page.get("NextToken"):
                break
            more = {"NextToken": page["NextToken"]}
        current = [v for v in versions if "AWSCURRENT" in v.get("VersionStages", ())]
        if len(versions) <= 1 or not current:
            return None
        moments = (current[0].get("CreatedDate"), secret.get("LastChangedDate"))
        return min((m for m in map(_moment, moments) if m is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKeyReader:
    """The access keys of one account's users.

    A use that AWS does not tell, and the log does, counts where the user has no other key.
    """

    access: AwsAccess
    uses: Uses | None = None

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"aws iam {self.access.account}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the keys. Their ids are marked, so that a secret that names one shows.

        Raises:
            SourceDownError: users or keys cannot be listed to the end.
        """
        try:
            client = self.access.client("iam")
            for page in client.get_paginator("list_users").paginate():
                for user in page["Users"]:
                    yield from self._of_user(client, user, marker)
        except (ClientError, BotoCoreError) as error:
            raise SourceDownError(_why(error)) from error

    def _of_user(
        self,
        client: Any,  # noqa: ANN401 - a boto3 client
        user: Mapping[str, Any],
        marker: Marker,
    ) -> Iterator[Credential]:
        name, unread = user["UserName"], dict[Fact, str]()
        tags: dict[str, str] = {}
        pages = client.get_paginator("list_access_keys").paginate(UserName=name)
        keys = [key for page in pages for key in page["AccessKeyMetadata"]]
        if not keys:
            return
        try:
            tags = _tags(client.list_user_tags(UserName=name)["Tags"])
        except ClientError as error:
            unread[Fact.OWNER] = _why(error)
        for key in keys:
            logged = self.uses.of_principal.get(user["Arn"]) if self.uses else None
            only = logged if len(keys) == 1 else None
            yield self._credential(client, name, key, tags, unread, only, marker)

    def _credential(  # noqa: PLR0913, PLR0917 - what one call after another has told
        self,
        client: Any,  # noqa: ANN401 - a boto3 client
        user: str,
        key: Mapping[str, Any],
        tags: Mapping[str, str],
        unread: Mapping[Fact, str],
        logged: float | None,
        marker: Marker,
    ) -> Credential:
        unread, used = dict(unread), None
        try:
            answer = client.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
            used = _moment(answer["AccessKeyLastUsed"].get("LastUsedDate"))
        except ClientError as error:
            unread[Fact.LAST_USED] = _why(error)
        used = max((m for m in (used, logged) if m is not None), default=None)
        if used is not None:
            unread.pop(Fact.LAST_USED, None)
        expires, unreadable = end_of(tags.get(_EXPIRES_TAG))
        if unreadable:
            unread[Fact.EXPIRES] = unreadable
        return Credential(
            source=self.source,
            kind=Kind.AWS_ACCESS_KEY,
            name=f"user/{user}/{key['AccessKeyId']}",
            created=_moment(key.get("CreateDate")),
            last_used=used,
            expires=expires,
            owner=tags.get(_OWNER_TAG),
            agent=tags.get(_AGENT_TAG),
            active=key.get("Status") == "Active",
            marks=marker.of(key["AccessKeyId"]),
            unread=unread,
        )


def _tags(tags: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {tag["Key"].lower(): tag["Value"] for tag in tags or ()}


def _moment(value: object) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _why(error: ClientError | BotoCoreError) -> str:
    """Return an error's code or kind: a message may hold what was sent."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {_code(error)}"
    return type(error).__name__
