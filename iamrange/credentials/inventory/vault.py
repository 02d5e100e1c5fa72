"""A vault's credentials: secrets of its key-value stores, tokens, leases, login roles.

- Custom metadata `owner`, `agent` and `expires` are read as tags are elsewhere.
- Tokens and leases are told by accessor and id: what they are good for never leaves the vault.
- The vault tells no last use: that is the audit log's to say, by path and by principal. Batch
  tokens are listed by no vault; the log alone has them.
Sources: https://openbao.org/api-docs/secret/kv/kv-v2/, https://openbao.org/api-docs/auth/token/,
https://openbao.org/api-docs/system/leases/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.credentials.inventory.gather import Credential, Fact, Kind, SourceDownError
from iamrange.credentials.inventory.moments import end_of, moment_of
from iamrange.credentials.vault.access import (
    VaultAwayError,
    VaultRefusedError,
    stores_of,
)
from iamrange.credentials.vault.decisions import principal_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iamrange.credentials.inventory.gather import Marker
    from iamrange.credentials.inventory.uses import Uses
    from iamrange.credentials.vault.access import Store, VaultAccess

_DOWN: Final = (VaultRefusedError, VaultAwayError)
_NO_OWNER: Final = "a lease does not say whose token it hangs on"
_SEVERAL: Final = "the audit log does not say by which of its tokens a principal acted"
_LOGINS: Final = "auth/"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueReader:
    """The secrets of a vault's key-value stores of version 2."""

    access: VaultAccess
    uses: Uses | None = None

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"bao kv {self.access.name}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the secrets; the newest value is marked, the older ones that can be read too.

        Raises:
            SourceDownError: they cannot be listed to the end, or a store tells no versions.
        """
        try:
            stores, others = stores_of(self.access)
            for store in stores:
                for name in names_below(self.access, store.metadata("")):
                    yield self._credential(store, name, marker)
        except _DOWN as error:
            raise SourceDownError(str(error)) from error
        if others:
            raise SourceDownError(
                f"{', '.join(others)}: expected key-value stores of version 2, got version 1, "
                "which tells neither ages nor owners"
            )

    def _credential(self, store: Store, name: str, marker: Marker) -> Credential:
        path = store.data(name)
        unread: dict[Fact, str] = {}
        facts: Mapping[str, Any] = {}
        try:
            facts = self.access.data("GET", store.metadata(name)) or {}
        except VaultRefusedError as error:
            for fact in (Fact.ROTATED, Fact.OWNER, Fact.EXPIRES):
                unread[fact] = str(error)
        told = facts.get("custom_metadata") or {}
        versions = {int(number): one for number, one in (facts.get("versions") or {}).items()}
        newest = versions.get(int(facts.get("current_version") or 0), {})
        created = moment_of(facts.get("created_time"))
        alive = [n for n, one in versions.items() if readable(one)]
        marks: set[str] = set()
        for number in alive or ([0] if unread else []):
            try:
                marks |= self._marks(path, number, marker)
            except VaultRefusedError as error:
                unread[Fact.VALUE] = str(error)
        used = None if self.uses is None else self.uses.of_secret.get(path)
        why = "there is no audit log" if self.uses is None else self.uses.unknown_before(created)
        if used is None and why is not None:
            unread[Fact.LAST_USED] = why
        expires, unreadable = end_of(told.get("expires"))
        if unreadable:
            unread[Fact.EXPIRES] = unreadable
        return Credential(
            source=self.source,
            kind=Kind.VAULT_SECRET,
            name=f"{store.path}/{name}",
            created=created,
            rotated=moment_of(newest.get("created_time")) if len(versions) > 1 else None,
            last_used=used,
            expires=expires,
            owner=told.get("owner"),
            agent=told.get("agent"),
            active=bool(alive) or bool(unread),
            marks=frozenset(marks),
            unread=unread,
        )

    def _marks(self, path: str, version: int, marker: Marker) -> frozenset[str]:
        answer = self.access.call("GET", path, query={"version": str(version)}) or {}
        value = (answer.get("data") or {}).get("data") or {}
        return marker.of_members(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReader:
    """The tokens that a vault has given out, by accessor. `agents`: principal -> agent's name."""

    access: VaultAccess
    agents: Mapping[str, str] = field(default_factory=dict)
    uses: Uses | None = None

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"bao tokens {self.access.name}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the tokens. Nothing here is a value, so nothing is marked.

        Raises:
            SourceDownError: they cannot be listed to the end.
        """
        del marker
        try:
            found = []
            for accessor in self.access.keys("auth/token/accessors"):
                facts = self._facts(accessor)
                if facts is not None:
                    found.append((accessor, facts))
        except _DOWN as error:
            raise SourceDownError(str(error)) from error
        whose = [principal_of(facts) for _, facts in found]
        for (accessor, facts), who in zip(found, whose, strict=True):
            yield self._credential(accessor, facts, who, alone=whose.count(who) == 1)

    def _facts(self, accessor: str) -> dict[str, Any] | None:
        """Look a token up; None where it has ended since the list was made."""
        try:
            return self.access.data("POST", "auth/token/lookup-accessor", {"accessor": accessor})
        except VaultRefusedError:
            if accessor in self.access.keys("auth/token/accessors"):
                raise
            return None

    def _credential(
        self, accessor: str, facts: Mapping[str, Any], who: str, *, alone: bool
    ) -> Credential:
        created = float(facts.get("creation_time") or 0) or None
        used = None if self.uses is None or not alone else self.uses.of_principal.get(who)
        if used is not None and created is not None and used < created:
            used = None  # by a token that is gone
        unread: dict[Fact, str] = {}
        if used is None:
            why = "there is no audit log"
            if self.uses is not None:
                why = self.uses.unknown_before(created) or ("" if alone else _SEVERAL)
            if why:
                unread[Fact.LAST_USED] = why
        agent = self.agents.get(who)
        policies = ", ".join(map(str, facts.get("policies") or ()))
        return Credential(
            source=self.source,
            kind=Kind.VAULT_TOKEN,
            name=f"{who or 'nobody'} {accessor} ({policies[:80]})",
            created=created,
            last_used=used,
            # one with a period can be renewed for ever, whatever end it has until then
            expires=None
            if facts.get("period") and not facts.get("explicit_max_ttl")
            else moment_of(facts.get("expire_time")),
            owner=(facts.get("meta") or {}).get("owner"),
            agent=agent,
            unread=unread,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReader:
    """The leases of what a vault has made for somebody: tokens' own are the tokens."""

    access: VaultAccess

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"bao leases {self.access.name}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the leases. Nothing here is a value, so nothing is marked.

        Raises:
            SourceDownError: they cannot be listed to the end.
        """
        del marker
        try:
            for mount in self.access.keys("sys/leases/lookup/"):
                if mount == _LOGINS:
                    continue
                root = f"sys/leases/lookup/{mount}"
                for name in names_below(self.access, root):
                    yield from self._of(f"{mount}{name}")
        except _DOWN as error:
            raise SourceDownError(str(error)) from error

    def _of(self, lease: str) -> Iterator[Credential]:
        try:
            facts = self.access.data("PUT", "sys/leases/lookup", {"lease_id": lease}) or {}
        except VaultRefusedError:
            parent, _, name = lease.rpartition("/")
            if name in self.access.keys(f"sys/leases/lookup/{parent}"):
                raise
            return  # it has ended since the list was made
        yield Credential(
            source=self.source,
            kind=Kind.VAULT_LEASE,
            name=lease,
            created=moment_of(facts.get("issue_time")),
            expires=moment_of(facts.get("expire_time")),
            unread={Fact.OWNER: _NO_OWNER},
        )


def readable(version: Mapping[str, Any]) -> bool:
    """Tell whether a version's value can be read: it was neither deleted nor destroyed."""
    return bool(version) and not version.get("destroyed") and not version.get("deletion_time")


def names_below(access: VaultAccess, root: str, prefix: str = "") -> Iterator[str]:
    """Yield every name below a path that can be listed, folders entered."""
    for key in access.keys(root + prefix):
        if key.endswith("/"):
            yield from names_below(access, root, prefix + key)
        else:
            yield prefix + key
