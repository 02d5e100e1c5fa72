"""Calls on many things that AWS answers thing by thing: some carried out, the others in a list.

- Each part is authorised by itself; only the parts that were allowed reach the store.
- The store's answer is read by botocore's own parser, and written anew with the list completed.
- https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html,
  https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser

from iamrange.clouds.aws.protocol import service_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from iamrange.clouds.aws.model import AwsError, AwsRequest, Check
    from iamrange.clouds.aws.responses import HttpResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the things that a call is about.

    `content` is what the store is asked for it; `missing` is the answer for a thing that is not
    there, once its checks have passed.
    """

    content: Any = field(repr=False)
    checks: tuple[Check, ...]
    missing: AwsError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The things of one call: how to ask the store for some of them, how to report the others."""

    members: tuple[Part, ...]
    narrow: Callable[[Sequence[Part]], Mapping[str, Any]]
    report: Callable[[Part, AwsError], Mapping[str, Any]]


def completed(
    request: AwsRequest, response: HttpResponse | None, errors: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the store's answer (None: it was asked for nothing) with the refused parts in it."""
    output = read_output(request, response) if response is not None else {}
    return output | {"Errors": [*output.get("Errors", ()), *errors]}


def read_output(request: AwsRequest, response: HttpResponse) -> dict[str, Any]:
    """Return what the store answered, by the operation's own model."""
    shape = service_model(request.service).operation_model(request.operation).output_shape
    read = create_parser(request.protocol).parse(
        {
            "status_code": response.status,
            "headers": HeadersDict(dict(response.headers)),
            "body": response.body,
        },
        shape,
    )
    return {name: value for name, value in read.items() if name != "ResponseMetadata"}
