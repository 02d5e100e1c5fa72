"""A text as words, addresses and stops, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scenarios.support_llm_calls import word_set

_TOKEN = re.compile(
    r"""
    (?P<mark>\x02\d{1,6}\x03)
  | (?P<url>https?://[^\s<>"'`\x02\x03]{1,2000})
  | (?P<file>file://[^\s<>"'`\x02\x03]{1,1000})
  | (?P<s3>s3://[^\s<>"'`\x02\x03]{1,1000})
  | (?P<arn>arn:aws[\w-]{0,12}:[a-z0-9-]{1,40}:[^\s"'<>`,;()\x02\x03]{1,400})
  | (?P<iam>(?<![\w:])[a-z][a-z0-9-]{1,24}:[A-Z][A-Za-z]{3,60}(?!\w))
  | (?P<email>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})
  | (?P<host>(?<![\w%@/.:-])(?:(?:[a-z0-9-]{1,63}\.){1,8}
      (?:(?:example|com|net|org|io|dev|test|internal|invalid)(?![\w-])|[a-z]{2,20}(?=[:/]))
      |localhost(?=[:/])|(?:\d{1,3}\.){3}\d{1,3}(?![\w.-]))
      (?::\d{1,5})?(?:/[^\s<>"'`\x02\x03]{0,1000})?)
  | (?P<name>[\w-]{1,60}\.(?:md|txt|json|jwk|pem|key|env|csv|html|log|yaml|yml|cfg|conf|ini|toml
      |xml|crt)(?!\w))
  | (?P<path>(?:~|\.{1,2})?/[\w.@%+~-]{1,200}(?:/[\w.@%+~-]{0,200}){0,20}(?:\?[^\s"'<>`]{0,500})?)
  | (?P<word>[^\W_][\w'-]{0,60})
  | (?P<stop>[.!?]{1,6}(?=["')\]]{0,3}(?:\s|$))
      |\n\s*\n\s*|\n(?=[ \t]*(?:[-*•+]|\d{1,3}[.)]|[#=]|(?!https?:)[A-Z]\w{1,20}:)))
  | (?P<point>[^\s\w])
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CAMEL = re.compile(r"[a-z][a-z0-9-]{1,24}:[A-Z][A-Za-z]{3,60}")
AWS_SERVICES = word_set(
    "s3 sts iam dynamodb secretsmanager kms ssm sqs sns lambda ec2 events organizations cloudtrail "
    "kinesis"
)
_CLOSING = {")": "(", "]": "[", "}": "{"}
_LONGEST = 250
"""Tokens of one sentence: what an order means is looked for in all of its sentence."""

ADDRESSES = frozenset(("url", "host"))


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text: its kind, as it stands, in lower case, and where."""

    kind: str
    raw: str
    at: int

    @property
    def low(self) -> str:
        """The word without case and possessive; of `let's` the ending is no possessive."""
        word = self.raw.lower()
        return word if word == "let's" else word.removesuffix("'s")

    @property
    def address(self) -> str:
        """A URL or host as a URL; machines are named by numbers where there is no TLS."""
        if self.kind == "url":
            return self.raw
        bare = self.raw[0].isdigit() or self.raw.startswith("localhost")
        return f"{'http' if bare else 'https'}://{self.raw}"


def tokens_of(text: str) -> list[Token]:
    """Split a text; whatever is no token of ours is left out."""
    found: list[Token] = []
    at = 0
    while match := _TOKEN.search(text, at):
        kind, raw = match.lastgroup or "point", match.group()
        if kind == "iam" and not (_CAMEL.fullmatch(raw) and raw.partition(":")[0] in AWS_SERVICES):
            kind, raw = "word", raw.partition(":")[0]
        if kind in {"url", "host", "file", "s3", "path", "arn"}:
            raw = _without_ending(raw)
        found.append(Token(kind, raw, match.start()))
        at = match.start() + max(1, len(raw))
    return found


def sentences_of(tokens: list[Token]) -> list[list[Token]]:
    """Group tokens by the stops between them; what never stops is cut into pieces."""
    sentences: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "stop":
            sentences.append([])
        else:
            if len(sentences[-1]) == _LONGEST:
                sentences.append([])
            sentences[-1].append(token)
    return [sentence for sentence in sentences if sentence]


def _without_ending(address: str) -> str:
    """Leave out the punctuation of the sentence that an address stands at the end of."""
    while address:
        last = address[-1]
        unpaired = last in _CLOSING and address.count(last) > address.count(_CLOSING[last])
        if last not in ".,:;!?*_~|\\" and not unpaired:
            return address
        address = address[:-1]
    return address
