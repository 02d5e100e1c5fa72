"""Ask an emulator what a decision turns on: one question is one read-only call in an account.

- A thing that is not there, or that the emulator cannot have, is None; any other failure is an
  exception: a decision is never made on an answer that did not come.
- Questions that do not depend on each other go out together.
- A question is asked once a plan (`memo`), and afresh for the next.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
import time
from base64 import b64encode
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import ParseError

from botocore.awsrequest import HeadersDict
from botocore.parsers import ResponseParserError, create_parser
from botocore.serialize import create_serializer

from iamrange.clouds.aws.protocol import service_model
from iamrange.clouds.aws.upstream import UpstreamDownError, UpstreamError
from iamrange.clouds.aws.upstream_http import Lane, Sent
from iamrange.clouds.aws.upstream_waiting import memo, waited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws.upstream_http import Answer, HttpTransport

# How the services say that something is not there.
_ABSENT: Final = re.compile(
    r"NoSuch\w+|\w*NotFound(?:Exception|Fault|Error)?|\w*DoesNotExist|InvalidKeyId"
    r"|InvalidResourceId|AWS\.SimpleQueueService\.NonExistentQueue"
)
# Services that have no code of its own for it.
_ABSENT_BY_OPERATION: Final = frozenset(
    [
        ("ecs", "DescribeTaskDefinition", "ClientException"),
        # ministack, for the `:*` form of a log group's ARN
        ("logs", "ListTagsForResource", "ValidationException"),
    ]
)
_FAMILIES: Final = ("json", "rest-json", "rest-xml", "query", "ec2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One read-only call."""

    service: str
    operation: str
    account: str
    region: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> tuple[str, ...]:
        """Return what makes it the same question."""
        asked = repr(sorted(self.parameters.items()))
        return self.service, self.operation, self.account, self.region, asked


def question(
    service: str,
    operation: str,
    account: str,
    region: str,
    **parameters: Any,  # noqa: ANN401  # an operation's own
) -> Question:
    """Return a question, its parameters by the names that the operation has for them."""
    return Question(
        service=service, operation=operation, account=account, region=region, parameters=parameters
    )


@functools.cache
def _protocol(service: str) -> str:
    metadata = service_model(service).metadata
    known: list[str] = [metadata["protocol"], *metadata.get("protocols", ())]
    return next(protocol for protocol in known if protocol in _FAMILIES)


@functools.cache
def _serializer(protocol: str) -> Any:  # noqa: ANN401  # botocore publishes no types
    return create_serializer(protocol, include_validation=False)


@functools.cache
def _parser(protocol: str) -> Any:  # noqa: ANN401  # botocore publishes no types
    return create_parser(protocol)


def address(service: str, account: str, region: str) -> dict[str, str]:
    """Return the headers by which an emulator finds service, region and account.

    There is no secret between us and it: what stands for the signature is none.
    """
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{account}/{now[:8]}/{region}/{service_model(service).signing_name}/aws4_request"
    return {
        "authorization": (
            f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, "
            f"Signature={'0' * 64}"
        ),
        "x-amz-date": now,
        "x-moto-account-id": account,
    }


