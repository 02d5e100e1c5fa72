"""What the planners read of the services' resources: the port, and its embedded adapter.

- The embedded adapter reads the memory of the emulator in this process.
- Resources are found by the exact account and region that an ARN names: the emulator itself
  takes the last part of an ARN for a name and forgets the rest.
- Each answer is of this moment: owner, tags, policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import moto.backends

from iamrange.clouds.aws.service_resources import MotoServiceResources, ServiceResources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The emulator's types know neither a name that is not a literal, nor S3's index of owners.
get_backend: Any = moto.backends.get_backend


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
    """A bucket; `kms_key` is its default encryption's.

    The last four are its Block Public Access settings.
    """

    name: str
    block_public_policy: bool = False
    restrict_public_policy: bool = False
    block_public_acls: bool = False
    ignore_public_acls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Resource):
    """A KMS key; `grants` are the emulator's own objects."""

    id: str
    state: str
    spec: str
    usage: str
    origin: str
    multi_region: bool
    aliases: tuple[str, ...]
    grants: tuple[Any, ...]


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


class Resources(ServiceResources, Protocol):
    """Looks resources up, wherever they are kept; accounts that are not there hold none."""

    def secret(self, account: str, region: str, secret_id: str) -> Resource | None:
        """Find a secret by name, ARN, or ARN without its random suffix."""
        ...

    def secret_arns(self, account: str, region: str, filters: Any) -> list[str]:  # noqa: ANN401  # the model's own shape
        """Return the ARNs of the secrets that filters find, as ListSecrets would."""
        ...

    def key(self, account: str, region: str, key_id: str) -> Key | None:
        """Find a key by id, ARN, alias or alias ARN."""
        ...

    def sealing_key(self, region: str, sealed: Any) -> Key | None:  # noqa: ANN401  # a blob
        """Find the key that a ciphertext says it was made with, in whatever account."""
        ...

    def table(self, account: str, region: str, name: str) -> Resource | None:
        """Find a table by name or ARN (its indexes' ARNs too)."""
        ...

    def table_schema(self, arn: str, index: str | None) -> list[dict[str, str]]:
        """Return the key schema of a table or of one of its indexes."""
        ...

    def parameter(self, account: str, region: str, name: str) -> Resource:
        """Return a Systems Manager parameter, as it is or as it would be called."""
        ...

    def parameter_name(self, account: str, region: str, place: str) -> str:
        """Return the name of the parameter whose ARN ends in `parameter/PLACE`."""
        ...

    def parameter_names(self, account: str, region: str, path: str) -> list[str]:
        """Return the names of the parameters under a path."""
        ...

    def queue(self, account: str, region: str, name: str) -> Resource | None:
        """Find a queue by name."""
        ...

    def topic(self, arn: str) -> Resource | None:
        """Find a topic by ARN."""
        ...

    def function_tags(self, account: str, region: str, name: str) -> dict[str, str]:
        """Return the tags of a Lambda function that is there; none otherwise."""
        ...

    def function_role(self, account: str, region: str, name: str) -> str | None:
        """Return the role that a Lambda function runs as."""
        ...

    def ec2_tags(self, account: str, region: str, resource_id: str) -> dict[str, str]:
        """Return the tags of an EC2 resource, by its id."""
        ...

    def bucket(self, name: str) -> Bucket | None:
        """Find a bucket, whoever owns it: names are global."""
        ...

    def has_object(self, bucket: str, key: str, version: str | None) -> bool:
        """Tell whether an object is there."""
        ...

    def has_upload(self, bucket: str, key: str, upload: str) -> bool:
        """Tell whether a multipart upload to that key is under way."""
        ...

    def object_tags(self, bucket: str, key: str, version: str | None) -> dict[str, str]:
        """Return the tags of an object that is there; none otherwise."""
        ...

    def object_key(self, bucket: str, key: str, version: str | None) -> str | None:
        """Return the customer managed key that an object is encrypted with, if any."""
        ...


