"""Redact texts and JSON values: marks in the place of secrets, everything else as it was. Pure.

- To redact twice is to redact once. What has no secret comes back as the same object.
- What cannot be looked at as a whole goes as a whole: nothing is let through unread.
- A comment that allows a secret in a repository, or a word that says that it is an example, counts
  for nothing here: whoever calls a service writes into its log.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from iamrange.credentials.redaction.marks import MARK, UNREAD, mark, outside_marks
from iamrange.credentials.redaction.members import JWK_PRIVATE, is_secret, is_telling, scheme_of
from iamrange.credentials.redaction.spans import UnreadError, spans
from iamrange.credentials.scan.finding import Hasher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.credentials.redaction.spans import Span

_ROUNDS: Final = 4
_TRIES: Final = 8
"""How often a text is tried as JSON; what follows is read as text."""

_DOCUMENT: Final = re.compile(r'\{\s{0,16}"|\[\s{0,16}["{\[]')
_DECODER: Final = json.JSONDecoder()
_REMEMBERED: Final = 8192
_SHORT: Final = 256
_AN_ID: Final = re.compile(r"[0-9a-f-]{0,64}")
"""What is hexadecimal alone is an id or a digest: no rule sees anything in it without a name."""

_MEMBER: Final = "secret-member"
_PAIR: Final = 2


def new_redactor() -> Redactor:
    """Return a redactor under a key of its own, which nobody keeps."""
    return Redactor(Hasher(os.urandom(32)))


class Redactor:
    """Redacts under one key: marks of one redactor can be joined. Threads may share it."""

    def __init__(self, hasher: Hasher) -> None:
        """Take what secrets are hashed with."""
        self._hasher = hasher
        self._clean: set[str] = set()

    def mark(self, kind: str, secret: str) -> str:
        """Return what stands in the place of a secret that a rule of this id sees."""
        return mark(kind, secret, self._hasher)

    def text(self, text: str) -> str:
        """Return the text without its secrets."""
        if text in self._clean or _AN_ID.fullmatch(text):
            return text
        redacted = self._settled(text)
        if redacted == text and len(text) <= _SHORT:
            if len(self._clean) >= _REMEMBERED:
                self._clean = set()  # strangers choose what is remembered: no more than so much
            self._clean.add(text)
        return redacted

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return a JSON value without its secrets, by names and by contents; keys are texts."""
        try:
            return self._value(value, "")
        except (UnreadError, RecursionError):
            return self.mark(UNREAD, type(value).__name__)

    def _settled(self, text: str) -> str:
        """Redact until nothing changes: a mark may bring to light what it stood before."""
        now = text
        for _ in range(_ROUNDS):
            try:
                after = self._once(now)
            except (UnreadError, RecursionError):
                break
            if after == now:
                return now
            now = after
        return self.mark(UNREAD, text)

    def _once(self, text: str) -> str:
        text = self._documents(text)
        parts: list[str] = []
        at = 0
        for span in spans(text):
            for start, end in outside_marks(text, span.start, span.end):
                parts += (text[at:start], self.mark(span.rule.id, span.secret))
                at = end
        return "".join((*parts, text[at:])) if parts else text

    def _documents(self, text: str) -> str:
        """Redact the JSON in a text by its structure, and leave what is around it."""
        parts: list[str] = []
        at = tries = 0
        found = _DOCUMENT.search(text)
        while found is not None and tries < _TRIES:
            end = found.start() + 1
            try:
                value, end = _DECODER.raw_decode(text, found.start())
            except ValueError:
                tries += 1
            else:
                redacted = self._value(value, "")
                if redacted is not value:
                    parts += (
                        text[at : found.start()],
                        _written(redacted, text[found.start() : end]),
                    )
                    at = end
            found = _DOCUMENT.search(text, end)
        return "".join((*parts, text[at:])) if parts else text

    def _value(self, value: Any, name: str) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, str):
            return self._named(value, name)
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list | tuple):
            return self._list(value, name)
        if isinstance(value, int | float) and not isinstance(value, bool) and is_secret(name):
            return self.mark(_MEMBER, str(value))
        return value

    def _object(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        private = JWK_PRIVATE if "kty" in value else frozenset()
        # a header as an object of its own, as HAR and many loggers write it
        told = value.get("name", value.get("key"))
        named = str(told) if isinstance(told, str) and "value" in value else ""
        redacted = {}
        for key, inner in value.items():
            name = named if key == "value" and named else str(key)
            if key in private and isinstance(inner, str):
                redacted[key] = self._whole(inner, "private-jwk", "")
            else:
                redacted[self.text(key)] = self._value(inner, name)
        same = len(redacted) == len(value) and all(
            key in redacted and redacted[key] is inner for key, inner in value.items()
        )
        return value if same else redacted

    def _list(self, value: Any, name: str) -> Any:  # noqa: ANN401 - a list or a tuple
        pair = len(value) == _PAIR and isinstance(value[0], str) and is_secret(value[0])
        redacted = [
            self._value(inner, value[0] if pair and number else name)
            for number, inner in enumerate(value)
        ]
        same = all(one is other for one, other in zip(redacted, value, strict=True))
        return value if same else redacted

    def _named(self, value: str, name: str) -> str:
        """Redact a member's value: whole by its name, else by what it and the name look like."""
        if is_secret(name):
            return self._whole(value, _MEMBER, name)
        if is_telling(name) and (seen := _seen_whole(value, name)) is not None:
            return self.mark(seen.rule.id, seen.secret)
        return self.text(value)

    def _whole(self, value: str, kind: str, name: str) -> str:
        """Put a mark in the place of all of a value but a header's scheme.

        Its kind is that of the rule that sees the same, so that the secret has one mark.
        """
        begins = scheme_of(value)
        rest = value[begins:]
        if not rest.strip() or MARK.fullmatch(rest):
            return value
        seen = _seen_whole(rest, name)
        told = self.mark(kind, rest) if seen is None else self.mark(seen.rule.id, seen.secret)
        return value[:begins] + told


def _seen_whole(value: str, name: str) -> Span | None:
    """Return the rule's own view of a member's value, where a rule takes all of it.

    Raises:
        UnreadError: too much of it looks like a secret.
    """
    before = f'{name} = "'
    whole = (len(before), len(before) + len(value))
    seen = (one for one in spans(f'{before}{value}"') if (one.start, one.end) == whole)
    return next(seen, None)


def _written(value: Any, before: str) -> str:  # noqa: ANN401 - any JSON value
    """Write JSON as it was written before, as far as that shows."""
    compact = '": ' not in before
    return json.dumps(
        value,
        separators=(",", ":") if compact else (", ", ": "),
        ensure_ascii=before.isascii(),
    )
