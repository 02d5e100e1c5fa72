"""The token service's keys in a vault: it signs with them and never holds them.

- One transit key of the vault's (`ecdsa-p256`, not exportable); its versions are the keys. The
  latest stands by, published beforehand; the one before it signs.
- Nothing is kept here: which version signs, verifies or is out is read off the vault's own dates
  and `min_decryption_version`, so that several processes agree.
- What the vault answers is looked at: a signature that the published key does not verify is none.
"""

from __future__ import annotations

import base64
import datetime as dt
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import hvac
import hvac.exceptions
import requests
from joserfc.jwk import ECKey

from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.keys import (
    OVERLAP,
    AuthorityKeysError,
    KeyDocument,
    publish,
)
from iamrange.jose import compact
from iamrange.jose.gate import DocumentError, decode_base64url
from iamrange.jose.sign import verifies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.core.clock import Clock
    from iamrange.jose import KeySet

STORE = "signing-keys"
_KIND = "ecdsa-p256"
_READ_SECONDS = 1.0
"""For how long the vault is not asked for its versions again; our own changes count at once."""

_STANDS_BY = 1


class TransitKey:
    """One version of the key: a `Signer`."""

    alg = "ES256"

    def __init__(
        self, sign: Callable[[bytes, int], str], version: int, public_pem: str, created: float
    ) -> None:
        """Take how the vault is asked to sign, the version, its public key, and its age."""
        self._sign = sign
        self._public = ECKey.import_key(public_pem)
        self.version = version
        self.created = created
        self.kid: str = self._public.thumbprint()

    def public_jwk(self) -> dict[str, Any]:
        """Return the public key as it goes into a JWKS."""
        public = self._public.as_dict(private=False)
        return {**public, "kid": self.kid, "alg": self.alg, "use": "sig"}

    def sign(
        self,
        claims: Mapping[str, Any],
        *,
        typ: str = "JWT",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a compact JWS over the claims; `header` adds to or replaces header members.

        Raises:
            StoreDownError: the vault does not sign, or not with this key.
        """
        protected = {"alg": self.alg, "typ": typ, "kid": self.kid, **(header or {})}
        return compact(protected, claims, self._signature)

    def _signature(self, signing_input: bytes) -> bytes:
        # "vault:v3:" and the signature, in the base64url that a JWS has
        _, version, text = (*self._sign(signing_input, self.version).split(":"), "", "")[:3]
        try:
            signature = decode_base64url(text)
        except DocumentError:
            signature = b""
        if version != f"v{self.version}" or not verifies(
            self._public, self.alg, signing_input, signature
        ):
            raise StoreDownError(STORE)
        return signature


@dataclass(frozen=True, slots=True)
class _Read:
    at: float
    versions: tuple[TransitKey, ...] = field(repr=False)
    """Oldest first."""


class TransitKeys:
    """The keys, as the token service asks for them. Threads may share it."""

    def __init__(
        self, client: hvac.Client, *, name: str, mount: str, clock: Clock, overlap: float = OVERLAP
    ) -> None:
        """Take a client whose token may read, rotate, configure and sign with the key.

        `clock` is real time, by which the vault dates its versions.

        Raises:
            AuthorityKeysError: the key is not there, of another kind, or one that can be had.
            StoreDownError: the vault cannot be asked.
        """
        self._client = client
        self._name = name
        self._mount = mount
        self._clock = clock
        self._overlap = overlap
        self._lock = threading.RLock()
        self._last: _Read | None = None
        data = self._key()
        if data["type"] != _KIND or data["exportable"] or data["allow_plaintext_backup"]:
            raise AuthorityKeysError(
                f"key {name!r} of the vault: expected one of type {_KIND} that cannot be had"
            )
        with self._lock:
            self._have_one_standing_by()

    @property
    def signer(self) -> TransitKey:
        """The key that signs now."""
        return self._published()[0]

    @property
    def kids(self) -> tuple[str, ...]:
        """The published keys' ids: the one that signs, the one that will, the earlier ones."""
        return tuple(key.kid for key in self._published())

    def key_set(self) -> KeySet:
        """Return the keys that verify our tokens now."""
        return publish(self._published())[0]

    def document(self) -> KeyDocument:
        """Return the JWKS document (RFC 7517 section 5) and its entity tag."""
        return publish(self._published())[1]

    def rotate(self) -> str:
        """Sign with the key that stood by, have a new one made beside it, and return its id.

        Raises:
            StoreDownError: the vault did not.
        """
        with self._lock:
            self._make_another()
            return self.signer.kid

    def withdraw(self, kid: str) -> None:
        """Stop trusting a key at once, and all that are older: the vault knows no other way.

        Raises:
            AuthorityKeysError: it is no key of ours.
            StoreDownError: the vault did not.
        """
        with self._lock:
            versions = self._versions()
            found = next((key for key in versions if key.kid == kid), None)
            if found is None:
                raise AuthorityKeysError(f"key {kid!r}: expected one of {self.kids}")
            if found.version == versions[-1].version:
                self._make_another()
            self._asked(
                lambda: self._client.secrets.transit.update_key_configuration(
                    name=self._name,
                    min_decryption_version=found.version + 1,
                    mount_point=self._mount,
                )
            )
            self._last = None
            self._have_one_standing_by()

    def _have_one_standing_by(self) -> None:
        while len(self._versions()) <= _STANDS_BY:
            self._make_another()

    def _make_another(self) -> None:
        self._asked(
            lambda: self._client.secrets.transit.rotate_key(
                name=self._name, mount_point=self._mount
            )
        )
        self._last = None

    def _published(self) -> tuple[TransitKey, ...]:
        """Return the signing key, the one that stands by, and those whose tokens may still live."""
        versions = self._versions()
        now = self._clock.now()
        *older, current, following = versions
        # a version signed its last token when the one after the next was made
        ends = [newer.created + self._overlap for newer in versions[2:]]
        alive = [key for key, end in zip(older, ends, strict=True) if now < end]
        return current, following, *reversed(alive)

    def _versions(self) -> tuple[TransitKey, ...]:
        with self._lock:
            now = self._clock.now()
            last = self._last
            if last is None or not 0 <= now - last.at < _READ_SECONDS:
                last = self._last = _Read(now, self._read_versions())
            return last.versions

    def _read_versions(self) -> tuple[TransitKey, ...]:
        data = self._key()
        least = int(data["min_decryption_version"])
        return tuple(
            TransitKey(
                self._signed,
                int(version),
                str(one["public_key"]),
                dt.datetime.fromisoformat(str(one["creation_time"])).timestamp(),
            )
            for version, one in sorted(data["keys"].items(), key=lambda item: int(item[0]))
            if int(version) >= least
        )

    def _key(self) -> dict[str, Any]:
        answer = self._asked(
            lambda: self._client.secrets.transit.read_key(name=self._name, mount_point=self._mount)
        )
        data: dict[str, Any] = answer["data"]
        return data

    def _signed(self, signing_input: bytes, version: int) -> str:
        answer = self._asked(
            lambda: self._client.secrets.transit.sign_data(
                name=self._name,
                hash_input=base64.b64encode(signing_input).decode(),
                key_version=version,
                hash_algorithm="sha2-256",
                marshaling_algorithm="jws",
                mount_point=self._mount,
            )
        )
        return str(answer["data"]["signature"])

    def _asked(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
        try:
            return ask()
        except hvac.exceptions.InvalidPath as error:
            raise AuthorityKeysError(f"key {self._name!r}: the vault has none") from error
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise StoreDownError(STORE) from error
