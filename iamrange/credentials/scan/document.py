"""Find secrets in one file's bytes: as text, then as the document that its name says. Pure.

- What both ways see is one finding, with the line of the one and the member of the other.
- Findings leave this module without their secrets.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iamrange.credentials.scan.bytes import Archive, Binary, text_of
from iamrange.credentials.scan.encoded import decoded
from iamrange.credentials.scan.file_kinds import is_configuration
from iamrange.credentials.scan.finding import (
    Finding,
    Hasher,
    NotRead,
    Place,
    Scan,
    Skipped,
    Suppressed,
    Unread,
)
from iamrange.credentials.scan.rules_types import Flavour
from iamrange.credentials.scan.structure import StructureError, values
from iamrange.credentials.scan.text import Found, Match, allowed, find

if TYPE_CHECKING:
    from iamrange.credentials.scan.meanings import Value

_LEAST_VALUE = 8
_KUBERNETES = re.compile(r"""kind["']?:\s{0,4}["']?Secret\b""")
_DATA = re.compile(r"(?:^|\.)data\.")
_STRING_DATA = re.compile(r"(?:^|\.)stringData\.")
_SECRET = "secret_"  # noqa: S105 - what a Secret's member is called, whatever its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where bytes come from: a path, and the commit that brought them, if they are history."""

    path: str
    commit: str = ""
    date: str = ""


@dataclass(slots=True)
class _Seen:
    match: Match
    member: str = ""
    lines: set[int] = field(default_factory=set)


def scan_bytes(content: bytes, origin: Origin, hasher: Hasher, *, keep: bool = False) -> Scan:
    """Return what one file holds. With `keep`, the secrets too, for a live check."""
    scan = Scan(size=len(content))
    text = text_of(content)
    if isinstance(text, Binary):
        scan.skipped[Skipped.BINARY] += 1
        return scan
    if isinstance(text, Archive):
        scan.not_read.append(
            NotRead(path=origin.path, reason=Unread.ARCHIVE, detail=f"{text.kind}: not looked into")
        )
        return scan
    sight = _Sight(text, origin.path)
    sight.as_text()
    scan.not_read += (
        NotRead(path=origin.path, reason=Unread.TOO_MANY, detail=detail) for detail in sight.unread
    )
    try:
        sight.as_document()
    except StructureError as error:
        scan.not_read.append(NotRead(path=origin.path, reason=Unread.STRUCTURE, detail=str(error)))
    scan.suppressed.update(sight.suppressed.values())
    for secret, one in sight.seen.items():
        value = hasher.of(secret)
        scan.findings.append(_finding(one, value, origin))
        if keep:
            scan.secrets[value] = (one.match.secret, one.match.around)
    return scan


class _Sight:
    """What is seen of one text, by its secrets as they are whatever they are written like."""

    def __init__(self, text: str, path: str) -> None:
        self._text, self._path = text, path
        self.seen: dict[str, _Seen] = {}
        self.suppressed: dict[str, Suppressed] = {}
        self.unread: list[str] = []

    def as_text(self) -> None:
        """Look at it as plain text."""
        plain = is_configuration(self._path, self._text)
        flavour = Flavour.CONFIGURATION if plain else Flavour.CODE
        found = find(self._text, flavour)
        self.suppressed.update(found.suppressed)
        self.unread += found.unread
        for match in found.matches:
            secret = match.rule.canonical(match.secret)
            self.seen.setdefault(secret, _Seen(match)).lines.add(match.line)

    def as_document(self) -> None:
        """Look at the values of the document that it is.

        Raises:
            StructureError: it is not what its name says.
        """
        kubernetes = _KUBERNETES.search(self._text) is not None
        for value in values(self._path, self._text):
            if len(value.text) < _LEAST_VALUE:
                continue
            if kubernetes and _DATA.search(value.member) and self._as_data(value):
                continue
            found = find(value.text, Flavour.CONFIGURATION)
            if not found.matches and value.name and "\n" not in value.text:
                secret = kubernetes and _STRING_DATA.search(value.member) is not None
                name = f"{_SECRET}{value.name}" if secret else value.name
                found = find(_named(name, value.text), depth=0)
            self._add(value, found)

    def _as_data(self, value: Value) -> bool:
        """Look at a member of a Kubernetes Secret's data, which is base64; tell whether it is."""
        said = decoded(value.text.strip())
        if said is None:
            return False
        self.seen.pop(value.text.strip(), None)  # the secret is what it says
        found = find(said)
        if not found.matches:
            found = find(_named(f"{_SECRET}{value.name}", said.strip()), depth=0)
        found.matches = [replace(match, encoded=True) for match in found.matches]
        self._add(value, found)
        return True

    def _add(self, value: Value, found: Found) -> None:
        for secret, why in found.suppressed.items():
            self.suppressed.setdefault(secret, why)
        for match in found.matches:
            secret = match.rule.canonical(match.secret)
            if secret in self.suppressed:
                continue
            one = self.seen.get(secret)
            if one is None:
                place = self._place_of(match.secret, value)
                if allowed(self._text, place):
                    self.suppressed[secret] = Suppressed.ALLOWED
                    continue
                line = value.line or self._text.count("\n", 0, place) + 1
                one = self.seen[secret] = _Seen(match, lines={line})
            one.member = one.member or value.member

    def _place_of(self, secret: str, value: Value) -> int:
        """Return where a value stands whose format's reader may give no place for it."""
        text = self._text
        wanted = (secret, json.dumps(secret)[1:-1], json.dumps(value.text)[1:-1][:64], value.name)
        places = (text.find(one) for one in wanted if one)
        return next((place for place in places if place >= 0), 0)


def _named(name: str, text: str) -> str:
    return f"{name} = {json.dumps(text, ensure_ascii=False)}"


def _finding(one: _Seen, value: str, origin: Origin) -> Finding:
    match = one.match
    return Finding(
        rule=match.rule.id,
        place=Place(
            path=origin.path,
            line=min(one.lines),
            member=one.member,
            commit=origin.commit,
            date=origin.date,
        ),
        value=value,
        hint=match.secret[: match.rule.hint],
        encoded=match.encoded,
        more=len(one.lines) - 1,
    )


def merged(findings: list[Finding]) -> list[Finding]:
    """Return one finding for each value and file; the oldest place stands for the others."""
    first: dict[tuple[str, str, str], Finding] = {}
    more: Counter[tuple[str, str, str]] = Counter()
    for finding in sorted(findings, key=_age):
        key = (finding.rule, finding.value, finding.place.path)
        more[key] += finding.more + (key in first)
        first.setdefault(key, finding)
    return [
        Finding(
            rule=one.rule,
            place=one.place,
            value=one.value,
            hint=one.hint,
            encoded=one.encoded,
            more=more[key],
        )
        for key, one in sorted(first.items(), key=lambda item: (item[1].place, item[1].rule))
    ]


def _age(finding: Finding) -> tuple[bool, str, Place]:
    """A place in the tree comes first, then the oldest commit."""
    return (bool(finding.place.commit), finding.place.date, finding.place)
