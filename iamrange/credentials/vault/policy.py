"""A vault's policies as values: a strict parser for the HCL and the JSON in which they are written.

- Only what a policy can say is read: blocks of `path`, with the keys that OpenBao knows. Whatever
  else there is, and a key that is said twice, is an error: half a policy would be decided wrongly.
- Strings are JSON's; here-documents are not read.
Sources: https://openbao.org/docs/concepts/policies/, https://github.com/hashicorp/hcl (version 1)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DENY: Final = "deny"
SUDO: Final = "sudo"
CAPABILITIES: Final = frozenset(
    {"create", "read", "update", "patch", "delete", "list", "scan", SUDO, DENY}
)
_OLD: Final[Mapping[str, tuple[str, ...]]] = {
    "deny": (DENY,),
    "read": ("read", "list"),
    "write": ("create", "read", "update", "delete", "list"),
    "sudo": ("create", "read", "update", "delete", "list", SUDO),
}
"""What the older key `policy` stands for."""
_LIMITS: Final = frozenset(
    {"allowed_parameters", "denied_parameters", "required_parameters", "pagination_limit"}
    | {"min_wrapping_ttl", "max_wrapping_ttl", "expiration", "comment"}
    | {"list_scan_response_keys_filter_path"}
)
"""What else a rule can say: it narrows what its capabilities give, or is for whoever reads it."""
_TEMPLATE: Final = "{{"
_TOKEN: Final = re.compile(
    r"""
    (?P<space>[\s]+|\#[^\n]*|//[^\n]*|/\*.*?\*/)
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<number>-?\d+(?:\.\d+)?(?![\w.]))
  | (?P<name>[A-Za-z_][\w.-]*)
  | (?P<mark>[{}\[\]=,])
    """,
    re.VERBOSE | re.DOTALL,
)


class PolicyError(Exception):
    """A policy is none that can be read; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may be done at the paths that a pattern names, without a slash at its beginning.

    `limits` are the other keys as they are written.
    """

    pattern: str
    capabilities: frozenset[str]
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def denies(self) -> bool:
        """Whether nothing may be done there, whatever else is said."""
        return DENY in self.capabilities

    @property
    def templated(self) -> bool:
        """Whether the vault fills in who asks, which is not known here."""
        return _TEMPLATE in self.pattern

    @property
    def is_open(self) -> bool:
        """Whether the pattern stands for more than one path."""
        return self.pattern.endswith("*") or has_segments(self.pattern)

    def expired(self, now: float) -> bool:
        """Tell whether the rule has ended by then."""
        end = self.limits.get("expiration")
        return end is not None and datetime.fromisoformat(str(end)).timestamp() <= now

    def to_json(self) -> dict[str, Any]:
        """Return the rule's body, as JSON policies have it."""
        return {"capabilities": sorted(self.capabilities), **self.limits}


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of a vault. The one called `root` lets everything be done, and says nothing."""

    name: str
    rules: tuple[Rule, ...]


def has_segments(pattern: str) -> bool:
    """Tell whether a pattern has `+` where it stands for a segment."""
    return pattern == "+" or "/+" in pattern or pattern.startswith("+/")


def parse_policy(name: str, text: str) -> Policy:
    """Read a policy, in HCL or in JSON.

    Raises:
        PolicyError: it is none, or says what is not known here.
    """
    reader = _Reader(name, text)
    body = reader.json() if text.lstrip().startswith("{") else reader.hcl()
    return Policy(name, tuple(_rule(name, path, said) for path, said in body))


def policy_json(rules: Sequence[Rule]) -> dict[str, Any]:
    """Return a policy's document in JSON, which a vault takes as its text."""
    # a slash at the beginning is taken away when a policy is read
    paths = {("/" if rule.pattern.startswith("/") else "") + rule.pattern: rule for rule in rules}
    return {"path": {path: rule.to_json() for path, rule in paths.items()}}


def _rule(policy: str, path: str, said: Mapping[str, Any]) -> Rule:
    def wrong(expected: str) -> NoReturn:
        raise PolicyError(f"policy '{policy}', path \"{path}\": expected {expected}")

    unknown = sorted(said.keys() - _LIMITS - {"capabilities", "policy"})
    if unknown:
        wrong(f"keys that are known, got '{unknown[0]}'")
    pattern = path.removeprefix("/")
    if "+*" in pattern:
        wrong("no '+*', which no vault takes")
    capabilities = said.get("capabilities", [])
    if not isinstance(capabilities, list) or not set(map(str, capabilities)) <= CAPABILITIES:
        wrong(f"capabilities of {', '.join(sorted(CAPABILITIES))}, got {capabilities!r}")
    old = said.get("policy")
    if old is not None and old not in _OLD:
        wrong(f"policy of {', '.join(_OLD)}, got {old!r}")
    held = frozenset((*capabilities, *(_OLD[old] if old else ())))
    end = said.get("expiration")
    if end is not None:
        try:
            if datetime.fromisoformat(str(end)).tzinfo is None:
                wrong(f"a moment with its time zone as expiration, got {end!r}")
        except ValueError:
            wrong(f"a moment as expiration, got {end!r}")
    limits = {key: value for key, value in said.items() if key in _LIMITS}
    return Rule(
        pattern=pattern,
        capabilities=frozenset({DENY}) if DENY in held else held,
        limits=limits,
    )


