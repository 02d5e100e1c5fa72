"""The authority's signing keys: one signs, one stands by, earlier ones verify until they are out.

- The key that will sign next is published beforehand: no verifier meets a key it never saw.
- A key that was rotated out stays published until every token that it signed is over.
- A withdrawn key is out at once, with all tokens that it signed, and never comes back.
- `persist` is called with the new keys *before* they take effect: a crash loses no key in use and
  brings no withdrawn one back.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from iamrange.identity.names import ACCESS_TOKEN_LIFE
from iamrange.jose import STRICT, KeySet, Refusal, SigningKey, parse_key_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iamrange.core.clock import Clock
    from iamrange.jose import Signer

OVERLAP = ACCESS_TOKEN_LIFE + 60
"""Seconds that a rotated key verifies: the longest token life, skew and a cached key set."""
_MAX_WITHDRAWN = 1_000


class AuthorityKeysError(Exception):
    """A key was named that is not the authority's, or its persisted keys are not keys."""


@dataclass(frozen=True, slots=True)
class _Retired:
    key: SigningKey
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """One consistent state; replaced as a whole."""

    current: SigningKey
    next: SigningKey
    retired: tuple[_Retired, ...] = ()
    withdrawn: tuple[str, ...] = ()

    def published(self, now: float) -> tuple[SigningKey, ...]:
        """Return the keys that a verifier should know, the signing one first."""
        overlapping = (retired.key for retired in self.retired if now < retired.until)
        return (self.current, self.next, *overlapping)


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """The published key set, ready to send."""

    body: bytes = field(repr=False)
    etag: str


class TokenKeys(Protocol):
    """The keys of a token service, wherever they are."""

    @property
    def signer(self) -> Signer:
        """The key that signs now."""
        ...

    @property
    def kids(self) -> tuple[str, ...]:
        """The published keys' ids: the one that signs, the one that will, the earlier ones."""
        ...

    def key_set(self) -> KeySet:
        """Return the keys that verify our tokens now."""
        ...

    def document(self) -> KeyDocument:
        """Return the JWKS document (RFC 7517 section 5) and its entity tag."""
        ...


