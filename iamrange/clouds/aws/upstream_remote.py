"""An emulator at a URL as the store behind the authorizer: moto's server, LocalStack, ministack.

- The authorizer decides the account: it is the access key id that the emulator sees (the
  convention of LocalStack and ministack) and `x-moto-account-id`. No caller's key goes on.
- Only canonical requests of mapped operations go on; a path that an emulator keeps for itself
  (`/_localstack`, `/moto-api`, ...) never does.
- Nothing at the emulator is reset, ever: its state is its user's.
"""

from __future__ import annotations

import hashlib
import logging
import re
from base64 import b64encode
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from iamrange.clouds.aws.canonical import canonical
from iamrange.clouds.aws.model import AwsError
from iamrange.clouds.aws.protocol import service_model
from iamrange.clouds.aws.resources_remote import RemoteResources
from iamrange.clouds.aws.responses import error_response
from iamrange.clouds.aws.upstream import UnsupportedError, UpstreamError, store_answer
from iamrange.clouds.aws.upstream_ask import Asker, address
from iamrange.clouds.aws.upstream_functions import RemoteFunctions
from iamrange.clouds.aws.upstream_gaps import (
    UpstreamKind,
    kept_here,
    services_kept_embedded,
)
from iamrange.clouds.aws.upstream_http import HttpTransport, Lane, Sent
from iamrange.clouds.aws.upstream_overlay import BucketPolicies
from iamrange.clouds.aws.upstream_waiting import waited

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from iamrange.clouds.aws.canonical import Canonical
    from iamrange.clouds.aws.model import AwsRequest
    from iamrange.clouds.aws.responses import HttpResponse

_LOG = logging.getLogger(__name__)

# What other services at the emulator look for in IAM. Neither keys nor policies: nothing there
# decides anything.
_MIRRORED: Final = frozenset(
    [
        "CreateRole",
        "DeleteRole",
        "UpdateAssumeRolePolicy",
        "CreateInstanceProfile",
        "DeleteInstanceProfile",
        "AddRoleToInstanceProfile",
        "RemoveRoleFromInstanceProfile",
        "CreateServiceLinkedRole",
    ]
)
# The first segments of paths that are no bucket at one emulator or another.
_RESERVED: Final = frozenset({"moto-api", "health", "restapis", "oauth2"})
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]\Z")
_QUEUE_URLS: Final = frozenset(
    {"CreateQueue", "GetQueueUrl", "ListQueues", "ListDeadLetterSourceQueues"}
)
_QUEUE_URL: Final = re.compile(rb"https?://[^\"<>\s]*?/([0-9]{12}/[A-Za-z0-9_.-]+)")
_WAITS: Final = frozenset({("sqs", "ReceiveMessage")})


