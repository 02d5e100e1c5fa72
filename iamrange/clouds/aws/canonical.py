"""Write a parsed request anew, so that the store reads what was authorised and nothing else.

- Two parsers of one text can disagree: the store would take a parameter out of the middle of a
  JSON string, or an object key out of an element that the model does not have. So the request
  that goes on is made from the parsed parameters, by botocore's own serializer.
- S3 is written anew where the body is a document; its path, query and headers are passed on as
  far as the operation's model knows them (they are what routed it).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from botocore.serialize import create_serializer

from iamrange.clouds.aws.protocol import Target, path_style, service_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.model import AwsRequest

_S3_HEADERS = frozenset(
    [
        "content-type",
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
    ]
)
_DROPPED = frozenset({"x-amz-security-token", "x-amz-content-sha256", "x-amz-date"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """One request to the store; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@functools.cache
def _serializer(protocol: str) -> Any:  # noqa: ANN401  # botocore publishes no types
    return create_serializer(protocol, include_validation=False)


def canonical(request: AwsRequest, overrides: Mapping[str, Any]) -> Canonical:
    """Return the request as it goes to the store, with some top-level parameters replaced."""
    model = service_model(request.service).operation_model(request.operation)
    parameters = dict(request.parameters) | dict(overrides)
    parameters = {k: v for k, v in parameters.items() if v is not None}
    if request.service == "s3":
        return _s3(request, model, parameters)
    written = _serializer(request.protocol).serialize_to_request(parameters, model)
    query, body = written["query_string"], written["body"]
    return Canonical(
        method=written["method"],
        path=written["url_path"],
        query=query if isinstance(query, str) else urlencode(query, doseq=True, quote_via=quote),
        headers={name.lower(): str(value) for name, value in written["headers"].items()},
        body=urlencode(body).encode() if isinstance(body, dict) else _quiet(_bytes(body)),
    )


def _bytes(body: Any) -> bytes:  # noqa: ANN401  # text or bytes, as the serializer has it
    return body.encode() if isinstance(body, str) else bytes(body)


def _quiet(body: bytes) -> bytes:
    """Escape what would make JSON read as a form: moto looks for parameters in any body.

    `&` and `=` stand nowhere in JSON but inside strings.
    """
    if body[:1] != b"{":
        return body
    return body.replace(b"&", b"\\u0026").replace(b"=", b"\\u003d")


def _s3(request: AwsRequest, model: Any, parameters: dict[str, Any]) -> Canonical:  # noqa: ANN401  # botocore publishes no types
    http = request.http
    target = Target(service="s3", region=request.region, protocol=request.protocol)
    headers: dict[str, str] = {}
    known = {name.lower() for name in _located(model, "header")} | _S3_HEADERS
    for name, value in http.headers:
        lower = name.lower()
        if lower not in _DROPPED and (lower in known or lower.startswith("x-amz-meta-")):
            headers[lower] = value
    encoding = [e.strip() for e in headers.pop("content-encoding", "").split(",")]
    kept = ",".join(e for e in encoding if e not in ("", "aws-chunked"))
    if kept:
        headers["content-encoding"] = kept
    modelled = _located(model, "querystring") | set(model.http_trait.query_args)
    pairs = parse_qsl(http.query, keep_blank_values=True)
    payload = model.input_shape.serialization.get("payload") if model.input_shape else None
    body = http.body if http.method in ("PUT", "POST") else b""
    if payload and model.input_shape.members[payload].type_name == "structure":
        written = _serializer("rest-xml").serialize_to_request(parameters, model)
        body = _bytes(written["body"])
        headers.pop("content-md5", None)
    return Canonical(
        method=http.method,
        path=path_style(target, http),
        query=urlencode([pair for pair in pairs if pair[0] in modelled], quote_via=quote),
        headers=headers,
        body=body,
    )


def _located(model: Any, location: str) -> set[str]:  # noqa: ANN401  # botocore publishes no types
    members = model.input_shape.members.items() if model.input_shape else ()
    return {
        str(member.serialization.get("name", name))
        for name, member in members
        if member.serialization.get("location") == location
    }
