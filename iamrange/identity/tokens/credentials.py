"""Which client credential a request presents: exactly one (RFC 6749 section 2.3)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from iamrange.identity.tokens.form import Form
    from iamrange.identity.tokens.http import HttpRequest

JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_SPIFFE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
_MAX_ID = 512


class Method(StrEnum):
    """How a client authenticates; the values are those of `token_endpoint_auth_methods_supported`.

    `CERTIFICATE` stands for both TLS methods: which of them it is depends on what is registered.
    """

    NONE = "none"
    PRIVATE_KEY_JWT = "private_key_jwt"
    SPIFFE_JWT = "spiffe_jwt"
    CERTIFICATE = "tls_client_auth"
    SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method's name
    SECRET_POST = "client_secret_post"  # noqa: S105 - a method's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """The one credential of a request. `fault` says why the request is none that can be read."""

    method: Method
    client_id: str | None = None
    secret: str = field(default="", repr=False)
    """The assertion, or the client secret."""
    fault: str | None = None


def presented_by(form: Form, request: HttpRequest) -> Presented:
    """Return the request's credential.

    A certificate beside another credential is no second method: it may be there for binding only
    (RFC 8705 section 3).
    """
    client_id = form.one("client_id")
    if client_id is not None and len(client_id) > _MAX_ID:
        return Presented(method=Method.NONE, fault="malformed-client-id")
    authorization = request.header(b"authorization")
    assertion = form.one("client_assertion")
    kind = form.one("client_assertion_type")
    secret = form.one("client_secret")
    given = [bool(authorization), assertion is not None or kind is not None, secret is not None]
    if sum(given) > 1 or len(authorization) > 1:
        return Presented(method=Method.NONE, client_id=client_id, fault="several-methods")
    if authorization:
        return _basic(authorization[0], client_id)
    if assertion is not None or kind is not None:
        return _assertion(assertion, kind, client_id)
    if secret is not None:
        if client_id is None:
            return Presented(method=Method.NONE, fault="missing-client-id")
        return Presented(method=Method.SECRET_POST, client_id=client_id, secret=secret)
    if request.certificates:
        # RFC 8705 section 2: client_id is required with mutual TLS
        fault = "missing-client-id" if client_id is None else None
        return Presented(method=Method.CERTIFICATE, client_id=client_id, fault=fault)
    return Presented(method=Method.NONE, client_id=client_id)


def _assertion(assertion: str | None, kind: str | None, client_id: str | None) -> Presented:
    if assertion is None or kind is None:
        return Presented(method=Method.NONE, client_id=client_id, fault="incomplete-assertion")
    methods = {JWT_BEARER: Method.PRIVATE_KEY_JWT, JWT_SPIFFE: Method.SPIFFE_JWT}
    method = methods.get(kind, Method.NONE)
    return Presented(method=method, client_id=client_id, secret=assertion)


def _basic(authorization: str, client_id: str | None) -> Presented:
    """Read RFC 6749 section 2.3.1: both parts are form-encoded before they are joined."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return Presented(method=Method.NONE, client_id=client_id, fault="unknown-scheme")
    try:
        joined = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        name, colon, secret = joined.partition(":")
        if _looks_unencoded(name):
            # the scheme's own colon: an agent's id that a client did not form-encode
            name, colon, secret = joined.rpartition(":")
            named, given = name, secret
        else:
            named, given = (unquote_plus(part, errors="strict") for part in (name, secret))
    except (binascii.Error, ValueError):
        return Presented(method=Method.NONE, client_id=client_id, fault="malformed-authorization")
    if not colon or not named or len(named) > _MAX_ID or client_id not in (None, named):
        return Presented(method=Method.NONE, client_id=client_id, fault="malformed-authorization")
    return Presented(method=Method.SECRET_BASIC, client_id=named, secret=given)


def _looks_unencoded(name: str) -> bool:
    return name == "spiffe"
