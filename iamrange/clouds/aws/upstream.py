"""The port behind the authorizer, and its embedded adapter: moto called in this process.

- There is no TCP listener: nothing reaches the store but through the authorizer.
- The account is the one that the authorizer decided on, never the caller's word for it.
- What the store is given is written anew from what was authorised (`canonical`).
- moto keeps one store a process: a second `EmbeddedMoto` starts it empty.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import string
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

# Before moto is imported: no browser rules on answers, and unknown regions stay unknown.
os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
# Accounts are chosen call by call, not by the environment.
os.environ.pop("MOTO_ACCOUNT_ID", None)

import moto.iam.models
from moto.core.base_backend import BackendDict
from moto.iam.access_control import PermissionResult
from moto.iam.policy_validation import (
    IAMPolicyDocumentValidator,
    IAMTrustPolicyDocumentValidator,
)
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import FakeBucket
from moto.secretsmanager.models import SecretsManagerBackend

from iamrange.clouds.aws.canonical import canonical
from iamrange.clouds.aws.protocol import service_model
from iamrange.clouds.aws.responses import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.model import AwsRequest


class UpstreamError(Exception):
    """The store failed to answer: the range broke."""


class UpstreamDownError(UpstreamError):
    """The store is not there, or does not answer: nothing of ours is broken."""


class UnsupportedError(Exception):
    """The store has no such operation: a clear refusal, nothing is broken."""


class Upstream(Protocol):
    """Carries out a call that was authenticated and authorised."""

    def call(
        self,
        request: AwsRequest,
        *,
        account: str,
        access_key_id: str | None,
        overrides: Mapping[str, Any],
    ) -> HttpResponse:
        """Carry the call out in that account.

        `overrides` are top-level members that the authorizer made exact (a name that became the
        ARN it was authorised for).

        Raises:
            UnsupportedError: the upstream has no such operation.
            UpstreamError: there is no answer.
        """
        ...


_BACKENDS = {"lambda": "awslambda"}
_ALPHANUMERIC = string.ascii_letters + string.digits + "+/"
_ID_ALPHABET = string.ascii_uppercase + "234567"
_ANSWERS_DROPPED = frozenset(
    [
        "x-amzn-requestid",
        "x-amz-request-id",
        "content-length",
        "server",
        "connection",
        "date",
        "access-control-allow-origin",
        "transfer-encoding",
        "keep-alive",
        "x-localstack",
    ]
)
_REQUEST_ID = re.compile(rb"<(RequestId|RequestID|requestId)>[^<]*</\1>")


class EmbeddedMoto:
    """moto's own WSGI applications, called directly."""

    def __init__(self) -> None:
        """Start with an empty store."""
        BackendDict.reset()
        _mend()
        self._apps: dict[str, Any] = {}

    def call(
        self,
        request: AwsRequest,
        *,
        account: str,
        access_key_id: str | None,
        overrides: Mapping[str, Any],
    ) -> HttpResponse:
        """Carry the call out in that account.

        Raises:
            UnsupportedError: moto has no such operation.
            UpstreamError: moto raised.
        """
        view = self._view(request, account, access_key_id, overrides)
        try:
            app = self._app(request.service)
        except ModuleNotFoundError as error:
            # moto leaves some services' own needs to its extras
            raise UnsupportedError(f"{request.service}.{request.operation}") from error
        answer: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:  # noqa: ANN401  # WSGI's own signature
            answer[:] = [status, headers]

        try:
            chunks = app(view, start_response)
            body = b"".join(chunks)
        except NotImplementedError as error:
            raise UnsupportedError(f"{request.service}.{request.operation}") from error
        except Exception as error:
            raise UpstreamError(
                f"{request.service}.{request.operation}: {type(error).__name__}"
            ) from error
        status, headers = answer
        return store_answer(request, int(status.split(" ", 1)[0]), headers, body)

    def _app(self, service: str) -> Any:  # noqa: ANN401  # the emulator publishes no types
        if service not in self._apps:
            create: Any = create_backend_app
            app = create(_BACKENDS.get(service, service))
            app.debug = False
            app.config["PROPAGATE_EXCEPTIONS"] = True
            self._apps[service] = app
        return self._apps[service]

    def _view(
        self,
        request: AwsRequest,
        account: str,
        access_key_id: str | None,
        overrides: Mapping[str, Any],
    ) -> dict[str, Any]:
        sent = canonical(request, overrides)
        view: dict[str, Any] = {}
        for name, value in sent.headers.items():
            key = name.upper().replace("-", "_")
            view[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        # moto finds the region in the host name, and the caller's key (for its last use and for
        # IAM's "myself") in the header. The header is ours: nothing in it is believed by anyone.
        key_id = access_key_id or "IAMRANGEANONYMOUS000"
        scope = f"{request.now:.0f}/{request.region}/{request.service}/aws4_request"
        return view | {
            "REQUEST_METHOD": sent.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(sent.path).decode("latin-1"),
            "QUERY_STRING": sent.query,
            "RAW_URI": sent.path + (f"?{sent.query}" if sent.query else ""),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": f"{request.service}.{request.region}.amazonaws.com",
            "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, Signature=none",
            "HTTP_X_MOTO_ACCOUNT_ID": account,
            "CONTENT_LENGTH": str(len(sent.body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(sent.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.version": (1, 0),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "moto.preserved_header_names": {
                name.upper().replace("-", "_"): name for name in sent.headers if "_" in name
            },
        }


def _mend() -> None:
    """Put right what moto does otherwise than AWS, and what would let it decide or be guessed."""
    # moto judges bucket policies by itself, without conditions and principals: it would
    # refuse what the authorizer allowed. The decision is made once, before the store.
    bucket: Any = FakeBucket
    bucket.get_permission = _always_permitted
    # moto has a policy grammar of its own, narrower than AWS's (no numbers or booleans in
    # conditions). The write guard has judged every document by the grammar that decides with it.
    for validator in (IAMPolicyDocumentValidator, IAMTrustPolicyDocumentValidator):
        grammar: Any = validator
        grammar.validate = _acceptable
    # moto moves AWSCURRENT, and gives the version before out to whoever names none.
    backend: Any = SecretsManagerBackend
    if backend.update_secret_version_stage is not _label_moved:
        _LABELLED.append(backend.update_secret_version_stage)
        backend.update_secret_version_stage = _label_moved
    models: Any = moto.iam.models
    # Secrets come from the system, so that the forks of one world do not share their sequence;
    # users' ids look as AWS's do (`AIDA...`), because `aws:userid` conditions name them.
    models.random_alphanumeric = _random_text
    models.random_resource_id = _random_id


_LABELLED: list[Any] = []
"""How moto moves a staging label of a secret."""


def _label_moved(
    backend: Any,  # noqa: ANN401 - the emulator publishes no types
    secret_id: str,
    version_stage: str,
    remove_from_version_id: str,
    move_to_version_id: str,
) -> Any:  # noqa: ANN401 - same
    """Move a label, and with AWSCURRENT what is read by whoever names no version.

    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
    """
    moved = _LABELLED[0](
        backend, secret_id, version_stage, remove_from_version_id, move_to_version_id
    )
    if version_stage == "AWSCURRENT" and move_to_version_id:
        backend.secrets[secret_id].set_default_version_id(move_to_version_id)
    return moved


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHANUMERIC) for _ in range(length))


def _random_id(size: int = 20) -> str:
    return "AIDA" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(max(size, 20) - 4))


