"""Read documents that need reading: JSON, notebooks, YAML, TOML, INI and .env, into named values.

- A value comes with its member path (`mcpServers.tickets.env.TOKEN`, `cells[3].outputs[0].text`)
  and the name that it stands under; a list of arguments gives each value its flag.
- Iterative and bounded: nesting, aliases and size do no harm. What cannot be read is said by
  `StructureError`; the text itself is scanned all the same.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from iamrange.credentials.scan.jsonc import without_comments

MAX_SIZE: Final = 8 << 20
MAX_YAML: Final = 1 << 20
MAX_VALUES: Final = 200_000
_INI: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([\w.-]{1,128})[ \t]*[=:][ \t]*(.*)")
_SECTION: Final = re.compile(r"[ \t]*\[([^\]\n]{1,128})\]")
_MULTILINE: Final = frozenset({"source", "text", "text/plain", "text/html", "traceback"})
_JSON: Final = frozenset({".json", ".jsonc", ".ipynb", ".code-workspace", ".tfstate", ".jwk"})
_LINES: Final = frozenset({".env", ".ini", ".cfg", ".conf", ".properties", ".envrc"})
_TEXTS: Final = frozenset({".txt", ".md", ".prompt", ".sh", ".bash", ".tfvars", ".pem", ".log"})
_FOLLOWS: Final = re.compile(r"--?[A-Za-z][\w-]{0,60}$")


class StructureError(Exception):
    """A document is not what its name says, or larger than is read; the text says which."""


@dataclass(frozen=True, slots=True)
class Value:
    """A text in a document. `line` counts from 1, 0 where the format's reader does not tell."""

    member: str
    name: str
    text: str = field(repr=False)
    line: int = 0


def is_configuration(path: str) -> bool:
    """Tell whether an unquoted word in a file of this name is a value."""
    return _format(path) is not None or PurePosixPath(path).suffix.lower() in _TEXTS


def values(path: str, text: str) -> Iterator[Value]:
    """Yield the values of a document, by the format that its name says; of others none.

    Raises:
        StructureError: it cannot be read as that.
    """
    reader = _format(path)
    if reader is None:
        return
    most = MAX_YAML if reader is _yaml else MAX_SIZE
    if len(text) > most:
        raise StructureError(f"longer than {most} characters: read as text only")
    try:
        for number, value in enumerate(reader(text)):
            if number >= MAX_VALUES:
                raise StructureError(f"more than {MAX_VALUES} values: the rest read as text only")
            yield value
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        kind = type(error).__name__
        raise StructureError(f"not well-formed ({kind}): read as text only") from None


def _format(path: str) -> Any:  # noqa: ANN401 - a reader or None
    name = PurePosixPath(path).name.lower()
    suffix = PurePosixPath(name).suffix
    if suffix in _JSON:
        return _json
    if suffix in (".yaml", ".yml"):
        return _yaml
    if suffix == ".toml":
        return _toml
    if suffix in _LINES or name.startswith(".env") or name in (".npmrc", ".pypirc", "credentials"):
        return _lines
    return None


def _json(text: str) -> Iterator[Value]:
    try:
        document = json.loads(text, parse_int=str, parse_float=str)
    except ValueError:  # VS Code and others allow comments
        document = json.loads(without_comments(text), parse_int=str, parse_float=str)
    yield from _walk(document)


def _toml(text: str) -> Iterator[Value]:
    yield from _walk(tomllib.loads(text))


def _walk(document: object) -> Iterator[Value]:
    """Yield the texts of nested values; where a value's meaning is its object, the object too."""
    waiting: list[tuple[str, str, object]] = [("", "", document)]
    while waiting:
        member, name, value = waiting.pop()
        if isinstance(value, str):
            yield Value(member, name, value)
        elif isinstance(value, Mapping):
            if "kty" in value or value.get("type") == "service_account":
                yield Value(member, "", json.dumps(value, default=str))
            waiting += (
                (f"{member}.{key}" if member else str(key), str(key), inner)
                for key, inner in reversed(list(value.items()))
            )
        elif isinstance(value, list):
            if name in _MULTILINE and all(isinstance(one, str) for one in value):
                yield Value(member, "", "".join(value))
                continue
            waiting += reversed(
                [(f"{member}[{n}]", _flag(value, n) or name, one) for n, one in enumerate(value)]
            )


def _flag(arguments: list[Any], number: int) -> str:
    """Return the flag that the argument before is: `--api-key VALUE`."""
    before = arguments[number - 1] if number else None
    if isinstance(before, str) and _FOLLOWS.match(before):
        return before.lstrip("-")
    return ""


def _yaml(text: str) -> Iterator[Value]:
    """Yield scalars from the parser's events: aliases are not followed, so nothing grows."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    frames: list[_Frame] = [_Frame("", is_list=True)]
    for event in yaml.parse(text, Loader=loader):
        frame = frames[-1]
        if isinstance(event, yaml.ScalarEvent):
            if frame.takes_key():
                frame.key = event.value
                continue
            line = event.start_mark.line + 1 if event.start_mark is not None else 0
            yield Value(frame.member(top=len(frames) == 1), frame.name(), event.value, line)
            frame.next(event.value)
        elif isinstance(event, yaml.CollectionStartEvent):
            if frame.takes_key():
                frame.key = "?"
            inner = frame.member(top=len(frames) == 1)
            frames.append(
                _Frame(
                    inner, is_list=isinstance(event, yaml.SequenceStartEvent), called=frame.name()
                )
            )
        elif isinstance(event, yaml.CollectionEndEvent):
            frames.pop()
            frames[-1].next("")
        elif isinstance(event, yaml.AliasEvent):
            if frame.takes_key():
                frame.key = "?"
            else:
                frame.next("")


@dataclass(slots=True)
class _Frame:
    """A list or an object that is being read; `key` is the member whose value comes next."""

    path: str
    is_list: bool
    called: str = ""
    key: str | None = None
    number: int = 0
    before: str = ""

    def takes_key(self) -> bool:
        return not self.is_list and self.key is None

    def member(self, *, top: bool) -> str:
        if top:
            return ""
        if self.is_list:
            return f"{self.path}[{self.number}]"
        return f"{self.path}.{self.key}" if self.path else str(self.key)

    def name(self) -> str:
        if not self.is_list:
            return self.key or ""
        return _flag([self.before, ""], 1) or self.called

    def next(self, before: str) -> None:
        self.key, self.number, self.before = None, self.number + 1, before


def _lines(text: str) -> Iterator[Value]:
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith(("#", ";")):
            continue
        head = _SECTION.match(line)
        if head is not None:
            section = head[1]
            continue
        match = _INI.match(line)
        if match is not None:
            value = match[2].strip().strip("\"'")
            yield Value(f"{section}.{match[1]}" if section else match[1], match[1], value, number)
