"""Answers of a store that no client should see as they are.

- The embedded emulator stumbles over requests that AWS's own checks would have refused: its
  exception, or its 500, is a refusal then, and nothing of ours is broken.
- An error in another form than its protocol's is written anew; so is a list that was to be parted.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from iamrange.clouds.aws.iam_pages import paged
from iamrange.clouds.aws.model import AwsError

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import AwsRequest
    from iamrange.clouds.aws.responses import HttpResponse

_STUMBLES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError)
_XML = ("query", "ec2", "rest-xml")


def stumbled(error: BaseException) -> bool:
    """Tell whether the embedded emulator raised over what it was given, not for want of anything.

    It raises plain `Exception` where it has not thought of something.
    """
    cause = error.__cause__
    return isinstance(cause, _STUMBLES) or type(cause) is Exception


def unreadable() -> AwsError:
    """Return the refusal of a request that the store cannot read."""
    message = "the store cannot read this request; the call was authorised"
    return AwsError(code="ValidationError", message=message, status=HTTPStatus.BAD_REQUEST)


def rewritten(
    request: AwsRequest, response: HttpResponse, *, embedded: bool
) -> HttpResponse | AwsError:
    """Return the answer, or the error that stands for it."""
    if embedded and response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return unreadable()
    if request.service == "iam" and response.status == HTTPStatus.OK:
        return paged(request, response)
    in_json = request.protocol in _XML and response.body[:1] == b"{"
    if response.status < HTTPStatus.BAD_REQUEST or not in_json:
        return response
    try:
        told = json.loads(response.body)
    except ValueError:
        return response
    return AwsError(
        code=str(told.get("__type") or "ValidationError"),
        message=str(told.get("message") or ""),
        status=response.status,
    )
