"""Find the service, operation and parameters of an HTTP request by botocore's own models.

- What is parsed here is what the upstream will act on: a name given twice, a JSON member given
  twice, or a query string beside a form body is refused, so that no two readers can differ.
- Parameters are validated against the input shape: a later reader may trust types.
- Nothing here decides whether the caller may.
"""

from __future__ import annotations

import binascii
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes
from xml.etree.ElementTree import ParseError

import moto.core.parse
from botocore.loaders import Loader
from botocore.validate import ParamValidator
from moto.core.parse import RequestParserError
from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.datastructures import Headers, MultiDict
from werkzeug.exceptions import HTTPException

from iamrange.clouds.aws.model import AwsError

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import HttpRequest

# Each parser takes the parts of a request that its protocol has.
PROTOCOL_PARSERS: Any = moto.core.parse.PROTOCOL_PARSERS

MAX_DEPTH = 64

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ONCE = frozenset({"host", "content-type", "content-length", "content-encoding", "date", "range"})

# Where the name in a credential scope is not the folder of the service's model.
_SIGNING_NAMES = {
    "monitoring": "cloudwatch",
    "email": "ses",
    "elasticloadbalancing": "elbv2",
    "elasticfilesystem": "efs",
    "kinesisanalytics": "kinesisanalyticsv2",
    "states": "stepfunctions",
    "timestream": "timestream-write",
    "tagging": "resourcegroupstaggingapi",
}

# Calls that carry no signature: the only ones whose service is taken from the body.
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
_UNSIGNED_ACTIONS = {"AssumeRoleWithWebIdentity": "sts", "AssumeRoleWithSAML": "sts"}

# What stands before the dot in `x-amz-target`, where it is not the service's own name.
# An unsigned call has nothing else to tell its service by.
_TARGET_PREFIXES = {
    "AmazonSQS": "sqs",
    "AmazonSSM": "ssm",
    "AWSOrganizationsV20161128": "organizations",
    "DynamoDB_20120810": "dynamodb",
    "TrentService": "kms",
}

