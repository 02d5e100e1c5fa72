"""One way to read a secret, whichever vault holds it.

- A source asks its vault each time: nothing is kept, so there is no old value to fall back to, and
  no static one either. What cannot be read is an error that says why.
- A vault that is away or sealed is asked again, a few times and with jitter; one that refuses is
  not: it has answered.
- No error's text holds a secret, a token, or the words of an SDK's exception.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class SecretError(Exception):
    """A secret could not be read; `reason` is a stable code, and the message names the way out."""

    reason = "unreadable"


class SecretRefusedError(SecretError):
    """The vault does not let this reader have the secret, or does not know the reader."""

    reason = "refused"


class SecretMissingError(SecretError):
    """There is no such secret, or no version of it that can be read."""

    reason = "missing"


class SecretUnavailableError(SecretError):
    """The vault cannot answer now; it may later."""

    reason = "unavailable"


class VaultSealedError(SecretUnavailableError):
    """The vault is sealed: it holds the secret and cannot open it until somebody unseals it."""

    reason = "sealed"


class VaultUnreachableError(SecretUnavailableError):
    """Nobody answers where the vault should be."""

    reason = "unreachable"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as it was just read, and which version of it; its representation hides it."""

    value: str = field(repr=False)
    version: str


class SecretSource(Protocol):
    """Where secrets are read; `name` is the vault's own: a path, an ARN, a resource name."""

    def read(self, name: str) -> Secret:
        """Return the secret's current version.

        Raises:
            SecretError: it cannot be had; see the classes for why.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a vault that is away is asked: `first` and `longest` are in seconds.

    Before try N+1 there is a wait of a random length below `first` times 2 to the N, so that
    readers which lost the vault together do not come back together.
    """

    tries: int = 5
    first: float = 0.2
    longest: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a patience that would never ask, or never wait.

        Raises:
            ValueError: a number is out of range.
        """
        if self.tries < 1 or not 0 < self.first <= self.longest:
            raise ValueError(f"patience: expected tries >= 1 and 0 < first <= longest, got {self}")


class PatientSource:
    """Reads from another source, again while its vault is away."""

    def __init__(
        self,
        source: SecretSource,
        patience: Patience | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take the source; `jitter` gives numbers from 0 to 1."""
        self._source = source
        self._patience = patience or Patience()
        self._sleep = sleep
        self._jitter = jitter

    def read(self, name: str) -> Secret:
        """Return the secret's current version.

        Raises:
            SecretError: it cannot be had, the last try included.
        """
        return patiently(
            lambda: self._source.read(name), self._patience, sleep=self._sleep, jitter=self._jitter
        )


def patiently(
    ask: Callable[[], _T],
    patience: Patience,
    *,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> _T:
    """Ask, again while the vault is away; return the answer.

    Raises:
        SecretError: it cannot be had, the last try included.
    """
    for number in range(1, patience.tries + 1):
        try:
            return ask()
        except SecretUnavailableError as error:
            if number == patience.tries:
                raise type(error)(f"{error} (asked {patience.tries} times)") from error
        longest = min(patience.first * 2 ** (number - 1), patience.longest)
        sleep(longest * jitter())
    raise AssertionError("the last try returns or raises")
