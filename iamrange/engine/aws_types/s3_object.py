"""aws:s3/bucketObjectv2:BucketObjectv2."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, tag_list, tag_map
from iamrange.engine.properties import SIGNATURE, Asset
from iamrange.engine.resource import Change, Created, Properties, ProviderError, ResourceType

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession

_CONTENTS = ("content", "contentBase64", "source")


def _body(inputs: Properties) -> bytes:
    if inputs.get("contentBase64") is not None:
        return base64.b64decode(inputs["contentBase64"])
    source = inputs.get("source")
    if isinstance(source, Asset):
        if "text" in source.fields:
            return str(source.fields["text"]).encode()
        if "path" in source.fields:
            return Path(str(source.fields["path"])).read_bytes()
        raise ProviderError("source: only a text or file asset is implemented")
    return str(inputs.get("content") or "").encode()


def _put(session: AwsSession, inputs: Properties) -> None:
    optional: dict[str, Any] = {
        "ContentType": inputs.get("contentType"),
        "CacheControl": inputs.get("cacheControl"),
        "Metadata": inputs.get("metadata"),
        "Tagging": urlencode({tag["Key"]: tag["Value"] for tag in tag_list(inputs)}),
    }
    session.client("s3").put_object(
        Bucket=inputs["bucket"],
        Key=inputs["key"],
        Body=_body(inputs),
        **{key: value for key, value in optional.items() if value},
    )


def _create(session: AwsSession, inputs: Properties) -> Created:
    _put(session, inputs)
    return Created(f"{inputs['bucket']}/{inputs['key']}")


@none_if_missing
def _read(session: AwsSession, identifier: str, state: Properties) -> Properties:
    s3 = session.client("s3")
    bucket, _, key = identifier.partition("/")
    found = s3.get_object(Bucket=bucket, Key=key)
    body = found["Body"].read()
    live = {
        "bucket": bucket,
        "key": key,
        "contentType": found.get("ContentType"),
        "cacheControl": found.get("CacheControl"),
        "metadata": found.get("Metadata") or None,
        "arn": f"arn:{session.partition}:s3:::{bucket}/{key}",
        "versionId": found.get("VersionId"),
        "tagsAll": tag_map(s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]),
    }
    # in the form in which the program gave it
    if state.get("contentBase64") is not None:
        live["contentBase64"] = base64.b64encode(body).decode()
    elif isinstance(state.get("source"), Asset):
        live["source"] = _as_asset(state["source"], body)
    elif "content" in state:
        live["content"] = body.decode(errors="replace")
    return live


def _as_asset(written: Asset, body: bytes) -> Asset:
    digest = hashlib.sha256(body).hexdigest()
    if digest == written.hash:
        return written
    text = body.decode(errors="replace")
    return Asset(digest, {SIGNATURE: written.fields.get(SIGNATURE), "hash": digest, "text": text})


def _update(session: AwsSession, change: Change) -> None:
    _put(session, change.new)


def _delete(session: AwsSession, identifier: str, _state: Properties) -> None:
    bucket, _, key = identifier.partition("/")
    with missing_is_fine():
        session.client("s3").delete_object(Bucket=bucket, Key=key)


def _problems(inputs: Properties) -> list[tuple[str, str]]:
    given = [key for key in _CONTENTS if key in inputs]
    found = []
    if len(given) > 1:
        found.append((given[1], f"only one of {', '.join(_CONTENTS)} may be given"))
    source = inputs.get("source")
    if isinstance(source, Asset) and source.is_archive:
        found.append(("source", "an archive is not implemented by the embedded provider"))
    if "key" not in inputs:
        found.append(("key", "required, but missing"))
    return found


BUCKET_OBJECT: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:s3/bucketObjectv2:BucketObjectv2",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "bucket",
            "key",
            "content",
            "contentBase64",
            "source",
            "contentType",
            "cacheControl",
            "metadata",
            "forceDestroy",
            "tags",
        }
    ),
    computed=frozenset({"arn", "versionId"}) | TAG_OUTPUTS,
    volatile=frozenset({"versionId"}),
    force_new=frozenset({"bucket", "key"}),
    identity=frozenset({"bucket", "key"}),
    settings=frozenset({"forceDestroy"}),
    exclusive=frozenset({"content", "contentBase64", "source"}),
    defaults={"contentType": "binary/octet-stream", "forceDestroy": False},
    canonical={"source": lambda value: value.hash if isinstance(value, Asset) else value},
    tagging=TAGGING,
    problems=_problems,
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
)
TYPES: Final = (BUCKET_OBJECT,)
