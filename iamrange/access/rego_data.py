"""Files of Rego that hold nothing but values: to the engine they are data, not rules.

- The engine in process evaluates the rules that it needs anew for each question, a table of a
  thousand rows too; data it only looks up.
- Only what reads as JSON counts: `name := VALUE`. A set, a reference or a call does not.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_STRING_OR_COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|#[^\n]*')
_STRING_OR_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\\n])*")|,(?=\s*[}\]])')
_PACKAGE = re.compile(r"\s*package[ \t]+([a-z_]\w*(?:\.[a-z_]\w*)*)[ \t]*\n", re.ASCII)
_RULE = re.compile(r"\s*([a-z_]\w*)[ \t]*:=[ \t]*", re.ASCII)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")
    return members


_JSON = json.JSONDecoder(object_pairs_hook=_once)


def as_data(texts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the files that hold rules, and what the others hold as one document of data."""
    read = {name: _values(text) for name, text in texts.items()}
    packages = [found[1] for text in texts.values() if (found := _package(text))]
    document: dict[str, Any] = {}
    rules = {}
    for name, text in texts.items():
        values = read[name]
        # a package of several files, or one within another, has rules beside the values
        if values is None or not _stands_alone(values[0], packages):
            rules[name] = text
            continue
        place = document
        for part in values[0].split("."):
            place = place.setdefault(part, {})
        place.update(values[1])
    return rules, document


def _stands_alone(package: str, packages: list[str]) -> bool:
    related = [
        other
        for other in packages
        if f"{other}.".startswith(f"{package}.") or f"{package}.".startswith(f"{other}.")
    ]
    return len(related) == 1


def _package(text: str) -> re.Match[str] | None:
    return _PACKAGE.match(_STRING_OR_COMMENT.sub(lambda found: found[1] or "", text))


def _values(text: str) -> tuple[str, dict[str, Any]] | None:
    """Return the package and the values of a file, None if it holds anything else."""
    text = _STRING_OR_COMMENT.sub(lambda found: found[1] or "", text)
    text = _STRING_OR_TRAILING_COMMA.sub(lambda found: found[1] or "", text)
    package = _PACKAGE.match(text)
    if package is None:
        return None
    values: dict[str, Any] = {}
    end = package.end()
    while text[end:].strip():
        rule = _RULE.match(text, end)
        if rule is None or rule[1] in values:
            return None
        try:
            values[rule[1]], end = _JSON.raw_decode(text, rule.end())
        except (ValueError, RecursionError):
            return None
        if not re.match(r"[ \t]*(?:\n|$)", text[end:]):
            return None
    return (package[1], values) if values else None
