"""What the support agent can be made to do: its tools, and the calls that it plans."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text: a vocabulary, as one reads it."""
    return frozenset(text.split())


DOMAIN = "iamrange.example"
SERVICES = ("customers", "logs", "hr", "payments", "deployments", "telemetry")
"""The services that the agent's instructions tell it of."""

LATEST = "/records/latest"

FILLED = re.compile(
    r"\{[^{}]{0,60}\}|\$[A-Za-z_]\w{0,40}|%7B.{0,60}?%7D|\[[A-Za-z_ ]{2,40}\]", re.IGNORECASE
)
"""The gap in an address that an answer goes into."""


class Tool(StrEnum):
    """The agent's tools."""

    HTTP = "http"
    AWS = "aws"
    READ = "read"
    SEND = "send"


class Carries(StrEnum):
    """What a call takes along of what was answered before it."""

    NOTHING = "nothing"
    LAST = "the last answer"
    ALL = "every answer"
    SEEN = "all that the agent has seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call as it was asked for. Which members count is the tool's: see `Tools`.

    `parameters` is JSON. `because` is the sentence or block that asked for it.
    """

    tool: Tool
    method: str = ""
    url: str = ""
    body: str | None = None
    carries: Carries = Carries.NOTHING
    service: str = ""
    operation: str = ""
    parameters: str = "{}"
    path: str = ""
    because: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """Something that the agent was given to read."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How far the agent lets itself be led; whatever is beyond is left undone."""

    calls: int = 24
    depth: int = 3
    """How often an answer may lead to further calls that lead to an answer."""
    documents: int = 32
    document_characters: int = 64 * 1024
    all_characters: int = 256 * 1024
    answer_characters: int = 32 * 1024
    address_characters: int = 1024
    """Of an answer, in the gap of an address."""
    repeats: int = 8
    seconds: float = 40.0


BOUNDS = Bounds()


def http(method: str, url: str, body: str | None = None, because: str = "") -> ToolCall:
    """Return a call of a service."""
    return ToolCall(tool=Tool.HTTP, method=method, url=url, body=body, because=because[:200])
