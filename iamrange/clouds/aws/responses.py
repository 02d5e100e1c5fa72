"""Say answers and errors in each protocol's own form, and each service's own error codes.

- The same refusal has another code and status by protocol: boto3 shows users exactly these.
- https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html and the like.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from moto.core.serialize import SerializationContext, get_serializer_class

from iamrange.clouds.aws.model import AwsError
from iamrange.clouds.aws.protocol import service_model

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import AwsResponse

_FORBIDDEN = 403
_BAD_REQUEST = 400
_UNAUTHORIZED = 401
_SERVER_ERROR = 500
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One HTTP response, whole."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


# kind of refusal -> protocol -> (code, status). "s3", "sns" and "ec2" speak for themselves.
_REFUSALS: dict[str, dict[str, tuple[str, int]]] = {
    "access-denied": {
        "query": ("AccessDenied", _FORBIDDEN),
        "json": ("AccessDeniedException", _BAD_REQUEST),
        "rest-json": ("AccessDeniedException", _FORBIDDEN),
        "rest-xml": ("AccessDenied", _FORBIDDEN),
        "s3": ("AccessDenied", _FORBIDDEN),
        "sns": ("AuthorizationError", _FORBIDDEN),
        "ec2": ("UnauthorizedOperation", _FORBIDDEN),
    },
    "unknown-access-key": {
        "query": ("InvalidClientTokenId", _FORBIDDEN),
        "json": ("UnrecognizedClientException", _BAD_REQUEST),
        "rest-json": ("UnrecognizedClientException", _FORBIDDEN),
        "rest-xml": ("InvalidClientTokenId", _FORBIDDEN),
        "s3": ("InvalidAccessKeyId", _FORBIDDEN),
        "ec2": ("AuthFailure", _UNAUTHORIZED),
    },
    "session-token-invalid": {
        "query": ("InvalidClientTokenId", _FORBIDDEN),
        "json": ("UnrecognizedClientException", _BAD_REQUEST),
        "rest-json": ("UnrecognizedClientException", _FORBIDDEN),
        "rest-xml": ("InvalidClientTokenId", _FORBIDDEN),
        "s3": ("InvalidToken", _BAD_REQUEST),
        "ec2": ("AuthFailure", _UNAUTHORIZED),
    },
    "session-expired": {
        "query": ("ExpiredToken", _FORBIDDEN),
        "json": ("ExpiredTokenException", _BAD_REQUEST),
        "rest-json": ("ExpiredTokenException", _FORBIDDEN),
        "rest-xml": ("ExpiredToken", _FORBIDDEN),
        "s3": ("ExpiredToken", _BAD_REQUEST),
        "ec2": ("RequestExpired", _BAD_REQUEST),
    },
    "signature-mismatch": {
        "query": ("SignatureDoesNotMatch", _FORBIDDEN),
        "json": ("InvalidSignatureException", _BAD_REQUEST),
        "rest-json": ("InvalidSignatureException", _FORBIDDEN),
        "rest-xml": ("SignatureDoesNotMatch", _FORBIDDEN),
        "s3": ("SignatureDoesNotMatch", _FORBIDDEN),
        "ec2": ("AuthFailure", _UNAUTHORIZED),
    },
    "request-too-old": {
        "query": ("SignatureDoesNotMatch", _FORBIDDEN),
        "json": ("InvalidSignatureException", _BAD_REQUEST),
        "rest-json": ("InvalidSignatureException", _FORBIDDEN),
        "rest-xml": ("SignatureDoesNotMatch", _FORBIDDEN),
        "s3": ("RequestTimeTooSkewed", _FORBIDDEN),
        "ec2": ("RequestExpired", _BAD_REQUEST),
    },
    "presigned-expired": {
        "query": ("SignatureDoesNotMatch", _FORBIDDEN),
        "s3": ("AccessDenied", _FORBIDDEN),
        "ec2": ("RequestExpired", _BAD_REQUEST),
    },
    "malformed": {
        "query": ("IncompleteSignature", _BAD_REQUEST),
        "json": ("IncompleteSignatureException", _BAD_REQUEST),
        "rest-json": ("IncompleteSignatureException", _BAD_REQUEST),
        "rest-xml": ("IncompleteSignature", _BAD_REQUEST),
        "s3": ("AuthorizationHeaderMalformed", _BAD_REQUEST),
        "ec2": ("AuthFailure", _UNAUTHORIZED),
    },
    "payload-mismatch": {
        "query": ("SignatureDoesNotMatch", _FORBIDDEN),
        "json": ("InvalidSignatureException", _BAD_REQUEST),
        "s3": ("XAmzContentSHA256Mismatch", _BAD_REQUEST),
    },
    "missing-authentication": {
        "query": ("MissingAuthenticationToken", _FORBIDDEN),
        "json": ("MissingAuthenticationTokenException", _BAD_REQUEST),
        "rest-json": ("MissingAuthenticationTokenException", _FORBIDDEN),
        "rest-xml": ("MissingAuthenticationToken", _FORBIDDEN),
        "s3": ("AccessDenied", _FORBIDDEN),
        "ec2": ("AuthFailure", _UNAUTHORIZED),
    },
    "internal": {
        "query": ("InternalFailure", _SERVER_ERROR),
        "json": ("InternalFailure", _SERVER_ERROR),
        "rest-json": ("InternalFailure", _SERVER_ERROR),
        "rest-xml": ("InternalFailure", _SERVER_ERROR),
        "s3": ("InternalError", _SERVER_ERROR),
        "ec2": ("InternalError", _SERVER_ERROR),
    },
    "unavailable": {
        "query": ("ServiceUnavailable", _UNAVAILABLE),
        "ec2": ("Unavailable", _UNAVAILABLE),
    },
}
_REFUSALS["inactive-access-key"] = _REFUSALS["unknown-access-key"]
_REFUSALS["session-not-for-iam"] = _REFUSALS["unknown-access-key"]


def refusal(kind: str, service: str, protocol: str, message: str) -> AwsError:
    """Build the error by which that service says a refusal of that kind."""
    codes = _REFUSALS[kind]
    code, status = codes.get(service) or codes.get(protocol) or codes["query"]
    return AwsError(code=code, message=message, status=status)


def _status(service: str, error: AwsError) -> int:
    if error.status is not None:
        return error.status
    for shape in service_model(service).error_shapes:
        stated = shape.metadata.get("error", {})
        if error.code in (shape.name, stated.get("code")):
            return int(stated.get("httpStatusCode", _BAD_REQUEST))
    return _BAD_REQUEST


def error_response(
    service: str, protocol: str, error: AwsError, request_id: str, *, head: bool = False
) -> HttpResponse:
    """Write an error in the protocol's form; `head`: an answer to HEAD has no body."""
    status = _status(service, error)
    headers = [("x-amzn-RequestId", request_id)]
    code, message, ident = escape(error.code), escape(_xml_safe(error.message)), escape(request_id)
    if service == "s3":
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
            f"<Message>{message}</Message><RequestId>{ident}</RequestId>"
            f"<HostId>{ident}</HostId></Error>"
        )
        headers += [("Content-Type", "application/xml"), ("x-amz-request-id", request_id)]
    elif protocol == "ec2":
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{code}</Code>'
            f"<Message>{message}</Message></Error></Errors><RequestID>{ident}</RequestID></Response>"
        )
        headers.append(("Content-Type", "text/xml"))
    elif protocol in ("json", "rest-json"):
        # The SDKs read the code after `#`, or from the header.
        # https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization
        version = service_model(service).metadata.get("jsonVersion", "1.1")
        body = json.dumps(
            {"__type": error.code, "message": error.message, "Message": error.message}
        )
        kind = f"application/x-amz-json-{version}" if protocol == "json" else "application/json"
        headers += [("Content-Type", kind), ("x-amzn-ErrorType", error.code)]
    else:
        fault = "Receiver" if status >= _SERVER_ERROR else "Sender"
        space = service_model(service).metadata.get("xmlNamespace", "")
        space = space if isinstance(space, str) else space.get("uri", "")
        body = (
            f'<ErrorResponse xmlns="{escape(space)}"><Error><Type>{fault}</Type>'
            f"<Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{ident}</RequestId></ErrorResponse>"
        )
        headers.append(("Content-Type", "text/xml"))
    return HttpResponse(status, tuple(headers), b"" if head else body.encode())


def _xml_safe(text: str) -> str:
    """Replace what XML 1.0 cannot carry, so that an odd ARN never breaks the answer."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or c > "\ue000" else "?" for c in text
    )


def output_response(
    service: str, operation: str, protocol: str, response: AwsResponse, request_id: str
) -> HttpResponse:
    """Write a handler's answer by the operation's output shape."""
    model = service_model(service).operation_model(operation)
    serializer = get_serializer_class(service, protocol)(
        operation_model=model, context=SerializationContext(request_id=request_id)
    )
    written = serializer.serialize(dict(response.output))
    body = written["body"]
    headers = [(str(name), str(value)) for name, value in written["headers"].items()]
    headers += [("x-amzn-RequestId", request_id), ("x-amz-request-id", request_id)]
    return HttpResponse(
        int(written["status_code"]),
        tuple(headers),
        body.encode() if isinstance(body, str) else body,
    )