def _always_permitted(_self: object, _action: str, _resource: str) -> PermissionResult:
    return PermissionResult.PERMITTED


def _acceptable(_self: object) -> None:
    return None


def store_answer(
    request: AwsRequest, status: int, headers: list[tuple[str, str]], body: bytes
) -> HttpResponse:
    """Return a store's answer as this cloud's own: with its request id, without the store's name.

    Raises:
        UnsupportedError: the store answered with its page for what it does not have.
    """
    kept = [(name, value) for name, value in headers if name.lower() not in _ANSWERS_DROPPED]
    if body[:9].lower() == b"<!doctype" and request.service != "s3":
        raise UnsupportedError(f"{request.service}.{request.operation}")
    if request.protocol in ("query", "ec2") or (request.protocol == "rest-xml" and status >= 400):  # noqa: PLR2004 - HTTP
        ident = request.request_id.encode()
        body = _REQUEST_ID.sub(lambda m: b"<%b>%b</%b>" % (m.group(1), ident, m.group(1)), body)
    if request.protocol == "json":
        # AWS answers every client error of this protocol with 400; moto has a few 404s.
        client_error = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        status = int(HTTPStatus.BAD_REQUEST) if client_error else status
        kept = [(name, value) for name, value in kept if name.lower() != "content-type"]
        version = service_model(request.service).metadata.get("jsonVersion", "1.1")
        kept.append(("Content-Type", f"application/x-amz-json-{version}"))
    length = next((v for n, v in headers if n.lower() == "content-length"), None)
    if request.http.method == "HEAD" and length is not None:
        kept.append(("content-length", length))
    kept += [("x-amzn-RequestId", request.request_id), ("x-amz-request-id", request.request_id)]
    return HttpResponse(status, tuple(kept), body)
