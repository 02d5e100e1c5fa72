"""The directory's own key: Ed25519, in a file outside the database that only its owner reads.

- Readers need the public half only; a `DirectoryPublicKey` cannot sign.
- The kid is the RFC 7638 thumbprint (RFC 8037 section 2 gives the members of an OKP key).
"""

from __future__ import annotations

import os
import stat
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from iamrange.identity.directory.errors import DirectoryKeyError

if TYPE_CHECKING:
    from pathlib import Path

_SEED = 32


class DirectoryPublicKey:
    """Verifies what the directory signed."""

    __slots__ = ("_public", "kid")

    def __init__(self, public: Ed25519PublicKey) -> None:
        """Take the public key."""
        self._public = public
        x = _base64url(public.public_bytes_raw())
        self.kid = _base64url(
            sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
        )

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether this key made the signature."""
        try:
            self._public.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    @property
    def public(self) -> DirectoryPublicKey:
        """The half that cannot sign."""
        return DirectoryPublicKey(self._public)

    def __repr__(self) -> str:
        """Show which key, never the key."""
        return f"{type(self).__name__}(kid={self.kid!r})"


class DirectoryKey(DirectoryPublicKey):
    """Signs entries and heads."""

    __slots__ = ("sign",)

    def __init__(self, private: Ed25519PrivateKey) -> None:
        """Take the private key."""
        super().__init__(private.public_key())
        self.sign = private.sign

    @classmethod
    def generate(cls) -> Self:
        """Make a new key, kept nowhere."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """Read the key file; make it if there is none. Two that start at once get one key.

        Raises:
            DirectoryKeyError: the file is no key, or others may read it.
        """
        seed = Ed25519PrivateKey.generate().private_bytes_raw()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{seed[:4].hex()}")
        if not path.exists():
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(seed)
                file.flush()
                os.fsync(file.fileno())
            try:
                # a link never replaces: the first to start wins, whole
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the key file.

        Raises:
            DirectoryKeyError: there is none, it is no key, or others may read it.
        """
        try:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise DirectoryKeyError(f"key file {path.name!r}: expected mode 0600")
            seed = path.read_bytes()
        except OSError as error:
            raise DirectoryKeyError(f"key file {path.name!r}: {type(error).__name__}") from None
        if len(seed) != _SEED:
            raise DirectoryKeyError(f"key file {path.name!r}: expected {_SEED} bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
