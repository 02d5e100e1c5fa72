"""What a rotation needs: a vault that gives a value out, what accepts it, and who uses it.

Every operation may be asked for again after a crash, and then leaves things as they should be.
"""

from __future__ import annotations

from typing import Protocol


class PortDownError(Exception):
    """A vault, or what accepts a value, is away or refuses; the message has no value in it."""


class GoneError(Exception):
    """A version cannot be read any more, since it was destroyed."""


class Vault(Protocol):
    """Gives a value out: a secret in AWS, in Google Cloud, in OpenBao.

    Any operation may raise `PortDownError`.
    """

    @property
    def name(self) -> str:
        """What the secret is called, with the place that it is in."""
        ...

    def current(self) -> str:
        """Return the version that is given out."""
        ...

    def replaced_at(self) -> float | None:
        """Return when the current value came; None where it is the first."""
        ...

    def read(self, version: str) -> str:
        """Return a version's value.

        Raises:
            GoneError: it was destroyed.
        """
        ...

    def stage(self, rotation: str, value: str) -> str:
        """Put a new value in; return its version. Where a vault can, nobody gets it yet."""
        ...

    def staged(self, rotation: str) -> str | None:
        """Return the version that this rotation has put in, if it has."""
        ...

    def promote(self, old: str, new: str) -> None:
        """Give the new value out."""
        ...

    def restore(self, old: str, new: str) -> None:
        """Give the old value out again, and the new one no more."""
        ...

    def destroy(self, old: str) -> None:
        """Give the old version to nobody, by any name, as far as the vault can."""
        ...


class Acceptor(Protocol):
    """Accepts a value: IAM an access key, the token service a client secret.

    Any operation may raise `PortDownError`.
    """

    def issue(self, keep: str) -> str:
        """Return a new value; what an interrupted issue left beside `keep` is taken away first."""
        ...

    def admit(self, value: str) -> None:
        """Accept this value from now on; where only one can be, instead of the other."""
        ...

    def accepts(self, value: str) -> bool:
        """Try the value, and tell whether it is accepted."""
        ...

    def disable(self, value: str) -> None:
        """Refuse the value, so that it can still be brought back."""
        ...

    def destroy(self, value: str) -> None:
        """End the value for good."""
        ...


class Consumer(Protocol):
    """Somebody who uses the value out of the vault."""

    @property
    def name(self) -> str:
        """Who it is."""
        ...

    def failure(self) -> str | None:
        """Have it work with what the vault gives out; return why it does not, None if it does."""
        ...
