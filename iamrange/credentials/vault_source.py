"""Secrets of OpenBao and HashiCorp Vault: a key-value store of version 2, by hvac.

- A login is kept until most of its lease is over, in memory alone. One that the vault knows no
  more (it was restarted, the login was revoked) is replaced once in a read; then its word counts.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hvac
import hvac.exceptions
import requests

from iamrange.credentials.source import (
    Secret,
    SecretError,
    SecretMissingError,
    SecretRefusedError,
    SecretUnavailableError,
    VaultSealedError,
    VaultUnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

_LEASE_USED = 0.8
_SEALED = "sealed"


class VaultLogin:
    """A login at one vault, shared by all that is asked there."""

    def __init__(
        self,
        client: hvac.Client,
        login: Callable[[hvac.Client], float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a client and how it logs in: `login` returns the lease in seconds."""
        self.client = client
        self._login = login
        self._clock = clock
        self._good_until = 0.0
        self._lock = threading.Lock()

    def ask(self, call: Callable[[], _T], what: str) -> _T:
        """Return what a call of the client gives, logged in; `what` names it in an error.

        Raises:
            SecretRefusedError: the login or the call was refused.
            SecretMissingError: there is no such thing.
            SecretUnavailableError: the vault is sealed, away, or cannot answer.
        """
        fresh = self._be_logged_in()
        try:
            return _called(call, what)
        except SecretRefusedError:
            if fresh:
                raise
        self._good_until = 0.0
        self._be_logged_in()
        return _called(call, what)

    def _be_logged_in(self) -> bool:
        """Have a login; tell whether it was made just now."""
        with self._lock:
            now = self._clock()
            if now < self._good_until:
                return False
            lease = _called(lambda: self._login(self.client), "login")
            self._good_until = now + lease * _LEASE_USED
            return True


class VaultSource:
    """Reads one store of one vault."""

    def __init__(
        self,
        client: hvac.Client,
        login: Callable[[hvac.Client], float],
        *,
        store: str,
        field: str = "value",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a client and how it logs in: `login` returns the lease in seconds.

        `field` is the member of a secret's data that is the secret.
        """
        self._login = VaultLogin(client, login, clock=clock)
        self._store = store
        self._field = field

    def read(self, name: str) -> Secret:
        """Return the current version of the secret at a path of the store.

        Raises:
            SecretRefusedError: the login or the read was refused.
            SecretMissingError: there is none, or it has no such field.
            SecretUnavailableError: the vault is sealed, away, or cannot answer.
        """
        kv = self._login.client.secrets.kv.v2
        answer: dict[str, Any] = self._login.ask(
            lambda: kv.read_secret_version(
                path=name, mount_point=self._store, raise_on_deleted_version=True
            ),
            f"{self._store}/{name}",
        )
        data = answer["data"]
        if self._field not in data["data"]:
            raise SecretMissingError(
                f"vault secret '{self._store}/{name}': expected a field '{self._field}', "
                f"has {len(data['data'])} others"
            )
        return Secret(str(data["data"][self._field]), str(data["metadata"]["version"]))


def jwt_login(role: str, token_file: Path | str, *, path: str) -> Callable[[hvac.Client], float]:
    """Return a login by the token that lies in a file, which is read anew each time."""

    def login(client: hvac.Client) -> float:
        try:
            token = Path(token_file).read_text()
        except OSError as error:
            raise SecretRefusedError(
                f"vault login as '{role}': no token in '{token_file}': {error.strerror}"
            ) from error
        answer = client.auth.jwt.jwt_login(role=role, jwt=token.strip(), path=path)
        return float(answer["auth"]["lease_duration"])

    return login


def _called(call: Callable[[], _T], what: str) -> _T:
    """Return what a call of the client gives, its errors as ours.

    Raises:
        SecretError: it gave an error.
    """
    try:
        return call()
    except (hvac.exceptions.VaultError, requests.RequestException) as error:
        raise _ours(error, what) from error


def _ours(error: Exception, what: str) -> SecretError:
    if isinstance(error, requests.RequestException):
        return VaultUnreachableError(
            f"vault, {what}: nobody answers ({type(error).__name__}): is VAULT_ADDR right?"
        )
    if isinstance(error, hvac.exceptions.VaultDown):
        # a status of 503 alone may be a proxy's
        if _SEALED in str(error).lower():
            return VaultSealedError(f"vault, {what}: the vault is sealed: have it unsealed")
        return VaultUnreachableError(f"vault, {what}: it is there and cannot serve")
    if isinstance(error, hvac.exceptions.InvalidPath):
        return SecretMissingError(f"vault, {what}: there is none, or its version is deleted")
    refused = (
        hvac.exceptions.Forbidden,
        hvac.exceptions.InvalidRequest,
        hvac.exceptions.Unauthorized,
    )
    if isinstance(error, refused):
        return SecretRefusedError(
            f"vault, {what}: refused: see the decision record, or the vault's audit log"
        )
    return SecretUnavailableError(f"vault, {what}: {type(error).__name__}")
