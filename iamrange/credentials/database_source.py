"""Logins of a database that OpenBao or HashiCorp Vault makes: had, renewed, given back.

- Each is made for whoever asks, and is nobody's when its lease is over. Nothing is kept here, and
  there is no static password to fall back to: what cannot be had is an error that says why.
- A vault, or a database behind it, that is away is asked again, a few times and with jitter. What
  it may have made without our hearing of it ends with its lease.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from iamrange.credentials.source import Patience, patiently
from iamrange.credentials.vault_source import VaultLogin

if TYPE_CHECKING:
    from collections.abc import Callable

    import hvac


@dataclass(frozen=True, slots=True)
class LeasedLogin:
    """A login with its lease; `seconds` are those that it had left when the vault said so.

    Its representation hides the password.
    """

    user: str
    password: str = field(repr=False)
    lease_id: str
    seconds: float
    renewable: bool


class DatabaseLogins:
    """Has logins made by one database engine of one vault."""

    def __init__(  # noqa: PLR0913 - keyword-only ports
        self,
        client: hvac.Client,
        login: Callable[[hvac.Client], float],
        *,
        mount: str,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take a client, how it logs in (`login` returns the lease in seconds), and the mount."""
        self._login = VaultLogin(client, login)
        self._mount = mount
        self._patience = patience or Patience()
        self._sleep = sleep
        self._jitter = jitter

    def have(self, role: str) -> LeasedLogin:
        """Have a login made of a role.

        Raises:
            SecretRefusedError: the vault does not let this reader have one.
            SecretMissingError: there is no such role.
            SecretUnavailableError: the vault or the database is away.
        """
        engine = self._login.client.secrets.database
        answer = self._asked(
            lambda: engine.generate_credentials(name=role, mount_point=self._mount),
            f"{self._mount}/creds/{role}",
        )
        return LeasedLogin(
            user=str(answer["data"]["username"]),
            password=str(answer["data"]["password"]),
            lease_id=str(answer["lease_id"]),
            seconds=float(answer["lease_duration"]),
            renewable=bool(answer["renewable"]),
        )

    def renew(self, login: LeasedLogin, seconds: int) -> LeasedLogin:
        """Return the login with what the vault gives it now: at most its role's longest life.

        Raises:
            SecretRefusedError: its lease is over, or this reader may renew none.
            SecretUnavailableError: the vault or the database is away.
        """
        answer = self._asked(
            lambda: self._login.client.sys.renew_lease(login.lease_id, increment=seconds),
            "renewal of a database login",
        )
        return replace(
            login,
            seconds=float(answer["lease_duration"]),
            renewable=bool(answer["renewable"]),
        )

    def revoke(self, login: LeasedLogin) -> None:
        """Give the login back: its sessions end, and it is dropped, before this returns.

        Raises:
            SecretRefusedError: this reader may give none back.
            SecretUnavailableError: the vault or the database is away; the vault tries again.
        """
        self._asked(
            lambda: self._login.client.adapter.put(
                "/v1/sys/leases/revoke", json={"lease_id": login.lease_id, "sync": True}
            ),
            "revocation of a database login",
        )

    def _asked(self, call: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - the vault's own answer
        return patiently(
            lambda: self._login.ask(call, what),
            self._patience,
            sleep=self._sleep,
            jitter=self._jitter,
        )
