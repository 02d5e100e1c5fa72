"""What a token is worth by itself: form, key, signature, issuer, audience; remembered by its hash.

- Only a token that every layer here allowed is remembered, with the very key set that verified
  it: another key set, and it is verified again.
- The memory is bounded; it holds hashes and claims, never a token.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity import access_token
from iamrange.identity.remote_keys import RemoteKeys
from iamrange.identity.stores.errors import StoreDownError
from iamrange.jose import KeySet, Refusal, UnverifiedToken, parse, peek, verify_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.identity.access_token import AccessToken

_CAPACITY: Final = 10_000
_LAYERS: Final = ("token", "keys", "signature", "issuer", "audience")


@dataclass(frozen=True, slots=True)
class Examined:
    """The answers of the layers here, and the token as far as it can be read.

    The token is worth something only where every layer allows.
    """

    layers: tuple[LayerAnswer, ...]
    token: AccessToken | None


@dataclass(frozen=True, slots=True)
class _Remembered:
    keys: KeySet = field(repr=False)
    examined: Examined


class TokenExaminer:
    """Examines the access tokens of one issuer for one audience."""

    def __init__(self, keys: Callable[[], KeySet], *, issuer: str, audience: str | None) -> None:
        """Take the issuer's keys, asked for each time; audience None: none is asked for."""
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lock = threading.Lock()
        self._known: dict[bytes, _Remembered] = {}

    def examine(self, token: str | None, digest: bytes, now: float) -> Examined:
        """Return what each layer answers for this token, whose SHA-256 is `digest`."""
        if token is None:
            return _NOTHING
        try:
            keys: KeySet | StoreDownError = self._keys()
        except StoreDownError as error:
            keys = error
        known = self._known.get(digest)
        if known is not None and known.keys is keys:
            return known.examined
        examined, keys = self._examine(token, keys)
        if isinstance(keys, KeySet) and not any(layer.refuses for layer in examined.layers):
            self._remember(digest, _Remembered(keys, examined), now)
        return examined

    def _examine(
        self, token: str, keys: KeySet | StoreDownError
    ) -> tuple[Examined, KeySet | StoreDownError]:
        parsed = parse(token, access_token.PROFILE)
        readable = parsed if isinstance(parsed, UnverifiedToken) else _peeked(token)
        if readable is None:
            return Examined((_token_layer(parsed, None), *_UNASKED[1:]), None), keys
        keys = self._having(readable.header.get("kid"), keys)
        claims = readable.unverified_claims
        read, misshapen = access_token.read_unverified(claims)
        layers = (
            _token_layer(parsed, misshapen),
            *_signature_layers(readable, keys),
            _answer("issuer", access_token.issuer_refusal(claims, self._issuer), "our-issuer"),
            self._audience_layer(claims),
        )
        return Examined(layers, read), keys

    def _having(self, kid: object, keys: KeySet | StoreDownError) -> KeySet | StoreDownError:
        """Give a key source that fetches the chance to find a key that is new."""
        if not isinstance(self._keys, RemoteKeys) or not isinstance(kid, str):
            return keys
        try:
            return self._keys.having(kid)
        except StoreDownError as error:
            return error

    def _audience_layer(self, claims: Mapping[str, Any]) -> LayerAnswer:
        if self._audience is None:
            return LayerAnswer("audience", Effect.NOT_APPLICABLE, "not-checked")
        refusal = access_token.audience_refusal(claims, self._audience)
        return _answer("audience", refusal, "this-resource")

    def _remember(self, digest: bytes, known: _Remembered, now: float) -> None:
        with self._lock:
            if len(self._known) >= _CAPACITY:
                self._known = {
                    one: held
                    for one, held in self._known.items()
                    if held.examined.token is not None and held.examined.token.expires > now
                }
            while len(self._known) >= _CAPACITY:
                self._known.pop(next(iter(self._known)))
            self._known[digest] = known


def _peeked(token: str) -> UnverifiedToken | None:
    return peek(token, max_length=access_token.PROFILE.max_length)


def _answer(layer: str, refusal: Refusal | None, allowed: str) -> LayerAnswer:
    if refusal is None:
        return LayerAnswer(layer, Effect.ALLOW, allowed)
    return LayerAnswer(layer, Effect.DENY, refusal.code, detail=refusal.detail)


def _unasked(layer: str) -> LayerAnswer:
    return LayerAnswer(layer, Effect.NOT_APPLICABLE, "not-evaluated")


_UNASKED: Final = tuple(_unasked(layer) for layer in _LAYERS)
_NOTHING: Final = Examined(_UNASKED, None)


def _token_layer(parsed: UnverifiedToken | Refusal, misshapen: Refusal | None) -> LayerAnswer:
    return _answer("token", parsed if isinstance(parsed, Refusal) else misshapen, "well-formed")


def _signature_layers(
    readable: UnverifiedToken, keys: KeySet | StoreDownError
) -> tuple[LayerAnswer, LayerAnswer]:
    if isinstance(keys, StoreDownError):
        down = LayerAnswer("keys", Effect.DENY, "keys-unavailable", detail=keys.store)
        return down, _unasked("signature")
    verified = verify_signature(readable, keys, access_token.PROFILE)
    if not isinstance(verified, Refusal):
        return _answer("keys", None, "key-found"), _answer("signature", None, "verified")
    if verified.code == "unknown-key":
        return _answer("keys", verified, ""), _unasked("signature")
    if verified.code == "algorithm-not-allowed" or not readable.signature:
        # the token layer refuses it; a verifier without that layer has no way to check it
        return _answer("keys", None, "fetched"), _unasked("signature")
    return _answer("keys", None, "key-found"), _answer("signature", verified, "")
