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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml

from iamrange.credentials.scan.file_kinds import Format, format_of
from iamrange.credentials.scan.jsonc import without_comments
from iamrange.credentials.scan.meanings import Value, json_in, of_a_text, of_an_object

MAX_SIZE: Final = 8 << 20
MAX_YAML: Final = 1 << 20
MAX_VALUES: Final = 200_000
_MOST_MEMBERS: Final = 64
_INI: Final = re.compile(
    # .npmrc: the registry before the name
    r"[ \t]*(?:export[ \t]+)?(?://[^\s=]{1,256}:)?([\w.-]{1,128})[ \t]*[=:][ \t]*(.*)"
)
_NETRC: Final = re.compile(r"\b(machine|password)[ \t\n]+(\S+)")
_PGPASS_PARTS: Final = 5
_SECTION: Final = re.compile(r"[ \t]*\[([^\]\n]{1,128})\]")
_MULTILINE: Final = frozenset({"source", "text", "text/plain", "text/html", "traceback"})
_FOLLOWS: Final = re.compile(r"--?[A-Za-z][\w-]{0,60}$")


class StructureError(Exception):
    """A document is not what its name says, or larger than is read; the text says which."""


def values(path: str, text: str) -> Iterator[Value]:
    """Yield the values of a document, by the format that its name says; of others none.

    Raises:
        StructureError: it cannot be read as that.
    """
    kind = format_of(path)
    if kind is None:
        return
    reader = _READERS[kind]
    most = MAX_YAML if reader is _yaml else MAX_SIZE
    if len(text) > most:
        raise StructureError(f"longer than {most} characters: read as text only")
    try:
        for number, value in enumerate(reader(text)):
            if number >= MAX_VALUES:
                raise StructureError(f"more than {MAX_VALUES} values: the rest read as text only")
            yield value
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise StructureError(
            f"not well-formed ({type(error).__name__}): read as text only"
        ) from None


def _json(text: str) -> Iterator[Value]:
    try:
        document = json.loads(text, parse_int=str, parse_float=str)
    except ValueError:  # VS Code and others allow comments
        document = json.loads(without_comments(text), parse_int=str, parse_float=str)
    yield from _walk(document)


def _at_line(line: int, found: Iterator[Value]) -> Iterator[Value]:
    return (replace(one, line=line) for one in found)


def _toml(text: str) -> Iterator[Value]:
    yield from _walk(tomllib.loads(text))


def _walk(document: object, member: str = "", name: str = "") -> Iterator[Value]:
    """Yield the texts of nested values; where a value's meaning is its object, the object too."""
    waiting: list[tuple[str, str, object]] = [(member, name, document)]
    while waiting:
        member, name, value = waiting.pop()
        if isinstance(value, str):
            yield Value(member, name, value)
            yield from of_a_text(member, name, value)
            inner = json_in(value)
            if inner is not None:
                waiting.append((member, name, inner))
        elif isinstance(value, Mapping):
            yield from of_an_object(member, name, value)
            waiting += (
                (f"{member}.{key}" if member else str(key), str(key), one)
                for key, one in reversed(list(value.items()))
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
            yield from frame.value(event, line, top=len(frames) == 1)
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
            gone = frames.pop()
            yield from _at_line(gone.line, of_an_object(gone.path, gone.called, gone.has))
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
    line: int = 0
    has: dict[str, object] = field(default_factory=dict)

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

    def value(self, event: yaml.ScalarEvent, line: int, *, top: bool) -> Iterator[Value]:
        """Yield what a scalar says. With a tag of its own it names what will stand there."""
        member, name, text = self.member(top=top), self.name(), event.value
        if event.tag is not None and event.tag.startswith("!") and event.tag != "!":
            yield Value(member, "", text, line)
            return
        yield from _at_line(line, _walk(text, member, name))
        if self.key is not None and len(self.has) < _MOST_MEMBERS:
            self.has[self.key] = text
            self.line = line

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
            member = f"{section}.{match[1]}" if section else match[1]
            yield from _at_line(number, _walk(value, member, match[1]))


def _netrc(text: str) -> Iterator[Value]:
    machine, line, counted = "", 1, 0
    for match in _NETRC.finditer(text):
        line, counted = line + text.count("\n", counted, match.start(2)), match.start(2)
        if match[1] == "machine":
            machine = match[2]
        else:
            yield Value(f"{machine}.password", "password", match[2], line)


def _pgpass(text: str) -> Iterator[Value]:
    for number, line in enumerate(text.split("\n"), 1):
        parts = line.strip().split(":")
        if len(parts) >= _PGPASS_PARTS and not line.startswith("#"):
            yield Value(f"{parts[0]}.password", "password", ":".join(parts[4:]), number)


_READERS: Final[Mapping[Format, Callable[[str], Iterator[Value]]]] = {
    Format.JSON: _json,
    Format.YAML: _yaml,
    Format.TOML: _toml,
    Format.LINES: _lines,
    Format.NETRC: _netrc,
    Format.PGPASS: _pgpass,
}
