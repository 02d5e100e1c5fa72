"""Client secrets as what is rotated: the directory keeps one hash an agent, so there is no overlap.

The new secret is good from the moment at which the old one ends.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.credentials.rotation.ports import PortDownError
from iamrange.identity.directory.model import DirectoryRefusal
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.secrets import hash_secret, secret_matches

if TYPE_CHECKING:
    from iamrange.identity.directory.directory import Directory

ACTOR: Final = "rotation"
_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """The client secret of one agent."""

    directory: Directory
    agent: str

    def issue(self, keep: str) -> str:
        """Return a new secret, which counts once it is admitted."""
        del keep
        return secrets.token_urlsafe(_BYTES)

    def admit(self, value: str) -> None:
        """Have this secret count, and no other."""
        if not self.accepts(value):
            self._set(hash_secret(value))

    def accepts(self, value: str) -> bool:
        """Tell whether the directory has this secret's hash."""
        try:
            entry = self.directory.get(self.agent)
        except StoreDownError as error:
            raise PortDownError(str(error)) from error
        if entry is None:
            raise PortDownError(f"agent '{self.agent}': expected in the directory, not found")
        return entry.secret_hash is not None and secret_matches(entry.secret_hash, value)

    def disable(self, value: str) -> None:
        """See to it that the secret does not count: another does since it was admitted."""
        if self.accepts(value):
            self._set(None)

    destroy = disable

    def _set(self, secret_hash: str | None) -> None:
        try:
            outcome = self.directory.update(self.agent, actor=ACTOR, secret_hash=secret_hash)
        except StoreDownError as error:
            raise PortDownError(str(error)) from error
        if isinstance(outcome, DirectoryRefusal):
            raise PortDownError(f"{outcome.code}: {outcome.detail}")