class Asker:
    """Asks one emulator."""

    def __init__(self, transport: HttpTransport) -> None:
        """Take the way to it."""
        self._transport = transport

    def ask(self, *questions: Question) -> list[Any]:
        """Return the answers, in order, from inside `waiting`: parsed outputs, None for absences.

        Raises:
            UpstreamDownError: there is no answer.
            UpstreamError: an answer is neither an output nor an absence.
        """
        answers = self._answers(questions)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    def about(self, thing: Question, *more: Question) -> list[Any]:
        """Return what a thing is, and more about it; all None when it is not there.

        They are asked together; what an emulator says about a thing that is not there counts for
        nothing.

        Raises:
            UpstreamDownError: there is no answer.
            UpstreamError: an answer is neither an output nor an absence.
        """
        answers = self._answers((thing, *more))
        if answers[0] is None:
            return [None] * len(answers)
        return self.ask(thing, *more)

    def one(self, asked: Question) -> Any:  # noqa: ANN401  # any output
        """Return the answer to one question; see `ask`."""
        return self.ask(asked)[0]

    def _answers(self, questions: Sequence[Question]) -> list[Any]:
        """Return answers and what was raised in place of them, remembered by the plan."""
        known = memo()
        wanted = {q.key(): q for q in questions if q.key() not in known}
        if wanted:
            told = waited(self._all(list(wanted.values())))
            known |= dict(zip(wanted, told, strict=True))
        return [known[q.key()] for q in questions]

    def write_s3(self, account: str, bucket: str, what: str, document: str) -> None:
        """Give a bucket one of its settings: what AWS sets by itself and an emulator does not.

        Raises:
            UpstreamDownError: there is no answer.
            UpstreamError: it was not taken.
        """
        body = document.encode()
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        sent = Sent(
            method="PUT",
            target=f"/{quote(bucket)}?{what}",
            headers=address("s3", account, "us-east-1")
            | {"content-md5": b64encode(digest).decode()},
            body=body,
        )
        answer = waited(self._transport.send(sent, Lane.CALL))
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise UpstreamError(f"s3 {what}: {answer.status}")

    def queue_url(self, account: str, name: str) -> str:
        """Return how this emulator calls a queue."""
        return f"{self._transport.base}/{account}/{name}"

    async def _all(self, questions: list[Question]) -> list[Any]:
        outputs = (self._output(asked) for asked in questions)
        return await asyncio.gather(*outputs, return_exceptions=True)

    async def _output(self, asked: Question) -> Any:  # noqa: ANN401  # any output
        sent = _s3(asked) if asked.service == "s3" else written(asked)
        try:
            answer = await self._transport.send(sent, Lane.LOOKUP)
        except UpstreamDownError:
            # A kept connection may have been closed as we took it. Reading twice does no harm.
            answer = await self._transport.send(sent, Lane.LOOKUP)
        return _read(asked, answer)


def written(asked: Question) -> Sent:
    """Write a question as its service's protocol has it."""
    model = service_model(asked.service).operation_model(asked.operation)
    written = _serializer(_protocol(asked.service)).serialize_to_request(
        dict(asked.parameters), model
    )
    body, query = written["body"], written["query_string"]
    if isinstance(body, dict):
        body = urlencode(body)
    query = query if isinstance(query, str) else urlencode(query, doseq=True, quote_via=quote)
    headers = {name.lower(): str(value) for name, value in written["headers"].items()}
    return Sent(
        method=written["method"],
        target=written["url_path"] + (f"?{query}" if query else ""),
        headers=headers | address(asked.service, asked.account, asked.region),
        body=body.encode() if isinstance(body, str) else bytes(body),
    )


def _s3(asked: Question) -> Sent:
    """Write a call on S3; path style, and what follows the key is a query of its own.

    `Query` is the query, in order; the other parameters are Bucket and Key.
    """
    parameters = asked.parameters
    place = "/".join(
        quote(str(parameters[m]), safe="/~") for m in ("Bucket", "Key") if m in parameters
    )
    query = "&".join(
        quote(name, safe="") + ("" if value is None else f"={quote(value, safe='')}")
        for name, value in parameters.get("Query", ())
    )
    model = service_model("s3").operation_model(asked.operation)
    return Sent(
        method=model.http["method"],
        target=f"/{place}" + (f"?{query}" if query else ""),
        headers=address("s3", asked.account, asked.region),
    )


def _read(asked: Question, answer: Answer) -> Any:  # noqa: ANN401  # any output
    model = service_model(asked.service).operation_model(asked.operation)
    if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.NOT_IMPLEMENTED):
        return None
    if asked.service != "s3" and answer.body[:9].lower() == b"<!doctype":
        return None  # moto's page for what it does not have
    try:
        output = _parser(_protocol(asked.service)).parse(
            {
                "status_code": answer.status,
                "headers": HeadersDict(dict(answer.headers)),
                "body": answer.body,
            },
            model.output_shape,
        )
    except (ResponseParserError, ParseError, ValueError, KeyError, TypeError) as error:
        where = f"{asked.service}.{asked.operation}"
        raise UpstreamError(f"{where}: {type(error).__name__}") from error
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return output
    code = str(output.get("Error", {}).get("Code", "")).rpartition("#")[2]
    named = (asked.service, asked.operation, code)
    if _ABSENT.fullmatch(code) or named in _ABSENT_BY_OPERATION:
        return None
    raise UpstreamError(f"{asked.service}.{asked.operation}: {answer.status} {code[:64]}")