_HOST = re.compile(
    r"^(?:(?P<bucket>.+)\.)?(?P<service>s3)(?:\.dualstack)?(?:[.-](?P<s3region>[a-z0-9-]+))?\.amazonaws\.com$"
    r"|^(?P<name>[a-z0-9-]+)(?:\.(?P<region>[a-z0-9-]+))?\.amazonaws\.com$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request says it is for. Nothing in it is verified."""

    service: str
    region: str | None
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The operation that a request names, and its parameters, parsed and validated."""

    name: str
    parameters: Mapping[str, Any]


@functools.cache
def _services() -> frozenset[str]:
    return frozenset(Loader().list_available_services("service-2"))


@functools.cache
def service_model(service: str) -> Any:  # noqa: ANN401  # botocore publishes no types
    """Return botocore's model of a service; each is loaded once, when first asked for."""
    return get_service_model(service)


def unverified_scope(http: HttpRequest) -> tuple[str, str] | None:
    """Return (region, service) of the credential scope that the request claims, if any."""
    header = http.header("authorization")
    credential: str | None = None
    if header is not None:
        found = re.search(r"Credential=([^,\s]+)", header)
        credential = found.group(1) if found else None
    elif "X-Amz-Credential=" in http.query:
        query = dict(parse_qsl(http.query, keep_blank_values=True))
        credential = query.get("X-Amz-Credential")
    parts = (credential or "").split("/")
    # The access key may not hold a slash: the scope is the last four parts.
    return (parts[-3], parts[-2]) if len(parts) >= 5 else None  # noqa: PLR2004 - key and four


def host_parts(http: HttpRequest) -> tuple[str | None, str | None, str | None]:
    """Return (service, region, bucket) that the Host header names, each None when it does not."""
    host = (http.header("host") or "").lower().rsplit(":", 1)[0]
    found = _HOST.match(host)
    if found is None:
        return None, None, None
    if found["service"]:
        return "s3", found["s3region"], found["bucket"]
    return found["name"], found["region"], None


def _repeated(http: HttpRequest) -> bool:
    """Tell whether a header that counts is given twice: two readers could take two of them."""
    names = [name.lower() for name, _ in http.headers]
    counted = [n for n in names if n in _ONCE or n.startswith("x-amz-")]
    return len(set(counted)) != len(counted)


@functools.cache
def regions() -> frozenset[str]:
    """Return AWS's regions, as botocore's own table of partitions has them."""
    partitions = Loader().load_data("partitions")["partitions"]
    return frozenset(partitions[0]["regions"]) - {"aws-global"}


def locate(http: HttpRequest) -> Target | AwsError:
    """Find the service that a request is for, by scope, then host, then what it says."""
    if _repeated(http):
        return AwsError(code="InvalidRequest", message="a header is repeated", status=400)
    named, region, _ = host_parts(http)
    scope = unverified_scope(http)
    if scope is not None:
        region, named = scope
    elif named is None:
        named = _unsigned_service(http)
    name = _SIGNING_NAMES.get(named, named)
    if name == "dynamodb" and "Streams" in (http.header("x-amz-target") or ""):
        name = "dynamodbstreams"
    if name not in _services():
        return AwsError(code="UnknownService", message=f"no service is named {name!r}", status=404)
    return Target(service=name, region=region, protocol=_protocol(name, http))


def _unsigned_service(http: HttpRequest) -> str:
    target = http.header("x-amz-target")
    if target is not None:
        prefix = target.partition(".")[0]
        return _TARGET_PREFIXES.get(prefix, prefix.lower())
    for text in (http.query, http.body[:4096].decode("latin-1")):
        action = re.search(r"(?:^|&)Action=([A-Za-z]+)", text)
        if action is not None:
            return _UNSIGNED_ACTIONS.get(action.group(1), "sts")
    return "s3"


def _protocol(service: str, http: HttpRequest) -> str:
    if service == "s3":
        return "rest-xml"
    metadata = service_model(service).metadata
    protocols: list[str] = metadata.get("protocols", [metadata["protocol"]])
    if "json" in protocols and http.header("x-amz-target") is not None:
        return "json"
    form = (http.header("content-type") or "").startswith("application/x-www-form-urlencoded")
    for protocol in ("query", "ec2"):
        if protocol in protocols and (form or http.method == "GET"):
            return protocol
    return str(metadata["protocol"])


def parse(target: Target, http: HttpRequest) -> Operation | AwsError:
    """Find the operation and its parameters, or say why there are none."""
    try:
        match target.protocol:
            case "query" | "ec2":
                found = _parse_query(target, http)
            case "json":
                found = _parse_json(target, http)
            case "rest-json" | "rest-xml":
                found = _parse_rest(target, http)
            case other:
                return AwsError(code="UnknownOperationException", message=f"protocol {other}")
    except (
        RequestParserError,
        ParseError,
        RecursionError,
        UnicodeError,
        binascii.Error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
    ):
        # The parsers of the emulator's library raise any of these on a body that is not what the
        # model says; that is the client's error, and never reaches a decider.
        return _malformed(target, "the request body does not follow the service's model")
    if isinstance(found, AwsError):
        return found
    if target.protocol in ("query", "ec2") and _unwritable(found.parameters):
        return _malformed(target, "a parameter holds a character that no answer could say")
    shape = service_model(target.service).operation_model(found.name).input_shape
    if shape is not None:
        report = ParamValidator().validate(_for_validation(found.parameters), shape)
        if report.has_errors():
            return _invalid(target, _only_text(report.generate_report()))
    return found


def _unwritable(value: Any) -> bool:  # noqa: ANN401  # any shape
    """Tell whether a text is among the parameters that XML 1.0 cannot carry (its section 2.2)."""
    if isinstance(value, Mapping):
        return any(_unwritable(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(_unwritable(item) for item in value)
    return isinstance(value, str) and _NOT_XML.search(value) is not None


def _only_text(report: str) -> str:
    """Drop the values that botocore quotes: a secret given with a wrong type is not echoed."""
    return re.sub(r"value: .*?, type", "type", report.replace("\n", "; "), flags=re.DOTALL)


def _for_validation(value: Any) -> Any:  # noqa: ANN401  # any shape
    if isinstance(value, Mapping):
        return {key: _for_validation(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_for_validation(item) for item in value]
    return value


def _parse_query(target: Target, http: HttpRequest) -> Operation | AwsError:
    text = http.body.decode("ascii") if http.body else http.query
    pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=10_000)
    if http.body and http.query:
        # Presigned parameters may stand beside a body; anything else could be read two ways.
        beside = parse_qsl(http.query, keep_blank_values=True, errors="strict")
        if any(not name.startswith("X-Amz-") for name, _ in beside):
            return _malformed(target, "parameters both in the query string and in the body")
    values = dict(pairs)
    if len(values) != len(pairs):
        return _malformed(target, "a parameter is given more than once")
    model = service_model(target.service)
    action = values.get("Action")
    if action is None:
        return AwsError(code="MissingAction", message="no Action was given", status=400)
    if action not in model.operation_names:
        return AwsError(
            code="InvalidAction",
            message=f"Could not find operation {_printable(action)} of {target.service}",
            status=400,
        )
    operation = model.operation_model(action)
    parser = PROTOCOL_PARSERS[target.protocol](operation)
    parsed = parser.parse({"values": values})
    return Operation(name=action, parameters=parsed)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given more than once")
    return members


def _no_constants(name: str) -> Any:  # noqa: ANN401  # json's own signature
    raise ValueError(f"{name} is no JSON value")


def strict_json(body: bytes) -> Any:  # noqa: ANN401  # any JSON value
    """Read JSON with no duplicate members, no NaN, and a bounded depth.

    Raises:
        ValueError: it is anything else.
    """
    value = json.loads(
        body.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constants
    )
    _bounded(value, MAX_DEPTH)
    return value


def _bounded(value: Any, depth: int) -> None:  # noqa: ANN401  # any JSON value
    if depth == 0:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        for item in value.values():
            _bounded(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _bounded(item, depth - 1)


def _parse_json(target: Target, http: HttpRequest) -> Operation | AwsError:
    model = service_model(target.service)
    prefix, _, name = (http.header("x-amz-target") or "").rpartition(".")
    if prefix != model.metadata.get("targetPrefix") or name not in model.operation_names:
        return AwsError(code="UnknownOperationException", message="", status=400)
    body = http.body or b"{}"
    if not isinstance(strict_json(body), dict):
        return _malformed(target, "the body is no JSON object")
    parser = PROTOCOL_PARSERS["json"](model.operation_model(name))
    return Operation(name=name, parameters=parser.parse({"body": body}))


def environ(http: HttpRequest, path: str) -> dict[str, Any]:
    """Return the WSGI view of a request whose path is already path style."""
    built: dict[str, Any] = {
        "REQUEST_METHOD": http.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "RAW_URI": path + (f"?{http.query}" if http.query else ""),
        "QUERY_STRING": http.query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
    }
    for name, value in http.headers:
        if "_" in name:
            # WSGI would take `x_amz_y` for `x-amz-y`, which was not signed.
            continue
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        built[key] = f"{built[key]},{value}" if key in built else value
    return built


def path_style(target: Target, http: HttpRequest) -> str:
    """Return the path with a virtual-hosted bucket moved into it."""
    if target.service == "s3":
        bucket = host_parts(http)[2]
        if bucket is not None:
            return f"/{bucket}{http.raw_path}"
    return http.raw_path


def _parse_rest(target: Target, http: HttpRequest) -> Operation | AwsError:
    path = path_style(target, http)
    pairs = parse_qsl(http.query, keep_blank_values=True, errors="strict")
    if len({name for name, _ in pairs}) != len(pairs) and target.service == "s3":
        return _malformed(target, "a query parameter is given more than once")
    if any(name.startswith("response-") and _CONTROL.search(value) for name, value in pairs):
        return _malformed(target, "a header of the answer may hold no control characters")
    unquote_to_bytes(path).decode("utf-8")
    view = environ(http, path)
    view["HTTP_HOST"] = "localhost"
    request = Request(view)
    try:
        operation, labels = get_service_router(target.service).match(request)
    except HTTPException:
        return AwsError(
            code="MethodNotAllowed",
            message="The specified method is not allowed against this resource.",
            status=405,
        )
    if target.protocol == "rest-json" and http.body and not _streams(operation):
        strict_json(http.body)
    parser = PROTOCOL_PARSERS[target.protocol](operation)
    parsed = parser.parse(
        {
            "method": http.method,
            "values": MultiDict(pairs),
            "headers": Headers(list(http.headers)),
            "body": http.body,
            "url_path": path,
            "url_params": labels,
        }
    )
    return Operation(name=str(operation.name), parameters=parsed)


def _streams(operation: Any) -> bool:  # noqa: ANN401  # botocore publishes no types
    payload = operation.input_shape.serialization.get("payload") if operation.input_shape else None
    return payload is not None and operation.input_shape.members[payload].type_name in (
        "blob",
        "string",
    )


def _printable(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)[:128]


def _malformed(target: Target, why: str) -> AwsError:
    code = {
        "json": "SerializationException",
        "rest-json": "SerializationException",
        "rest-xml": "MalformedXML" if target.service == "s3" else "InvalidInput",
    }.get(target.protocol, "MalformedInput")
    return AwsError(code=code, message=why, status=400)


def _invalid(target: Target, why: str) -> AwsError:
    code = {"json": "ValidationException", "rest-json": "ValidationException"}.get(
        target.protocol, "InvalidArgument" if target.service == "s3" else "ValidationError"
    )
    return AwsError(code=code, message=why, status=400)
