"""What an object of a document means beyond its members: named values, keys, state files. Pure.

- `{"name": "DB_PASSWORD", "value": ...}`: containers, tasks, headers of a recorded request.
- A JWK or a service account's key is one credential; its members mean it together.
- State: an output that is sensitive, what Pulumi keeps as secret, a password made at random.
- A registry's `auth` is base64 of user and password.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from iamrange.credentials.scan.encoded import decoded

_NAMES: Final = ("name", "key", "Name", "Key", "ParameterKey")
_VALUES: Final = ("value", "Value", "ParameterValue")
_PULUMI_SECRET: Final = "4dabf18193072939515e22adb298388d"  # noqa: S105 - iamrange:allow-secret the name of a member that marks one
_MADE: Final = ("random_password", "random_string")
_AUTH: Final = frozenset({"auth", "_auth"})
_LEAST_JSON: Final = 16


@dataclass(frozen=True, slots=True)
class Value:
    """A text in a document. `line` counts from 1, 0 where the format's reader does not tell."""

    member: str
    name: str
    text: str = field(repr=False)
    line: int = 0


def of_an_object(member: str, name: str, members: Mapping[str, object]) -> Iterator[Value]:
    """Yield what an object that stands under a name means as a whole."""
    if "kty" in members or members.get("type") == "service_account":
        yield Value(member, "", json.dumps(dict(members), default=str))
    called = next((members[key] for key in _NAMES if isinstance(members.get(key), str)), "")
    for key in _VALUES:
        value = members.get(key)
        if not isinstance(value, str):
            continue
        if called:
            yield Value(f"{member}.{key}", str(called), value)
        if members.get("sensitive") is True:
            yield Value(f"{member}.{key}", f"secret_{name}", value)
    if _PULUMI_SECRET in members and isinstance(members.get("plaintext"), str):
        yield from in_a_text(f"{member}.plaintext", f"secret_{name}", str(members["plaintext"]))
    made = members.get("instances")
    if members.get("type") in _MADE and isinstance(made, list):
        for number, one in enumerate(made):
            result = _member(_member(one, "attributes"), "result")
            if isinstance(result, str):
                yield Value(f"{member}.instances[{number}].attributes.result", "password", result)


def of_a_text(member: str, name: str, text: str) -> Iterator[Value]:
    """Yield what a text that stands under a name means beside what it says."""
    if name.lower() in _AUTH:
        _, colon, password = (decoded(text.strip()) or "").partition(":")
        if colon:
            yield Value(member, "password", password)


def json_in(text: str) -> object:
    """Return what a text says that is a JSON document of its own: an object, a list, or None."""
    said = text.strip()
    if len(said) < _LEAST_JSON or f"{said[0]}{said[-1]}" not in ("{}", "[]"):
        return None
    try:
        return json.loads(said, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None


def in_a_text(member: str, name: str, text: str) -> Iterator[Value]:
    """Yield the text that a JSON string says."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(said, str):
        yield Value(member, name, said)


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None
