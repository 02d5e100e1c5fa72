"""What a scan says: findings without their secrets, what could not be read, what was left out."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

_HASH_CHARACTERS: Final = 32
_KEY_BYTES: Final = 16


class Unread(StrEnum):
    """Why something was not read, or not as a whole."""

    TOO_LARGE = "too-large"
    ARCHIVE = "archive"
    SUBMODULE = "submodule"
    NOT_PERMITTED = "not-permitted"
    NOT_A_FILE = "not-a-file"
    GONE = "gone"
    CORRUPT = "corrupt"
    STRUCTURE = "structure"
    TOO_MANY = "too-many"
    HISTORY = "history"


class Skipped(StrEnum):
    """What a scan passes by and counts."""

    BINARY = "binary"
    SYMLINK = "symlink"
    GIT_FOLDER = "git-folder"
    EXCLUDED = "excluded"


class Suppressed(StrEnum):
    """Why something that a rule sees is no finding."""

    PLACEHOLDER = "placeholder"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where: `line` counts from 1; `member` is a path in a document (`mcpServers.x.env.TOKEN`).

    `commit` and `date` (the author's, ISO 8601) are of the commit that brought it; empty for a
    working tree.
    """

    path: str
    line: int
    member: str = ""
    commit: str = ""
    date: str = ""

    def __str__(self) -> str:
        """Return it for people, printable whatever the path is."""
        member = f" {shown(self.member)}" if self.member else ""
        commit = f" @{self.commit[:12]} {self.date}" if self.commit else ""
        return f"{shown(self.path)}:{self.line}{member}{commit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A credential at a place. It holds no secret: `value` is a keyed hash of it.

    `hint` has the characters of a public prefix at most. `more` is how many further places of the
    same file, or versions of it, hold the same value.
    """

    rule: str
    place: Place
    value: str
    hint: str = ""
    encoded: bool = False
    more: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same finding tomorrow: the value and the file."""
        return (self.value, self.place.path)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class NotRead:
    """Something that could not be evaluated; `detail` says what to do or what was seen."""

    path: str
    reason: Unread
    detail: str = ""


@dataclass(slots=True)
class Scan:
    """What was found, and what was not looked at. Values are merged from many workers."""

    findings: list[Finding] = field(default_factory=list)
    not_read: list[NotRead] = field(default_factory=list)
    skipped: Counter[Skipped] = field(default_factory=Counter)
    suppressed: Counter[Suppressed] = field(default_factory=Counter)
    files: int = 0
    size: int = 0
    blobs: int = 0
    commits: int = 0
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """Kept only for a live check: value's hash to the secret and the text around it."""

    def take(self, other: Scan) -> None:
        """Add what another part of the same scan says."""
        self.findings += other.findings
        self.not_read += other.not_read
        self.skipped.update(other.skipped)
        self.suppressed.update(other.suppressed)
        self.files += other.files
        self.size += other.size
        self.blobs += other.blobs
        self.commits += other.commits
        self.secrets.update(other.secrets)


class Hasher:
    """A keyed hash of secrets: copies are seen as one, and nobody without the key can guess."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        """Take the key.

        Raises:
            ValueError: it is short enough to be tried.
        """
        if len(key) < _KEY_BYTES:
            raise ValueError(f"expected a key of {_KEY_BYTES} bytes or more, got {len(key)}")
        self._key = key

    def of(self, secret: str) -> str:
        """Return the hash of a secret (HMAC-SHA-256, its first 128 bits in hex)."""
        message = secret.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, hashlib.sha256).hex()[:_HASH_CHARACTERS]

    @property
    def key_id(self) -> str:
        """Name the key, without telling it."""
        return hmac.digest(self._key, b"iamrange secret scan: key id", hashlib.sha256).hex()[:16]

    def __repr__(self) -> str:
        """Show no key."""
        return f"Hasher({self.key_id})"


def shown(text: str) -> str:
    """Return a name from a hostile place as one printable line."""
    return "".join(
        c
        if c.isprintable()
        else c.encode("unicode_escape", "surrogatepass").decode()
        if not "\ud800" <= c <= "\udfff"
        else f"\\x{ord(c) & 0xFF:02x}"
        for c in text
    )


def document(scan: Scan) -> dict[str, Any]:
    """Return the counters and what was not read, as JSON's values."""
    return {
        "files": scan.files,
        "bytes": scan.size,
        "blobs": scan.blobs,
        "commits": scan.commits,
        "skipped": {reason.value: scan.skipped[reason] for reason in Skipped},
        "suppressed": {reason.value: scan.suppressed[reason] for reason in Suppressed},
        "not_read": [
            {"path": shown(one.path), "reason": one.reason.value, "detail": shown(one.detail)}
            for one in sorted(scan.not_read)
        ],
    }