class AuthorityKeys:
    """ES256 keys; the kid is the RFC 7638 thumbprint, so that no kid ever names two keys."""

    def __init__(
        self,
        *,
        clock: Clock,
        document: Mapping[str, Any] | None = None,
        persist: Callable[[Mapping[str, Any]], None] | None = None,
        overlap: float = OVERLAP,
    ) -> None:
        """Load the persisted private keys, or make new ones.

        Raises:
            AuthorityKeysError: the document is not what `persist` was given.
            ValueError: the overlap is shorter than a token's life.
        """
        if overlap < ACCESS_TOKEN_LIFE:
            raise ValueError(f"overlap expected {ACCESS_TOKEN_LIFE} s or more, got {overlap}")
        self._clock = clock
        self._persist = persist or _forget
        self._overlap = overlap
        self._lock = threading.Lock()
        self._cached: tuple[tuple[str, ...], KeySet, KeyDocument] | None = None
        if document is None:
            keys = _Keys(current=SigningKey.generate("ES256"), next=SigningKey.generate("ES256"))
            self._persist(_to_document(keys))
        else:
            keys = _from_document(document)
        self._keys = keys

    @property
    def signer(self) -> SigningKey:
        """The key that signs now."""
        return self._keys.current

    @property
    def kids(self) -> tuple[str, ...]:
        """The published keys' ids: the one that signs, the one that will, the earlier ones."""
        return tuple(key.kid for key in self._keys.published(self._clock.now()))

    def key_set(self) -> KeySet:
        """Return the keys that verify our tokens now."""
        return self._published()[1]

    def document(self) -> KeyDocument:
        """Return the JWKS document (RFC 7517 section 5) and its entity tag."""
        return self._published()[2]

    def rotate(self) -> str:
        """Sign with the key that stood by, publish a new one beside it, and return its id."""
        with self._lock:
            now = self._clock.now()
            keys = self._keys
            kept = tuple(retired for retired in keys.retired if now < retired.until)
            self._replace(
                replace(
                    keys,
                    current=keys.next,
                    next=SigningKey.generate("ES256"),
                    retired=(_Retired(keys.current, now + self._overlap), *kept),
                )
            )
            return keys.next.kid

    def withdraw(self, kid: str) -> None:
        """Stop trusting a key at once, as after a leak. If it signs, the next one signs instead.

        Raises:
            AuthorityKeysError: it is no key of ours.
        """
        with self._lock:
            keys = self._keys
            if kid in keys.withdrawn:
                return
            if kid not in {keys.current.kid, keys.next.kid, *(r.key.kid for r in keys.retired)}:
                raise AuthorityKeysError(f"key {kid!r}: expected one of {self.kids}")
            current = keys.next if keys.current.kid == kid else keys.current
            standing_by = kid not in (keys.current.kid, keys.next.kid)
            self._replace(
                _Keys(
                    current=current,
                    next=keys.next if standing_by else SigningKey.generate("ES256"),
                    retired=tuple(r for r in keys.retired if r.key.kid != kid),
                    withdrawn=(*keys.withdrawn, kid)[-_MAX_WITHDRAWN:],
                )
            )

    def private_document(self) -> Mapping[str, Any]:
        """Return the private keys as the caller persists them."""
        return _to_document(self._keys)

    def _replace(self, keys: _Keys) -> None:
        self._persist(_to_document(keys))
        self._keys = keys

    def _published(self) -> tuple[tuple[str, ...], KeySet, KeyDocument]:
        published = self._keys.published(self._clock.now())
        kids = tuple(key.kid for key in published)
        cached = self._cached
        if cached is not None and cached[0] == kids:
            return cached
        self._cached = (kids, *publish(published))
        return self._cached


def publish(keys: Iterable[Signer]) -> tuple[KeySet, KeyDocument]:
    """Return what verifies the keys' signatures, as a key set and as the document of a JWKS.

    Raises:
        AuthorityKeysError: they are no keys that may sign tokens.
    """
    members = {"keys": [key.public_jwk() for key in keys]}
    key_set = parse_key_set(members, STRICT)
    if isinstance(key_set, Refusal):
        raise AuthorityKeysError(key_set.detail)
    body = json.dumps(members, separators=(",", ":")).encode()
    tag = hashlib.sha256(body).hexdigest()[:32]
    return key_set, KeyDocument(body, f'"{tag}"')


def _forget(_: Mapping[str, Any]) -> None:
    """Persist nothing: the keys die with the process."""


def _to_document(keys: _Keys) -> dict[str, Any]:
    return {
        "current": keys.current.private_jwk(),
        "next": keys.next.private_jwk(),
        "retired": [{"key": r.key.private_jwk(), "until": r.until} for r in keys.retired],
        "withdrawn": list(keys.withdrawn),
    }


def _from_document(document: Mapping[str, Any]) -> _Keys:
    try:
        keys = _Keys(
            current=SigningKey.from_jwk(document["current"]),
            next=SigningKey.from_jwk(document["next"]),
            retired=tuple(
                _Retired(SigningKey.from_jwk(item["key"]), float(item["until"]))
                for item in document["retired"]
            ),
            withdrawn=tuple(str(kid) for kid in document["withdrawn"]),
        )
    except (KeyError, TypeError, ValueError):
        # the cause could show a private member
        raise AuthorityKeysError("persisted keys: expected what persist was given") from None
    loaded = [keys.current, keys.next, *(retired.key for retired in keys.retired)]
    if any(key.alg != "ES256" for key in loaded):
        raise AuthorityKeysError("persisted keys: expected ES256 keys only")
    if {key.kid for key in loaded} & set(keys.withdrawn):
        raise AuthorityKeysError("persisted keys: a withdrawn key came back")
    return keys
