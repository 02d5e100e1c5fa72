"""The port behind the authorizer, and its embedded adapter: moto called in this process.

- There is no TCP listener: nothing reaches the store but through the authorizer.
- The account is the one that the authorizer decided on, never the caller's word for it.
- Of a REST request only the query parameters and headers that its operation's model knows are
  passed on, so that the store cannot read another operation out of it than was authorised.
- moto keeps one store a process: a second `EmbeddedMoto` starts it empty.
"""

from __future__ import annotations

import io
import json
import os
import re
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode

# Before moto is imported: no browser rules on answers, and unknown regions stay unknown.
os.environ.setdefault("MOTO_DISABLE_GLOBAL_CORS", "true")

from moto.core.base_backend import BackendDict
from moto.iam.access_control import PermissionResult
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import FakeBucket

from iamrange.clouds.aws.protocol import Target, environ, path_style, service_model
from iamrange.clouds.aws.responses import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.model import AwsRequest


class UpstreamError(Exception):
    """The store failed to answer: the range broke."""


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
        ARN it was authorised for). `overrides` of None values are members to leave out.

        Raises:
            UpstreamError: there is no answer.
        """
        ...


_BACKENDS = {"lambda": "awslambda"}
_HEADERS_KEPT = frozenset(
    [
        "content-type",
        "content-length",
        "content-md5",
        "content-encoding",
        "content-disposition",
        "content-language",
        "cache-control",
        "expires",
        "range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "date",
        "x-amz-target",
    ]
)
_DROPPED = frozenset({"x-amz-security-token", "x-amz-content-sha256", "x-amz-date"})
_ANSWERS_DROPPED = frozenset(
    [
        "x-amzn-requestid",
        "x-amz-request-id",
        "content-length",
        "server",
        "connection",
        "date",
        "access-control-allow-origin",
    ]
)
_REQUEST_ID = re.compile(rb"<(RequestId|RequestID|requestId)>[^<]*</\1>")


class EmbeddedMoto:
    """moto's own WSGI applications, called directly."""

    def __init__(self) -> None:
        BackendDict.reset()
        # moto judges bucket policies by itself, without conditions and principals: it would
        # refuse what the authorizer allowed. The decision is made once, before the store.
        FakeBucket.get_permission = _always_permitted
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
            UpstreamError: moto raised.
        """
        view = self._view(request, account, access_key_id, overrides)
        app = self._app(request.service)
        answer: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:  # noqa: ANN401  # WSGI's own signature
            answer[:] = [status, headers]

        try:
            chunks = app(view, start_response)
            body = b"".join(chunks)
        except Exception as error:
            raise UpstreamError(
                f"{request.service}.{request.operation}: {type(error).__name__}"
            ) from error
        status, headers = answer
        return _answer(request, int(status.split(" ", 1)[0]), headers, body)

    def _app(self, service: str) -> Any:  # noqa: ANN401  # the emulator publishes no types
        if service not in self._apps:
            app = create_backend_app(_BACKENDS.get(service, service))
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
        http = request.http
        body = http.body
        rest = request.protocol.startswith("rest-")
        target = Target(service=request.service, region=request.region, protocol=request.protocol)
        path = path_style(target, http) if rest else "/"
        query = _modelled_query(request) if rest else ""
        if request.protocol == "json":
            body = _json_body(body, overrides)
        elif request.protocol in ("query", "ec2"):
            body = _form_body(request, overrides)
        view = environ(http, path)
        for name in [key for key in view if key.startswith("HTTP_")]:
            del view[name]
        known = _modelled_headers(request) if rest else frozenset[str]()
        names = {}
        for name, value in http.headers:
            lower = name.lower()
            if lower in _DROPPED:
                continue
            if lower in _HEADERS_KEPT or lower in known or _is_metadata(request, lower):
                key = lower.upper().replace("-", "_")
                key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
                view[key] = value
                names[key] = name
        if request.protocol in ("query", "ec2"):
            view["CONTENT_TYPE"] = "application/x-www-form-urlencoded; charset=utf-8"
            view["REQUEST_METHOD"] = "POST"
        # moto finds the region in the host name, and the caller's key (for its last use and for
        # IAM's "myself") in the header. The header is ours: nothing in it is believed by anyone.
        key_id = access_key_id or "IAMRANGEANONYMOUS000"
        scope = f"{request.now:.0f}/{request.region}/{request.service}/aws4_request"
        host = "s3" if request.service == "s3" else request.service
        view |= {
            "HTTP_HOST": f"{host}.{request.region}.amazonaws.com",
            "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, Signature=none",
            "HTTP_X_MOTO_ACCOUNT_ID": account,
            "CONTENT_LENGTH": str(len(body)),
            "QUERY_STRING": query,
            "RAW_URI": path + (f"?{query}" if query else ""),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.version": (1, 0),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "moto.preserved_header_names": names,
        }
        return view


def _always_permitted(_self: object, _action: str, _resource: str) -> PermissionResult:
    return PermissionResult.PERMITTED


def _is_metadata(request: AwsRequest, name: str) -> bool:
    return request.service == "s3" and name.startswith("x-amz-meta-")


def _shape_names(request: AwsRequest, location: str) -> frozenset[str]:
    shape = service_model(request.service).operation_model(request.operation).input_shape
    members = shape.members.items() if shape else ()
    return frozenset(
        str(member.serialization.get("name", name))
        for name, member in members
        if member.serialization.get("location") == location
    )


def _modelled_headers(request: AwsRequest) -> frozenset[str]:
    return frozenset(name.lower() for name in _shape_names(request, "header"))


def _modelled_query(request: AwsRequest) -> str:
    model = service_model(request.service).operation_model(request.operation)
    known = _shape_names(request, "querystring") | set(model.http_trait.query_args)
    pairs = parse_qsl(request.http.query, keep_blank_values=True)
    return urlencode([pair for pair in pairs if pair[0] in known], quote_via=quote)


def _json_body(body: bytes, overrides: Mapping[str, Any]) -> bytes:
    if not overrides:
        return body or b"{}"
    return json.dumps({**json.loads(body or b"{}"), **overrides}).encode()


def _form_body(request: AwsRequest, overrides: Mapping[str, Any]) -> bytes:
    text = request.http.body.decode() or request.http.query
    pairs = dict(parse_qsl(text, keep_blank_values=True))
    kept = {name: value for name, value in pairs.items() if not name.startswith("X-Amz-")}
    return urlencode({**kept, **overrides}).encode()


def _answer(
    request: AwsRequest, status: int, headers: list[tuple[str, str]], body: bytes
) -> HttpResponse:
    kept = [(name, value) for name, value in headers if name.lower() not in _ANSWERS_DROPPED]
    if body[:9].lower() == b"<!doctype" and request.service != "s3":
        raise UpstreamError(f"{request.service}.{request.operation}: not implemented by the store")
    if request.protocol in ("query", "ec2") or (request.protocol == "rest-xml" and status >= 400):  # noqa: PLR2004 - HTTP
        ident = request.request_id.encode()
        body = _REQUEST_ID.sub(lambda m: b"<%b>%b</%b>" % (m.group(1), ident, m.group(1)), body)
    if request.protocol == "json":
        kept = [(name, value) for name, value in kept if name.lower() != "content-type"]
        version = service_model(request.service).metadata.get("jsonVersion", "1.1")
        kept.append(("Content-Type", f"application/x-amz-json-{version}"))
    length = next((v for n, v in headers if n.lower() == "content-length"), None)
    if request.http.method == "HEAD" and length is not None:
        kept.append(("content-length", length))
    kept += [("x-amzn-RequestId", request.request_id), ("x-amz-request-id", request.request_id)]
    return HttpResponse(status, tuple(kept), body)
