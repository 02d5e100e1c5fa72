"""How an identity is cut off at a vault: its entity disabled, its tokens revoked. By HTTP.

- A disabled entity lets none of its tokens do anything, batch tokens among them, and no login of
  its aliases succeeds. One that has never logged in gets an entity first, so that it cannot.
- Revoking a token revokes what it has made, and ends the leases that hang on it.
- Each cut is read back. One that cannot be seen is an error, never a success.
Source: https://openbao.org/api-docs/secret/identity/entity/, https://openbao.org/api-docs/auth/token/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests

from iamrange.detect.cut import CutError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TIMEOUT: Final = 20
_NOT_FOUND: Final = 404
_REFUSED: Final = 400
_ROUNDS: Final = 5
_BY_SUBJECT: Final = frozenset({"jwt", "oidc"})
"""Logins whose aliases are a token's subjects, like an agent's SPIFFE id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultHand:
    """Cuts identities off at one vault, by its administrator's token.

    A target is a principal as decision records name it: a subject, or a token's display name.
    """

    endpoint: str
    token: str = field(repr=False)

    def cut(self, target: str) -> str:
        """Disable the target's identities and revoke its tokens; return what was done.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        own = {self._own(login, target) for login in self._logins(target)}
        tokens = self._tokens(target, own)
        entities = own | {str(facts["entity_id"]) for _, facts in tokens if facts.get("entity_id")}
        for entity in entities:
            self._switch(entity, disabled=True)
        revoked = 0
        # a login that was under way may have come through: it is found the second time
        for _ in range(_ROUNDS):
            if not tokens:
                return f"{len(entities)} identities disabled at the vault, {revoked} tokens revoked"
            for accessor, _ in tokens:
                revoked += self._revoke(accessor)
            tokens = self._tokens(target, entities)
        raise CutError(f"vault: {target}: it gets new tokens as fast as they are revoked")

    def release(self, target: str) -> str:
        """Let the target log in again; return what was done. Tokens stay revoked.

        Raises:
            CutError: it could not be, or could not be seen.
        """
        entities = [found for login in self._logins(target) if (found := self._find(login, target))]
        for entity in entities:
            self._switch(entity, disabled=False)
        return f"{len(entities)} identities enabled at the vault"

    def _revoke(self, accessor: str) -> bool:
        """Revoke a token; False where it has ended already, with the one that made it perhaps."""
        try:
            self._call("POST", "auth/token/revoke-accessor", {"accessor": accessor})
        except CutError:
            if self._lookup(accessor):
                raise
            return False
        return True

    def _switch(self, entity: str, *, disabled: bool) -> None:
        self._call("POST", f"identity/entity/id/{entity}", {"disabled": disabled})
        seen = self._data(self._call("GET", f"identity/entity/id/{entity}"))
        if seen.get("disabled") is not disabled:
            raise CutError(
                f"vault: entity {entity} reads as not {'dis' if disabled else 'en'}abled"
            )

    def _logins(self, target: str) -> Iterator[str]:
        """Yield the accessors of logins at which the target would be an alias."""
        if "://" not in target:
            return
        for facts in self._data(self._call("GET", "sys/auth")).values():
            if isinstance(facts, dict) and facts.get("type") in _BY_SUBJECT:
                yield str(facts["accessor"])

    def _own(self, login: str, target: str) -> str:
        """Return the target's entity at a login, made if there is none."""
        found = self._find(login, target)
        if found:
            return found
        made = str(self._data(self._call("POST", "identity/entity", {}))["id"])
        alias = {"name": target, "canonical_id": made, "mount_accessor": login}
        self._call("POST", "identity/entity-alias", alias)
        return self._find(login, target) or made

    def _find(self, login: str, target: str) -> str:
        asked = {"alias_name": target, "alias_mount_accessor": login}
        found = self._data(self._call("POST", "identity/lookup/entity", asked))
        return str(found.get("id") or "")

    def _tokens(self, target: str, entities: set[str]) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the tokens that are the target's, by name or by entity."""
        listed = self._data(self._call("GET", "auth/token/accessors", query={"list": "true"}))
        found = []
        for accessor in listed.get("keys") or ():
            facts = self._lookup(accessor)
            if facts and (principal_of(facts) == target or facts.get("entity_id") in entities):
                found.append((accessor, facts))
        return found

    def _lookup(self, accessor: str) -> Mapping[str, Any]:
        """Look a token up; empty where it has ended since the list was made."""
        try:
            return self._data(
                self._call("POST", "auth/token/lookup-accessor", {"accessor": accessor})
            )
        except CutError:
            listed = self._data(self._call("GET", "auth/token/accessors", query={"list": "true"}))
            if accessor in (listed.get("keys") or ()):
                raise
            return {}

    @staticmethod
    def _data(answer: Mapping[str, Any]) -> Mapping[str, Any]:
        value = answer.get("data")
        return value if isinstance(value, dict) else {}

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        try:
            with requests.Session() as http:
                http.trust_env = False
                answer = http.request(
                    method,
                    f"{self.endpoint.rstrip('/')}/v1/{path}",
                    json=body,
                    params=query,
                    headers={"X-Vault-Token": self.token},
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                )
            if answer.status_code == _NOT_FOUND:
                return {}
            value: Any = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as error:
            raise CutError(f"vault: {method} {path}: {type(error).__name__}") from None
        if answer.status_code >= _REFUSED or not isinstance(value, dict):
            raise CutError(f"vault: {method} {path}: {answer.status_code}")
        return value


def principal_of(facts: Mapping[str, Any]) -> str:
    """Return who a token is, as decision records name its principal (a test compares)."""
    name = str(facts.get("display_name") or "")
    mount, _, subject = name.partition("-")
    return (subject if mount == "jwt" else name)[:256]
