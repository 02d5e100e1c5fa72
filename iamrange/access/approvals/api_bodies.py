"""What agents and people send to the approvals' API, read strictly."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final

from iamrange.access.approvals.asking import AskedCall
from iamrange.access.approvals.model import ApprovalRefusal
from iamrange.access.approvals.reasons import Reason
from iamrange.identity.http import read_body
from iamrange.jose.gate import DocumentError, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_AROUND: Final = 16 * 1024
"""Room for all that is not the body."""
_CALL: Final = frozenset({"method", "url", "content_type", "body", "body_base64"})
_JSON: Final = "application/json"


class BodyError(Exception):
    """What came is no such request; carries the refusal."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the refusal."""
        super().__init__(detail)
        self.refusal = ApprovalRefusal(reason, detail)


async def read_call(request: Request, limit: int) -> AskedCall:
    """Return the call that an agent asks about; its body is given as text or as base64.

    Raises:
        BodyError: it is none, or larger than any that could be approved.
    """
    # a control character takes six characters in JSON text: the longest that a body becomes
    most = 6 * limit + _AROUND
    document = await read_body(request, most)
    if document is None:
        raise BodyError(Reason.BODY_TOO_LARGE, f"a body is at most {limit} bytes")
    if not _is_json(request):
        raise BodyError(Reason.MALFORMED, "content type expected application/json")
    try:
        value = read_json(document)
    except DocumentError as error:
        raise BodyError(Reason.MALFORMED, str(error)) from error
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise BodyError(Reason.MALFORMED, "expected an object of texts")
    if value.keys() - _CALL or not {"method", "url"} <= value.keys():
        expected = ", ".join(sorted(_CALL))
        raise BodyError(Reason.MALFORMED, f"members expected: {expected}; method and url always")
    return AskedCall(
        method=value["method"],
        url=value["url"],
        body=_body(value),
        content_type=value.get("content_type", ""),
    )


def decision_in(request: Request, value: Mapping[str, Any] | None) -> str | None:
    """Return the signature that a person sent, or None if there is none where it should be."""
    if value is None or value.keys() != {"decision"} or not _is_json(request):
        return None
    signed = value["decision"]
    return signed if isinstance(signed, str) else None


def _body(value: Mapping[str, str]) -> bytes:
    if "body" in value and "body_base64" in value:
        raise BodyError(Reason.MALFORMED, "body or body_base64 expected, not both")
    if "body_base64" not in value:
        return value.get("body", "").encode()
    try:
        return b64decode(value["body_base64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BodyError(Reason.MALFORMED, "body_base64 expected base64") from error


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == _JSON