_Body = list[tuple[str, dict[str, Any]]]


class _Reader:
    """Reads one text, token by token."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._tokens: list[tuple[str, str, int]] = []
        self._at = 0

    def json(self) -> _Body:
        """Read a JSON policy."""
        try:
            value = json.loads(self._text, object_pairs_hook=self._once)
        except (ValueError, RecursionError):
            raise PolicyError(f"policy '{self._name}': expected HCL or JSON") from None
        paths = value.get("path", {})
        found: _Body = []
        for block in paths if isinstance(paths, list) else [paths]:
            if not isinstance(block, dict) or not all(isinstance(b, dict) for b in block.values()):
                raise PolicyError(f"policy '{self._name}': expected an object of paths")
            found += block.items()
        if value.keys() - {"path", "name"}:
            raise PolicyError(f"policy '{self._name}': expected paths alone")
        return found

    def hcl(self) -> _Body:
        """Read an HCL policy."""
        self._tokens = list(self._split())
        found: _Body = []
        while self._next()[0] != "end":
            word = self._word()
            if word == "name":
                self._take("=")
                self._value(0)
            elif word == "path":
                found.append((self._word(), self._block(0)))
            else:
                self._wrong("a `path` block")
        return found

    def _split(self) -> Iterator[tuple[str, str, int]]:
        at = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                line = self._text.count("\n", 0, at) + 1
                raise PolicyError(
                    f"policy '{self._name}', line {line}: expected HCL, "
                    f"got {self._text[at : at + 10]!r}"
                )
            if match.lastgroup != "space":
                yield str(match.lastgroup), match[0], at
            at = match.end()
        yield "end", "its end", at

    def _next(self) -> tuple[str, str, int]:
        return self._tokens[self._at]

    def _wrong(self, expected: str) -> NoReturn:
        _, got, at = self._next()
        line = self._text.count("\n", 0, at) + 1
        raise PolicyError(
            f"policy '{self._name}', line {line}: expected {expected}, got {got[:40]}"
        )

    def _take(self, mark: str) -> bool:
        if self._next()[1] != mark or self._next()[0] != "mark":
            self._wrong(f"'{mark}'")
        self._at += 1
        return True

    def _is(self, mark: str) -> bool:
        kind, text, _ = self._next()
        return kind == "mark" and text == mark

    def _word(self) -> str:
        kind, text, _ = self._next()
        if kind not in {"name", "string"}:
            self._wrong("a name or a string")
        return self._string() if kind == "string" else self._step(text)

    def _step(self, text: str) -> str:
        self._at += 1
        return text

    def _string(self) -> str:
        text = self._next()[1]
        try:
            value = json.loads(text)
        except ValueError:
            self._wrong("a string with JSON's escapes")
        if "${" in text:
            self._wrong("a string without ${")
        self._at += 1
        return str(value)

    def _block(self, depth: int) -> dict[str, Any]:
        if depth > 4:  # noqa: PLR2004 - no policy has so many
            self._wrong("fewer blocks in each other")
        self._take("{")
        pairs = []
        while not self._is("}"):
            key = self._word()
            if self._is("{"):
                pairs.append((key, self._block(depth + 1)))
            else:
                self._take("=")
                pairs.append((key, self._value(depth + 1)))
            if self._is(","):
                self._at += 1
        self._take("}")
        return self._once(pairs)

    def _value(self, depth: int) -> Any:  # noqa: ANN401 - any value of HCL's
        kind, text, _ = self._next()
        if kind == "string":
            return self._string()
        if kind == "number":
            self._at += 1
            return float(text) if "." in text else int(text)
        if text in {"true", "false"}:
            self._at += 1
            return text == "true"
        if self._is("{"):
            return self._block(depth)
        if not self._is("["):
            self._wrong("a value")
        return self._list(depth)

    def _list(self, depth: int) -> list[Any]:
        if depth > 4:  # noqa: PLR2004 - same
            self._wrong("fewer lists in each other")
        self._take("[")
        found = []
        while not self._is("]"):
            found.append(self._value(depth + 1))
            if not self._is("]"):
                self._take(",")
        self._take("]")
        return found

    def _once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise PolicyError(f"policy '{self._name}': a key is said twice in one block")
        return found
