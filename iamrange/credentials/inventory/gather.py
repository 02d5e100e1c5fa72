"""One inventory of credentials, whatever holds them. Pure; the readers are the edge.

- A value never leaves its reader: what is kept of it is an HMAC under a key of this one inventory,
  which is forgotten with it. Equal marks are equal values; a mark says nothing else.
- What could not be read is a part of the answer: a whole source, or one fact of one credential.
  "There is none" and "nobody could tell" are different things.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_WHOLE: Final = 8
"""A value shorter than this is no credential, and too many of them are alike."""
_MEMBER: Final = 12
_KEY_ID: Final = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_NO_SECRETS: Final = frozenset(
    {"username", "user", "host", "hostname", "port", "engine", "dbname", "database", "region"}
    | {"project_id", "client_email", "client_id", "token_uri", "auth_uri", "type", "arn", "url"}
    | {"auth_provider_x509_cert_url", "client_x509_cert_url", "universe_domain", "endpoint"}
)
"""Members of a JSON secret that say where and for whom it is, as vendors' templates name them."""


class Kind(StrEnum):
    """What a credential is."""

    AWS_SECRET = "aws-secret"  # noqa: S105 - a kind's name
    GCP_SECRET = "gcp-secret"  # noqa: S105 - same
    VAULT_SECRET = "vault-secret"  # noqa: S105 - same
    AWS_ACCESS_KEY = "aws-access-key"
    GOOGLE_KEY = "google-service-account-key"
    DIRECTORY_KEY = "directory-key"
    CLIENT_SECRET = "client-secret"  # noqa: S105 - same
    CERTIFICATE = "certificate"
    VAULT_TOKEN = "vault-token"  # noqa: S105 - same
    VAULT_LEASE = "vault-lease"
    VAULT_ROLE = "vault-login-role"


HOLDERS: Final = frozenset({Kind.AWS_SECRET, Kind.GCP_SECRET, Kind.VAULT_SECRET, Kind.CERTIFICATE})
"""Kinds that hold a value; of the others only the verifying half, or the id, is kept where read."""


class Fact(StrEnum):
    """What can stay unread of one credential."""

    VALUE = "value"
    OWNER = "owner"
    ROTATED = "rotated"
    LAST_USED = "last-used"
    EXPIRES = "expires"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One credential. Moments are seconds; None is "there is none" unless the fact is `unread`.

    `owner` and `agent` are what the place itself says (tags, labels, a name); `expires` is when it
    should end, by the place's own data or its tag. `gives_for` is for how many seconds at most what
    a login role gives out is good; None where that has no end. `active`: it is still accepted.
    `unread` maps a fact to why it is not known.
    """

    source: str
    kind: Kind
    name: str
    created: float | None = None
    rotated: float | None = None
    last_used: float | None = None
    expires: float | None = None
    owner: str | None = None
    agent: str | None = None
    gives_for: float | None = None
    active: bool = True
    marks: frozenset[str] = frozenset()
    unread: Mapping[Fact, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it is, and what it is called there."""
        return f"{self.source}: {self.name}"


class SourceDownError(Exception):
    """A source cannot be read, or not to its end; the message says why."""


class Reader(Protocol):
    """One place that holds credentials: a vault is one adapter of this."""

    @property
    def source(self) -> str:
        """What the place is called."""
        ...

    def read(self, marker: Marker) -> Iterable[Credential]:
        """Yield what is there. Values go into the marker, and nowhere else.

        Raises:
            SourceDownError: it cannot be read, or not to its end.
        """
        ...


class Marker:
    """Marks values, so that equal ones are known without being kept."""

    def __init__(self, key: bytes | None = None) -> None:
        """Take a key, or make one that nobody else ever has."""
        self._key = key or secrets.token_bytes(32)

    def of(self, value: str | bytes) -> frozenset[str]:
        """Return the marks of a value: of the whole, of a JSON value's members, of key ids in it.

        A value too short to be told from others has none.
        """
        text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        text = text.strip()
        found = {text} if len(text) >= _WHOLE else set()
        found.update(_KEY_ID.findall(text))
        with contextlib.suppress(ValueError, RecursionError):
            found.update(_members(json.loads(text), ""))
        return frozenset(self._mark(part) for part in found)

    def of_members(self, value: Mapping[str, Any]) -> frozenset[str]:
        """Return the marks of a secret that is an object: of each member as of a value by itself.

        The members that say where and for whom it is have none.
        """
        texts = (one for name, one in value.items() if name.lower() not in _NO_SECRETS)
        return frozenset(
            mark
            for one in texts
            for mark in self.of(one if isinstance(one, str) else json.dumps(one))
        )

    def _mark(self, part: str) -> str:
        data = part.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()


def _members(value: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for member, inner in value.items():
            yield from _members(inner, member)
    elif isinstance(value, list):
        for inner in value:
            yield from _members(inner, name)
    elif isinstance(value, str) and name.lower() not in _NO_SECRETS:
        stripped = value.strip()
        if len(stripped) >= _MEMBER:
            yield stripped


@dataclass(frozen=True, slots=True)
class Unread:
    """A source that was not read to its end, and why."""

    source: str
    why: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that was found, and what could not be read."""

    credentials: tuple[Credential, ...]
    sources: tuple[str, ...]
    unread: tuple[Unread, ...] = ()

    def copies(self) -> dict[str, tuple[str, ...]]:
        """Return, by a credential's place, the other places that hold a value of its."""
        holders: defaultdict[str, set[str]] = defaultdict(set)
        for credential in self.credentials:
            if credential.kind in HOLDERS:
                for mark in credential.marks:
                    holders[mark].add(credential.place)
        found = {}
        for credential in self.credentials:
            places = set().union(*(holders.get(mark, set()) for mark in credential.marks))
            found[credential.place] = tuple(sorted(places - {credential.place}))
        return found

    def per_agent(self) -> Counter[str]:
        """Return how many active credentials each agent has, by what the places say."""
        return Counter(c.agent for c in self.credentials if c.agent and c.active)


def gather(readers: Iterable[Reader], marker: Marker | None = None) -> Inventory:
    """Read every source; one that breaks half-way leaves what came, and is named.

    Raises:
        ValueError: there is no source: an inventory of nothing says nothing.
    """
    marker = marker or Marker()
    found: list[Credential] = []
    unread: list[Unread] = []
    sources: list[str] = []
    for reader in readers:
        sources.append(reader.source)
        try:
            found.extend(reader.read(marker))
        except SourceDownError as error:
            unread.append(Unread(reader.source, str(error)))
    if not sources:
        raise ValueError("inventory: expected at least one source, got none")
    return Inventory(tuple(found), tuple(sources), tuple(unread))
