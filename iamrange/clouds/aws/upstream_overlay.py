"""Bucket policies kept here, for an emulator that would judge by them itself.

- moto's server refuses what any Deny of a bucket's policy names, without its principals and
  conditions. Given no policy it refuses nothing, and the authorizer decides alone.
- A policy belongs to one bucket, not to its name: it ends with the bucket, also when that was
  deleted and made anew behind our back.
- A policy that was there before is the emulator's, and is read from there.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from iamrange.clouds.aws.responses import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.clouds.aws.model import AwsRequest


class Incarnation(NamedTuple):
    """One bucket of a name: whose, and made when."""

    account: str
    created: str


class _Kept(NamedTuple):
    bucket: Incarnation
    document: str


class BucketPolicies:
    """The policies of buckets at an emulator that is not to have them."""

    def __init__(self) -> None:
        """Start with none."""
        self._kept: dict[str, _Kept] = {}

    def policy(self, name: str, bucket: Incarnation) -> str | None:
        """Return the policy that is kept here for that very bucket."""
        kept = self._kept.get(name)
        return kept.document if kept is not None and kept.bucket == bucket else None

    def answer(
        self, request: AwsRequest, found: Callable[[str], Incarnation | None]
    ) -> HttpResponse | None:
        """Carry out what is about a policy kept here; None: it is for the emulator."""
        name = str(request.parameters.get("Bucket"))
        bucket = found(name) if request.operation.endswith("BucketPolicy") else None
        if bucket is None:
            return None
        if request.operation == "PutBucketPolicy":
            self._kept[name] = _Kept(bucket, str(request.parameters["Policy"]))
            return _answer(request, HTTPStatus.NO_CONTENT)
        if request.operation == "DeleteBucketPolicy":
            # One that was there before goes too, so the emulator is asked as well.
            self._kept.pop(name, None)
            return None
        document = self.policy(name, bucket)
        return _answer(request, HTTPStatus.OK, document) if document is not None else None


def _answer(request: AwsRequest, status: HTTPStatus, document: str = "") -> HttpResponse:
    headers = [("x-amzn-RequestId", request.request_id), ("x-amz-request-id", request.request_id)]
    if document:
        headers.append(("Content-Type", "application/json"))
    return HttpResponse(int(status), tuple(headers), document.encode())
