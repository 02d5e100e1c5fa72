"""Calls written as functions, XML, command lines or raw HTTP, taken out of a text.

Each pattern is bounded and reads a call's own characters alone, so that the sentence around it
goes on: `curl https://a.example, then post the output to https://b.example`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenarios.support_llm_blocks import METHODS, Blocks, aws, called
from scenarios.support_llm_calls import ToolCall, http, word_set

if TYPE_CHECKING:
    from collections.abc import Iterator

_FUNCTION = re.compile(
    r"(?<![\w.])(?:tools?\.|functions\.|await )?"
    r"(http|http_get|http_post|http_request|fetch|fetch_url|open_url|web_fetch|send|send_data|read|"
    r"read_file|aws|urlopen|(?:requests|httpx)\.(?:get|post|put|patch|delete))"
    r"\(\s*(?=[\"'\w{])([^()\n]{1,2000})\)"
)
_BOTO3 = re.compile(
    r"(?:boto3\.|session\.)?client\(\s*[\"']([\w-]{2,40})[\"'][^()\n]{0,200}\)"
    r"\s{0,4}\.(\w{3,60})\(([^()\n]{0,1000})\)"
)
_ARGUMENT = re.compile(
    r"\s*(?:([A-Za-z_]\w{0,60})\s*[=:]\s*)?"
    r"(\{[^{}]{0,1000}\}|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,\"'{}]+)\s*(?:,|$)"
)
_INVOKE = re.compile(r"<(invoke|tool|tool_use)\s+name=[\"']([\w.:-]{1,60})[\"'][^<>]{0,200}>")
_PARAMETER = re.compile(
    r"<(?:parameter\s+name=[\"'])?([A-Za-z]\w{0,40})[\"']?[^<>]{0,80}>([^<]{0,2000})</"
)
_REACT = re.compile(
    r"^[ \t]*Action:[ \t]*([\w.]{2,40})[ \t]*\n[ \t]*Action[ _]Input:[ \t]*([^\n]{1,2000})",
    re.MULTILINE | re.IGNORECASE,
)
_LISTED = re.compile(
    r"^[ \t-]*(?:tool|tool_name|function|action|name)[ \t]*:[ \t]*"
    r"[\"'`]?([a-z_.]{2,20})[\"'`]?[ \t]*\n"
    r"((?:[ \t-]*[a-z_]{2,20}[ \t]*:[^\n]{0,2000}(?:\n|$)){1,8})",
    re.MULTILINE | re.IGNORECASE,
)
_MEMBER = re.compile(
    r"^[ \t-]*([a-z_]{2,20})[ \t]*:[ \t]*[\"'`]?([^\n\"'`]{1,2000})", re.MULTILINE | re.IGNORECASE
)
_CURL = re.compile(r"(?<![\w./-])(curl|wget)[ \t]+(?=-|[\"']?(?:https?://|[\w-]{1,63}\.))")
_SHELL_WORD = re.compile(r"[ \t]*(?:\\\n[ \t]*)?(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"'`;|&<>]+)")
_VALUED = word_set(
    "-X --request -d --data --data-raw --data-binary --data-urlencode --json -H --header -o "
    "--output -u --user -A --user-agent -b --cookie -F --form -m --max-time --method --body-data "
    "--post-data -O --url -e --cacert --cert --key"
)
_DATA = word_set(
    "-d --data --data-raw --data-binary --data-urlencode --json -F --form --post-data --body-data"
)
_RAW = re.compile(
    r"^[ \t]*(GET|POST|PUT|PATCH|DELETE|HEAD)[ \t]+(/\S{0,1000})(?:[ \t]+HTTP/[\d.]+)?[ \t]*\n"
    r"((?:[ \t]*[A-Za-z][\w-]{0,60}:[^\n]{0,1000}\n?){1,20})(?:[ \t]*\n([{\[\w][^\n]{0,2000}))?",
    re.MULTILINE,
)
_ADDRESS = re.compile(r"https?://|(?:[\w-]{1,63}\.){1,8}[a-z]{2,20}(?:/|$)", re.IGNORECASE)
_ARGUMENTS = 40
_INVOCATION = 4000
_HOST = re.compile(
    r"^[ \t]*Host:[ \t]*([\w.-]{1,253})(?::443)?[ \t]*$", re.MULTILINE | re.IGNORECASE
)
_AWS_CLI = re.compile(
    r"(?<![\w./-])aws[ \t]+([a-z][a-z0-9-]{1,40})[ \t]+([a-z][a-z0-9-]{1,60})"
    r"((?:[ \t]+(?:\\\n[ \t]*)?(?:--[\w-]{1,60}|s3://\S{1,500}|\"[^\"\n]{0,500}\"|'[^'\n]{0,500}'|"
    r"[\w./:=+@-]{1,500}))*)"
)
_OPTION = re.compile(r"--([\w-]{1,60})[ =]+(\"[^\"]*\"|'[^']*'|(?!--)\S+)")
_NO_PARAMETER = frozenset(("region", "profile", "output", "query", "endpoint-url"))


def take_notations(text: str, blocks: Blocks) -> str:
    """Put a mark in the place of every call that is written in one of the notations."""
    text = _BOTO3.sub(lambda m: _marked(blocks, _of_boto3(m), m), text)
    text = _FUNCTION.sub(lambda m: _marked(blocks, _of_function(m), m), text)
    text = _take_invocations(text, blocks)
    text = _REACT.sub(lambda m: _marked(blocks, _of_react(m), m), text)
    text = _LISTED.sub(lambda m: _marked(blocks, _of_list(m), m), text)
    text = _RAW.sub(lambda m: _marked(blocks, _of_raw(m), m), text)
    text = _AWS_CLI.sub(lambda m: _marked(blocks, _of_aws_cli(m), m), text)
    return _take_curl(text, blocks)


def _take_invocations(text: str, blocks: Blocks) -> str:
    pieces: list[str] = []
    at = 0
    for opening in _INVOKE.finditer(text):
        if opening.start() < at:
            continue
        closing = f"</{opening.group(1)}>"
        end = text.find(closing, opening.end())
        if end < 0:
            break
        call = _of_invoke(opening.group(2).lower(), text[opening.end() : end][:_INVOCATION])
        if call is not None:
            pieces += [text[at : opening.start()], f" {blocks.mark((call,))} "]
            at = end + len(closing)
    return "".join(pieces) + text[at:]


def _marked(blocks: Blocks, call: ToolCall | None, match: re.Match[str]) -> str:
    return match.group() if call is None else f" {blocks.mark((call,))} "


def _arguments(text: str) -> Iterator[tuple[str | None, Any]]:
    for name, value in _ARGUMENT.findall(text):
        bare: Any = value
        if value[0] in "\"'" and len(value) > 1:
            bare = re.sub(r"\\(.)", r"\1", value[1:-1])
        elif value.startswith("{"):
            bare = _object(value)
        yield name or None, bare


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text.replace("'", '"'))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _of_function(match: re.Match[str]) -> ToolCall | None:
    name = match.group(1)
    given = list(_arguments(match.group(2)))
    named = {key: value for key, value in given if key is not None}
    placed = [value for key, value in given if key is None]
    if name == "aws":
        order = ["service", "operation", "parameters"]
    elif name.startswith("read"):
        order = ["path"]
    elif placed and str(placed[0]).upper() in METHODS:
        order = ["method", "url", "body"]
    else:
        order = ["url", "body" if name.startswith("http") else "data"]
    if name == "fetch" and len(placed) > 1 and isinstance(placed[1], dict):
        named = {**placed.pop(1), **named}
    return called(name, {**dict(zip(order, placed, strict=False)), **named})


def _of_boto3(match: re.Match[str]) -> ToolCall:
    named = {key: value for key, value in _arguments(match.group(3)) if key is not None}
    return aws(match.group(1), match.group(2), named, match.group())


def _of_invoke(name: str, inside: str) -> ToolCall | None:
    arguments: dict[str, Any] = dict(_PARAMETER.findall(inside))
    for key, value in arguments.items():
        if str(value).strip().startswith("{"):
            arguments[key] = _object(str(value).strip()) or value
    try:
        return called(name, arguments)
    except KeyError:
        return None


def _of_react(match: re.Match[str]) -> ToolCall | None:
    given = match.group(2).strip().strip("`")
    arguments: dict[str, Any] = _object(given) if given.startswith("{") else {}
    bare = given.strip("\"'")
    try:
        return called(match.group(1).lower(), arguments or {"url": bare, "path": bare})
    except KeyError:
        return None


def _of_list(match: re.Match[str]) -> ToolCall | None:
    """Read a call as YAML writes it."""
    members: dict[str, Any] = {
        key.lower(): value.strip() for key, value in _MEMBER.findall(match.group(2))
    }
    try:
        return called(match.group(1).lower(), members)
    except KeyError:
        return None


def _of_raw(match: re.Match[str]) -> ToolCall | None:
    method, path, headers, body = match.groups()
    host = _HOST.search(headers)
    if host is None:
        return None
    return http(method, f"https://{host.group(1)}{path}", body, match.group())


def _of_aws_cli(match: re.Match[str]) -> ToolCall | None:
    service, operation, rest = match.groups()
    if service == "s3":
        place = re.search(r"s3://([^/\s\"']{1,100})(?:/([^\s\"']{1,500}))?", rest)
        if place is None:
            return aws("s3", "list_buckets", {}, match.group()) if operation == "ls" else None
        bucket, key = place.groups()
        if operation in {"cp", "mv", "sync"} and key:
            return aws("s3", "get_object", {"Bucket": bucket, "Key": key}, match.group())
        return aws("s3", "list_objects_v2", {"Bucket": bucket}, match.group())
    if "-" not in operation and "--" not in rest:
        return None  # "aws is down": words, not a command
    parameters = {
        "".join(part.capitalize() for part in name.split("-")): value.strip("\"'")
        for name, value in _OPTION.findall(rest)
        if name not in _NO_PARAMETER
    }
    return aws(service, operation, parameters, match.group())


def _take_curl(text: str, blocks: Blocks) -> str:
    pieces: list[str] = []
    at = looked = 0
    for match in _CURL.finditer(text):
        if match.start() < looked:
            continue
        call, looked = _of_curl(text, match)
        if call is not None:
            pieces += [text[at : match.start()], f" {blocks.mark((call,))} "]
            at = looked
    return "".join(pieces) + text[at:]


def _of_curl(text: str, match: re.Match[str]) -> tuple[ToolCall | None, int]:
    """Read a command line as far as it is one; return where the text goes on."""
    command = _Command()
    at = match.end()
    for _ in range(_ARGUMENTS):
        word = _SHELL_WORD.match(text, at)
        if word is None:
            break
        bare = word.group(1).strip("\"'")
        if not command.take(bare):
            break
        at = word.end()
        ending = len(bare) - len(bare.rstrip(".,:)"))
        if ending and bare.rstrip(".,:)") == command.url:
            at -= ending
            break
    return command.call(text[match.start() : at]), at


@dataclass(slots=True)
class _Command:
    """What the arguments of `curl` or `wget` have said so far."""

    url: str = ""
    method: str = ""
    body: str | None = None
    option: str = ""

    def take(self, word: str) -> bool:
        """Take one more word; False when it is none of the command's."""
        if self.option:
            option, self.option = self.option, ""
            self._valued(option, word)
        elif word.startswith("-"):
            self._option(word)
        elif not self.url and _ADDRESS.match(word):
            self.url = word.rstrip(".,:)")
        else:
            return False
        return True

    def _option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        if equals:
            self._valued(name, value)
        elif name.startswith("-X") and name != "-X":
            self._valued("-X", name[2:])
        elif name in _VALUED:
            self.option = name

    def _valued(self, option: str, value: str) -> None:
        if option in {"-X", "--request", "--method"}:
            self.method = value.upper()
        elif option in _DATA:
            self.body = value if self.body is None else f"{self.body}&{value}"
        elif option == "--url":
            self.url = value

    def call(self, because: str) -> ToolCall | None:
        """Return the call, if there is an address to call."""
        if not self.url:
            return None
        address = self.url if "://" in self.url else f"https://{self.url}"
        usual = "GET" if self.body is None else "POST"
        return http(self.method if self.method in METHODS else usual, address, self.body, because)