class RemoteUpstream:
    """The services of an emulator at a URL; IAM, STS and the organisation stay with us."""

    def __init__(
        self,
        url: str,
        kind: str = UpstreamKind.UNKNOWN,
        lacking: Collection[str] | None = None,
    ) -> None:
        """Take where it is, what it was recognised as, and which services it was found to lack.

        Not asked (None), it lacks what emulators of its kind are listed as lacking.
        """
        self.kind = UpstreamKind(kind)
        self._transport = HttpTransport(url)
        self._asker = Asker(self._transport)
        self._policies: BucketPolicies | None = None
        if kept_here(self.kind, "s3:PutBucketPolicy"):
            self._policies = BucketPolicies()
        self._resources: RemoteResources | None = None
        self._functions = RemoteFunctions(self._asker)
        self.not_mirrored: list[str] = []
        listed = services_kept_embedded(self.kind)
        self.lacking = listed if lacking is None else frozenset(lacking) & listed
        """The services that the embedded store serves, since the emulator has none of them."""

    def resources(self, accounts: Callable[[], frozenset[str]]) -> RemoteResources:
        """Return what planners look resources up in; one cloud has one upstream."""
        self._resources = RemoteResources(self._asker, accounts, self._policies)
        return self._resources

    def functions(self, accounts: Callable[[], frozenset[str]]) -> RemoteFunctions:
        """Return where functions are found, to be run here."""
        return self._functions.of(accounts)

    def call(
        self,
        request: AwsRequest,
        *,
        account: str,
        access_key_id: str | None,
        overrides: Mapping[str, Any],
    ) -> HttpResponse:
        """Carry the call out in that account, from inside `waiting`.

        Raises:
            UnsupportedError: the emulator has no such operation.
            UpstreamDownError: there is no answer.
            UpstreamError: the answer cannot be used.
        """
        del access_key_id  # a caller's key means nothing there, and is nobody's business
        if self._policies is not None and self._resources is not None and request.service == "s3":
            kept = self._policies.answer(request, self._resources.incarnation)
            if kept is not None:
                return kept
        sent = canonical(request, overrides)
        if request.service == "s3":
            if not _is_bucket(sent.path):
                return _no_bucket(request)
            sent = _documented(request, sent)
        lane = Lane.WAIT if (request.service, request.operation) in _WAITS else Lane.CALL
        answer = waited(self._transport.send(_addressed(request, account, sent), lane))
        if answer.status == HTTPStatus.NOT_IMPLEMENTED or (
            answer.body[:9].lower() == b"<!doctype" and request.service != "s3"
        ):
            raise UnsupportedError(f"{request.service}.{request.operation}")
        if request.service == "lambda" and answer.status < HTTPStatus.MULTIPLE_CHOICES:
            self._functions.remember(request)
        body = answer.body
        if request.service == "sqs" and request.operation in _QUEUE_URLS:
            body = _QUEUE_URL.sub(_own_address(request) + rb"/\1", body)
        return store_answer(request, answer.status, list(answer.headers), body)

    def mirror(self, request: AwsRequest, account: str) -> None:
        """Tell the emulator of a role or instance profile that IAM here has taken or dropped.

        Other services look for them there. What it does not take is listed, and no more: the
        decision never depends on it.
        """
        if request.operation not in _MIRRORED:
            return
        # A boundary would have to be there as a policy; there it would mean nothing.
        sent = canonical(request, {"PermissionsBoundary": None})
        try:
            answer = waited(self._transport.send(_addressed(request, account, sent), Lane.CALL))
            told = str(answer.status)
        except UpstreamError as error:
            answer, told = None, str(error)
        if answer is None or answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            self.not_mirrored.append(f"{account} {request.operation}: {told}")
            _LOG.warning("iam.%s was not mirrored to the upstream: %s", request.operation, told)

    async def close(self) -> None:
        """Close the connections of the running loop."""
        await self._transport.close()


def _addressed(request: AwsRequest, account: str, sent: Canonical) -> Sent:
    headers = {name: _as_text(value) for name, value in sent.headers.items()}
    headers |= address(request.service, account, request.region)
    return Sent(
        method=sent.method,
        target=sent.path + (f"?{sent.query}" if sent.query else ""),
        headers=headers,
        body=sent.body,
    )


def _as_text(value: str) -> str:
    """Return a header's value as the text that the HTTP client writes as the same bytes.

    Ours came as bytes read as Latin-1; the client writes UTF-8.
    """
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _documented(request: AwsRequest, sent: Canonical) -> Canonical:
    """Give a document that was written anew the digest that some operations ask for."""
    model = service_model("s3").operation_model(request.operation)
    payload = model.input_shape.serialization.get("payload") if model.input_shape else None
    if payload is None or model.input_shape.members[payload].type_name != "structure":
        return sent
    dropped = ("x-amz-sdk-checksum-algorithm", "x-amz-checksum-")
    headers = {k: v for k, v in sent.headers.items() if not k.startswith(dropped)}
    digest = hashlib.md5(sent.body, usedforsecurity=False).digest()
    headers["content-md5"] = b64encode(digest).decode()
    return type(sent)(
        method=sent.method, path=sent.path, query=sent.query, headers=headers, body=sent.body
    )


def _is_bucket(path: str) -> bool:
    """Tell whether a path leads to a bucket, and not to what an emulator keeps for itself."""
    first = unquote(path).lstrip("/").partition("/")[0]
    return not first or (first.lower() not in _RESERVED and _BUCKET.match(first) is not None)


def _no_bucket(request: AwsRequest) -> HttpResponse:
    error = AwsError(
        code="InvalidBucketName",
        message="The specified bucket is not valid.",
        status=HTTPStatus.BAD_REQUEST,
    )
    return error_response("s3", request.protocol, error, request.request_id)


def _own_address(request: AwsRequest) -> bytes:
    """Return where the client called: queues' URLs must lead back here, not past the authorizer."""
    scheme = "https" if request.secure else "http"
    host = request.http.header("host") or f"sqs.{request.region}.amazonaws.com"
    return f"{scheme}://{host}".encode("latin-1").replace(b"\\", b"")
