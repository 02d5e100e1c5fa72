"""From the call that an agent wants to make to the request that people read. Pure."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.access.approvals.model import ApprovalRefusal, ApprovalRequest
from iamrange.access.approvals.reasons import Reason
from iamrange.access.approvals.summary import DeclaredCall, summarise

if TYPE_CHECKING:
    from iamrange.access.approvals.settings import ApprovalSettings
    from iamrange.identity.directory.model import Agent

_ID_BYTES: Final = 24
_CONTENT_TYPE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCall:
    """The call that an agent wants to make, whole."""

    method: str
    url: str
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""


def call_refusal(call: AskedCall, settings: ApprovalSettings) -> ApprovalRefusal | None:
    """Return why this is no call that anybody could be asked about, or None."""
    if len(call.body) > settings.body_limit:
        # a hash of a part would let the rest be anything
        detail = f"body of {len(call.body)} bytes, at most {settings.body_limit}"
        return ApprovalRefusal(Reason.BODY_TOO_LARGE, detail)
    if len(call.url) > settings.url_limit:
        detail = f"url of {len(call.url)} characters, at most {settings.url_limit}"
        return ApprovalRefusal(Reason.MALFORMED, detail)
    if normal_content_type(call.content_type) is None:
        return ApprovalRefusal(Reason.MALFORMED, "content type expected visible ASCII")
    return None


def request_for(
    declared: DeclaredCall,
    call: AskedCall,
    requester: Agent,
    settings: ApprovalSettings,
    now: float,
) -> ApprovalRequest:
    """Return a new request; its id cannot be guessed (192 random bits)."""
    created = int(now)
    content_type = normal_content_type(call.content_type) or ""
    return ApprovalRequest(
        id=secrets.token_hex(_ID_BYTES),
        agent=requester.id,
        action=declared.action,
        method=declared.method,
        url=declared.url,
        content_type=content_type,
        body_sha256=hashlib.sha256(call.body).hexdigest(),
        body_length=len(call.body),
        summary=summarise(
            declared,
            agent=requester.id,
            owner=requester.owner,
            body=call.body,
            content_type=content_type,
        ),
        roles=settings.roles_for(declared.action),
        created=created,
        expires=created + settings.life,
        interval=settings.interval,
    )


def binding_refusal(
    request: ApprovalRequest, called: tuple[str, str, str], content_type: str | None
) -> ApprovalRefusal | None:
    """Return how a call, (method, url, body hash), differs from what was approved, or None.

    The same bytes under another content type are another request: the service reads them
    otherwise than the person did.
    """
    bound = (request.method, request.url, request.body_sha256)
    names = ("method", "url", "body")
    differing = [name for name, a, b in zip(names, called, bound, strict=True) if a != b]
    if content_type is not None and normal_content_type(content_type) != request.content_type:
        differing.append("content type")
    if differing:
        return ApprovalRefusal(Reason.ANOTHER_REQUEST, ", ".join(differing))
    return None


def normal_content_type(content_type: str) -> str | None:
    """Return a content type in lower case, without spaces around its parts; None if it is none."""
    if len(content_type) > _CONTENT_TYPE:
        return None
    if content_type and not (content_type.isascii() and content_type.isprintable()):
        return None
    return ";".join(part.strip() for part in content_type.lower().split(";"))
