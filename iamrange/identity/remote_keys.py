"""An issuer's published keys, fetched again and again: the key source of a verifier.

- A key set is believed for `max_age` seconds: a key that its issuer withdraws in an emergency is
  refused by then. An issuer that cannot be reached is an error, never the old keys.
- Of many callers one fetches; a fetch that failed is not tried again at once.
- An unknown key id makes a fetch before that at most once in `cooldown` seconds: a flood of
  made-up ids is no flood of fetches.
- A key counts only under its RFC 7638 thumbprint as its id, so that no id ever means another key.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final

from iamrange.identity.access_token import PROFILE
from iamrange.identity.stores.errors import StoreDownError
from iamrange.jose import KeySet, Refusal, parse_key_set

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_BYTES: Final = 1 << 18
_STORE: Final = "keys"


class KeyFetchError(Exception):
    """The issuer's keys could not be had."""


class RemoteKeys:
    """The keys behind a fetcher, which returns a JWKS document or raises `KeyFetchError`."""

    def __init__(
        self,
        fetch: Callable[[], bytes],
        *,
        max_age: float = 0.9,
        cooldown: float = 0.3,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the fetcher; nothing is fetched before the first call."""
        self._fetch = fetch
        self._max_age = max_age
        self._cooldown = cooldown
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._document: bytes | None = None
        self._keys: KeySet | None = None
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._failed = False

    def __call__(self) -> KeySet:
        """Return the keys of at most `max_age` seconds ago.

        Raises:
            StoreDownError: the issuer cannot be reached, or publishes no key set.
        """
        keys = self._fresh()
        if keys is not None:
            return keys
        with self._lock:
            # whoever waited here finds what the one before fetched
            return self._fresh() or self._refetched()

    def having(self, kid: str) -> KeySet:
        """Return keys among which this id is, if the issuer publishes it.

        Raises:
            StoreDownError: the issuer cannot be reached, or publishes no key set.
        """
        keys = self()
        if _has(keys, kid) or self._cooling():
            return keys
        with self._lock:
            known = self._fresh()
            if known is not None and (_has(known, kid) or self._cooling()):
                return known
            return self._refetched()

    def _fresh(self) -> KeySet | None:
        young = self._monotonic() - self._fetched <= self._max_age
        return self._keys if young else None

    def _cooling(self) -> bool:
        return self._monotonic() - self._tried <= self._cooldown

    def _refetched(self) -> KeySet:
        if self._failed and self._cooling():
            raise StoreDownError(_STORE, "failed a moment ago")
        # measured before the fetch: the answer may be as old as the question
        asked = self._tried = self._monotonic()
        self._failed = True
        try:
            document = self._fetch()
        except (KeyFetchError, OSError) as error:
            raise StoreDownError(_STORE, type(error).__name__) from None
        keys = self._keys
        if keys is None or document != self._document:
            keys = _published(document)
        # one set for one document: verifiers remember tokens by the set that verified them
        self._document, self._keys, self._fetched = document, keys, asked
        self._failed = False
        return keys


def keys_over_http(
    url: str, *, timeout: float = 1.0, handlers: tuple[urllib.request.BaseHandler, ...] = ()
) -> Callable[[], bytes]:
    """Return a fetcher of this URL; `handlers` are for proxies and trusted authorities.

    No redirect is followed: an issuer's keys are at the issuer's address.

    Raises:
        ValueError: it is no http or https URL.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError("keys: expected an http or https URL")
    opener = urllib.request.build_opener(_NoRedirect(), *handlers)

    def fetch() -> bytes:
        try:
            with opener.open(url, timeout=timeout) as answer:
                body: bytes = answer.read(_MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            # such an error is an answer too, with a connection of its own
            error.close()
            raise KeyFetchError(f"status {error.code}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise KeyFetchError(type(error).__name__) from None
        if len(body) > _MOST_BYTES:
            raise KeyFetchError(f"more than {_MOST_BYTES} bytes")
        return body

    return fetch


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Follow no redirect: the answer is then an error."""


def _published(document: bytes) -> KeySet:
    parsed = parse_key_set(document, PROFILE)
    if isinstance(parsed, Refusal):
        raise StoreDownError(_STORE, parsed.code)
    return KeySet(tuple(key for key in parsed.keys if key.kid == key.key.thumbprint()))


def _has(keys: KeySet, kid: str) -> bool:
    return any(key.kid == kid for key in keys.keys)