class MotoResources(MotoServiceResources):
    """Looks resources up in the emulator of this process."""

    def __init__(self, accounts: Callable[[], frozenset[str]]) -> None:
        """Take which accounts there are: looking at another would make the emulator create it."""
        self._accounts = accounts

    def backend(self, service: str, account: str, region: str) -> Any:  # noqa: ANN401  # no types
        """Return a service's own store in an account and region; None when there is none."""
        if account not in self._accounts():
            return None
        regions = get_backend(service)[account]
        # The emulator's mapping makes what it is asked for: no `get`.
        return regions[region] if region in regions else None  # noqa: SIM401 - likewise

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

    def secret_arns(self, account: str, region: str, filters: Any) -> list[str]:  # noqa: ANN401  # the model's own shape
        """Return the ARNs of the secrets that filters find, as ListSecrets would."""
        backend = self.backend("secretsmanager", account, region)
        found: list[str] = []
        token: str | None = None
        while backend is not None:
            page, token = backend.list_secrets(filters=filters, next_token=token)
            found += [str(secret["ARN"]) for secret in page]
            if token is None:
                break
        return found

    def key(self, account: str, region: str, key_id: str) -> Key | None:
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
            # AWS's own keys come into being when they are first asked for.
            name = backend.get_key_id_from_alias(name) or ""
        key = backend.keys.get(name)
        return _key(backend, key, account) if key is not None else None

    def sealing_key(self, region: str, sealed: Any) -> Key | None:  # noqa: ANN401  # a blob
        """Find the key that a ciphertext says it was made with, in whatever account."""
        try:
            key_id = bytes(sealed)[:36].decode()
        except (TypeError, ValueError):
            return None
        for account in self._accounts():
            backend = self.backend("kms", account, region)
            if backend is not None and key_id in backend.keys:
                return _key(backend, backend.keys[key_id], account)
        return None

    def table(self, account: str, region: str, name: str) -> Resource | None:
        """Find a table by name or ARN (its indexes' ARNs too)."""
        named = split(name)
        if named is not None:
            _, region, account, rest = named
            name = rest.split("/")[1] if rest.startswith("table/") else ""
        backend = self.backend("dynamodb", account, region)
        table = backend.tables.get(name) if backend is not None else None
        if table is None:
            return None
        policy = backend.resource_policies.get(table.table_arn)
        return Resource(
            arn=table.table_arn,
            account=account,
            tags=tag_map(table.tags),
            policy=policy.policy_doc if policy is not None else None,
        )

    def table_schema(self, arn: str, index: str | None) -> list[dict[str, str]]:
        """Return the key schema of a table or of one of its indexes."""
        _, region, account, rest = split(arn) or ("", "", "", "")
        schema: list[dict[str, str]] = self.backend("dynamodb", account, region).get_schema(
            table_name=rest.split("/")[1], index_name=index
        )
        return schema

    def parameter(self, account: str, region: str, name: str) -> Resource:
        """Return a Systems Manager parameter, as it is or as it would be called."""
        backend = self.backend("ssm", account, region)
        arn = f"arn:aws:ssm:{region}:{account}:parameter/{name.lstrip('/')}"
        if backend is None:
            return Resource(arn=arn, account=account, tags={})
        # The emulator keeps `/name` as `name` when that is the only slash.
        kept = name.removeprefix("/") if name.count("/") == 1 else name
        listed = backend._resource_tags["Parameter"]  # noqa: SLF001 - the emulator shows tags no other way
        tags = dict(listed.get(name, {})) | dict(listed.get(kept, {}))
        versions: Any = dict.get(backend._parameters, kept)  # noqa: SLF001 - likewise
        sealed = versions and versions[-1].parameter_type == "SecureString"
        key = str(versions[-1].keyid) if sealed else None
        return Resource(arn=arn, account=account, tags=tags, kms_key=key)

    def parameter_name(self, account: str, region: str, place: str) -> str:
        """Return the name of the parameter whose ARN ends in `parameter/PLACE`.

        Names with a path begin with a slash, which their ARNs do not double.
        """
        backend = self.backend("ssm", account, region)
        plain = backend is not None and dict.get(backend._parameters, place)  # noqa: SLF001 - likewise
        return place if plain else f"/{place}"

    def parameter_names(self, account: str, region: str, path: str) -> list[str]:
        """Return the names of the parameters under a path."""
        backend = self.backend("ssm", account, region)
        names = dict.keys(backend._parameters) if backend is not None else ()  # noqa: SLF001 - likewise
        start = path.rstrip("/") + "/"
        return [str(name) for name in names if str(name).startswith(start)]

    def queue(self, account: str, region: str, name: str) -> Resource | None:
        """Find a queue by name."""
        backend = self.backend("sqs", account, region)
        queue = backend.queues.get(name) if backend is not None else None
        if queue is None:
            return None
        return Resource(
            arn=queue.queue_arn, account=account, tags=tag_map(queue.tags), policy=queue.policy
        )

    def topic(self, arn: str) -> Resource | None:
        """Find a topic by ARN."""
        named = split(arn)
        backend = self.backend("sns", named[2], named[1]) if named else None
        topic = backend.topics.get(arn) if backend is not None else None
        if named is None or topic is None:
            return None
        tags = tag_map(topic._tags)  # noqa: SLF001 - the emulator shows tags no other way
        return Resource(arn=arn, account=named[2], tags=tags, policy=topic.policy)

    def function_tags(self, account: str, region: str, name: str) -> dict[str, str]:
        """Return the tags of a Lambda function that is there; none otherwise."""
        backend = self.backend("lambda", account, region)
        function = backend.get_function(name) if backend and name in _names(backend) else None
        return tag_map(function.tags) if function is not None else {}

    def function_role(self, account: str, region: str, name: str) -> str | None:
        """Return the role that a Lambda function runs as."""
        backend = self.backend("lambda", account, region)
        function = backend.get_function(name) if backend and name in _names(backend) else None
        return str(function.role) if function is not None else None

    def ec2_tags(self, account: str, region: str, resource_id: str) -> dict[str, str]:
        """Return the tags of an EC2 resource, by its id."""
        backend = self.backend("ec2", account, region)
        return tag_map(dict(backend.tags.get(resource_id, {}))) if backend is not None else {}

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
        block = bucket.public_access_block
        return Bucket(
            arn=f"arn:aws:s3:::{name}",
            account=account,
            tags=tags,
            policy=policy,
            name=name,
            kms_key=_default_key(bucket.encryption),
            block_public_policy=bool(getattr(block, "block_public_policy", False)),
            restrict_public_policy=bool(getattr(block, "restrict_public_buckets", False)),
            block_public_acls=bool(getattr(block, "block_public_acls", False)),
            ignore_public_acls=bool(getattr(block, "ignore_public_acls", False)),
        )

    def _object(self, bucket: str, key: str, version: str | None) -> Any:  # noqa: ANN401  # no types
        partition, account = get_backend("s3").bucket_accounts[bucket]
        keys = get_backend("s3")[account][partition].buckets[bucket].keys
        if version is None:
            return keys.get(key)
        return next(
            (k for k in keys.getlist(key, default=[]) if str(k.version_id) == version), None
        )

    def has_object(self, bucket: str, key: str, version: str | None) -> bool:
        """Tell whether an object is there."""
        return self._object(bucket, key, version) is not None

    def has_upload(self, bucket: str, key: str, upload: str) -> bool:
        """Tell whether a multipart upload to that key is under way.

        The emulator finds uploads by their id alone: whoever may write one key could write to
        another's upload.
        """
        partition, account = get_backend("s3").bucket_accounts[bucket]
        found = get_backend("s3")[account][partition].buckets[bucket].multiparts.get(upload)
        return found is not None and found.key_name == key

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


def _names(backend: Any) -> set[str]:  # noqa: ANN401  # the emulator has no types
    return {str(function.function_name) for function in backend.list_functions()}


def _key(backend: Any, key: Any, account: str) -> Key:  # noqa: ANN401  # the emulator has no types
    tags = backend.tagger.list_tags_for_resource(key.id)["Tags"]
    return Key(
        id=key.id,
        arn=key.arn,
        account=account,
        tags=tag_map(tags),
        policy=key.policy,
        state=key.key_state,
        spec=key.key_spec or "SYMMETRIC_DEFAULT",
        usage=key.key_usage or "ENCRYPT_DECRYPT",
        origin=key.origin or "AWS_KMS",
        multi_region=bool(key.multi_region),
        aliases=tuple(key.aliases),
        grants=tuple(key.grants.values()),
    )


def _default_key(encryption: Any) -> str | None:  # noqa: ANN401  # the emulator has no types
    rule = (encryption or {}).get("Rule") or {}
    rule = rule[0] if isinstance(rule, list) and rule else rule
    default = rule.get("ApplyServerSideEncryptionByDefault") if isinstance(rule, dict) else None
    return (default or {}).get("KMSMasterKeyID")
