"""What the planners read of buckets and objects, asked of an emulator over HTTP.

- Bucket names are global: a bucket's owner is the one of our accounts that lists it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.resources import Bucket, tag_map
from iamrange.clouds.aws.upstream_ask import question
from iamrange.clouds.aws.upstream_overlay import Incarnation

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.clouds.aws.upstream_ask import Asker, Question
    from iamrange.clouds.aws.upstream_overlay import BucketPolicies

# Buckets are read where S3 is global.
_REGION = "us-east-1"
_MAX_PAGES = 1000


class RemoteBuckets:
    """Looks buckets up at an emulator, from inside `waiting`."""

    def __init__(
        self,
        asker: Asker,
        accounts: Callable[[], frozenset[str]],
        policies: BucketPolicies | None = None,
    ) -> None:
        """Take whom to ask, which accounts there are, and the policies that are kept here."""
        self._policies = policies
        self._asker = asker
        self._accounts = accounts
        # Where a bucket was last seen: asked first, never believed.
        self._seen: dict[str, str] = {}

    def bucket(self, name: str) -> Bucket | None:
        """Find a bucket, whoever owns it: names are global."""
        found = self.incarnation(name)
        if found is None:
            return None
        account = found.account
        policy, tags, encryption, block = self._asker.ask(
            _s3("GetBucketPolicy", account, name, ("policy", None)),
            _s3("GetBucketTagging", account, name, ("tagging", None)),
            _s3("GetBucketEncryption", account, name, ("encryption", None)),
            _s3("GetPublicAccessBlock", account, name, ("publicAccessBlock", None)),
        )
        document = str((policy or {}).get("Policy") or "") or None
        if self._policies is not None:
            document = self._policies.policy(name, found) or document
        blocked = (block or {}).get("PublicAccessBlockConfiguration") or {}
        return Bucket(
            arn=f"arn:aws:s3:::{name}",
            account=account,
            tags=tag_map((tags or {}).get("TagSet")),
            policy=document,
            name=name,
            kms_key=_default_key(encryption),
            block_public_policy=bool(blocked.get("BlockPublicPolicy")),
            restrict_public_policy=bool(blocked.get("RestrictPublicBuckets")),
            block_public_acls=bool(blocked.get("BlockPublicAcls")),
            ignore_public_acls=bool(blocked.get("IgnorePublicAcls")),
        )

    def incarnation(self, name: str) -> Incarnation | None:
        """Find out which of our accounts has a bucket of that name, and since when."""
        accounts = self._accounts()
        last = self._seen.get(name)
        if last in accounts:
            found = self._listed(last, name)
            if found is not None:
                return found
        rest = sorted(accounts - {last or ""})
        self._asker.ask(*(_listing(account, name) for account in rest))
        for account in rest:
            found = self._listed(account, name)
            if found is not None:
                self._seen[name] = account
                return found
        self._seen.pop(name, None)
        return None

    def _owner(self, name: str) -> str | None:
        found = self.incarnation(name)
        return found.account if found is not None else None

    def _listed(self, account: str, name: str) -> Incarnation | None:
        asked = _listing(account, name)
        for _ in range(_MAX_PAGES):
            page = self._asker.one(asked)
            for bucket in (page or {}).get("Buckets") or ():
                if bucket["Name"] == name:
                    return Incarnation(account, str(bucket.get("CreationDate")))
            token = (page or {}).get("ContinuationToken")
            if not token:
                return None
            asked = _listing(account, name, token)
        raise LookupError(f"account {account}: more than {_MAX_PAGES} pages of buckets")

    def has_object(self, bucket: str, key: str, version: str | None) -> bool:
        """Tell whether an object is there."""
        return self._head(bucket, key, version) is not None

    def has_upload(self, bucket: str, key: str, upload: str) -> bool:
        """Tell whether a multipart upload to that key is under way."""
        account = self._owner(bucket)
        if account is None:
            return False
        marker: list[tuple[str, str | None]] = []
        for _ in range(_MAX_PAGES):
            query = [("uploads", None), ("prefix", key), *marker]
            page = self._asker.one(_s3("ListMultipartUploads", account, bucket, *query))
            for one in (page or {}).get("Uploads") or ():
                if (one["Key"], one["UploadId"]) == (key, upload):
                    return True
            if not page or not page.get("IsTruncated"):
                return False
            marker = [
                ("key-marker", page["NextKeyMarker"]),
                ("upload-id-marker", page["NextUploadIdMarker"]),
            ]
        raise LookupError(f"bucket {bucket}: more than {_MAX_PAGES} pages of uploads")

    def object_tags(self, bucket: str, key: str, version: str | None) -> dict[str, str]:
        """Return the tags of an object that is there; none otherwise."""
        account = self._owner(bucket)
        if account is None or not key:
            return {}
        query = [("tagging", None), *_version(version)]
        found = self._asker.one(_s3("GetObjectTagging", account, bucket, *query, key=key))
        return tag_map((found or {}).get("TagSet"))

    def object_key(self, bucket: str, key: str, version: str | None) -> str | None:
        """Return the customer managed key that an object is encrypted with, if any."""
        found = self._head(bucket, key, version)
        named = (found or {}).get("SSEKMSKeyId")
        return str(named) if named else None

    def _head(self, bucket: str, key: str, version: str | None) -> Any:  # noqa: ANN401  # an output
        account = self._owner(bucket)
        if account is None or not key:
            return None
        return self._asker.one(_s3("HeadObject", account, bucket, *_version(version), key=key))


def _version(version: str | None) -> list[tuple[str, str | None]]:
    return [("versionId", version)] if version else []


def _s3(
    operation: str,
    account: str,
    bucket: str,
    *query: tuple[str, str | None],
    key: str | None = None,
) -> Question:
    place = {"Bucket": bucket} | ({"Key": key} if key is not None else {})
    return question("s3", operation, account, _REGION, **place, Query=query)


def _listing(account: str, name: str, token: str | None = None) -> Question:
    query = (("prefix", name), *([("continuation-token", token)] if token else []))
    return question("s3", "ListBuckets", account, _REGION, Query=query)


def _default_key(encryption: Any) -> str | None:  # noqa: ANN401  # an output
    rules = ((encryption or {}).get("ServerSideEncryptionConfiguration") or {}).get("Rules") or ()
    for rule in rules:
        default = rule.get("ApplyServerSideEncryptionByDefault") or {}
        if default.get("KMSMasterKeyID"):
            return str(default["KMSMasterKeyID"])
    return None
