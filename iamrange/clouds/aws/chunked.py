"""Take an `aws-chunked` upload apart, and verify the signature of each chunk.

- The chain of chunk signatures starts from the request's own, so no chunk can be changed, left
  out or moved. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
- The checksum trailer is checked when the standard library knows the algorithm; it protects
  against damage, not against an attacker.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib
from typing import TYPE_CHECKING

from iamrange.clouds.aws.sigv4 import EMPTY_HASH, sign, signing_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.clouds.aws.sigv4 import Signature

_HEAD = re.compile(rb"^([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?$")
_CHECKSUMS: dict[bytes, Callable[[bytes], bytes]] = {
    b"x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    b"x-amz-checksum-sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    b"x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
}


class ChunkError(Exception):
    """The upload is not what it says: its form, a chunk's signature, its length or checksum."""


def decode(body: bytes, claimed: Signature, secret: str | None, length: int | None) -> bytes:
    """Return the content of a chunked upload.

    `secret` None skips the chunk signatures: only for a cloud whose signature layer was taken away.

    Raises:
        ChunkError: form, signature, length or checksum is wrong.
    """
    signed = claimed.payload_hash.startswith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    key = b""
    if secret is not None and signed:
        key = signing_key(secret, claimed.date, claimed.region, claimed.service)
    previous = claimed.signature
    content = bytearray()
    position = 0
    while True:
        size, signature, start = _head(body, position)
        data = body[start : start + size]
        if len(data) != size:
            raise ChunkError("a chunk is shorter than it says")
        if key:
            expected = _chunk_signature(key, claimed, previous, data)
            if not hmac.compare_digest(expected.encode(), signature):
                raise ChunkError("a chunk is not signed, or its signature does not match")
            previous = expected
        position = start + size
        if size == 0:
            break
        if body[position : position + 2] != b"\r\n":
            raise ChunkError("a chunk does not end where it says")
        position += 2
        content += data
    _check_trailers(body[position:], bytes(content), claimed, key, previous)
    if length is not None and length != len(content):
        raise ChunkError("the content is not as long as x-amz-decoded-content-length says")
    return bytes(content)


def _head(body: bytes, position: int) -> tuple[int, bytes, int]:
    """Read a chunk's size line: its size, its signature (or nothing), where its data starts."""
    end = body.find(b"\r\n", position)
    head = _HEAD.match(body[position:end]) if end >= 0 else None
    if head is None:
        raise ChunkError("a chunk has no proper size line")
    return int(head.group(1), 16), head.group(2) or b"", end + 2


def _chunk_signature(key: bytes, claimed: Signature, previous: str, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    kind = "AWS4-HMAC-SHA256-PAYLOAD"
    parts = (kind, claimed.timestamp, claimed.scope, previous, EMPTY_HASH, digest)
    return sign(key, "\n".join(parts))


def _check_trailers(
    tail: bytes, content: bytes, claimed: Signature, key: bytes, previous: str
) -> None:
    trailers: list[tuple[bytes, bytes]] = []
    for line in tail.split(b"\r\n"):
        if line:
            name, colon, value = line.partition(b":")
            if not colon:
                raise ChunkError("a trailer is no name:value")
            trailers.append((name.strip().lower(), value.strip()))
    stated = dict(trailers)
    if len(stated) != len(trailers):
        raise ChunkError("a trailer is given more than once")
    signature = stated.pop(b"x-amz-trailer-signature", None)
    if key and claimed.payload_hash.endswith("-TRAILER"):
        text = b"".join(name + b":" + value + b"\n" for name, value in sorted(stated.items()))
        kind = "AWS4-HMAC-SHA256-TRAILER"
        digest = hashlib.sha256(text).hexdigest()
        expected = sign(key, f"{kind}\n{claimed.timestamp}\n{claimed.scope}\n{previous}\n{digest}")
        if signature is None or not hmac.compare_digest(expected.encode(), signature):
            raise ChunkError("the trailer's signature does not match")
    for name, compute in _CHECKSUMS.items():
        if name in stated and base64.b64encode(compute(content)) != stated[name]:
            raise ChunkError("the checksum in the trailer does not match")
