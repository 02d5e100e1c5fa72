"""What the planners read of the services' resources: an adapter over the emulator's own memory.

- Resources are found by the exact account and region that an ARN names: the emulator itself
  takes the last part of an ARN for a name and forgets the rest.
- Each answer is of this moment: owner, tags, policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.backends import get_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource as the store holds it at this moment."""

    arn: str
    account: str
    tags: Mapping[str, str]
    policy: str | None = None
    kms_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket(Resource):
    """A bucket; `kms_key` is its default encryption's."""

    name: str


def split(arn: str) -> tuple[str, str, str, str] | None:
    """Return (service, region, account, resource) of an ARN; None when it is none."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[:2] != ["arn", "aws"]:  # noqa: PLR2004 - an ARN's fields
        return None
    return parts[2], parts[3], parts[4], parts[5]


def tag_map(tags: Any) -> dict[str, str]:  # noqa: ANN401  # the emulator keeps them in many forms
    """Return tags as a mapping, from any form that the emulator keeps them in."""
    if isinstance(tags, dict):
        return {str(key): str(value) for key, value in tags.items()}
    found: dict[str, str] = {}
    for tag in tags or ():
        key = next((tag[name] for name in ("Key", "key", "TagKey") if name in tag), None)
        value = next((tag[name] for name in ("Value", "value", "TagValue") if name in tag), "")
        if key is not None:
            found[str(key)] = str(value or "")
    return found


class MotoResources:
    """Looks resources up in the emulator of this process."""

    def __init__(self, accounts: Callable[[], frozenset[str]]) -> None:
        """Take which accounts there are: looking at another would make the emulator create it."""
        self._accounts = accounts

    def backend(self, service: str, account: str, region: str) -> Any:  # noqa: ANN401  # no types
        """Return a service's own store in an account and region; None when there is none."""
        if account not in self._accounts():
            return None
        regions = get_backend(service)[account]
        return regions[region] if region in regions else None

    def secret(self, account: str, region: str, secret_id: str) -> Resource | None:
        """Find a secret by name, ARN, or ARN without its random suffix."""
        name = secret_id
        named = split(secret_id)
        if named is not None:
            _, region, account, rest = named
            name = rest.removeprefix("secret:")
        backend = self.backend("secretsmanager", account, region)
        for secret in dict.values(backend.secrets) if backend else ():
            if secret_id in (secret.arn, secret.name) or (named and name == secret.name):
                source = getattr(secret, "source", secret)
                return Resource(
                    arn=secret.arn,
                    account=account,
                    tags=tag_map(source.tags),
                    policy=getattr(secret, "policy", None) or None,
                    kms_key=source.kms_key_id,
                )
        return None

    def key(self, account: str, region: str, key_id: str) -> Resource | None:
        """Find a key by id, ARN, alias or alias ARN."""
        name = key_id
        named = split(key_id)
        if named is not None:
            _, region, account, rest = named
            name = rest.removeprefix("key/")
        backend = self.backend("kms", account, region)
        if backend is None:
            return None
        if name.startswith("alias/"):
            name = next((k.id for k in backend.keys.values() if name in k.aliases), "")
        key = backend.keys.get(name)
        if key is None:
            return None
        tags = backend.tagger.list_tags_for_resource(key.id)["Tags"]
        return Resource(arn=key.arn, account=account, tags=tag_map(tags), policy=key.policy)

    def bucket(self, name: str) -> Bucket | None:
        """Find a bucket, whoever owns it: names are global."""
        owner = get_backend("s3").bucket_accounts.get(name)
        if owner is None or owner[1] not in self._accounts():
            return None
        partition, account = owner
        backend = get_backend("s3")[account][partition]
        bucket = backend.buckets.get(name)
        if bucket is None:
            return None
        tags = backend.tagger.get_tag_dict_for_resource(bucket.arn)
        policy = bucket.policy.decode() if bucket.policy else None
        return Bucket(
            arn=f"arn:aws:s3:::{name}",
            account=account,
            tags=tags,
            policy=policy,
            name=name,
            kms_key=_default_key(bucket.encryption),
        )

    def _object(self, bucket: str, key: str, version: str | None) -> Any:  # noqa: ANN401  # no types
        partition, account = get_backend("s3").bucket_accounts[bucket]
        keys = get_backend("s3")[account][partition].buckets[bucket].keys
        if version is None:
            return keys.get(key)
        return next((k for k in keys.getlist(key, default=[]) if str(k.version_id) == version), None)

    def object_tags(self, bucket: str, key: str, version: str | None) -> dict[str, str]:
        """Return the tags of an object that is there; none otherwise."""
        found = self._object(bucket, key, version)
        if found is None or not hasattr(found, "arn"):
            return {}
        partition, account = get_backend("s3").bucket_accounts[bucket]
        tagger = get_backend("s3")[account][partition].tagger
        return dict(tagger.get_tag_dict_for_resource(found.arn))

    def object_key(self, bucket: str, key: str, version: str | None) -> str | None:
        """Return the customer managed key that an object is encrypted with, if any."""
        return getattr(self._object(bucket, key, version), "kms_key_id", None)


def _default_key(encryption: Any) -> str | None:  # noqa: ANN401  # the emulator has no types
    rule = (encryption or {}).get("Rule") or {}
    rule = rule[0] if isinstance(rule, list) and rule else rule
    default = rule.get("ApplyServerSideEncryptionByDefault") if isinstance(rule, dict) else None
    return (default or {}).get("KMSMasterKeyID")
