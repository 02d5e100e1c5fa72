"""Rotation in OpenBao and HashiCorp Vault: a secret of a key-value store, version 2, as the vault.

- Whoever reads a secret gets its newest version, and no label can say otherwise. So a new value
  waits at a path of its own, below `iamrange-staged/`, and is written over the old one by
  check-and-set: it is the next version, or it is refused.
- An old value that is given out again is a new version.
- Of two rotations the first to stage is the one: the other is refused before it makes a value.
Source: https://openbao.org/api-docs/secret/kv/kv-v2/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.credentials.inventory.moments import moment_of
from iamrange.credentials.rotation.ports import GoneError, PortDownError
from iamrange.credentials.vault.access import (
    Store,
    VaultAwayError,
    VaultChangedError,
    VaultRefusedError,
    stores_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.credentials.vault.access import VaultAccess

STAGED: Final = "iamrange-staged"
FIELD: Final = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueVault:
    """One member of one secret. A version's name is its number; other members stay as they are."""

    access: VaultAccess
    store: Store
    secret: str
    member: str = FIELD

    @property
    def name(self) -> str:
        """What the secret is called, with the place that it is in."""
        return f"bao {self.access.name} {self.store.path}/{self.secret}#{self.member}"

    def current(self) -> str:
        """Return the newest version.

        Raises:
            PortDownError: it was deleted, or there is none.
        """
        number = self._newest()
        if not _alive(self._versions().get(number, {})):
            raise PortDownError(f"{self.name}: expected its newest version to be readable")
        return str(number)

    def replaced_at(self) -> float | None:
        """Return when the newest version was written; None where it is the first."""
        number = self._newest()
        if number <= 1:
            return None
        return moment_of(self._versions().get(number, {}).get("created_time"))

    def read(self, version: str) -> str:
        """Return a version's value; one that is staged is read where it waits.

        Raises:
            GoneError: it was destroyed, or never was.
        """
        found = self._data(version)
        if found is None:
            waiting = self._waiting()
            if waiting is None or waiting["version"] != version:
                raise GoneError(f"{self.name}: version {version} was destroyed")
            found = waiting["data"]
        value = found.get(self.member)
        if not isinstance(value, str):
            raise PortDownError(f"{self.name}: expected text in this member, got none")
        return value

    def stage(self, rotation: str, value: str) -> str:
        """Put a new value where nobody reads; it is to be the next version."""
        old = self.current()
        new = str(int(old) + 1)
        data = {**(self._data(old) or {}), self.member: value}
        kept = {"rotation": rotation, "version": new, "data": data}
        try:
            self._write(self._staged_at, kept, after=0)
        except VaultChangedError:
            raise self._taken() from None
        return new

    def staged(self, rotation: str) -> str | None:
        """Return the version that this rotation has staged, if it has.

        Raises:
            PortDownError: another rotation has staged one.
        """
        waiting = self._waiting()
        if waiting is None:
            return None
        if waiting["rotation"] != rotation:
            raise self._taken()
        return str(waiting["version"])

    def promote(self, old: str, new: str) -> None:
        """Write the new value over the old one.

        Raises:
            PortDownError: somebody else wrote a version since.
        """
        waiting = self._waiting()
        if waiting is None or waiting["version"] != new:
            if str(self._newest()) != new:
                raise self._overtaken(old)
            return  # a crash came after this
        try:
            self._write(self.secret, waiting["data"], after=int(old))
        except VaultChangedError:
            if self._data(new) != waiting["data"]:
                raise self._overtaken(old) from None
        self._forget_staged()

    def restore(self, old: str, new: str) -> None:
        """Write the old value anew, unless a crash came after that."""
        if str(self._newest()) == new:
            value = self._data(old)
            if value is None:
                raise PortDownError(f"{self.name}: version {old}, to be given out again, is gone")
            try:
                self._write(self.secret, value, after=int(new))
            except VaultChangedError:
                raise self._overtaken(new) from None

    def destroy(self, old: str) -> None:
        """Destroy a version, and older ones that hold the same value: a roll-back leaves such.

        Raises:
            PortDownError: it is the one that is given out.
        """
        value = self._data(old)
        if value is None:
            return
        if str(self._newest()) == old:
            raise PortDownError(f"{self.name}: version {old} is the one that is given out")
        older = [n for n, facts in self._versions().items() if n < int(old) and _alive(facts)]
        same = [n for n in older if self._member_of(n) == value.get(self.member)]
        # in one request: a crash leaves all of them, or none
        self._call(
            "PUT", f"{self.store.path}/destroy/{self.secret}", {"versions": [*same, int(old)]}
        )

    @property
    def _staged_at(self) -> str:
        return f"{STAGED}/{self.secret}"

    def _member_of(self, version: int) -> object:
        return (self._data(str(version)) or {}).get(self.member)

    def _waiting(self) -> dict[str, Any] | None:
        answer = self._call("GET", self.store.data(self._staged_at))
        value = ((answer or {}).get("data") or {}).get("data")
        return value if isinstance(value, dict) else None

    def _forget_staged(self) -> None:
        self._call("DELETE", self.store.metadata(self._staged_at))

    def _data(self, version: str) -> dict[str, Any] | None:
        answer = self._call("GET", self.store.data(self.secret), query={"version": version})
        value = ((answer or {}).get("data") or {}).get("data")
        return value if isinstance(value, dict) else None

    def _facts(self) -> dict[str, Any]:
        answer = self._call("GET", self.store.metadata(self.secret))
        if answer is None:
            raise PortDownError(f"{self.name}: expected a secret there, found none")
        return dict(answer.get("data") or {})

    def _newest(self) -> int:
        return int(self._facts().get("current_version") or 0)

    def _versions(self) -> dict[int, Mapping[str, Any]]:
        return {int(number): facts for number, facts in self._facts()["versions"].items()}

    def _write(self, secret: str, data: Mapping[str, Any], *, after: int) -> None:
        body = {"data": data, "options": {"cas": after}}
        self._call("POST", self.store.data(secret), body)

    def _taken(self) -> PortDownError:
        return PortDownError(
            f"{self.name}: another rotation of it is under way: finish it where it was begun, or "
            f"delete '{self.store.path}/{self._staged_at}' if nobody will"
        )

    def _overtaken(self, version: str) -> PortDownError:
        return PortDownError(
            f"{self.name}: somebody else has written over version {version}: "
            "docs/rotation.md says how to go on"
        )

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:
        try:
            return self.access.call(method, path, body, query)
        except VaultChangedError:
            raise
        except (VaultRefusedError, VaultAwayError) as error:
            raise PortDownError(str(error)) from error


def vault_at(access: VaultAccess, text: str) -> KeyValueVault:
    """Return the vault for `STORE/PATH` or `STORE/PATH#MEMBER`, whichever store holds that path.

    Raises:
        PortDownError: no store of version 2 does, or the stores cannot be listed.
    """
    path, _, member = text.partition("#")
    try:
        stores, _ = stores_of(access)
    except (VaultRefusedError, VaultAwayError) as error:
        raise PortDownError(str(error)) from error
    holding = [store for store in stores if path.startswith(f"{store.path}/")]
    if not holding:
        known = ", ".join(store.path for store in stores) or "none"
        raise PortDownError(
            f"bao:{text}: expected a path below a key-value store of version 2, which are: {known}"
        )
    store = max(holding, key=lambda one: len(one.path))
    secret = path.removeprefix(f"{store.path}/").strip("/")
    return KeyValueVault(access=access, store=store, secret=secret, member=member or FIELD)


def _alive(facts: Mapping[str, Any]) -> bool:
    return bool(facts) and not facts.get("destroyed") and not facts.get("deletion_time")
