"""Rotation on AWS: a secret of Secrets Manager as the vault, IAM's access keys as what is rotated.

- Staging labels do the switching: AWSPENDING until it is given out, AWSCURRENT from then on
  (https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html).
- AWS destroys no version by order: one without a label is deprecated, and AWS deletes it.
- A user has two access keys at most, so that there is room for one rotation at a time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from iamrange.credentials.rotation.ports import GoneError, PortDownError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.credentials.inventory.aws import AwsAccess

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
_T = TypeVar("_T")
_REFUSED: Final = frozenset({"InvalidClientTokenId", "UnrecognizedClientException"})
_ABSENT: Final = frozenset({"ResourceNotFoundException", "NoSuchEntity"})


@dataclass(frozen=True, slots=True)
class SecretsManagerVault:
    """One secret of Secrets Manager."""

    access: AwsAccess
    secret: str

    @property
    def name(self) -> str:
        """What the secret is called, with the place that it is in."""
        return f"aws {self.access.account} {self.access.region} {self.secret}"

    def current(self) -> str:
        """Return the version that is given out."""
        for version, labels in self._labels().items():
            if CURRENT in labels:
                return version
        raise PortDownError(f"{self.name}: expected a version labelled {CURRENT}, got none")

    def replaced_at(self) -> float | None:
        """Return when the secret was last changed; None where it has its first value."""
        facts = self._call("describe_secret")
        changed = facts.get("LastChangedDate")
        several = len(facts.get("VersionIdsToStages") or {}) > 1
        return changed.timestamp() if changed is not None and several else None

    def read(self, version: str) -> str:
        """Return a version's value.

        Raises:
            GoneError: it was destroyed.
        """
        try:
            return str(self._call("get_secret_value", VersionId=version)["SecretString"])
        except KeyError:
            raise PortDownError(f"{self.name}: expected text, got a binary value") from None

    def stage(self, rotation: str, value: str) -> str:
        """Put a new value in, which nobody gets yet; the rotation's id is its version."""
        self._call(
            "put_secret_value",
            ClientRequestToken=rotation,
            SecretString=value,
            VersionStages=[PENDING],
        )
        return rotation

    def staged(self, rotation: str) -> str | None:
        """Return the version that this rotation has put in, if it has."""
        return rotation if rotation in self._labels() else None

    def promote(self, old: str, new: str) -> None:
        """Give the new value out."""
        self._give_out(new, instead_of=old)
        self._unlabel(new, PENDING)

    def restore(self, old: str, new: str) -> None:
        """Give the old value out again."""
        self._give_out(old, instead_of=new)
        self._unlabel(new, PENDING)

    def destroy(self, old: str) -> None:
        """Take the version's labels away: AWS deletes what has none."""
        for label in self._labels().get(old, ()):
            if label == CURRENT:
                raise PortDownError(f"{self.name}: version {old} is the one that is given out")
            self._unlabel(old, label)

    def _give_out(self, version: str, *, instead_of: str) -> None:
        labels = self._labels()
        if CURRENT in labels.get(version, ()):
            return
        taken = {"RemoveFromVersionId": instead_of} if CURRENT in labels.get(instead_of, ()) else {}
        self._call(
            "update_secret_version_stage", VersionStage=CURRENT, MoveToVersionId=version, **taken
        )

    def _unlabel(self, version: str, label: str) -> None:
        if label in self._labels().get(version, ()):
            self._call(
                "update_secret_version_stage", VersionStage=label, RemoveFromVersionId=version
            )

    def _labels(self) -> Mapping[str, list[str]]:
        found: Mapping[str, list[str]] = self._call("describe_secret")["VersionIdsToStages"]
        return found

    def _call(self, operation: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - boto3's
        client = self.access.client("secretsmanager")
        answer = _asked(lambda: getattr(client, operation)(SecretId=self.secret, **given))
        return dict(answer)


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """The access keys of one IAM user. A value is the JSON object of id and secret.

    A key is tried by GetCallerIdentity, which every key may call.
    """

    access: AwsAccess
    user: str

    def issue(self, keep: str) -> str:
        """Return a new key. One that is not `keep` was left by an interrupted issue."""
        iam = self.access.client("iam")
        kept = _key_id(keep)
        for key in self._keys():
            if key != kept:
                self._end(key)
        made = _asked(lambda: iam.create_access_key(UserName=self.user))["AccessKey"]
        return json.dumps(
            {"AccessKeyId": made["AccessKeyId"], "SecretAccessKey": made["SecretAccessKey"]}
        )

    def admit(self, value: str) -> None:
        """Have the key active."""
        self._set(_key_id(value), "Active")

    def accepts(self, value: str) -> bool:
        """Call GetCallerIdentity with the key."""
        sts = replace(self.access, key=_key(value)).client("sts")
        try:
            sts.get_caller_identity()
        except ClientError as error:
            if _code(error) in _REFUSED:
                return False
            raise PortDownError(f"GetCallerIdentity: {_code(error)}") from error
        except BotoCoreError as error:
            raise PortDownError(type(error).__name__) from error
        return True

    def disable(self, value: str) -> None:
        """Have the key inactive."""
        self._set(_key_id(value), "Inactive")

    def destroy(self, value: str) -> None:
        """Delete the key."""
        self._end(_key_id(value))

    def _keys(self) -> list[str]:
        iam = self.access.client("iam")
        pages = iam.get_paginator("list_access_keys").paginate(UserName=self.user)
        return _asked(lambda: [k["AccessKeyId"] for p in pages for k in p["AccessKeyMetadata"]])

    def _set(self, key: str, status: str) -> None:
        iam = self.access.client("iam")
        _asked(lambda: iam.update_access_key(UserName=self.user, AccessKeyId=key, Status=status))

    def _end(self, key: str) -> None:
        iam = self.access.client("iam")
        try:
            _asked(lambda: iam.delete_access_key(UserName=self.user, AccessKeyId=key))
        except GoneError:
            return


def _key(value: str) -> dict[str, str]:
    """Read a key from what lies in the vault.

    Raises:
        PortDownError: it is none; the message does not show it.
    """
    try:
        found = json.loads(value)
        return {
            "access_key_id": str(found["AccessKeyId"]),
            "secret_access_key": str(found["SecretAccessKey"]),
        }
    except (ValueError, KeyError, TypeError):
        raise PortDownError(
            "the secret's value: expected a JSON object of AccessKeyId and SecretAccessKey"
        ) from None


def _key_id(value: str) -> str:
    return _key(value)["access_key_id"]


def _asked(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except ClientError as error:
        if _code(error) in _ABSENT:
            raise GoneError(f"{error.operation_name}: {_code(error)}") from error
        raise PortDownError(f"{error.operation_name}: {_code(error)}") from error
    except BotoCoreError as error:
        raise PortDownError(type(error).__name__) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
