"""Text with wildcards and policy variables, as it stands in Resource elements and conditions.

- A text is a tuple of tokens: literal strings, the two wildcards, and variables.
- Variables and the escapes `${*}`, `${?}`, `${$}` exist only in version 2012-10-17; in documents
  of 2008-10-17, and in those without a version, they are literal text (IAM user guide,
  "IAM policy elements: Version").
- What a variable resolves to is literal: a `*` in a tag's value is no wildcard.
- A variable whose key is absent or multivalued, and that has no default, is unresolved: no text at
  all, so that the element it stands in can match nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from iamrange.clouds.aws.malformed import MalformedPolicy


class Wildcard(Enum):
    """The wildcards of the policy language."""

    MANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """A `${key}` or `${key, 'default'}`; `key` is lower case, None if it cannot be read."""

    key: str | None
    default: str | None = None


Token = str | Wildcard | Variable
Pattern = tuple[str | Wildcard, ...]
"""A text without variables."""

Lookup = Callable[[str], str | None]
"""Gives the single value of a context key (lower case), or None."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_BODY = re.compile(r"\s*([^\s,'${}*?]+)\s*(?:,\s*'([^']*)'\s*)?")
_ESCAPES = {"*": "*", "?": "?", "$": "$"}


def parse(text: str, *, variables: bool, wildcards: bool) -> tuple[Token, ...]:
    """Split text into tokens; without `wildcards`, `*` and `?` are literal characters."""
    tokens: list[Token] = []
    position = 0
    if variables:
        for found in _VARIABLE.finditer(text):
            _literal(text[position : found.start()], tokens, wildcards=wildcards)
            tokens.append(_variable(found.group(1)))
            position = found.end()
        if "${" in text[position:]:
            # A brace that never closes: nobody can say what was meant, so it matches nothing.
            tokens.append(Variable(None))
    _literal(text[position:], tokens, wildcards=wildcards)
    return tuple(tokens)


def resolve(tokens: tuple[Token, ...], lookup: Lookup) -> Pattern | None:
    """Replace variables by their values; None if one is unresolved."""
    resolved: list[str | Wildcard] = []
    for token in tokens:
        if not isinstance(token, Variable):
            resolved.append(token)
            continue
        value = lookup(token.key) if token.key is not None else None
        if value is None:
            value = token.default
        if value is None:
            return None
        resolved.append(value)
    return tuple(resolved)


def parse_readable(text: str, *, variables: bool, wildcards: bool = True) -> tuple[Token, ...]:
    """Split text into tokens, refusing a variable that nobody can read.

    Stored, it would match nothing, and make a Deny void without a word.

    Raises:
        MalformedPolicy: a brace does not close, or holds no key and default.
    """
    tokens = parse(text, variables=variables, wildcards=wildcards)
    if any(isinstance(token, Variable) and token.key is None for token in tokens):
        raise MalformedPolicy("The policy failed legacy parsing", f"variable in {text!r}")
    return tokens


def has_variables(tokens: tuple[Token, ...]) -> bool:
    """Tell whether any token is a variable."""
    return any(isinstance(token, Variable) for token in tokens)


def _variable(body: str) -> Token:
    if body in _ESCAPES:
        return _ESCAPES[body]
    found = _BODY.fullmatch(body)
    if found is None:
        return Variable(None)
    return Variable(found.group(1).lower(), found.group(2))


def _literal(text: str, tokens: list[Token], *, wildcards: bool) -> None:
    if not wildcards:
        if text:
            tokens.append(text)
        return
    for piece in re.split(r"([*?])", text):
        if piece == "*":
            tokens.append(Wildcard.MANY)
        elif piece == "?":
            tokens.append(Wildcard.ONE)
        elif piece:
            tokens.append(piece)
