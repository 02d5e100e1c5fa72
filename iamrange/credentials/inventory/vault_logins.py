"""A vault's login roles: who may log in, and for how long what they get is good.

- A token can be renewed until its role's maximum, else its login's, else the vault's own (32 days
  as it comes). One with a period can be renewed for ever, one whose maximum is explicit cannot.
Source: https://openbao.org/docs/concepts/tokens/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.credentials.inventory.gather import Credential, Fact, Kind, SourceDownError
from iamrange.credentials.vault.access import VaultAwayError, VaultRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iamrange.credentials.inventory.gather import Marker
    from iamrange.credentials.vault.access import VaultAccess

COLLECTIONS: Final[Mapping[str, str]] = {
    "approle": "role",
    "cert": "certs",
    "jwt": "role",
    "kubernetes": "role",
    "ldap": "groups",
    "oidc": "role",
    "radius": "users",
    "token": "roles",
    "userpass": "users",
}
"""Where each kind of login keeps who may log in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRoleReader:
    """The roles of a vault's logins. `agents`: subject -> agent's name."""

    access: VaultAccess
    agents: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"bao logins {self.access.name}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the roles. Nothing here is a value, so nothing is marked.

        Raises:
            SourceDownError: they cannot be listed to the end, or a login is of an unknown kind.
        """
        del marker
        unknown = []
        try:
            for mount, facts in sorted((self.access.data("GET", "sys/auth") or {}).items()):
                if not isinstance(facts, dict) or "type" not in facts:
                    continue
                collection = COLLECTIONS.get(facts["type"])
                if collection is None:
                    unknown.append(f"{mount} ({facts['type']})")
                    continue
                for role in self.access.keys(f"auth/{mount}{collection}"):
                    yield from self._of(mount, facts["type"], f"{collection}/{role}")
        except (VaultRefusedError, VaultAwayError) as error:
            raise SourceDownError(str(error)) from error
        if unknown:
            raise SourceDownError(
                f"{', '.join(unknown)}: expected a login of a known kind, which are: "
                f"{', '.join(COLLECTIONS)}"
            )

    def _of(self, mount: str, kind: str, place: str) -> Iterator[Credential]:
        told = self.access.data("GET", f"auth/{mount}{place}")
        if told is None:
            return  # it has gone since the list was made
        name = f"{mount}{place.partition('/')[2]}"
        agent = self.agents.get(str(told.get("bound_subject") or ""))
        unread: dict[Fact, str] = {}
        lease: float | None = None
        try:
            lease = longest(told, self._most_of(mount))
        except VaultRefusedError as error:
            unread[Fact.EXPIRES] = str(error)
        yield Credential(
            source=self.source,
            kind=Kind.VAULT_ROLE,
            name=name,
            agent=agent,
            gives_for=lease,
            unread=unread,
        )
        if kind == "approle":
            yield Credential(
                source=self.source,
                kind=Kind.VAULT_ROLE,
                name=f"{name} secret-id",
                gives_for=float(told.get("secret_id_ttl") or 0) or None,
            )

    def _most_of(self, mount: str) -> float:
        """Return a login's longest lease, the vault's own default where it has none."""
        tuned = self.access.data("GET", f"sys/mounts/auth/{mount}tune") or {}
        return float(tuned.get("max_lease_ttl") or 0)


def longest(told: Mapping[str, Any], of_login: float) -> float | None:
    """Return for how many seconds a role's token is good at most; None: for ever."""
    explicit = float(told.get("token_explicit_max_ttl") or told.get("explicit_max_ttl") or 0)
    if explicit:
        return explicit
    if float(told.get("token_period") or told.get("period") or 0):
        return None
    own = float(told.get("token_max_ttl") or 0)
    most = min(own, of_login) if own and of_login else own or of_login
    return most or None
