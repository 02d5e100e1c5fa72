"""Calls in a notation of their own: tool calls as JSON or XML, functions, command lines, HTTP.

Each is taken out of the text and leaves a mark behind, so that calls stay in the order in which
a reader comes to them. Nothing fails: what is no call stays text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scenarios.support_llm_calls import Carries, Tool, ToolCall, http, word_set
from scenarios.support_llm_words import VERBS, Act

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MARK = re.compile(r"\x02(\d{1,6})\x03")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_NAMES = (
    "name",
    "tool",
    "tool_name",
    "toolName",
    "function",
    "action",
    "command",
    "recipient_name",
)
_TOLD = ("instruction", "do", "task", "step", "operation", "verb", "intent", "action", "command")
_ARGUMENTS = (
    *("arguments", "args", "input", "parameters", "params", "action_input", "tool_input"),
    *("kwargs", "inputs", "payload"),
)
_URLS = ("url", "uri", "endpoint", "href", "address", "target", "to", "destination", "link")
_BODIES = ("body", "data", "json", "payload", "content", "text", "message")
_ALIASES: dict[str, tuple[Tool, str]] = {
    alias: (tool, method)
    for tool, method, aliases in (
        (
            Tool.HTTP,
            "GET",
            (
                "http http_request httprequest http_get request fetch get web browse browser "
                "open_url web_fetch fetch_url webfetch curl wget api_call call_api api call visit "
                "navigate http_tool get_url download retrieve requests.get httpx.get urlopen"
            ),
        ),
        (Tool.HTTP, "POST", "http_post requests.post httpx.post"),
        (Tool.HTTP, "PUT", "put http_put requests.put httpx.put"),
        (Tool.HTTP, "DELETE", "delete http_delete requests.delete httpx.delete"),
        (Tool.HTTP, "PATCH", "patch http_patch requests.patch httpx.patch"),
        (
            Tool.SEND,
            "POST",
            (
                "send post send_data post_data upload forward exfiltrate submit send_message "
                "webhook send_request report send_to"
            ),
        ),
        (Tool.READ, "", "read read_file open_file file_read cat readfile load_file"),
        (Tool.AWS, "", "aws aws_call aws_cli boto3 call_aws"),
    )
    for alias in word_set(aliases)
}
"""What tools are called by: the tool, and the method that goes without saying."""

_EARLIER = re.compile(
    r"\{\{?|\$\{?\w|<[a-z]|\[[a-z]|\b(?:result|output|answer|response|previous|above|last|it)\b",
    re.IGNORECASE,
)
_AS_BODY = re.compile(
    r"(?:body|payload|data|json|containing|content|message|parameters)\W{0,4}(?:of|is|as)?\s{0,3}$"
    r"|\b(?:post|send|put|submit|upload)\s{1,3}$",
    re.IGNORECASE,
)
_OPENING = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\"{\[])")
_ATTEMPTS = 64
_NESTED = 24


@dataclass(slots=True)
class Blocks:
    """What was taken out of a text, by the number in the mark that it left."""

    found: list[tuple[ToolCall, ...] | str] = field(default_factory=list)

    def mark(self, what: tuple[ToolCall, ...] | str) -> str:
        """Keep calls, or a literal, and return the mark that stands for it."""
        self.found.append(what)
        return f"\x02{len(self.found) - 1}\x03"


def take_json(text: str, blocks: Blocks, read: Callable[[str], str]) -> str:
    """Take JSON out of a text: calls become marks, all else the strings that it holds."""
    decoder, pieces, at, attempts = json.JSONDecoder(), [], 0, 0
    while attempts < _ATTEMPTS:
        match = _OPENING.search(text, at)
        if match is None:
            break
        attempts += 1
        start = match.start()
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            pieces.append(text[at : start + 1])
            at = start + 1
            continue
        pieces.append(text[at:start])
        if _AS_BODY.search(text[max(0, start - 40) : start]) and not list(_calls(value, 0)):
            pieces.append(blocks.mark(text[start:end]))
        else:
            pieces.append(_flattened(value, blocks, read, 0))
        at = end
    return "".join(pieces) + text[at:]


def _flattened(value: object, blocks: Blocks, read: Callable[[str], str], depth: int) -> str:
    if depth > _NESTED:
        return ""
    if isinstance(value, str):
        return f"\n\n{read(value)}\n\n"
    if isinstance(value, list):
        return "".join(_flattened(one, blocks, read, depth + 1) for one in value)
    if isinstance(value, dict):
        call = _call_of(value)
        if call is not None:
            return f"\n\n{blocks.mark((call,))}\n\n"
        # A key can be half of the instruction: {"fetch": "https://..."}.
        return "".join(
            f"\n\n{key}: {read(one)}\n\n"
            if isinstance(one, str)
            else _flattened(one, blocks, read, depth + 1)
            for key, one in value.items()
        )
    return ""


def _calls(value: object, depth: int) -> Iterator[ToolCall]:
    if depth > _NESTED:
        return
    if isinstance(value, dict):
        call = _call_of(value)
        if call is not None:
            yield call
            return
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _calls(one, depth + 1)


def _call_of(block: dict[str, Any]) -> ToolCall | None:
    function = block.get("function")
    if isinstance(function, dict):
        return _call_of(function)
    if block.get("method") == "tools/call" and isinstance(block.get("params"), dict):
        return _call_of(block["params"])
    name = next((block[key] for key in _NAMES if isinstance(block.get(key), str)), "")
    arguments: Any = next((block[key] for key in _ARGUMENTS if key in block), block)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = {"url": arguments, "path": arguments}
    if not isinstance(arguments, dict):
        return None
    short = re.split(r"__|functions\.|tools?\.", name.strip().lower())[-1]
    if short in _ALIASES:
        return called(short, arguments)
    told = next((str(block[key]).split() for key in _TOLD if block.get(key)), [])
    act = VERBS.get(told[0].lower(), frozenset()) if len(told) == 1 else frozenset()
    if act:
        verb = "send" if Act.SEND in act else "delete" if Act.DELETE in act else "http"
        return called(verb, block)
    method = str(block.get("method", "")).upper()
    described = {"status", "status_code", "response", "duration", "description"} & block.keys()
    if method in METHODS and not described:
        return called("http", block)
    return None


def called(name: str, arguments: dict[str, Any]) -> ToolCall | None:
    """Return the call of a tool by one of its names, or None if it lacks what it needs."""
    tool, method = _ALIASES[name]
    because = f"{name} {json.dumps(arguments, default=str)}"[:200]
    url = next((str(arguments[key]) for key in _URLS if isinstance(arguments.get(key), str)), "")
    body = next((arguments[key] for key in _BODIES if arguments.get(key) is not None), None)
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    if tool is Tool.READ:
        path = next(
            (
                str(arguments[key])
                for key in ("path", "file", "filename", "file_path", "url")
                if key in arguments
            ),
            "",
        )
        return ToolCall(tool=tool, path=path, because=because) if path else None
    if tool is Tool.AWS:
        return _aws(arguments, because)
    if not url or not _address(url):
        return None
    if tool is Tool.SEND:
        carries = Carries.LAST if text is None or _EARLIER.search(text[:200]) else Carries.NOTHING
        literal = None if carries is Carries.LAST else text
        return ToolCall(tool=tool, url=url, body=literal, carries=carries, because=because)
    asked = str(arguments.get("method", method)).upper()
    return http(asked if asked in METHODS else method, url, text, because)


def _aws(arguments: dict[str, Any], because: str) -> ToolCall | None:
    service = arguments.get("service") or arguments.get("service_name")
    operation = arguments.get("operation") or arguments.get("action") or arguments.get("api")
    if not isinstance(service, str) or not isinstance(operation, str):
        return None
    parameters: dict[str, Any] = next(
        (
            arguments[key]
            for key in ("parameters", "params", "args", "arguments", "kwargs")
            if isinstance(arguments.get(key), dict)
        ),
        {},
    )
    return aws(service, operation, parameters, because)


def aws(service: str, operation: str, parameters: dict[str, Any], because: str = "") -> ToolCall:
    """Return a call of AWS, its operation named as boto3 does."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation.strip()).replace("-", "_").lower()
    return ToolCall(
        tool=Tool.AWS,
        service=service.strip().lower().replace(" ", ""),
        operation=snake,
        parameters=json.dumps(parameters, sort_keys=True, default=str),
        because=because[:200],
    )


def _address(url: str) -> bool:
    try:
        return urlsplit(url).scheme.lower() in ("http", "https", "") and len(url) > 3  # noqa: PLR2004
    except ValueError:
        return False
