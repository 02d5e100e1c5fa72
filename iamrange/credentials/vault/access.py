"""A vault's API for whoever administers it: OpenBao or HashiCorp Vault, by hvac.

An answer of 404 is a value: a vault says it of a path that holds nothing, and of a version that
was deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import hvac
import requests
from hvac.adapters import RawAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

USER_AGENT: Final = "iamrange-inventory"
_TIMEOUT: Final = 20
_REFUSED: Final = 400
_NOT_FOUND: Final = 404
_CAS: Final = "check-and-set parameter did not match"


class VaultRefusedError(Exception):
    """The vault's answer is an error; the message is method, path and status, never a body."""


class VaultChangedError(VaultRefusedError):
    """What was to be replaced is not the current version any more (check-and-set)."""


class VaultAwayError(Exception):
    """The vault gives no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAccess:
    """A vault, and the token to reach it by. With `direct` no proxy is asked.

    `known_as` is what people call it, where that is not its address.
    """

    address: str
    token: str = field(repr=False)
    direct: bool = False
    known_as: str = ""

    @property
    def name(self) -> str:
        """What the vault is called."""
        return self.known_as or self.address

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """Call a path below `/v1/`; return its answer, empty where it has none. None: 404.

        Raises:
            VaultChangedError: check-and-set was asked for, and somebody was faster.
            VaultRefusedError: the answer is an error.
            VaultAwayError: there is none.
        """
        with requests.Session() as http:
            http.trust_env = not self.direct
            http.headers["User-Agent"] = USER_AGENT
            client = hvac.Client(
                url=self.address,
                token=self.token,
                session=http,
                adapter=RawAdapter,
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
            try:
                answer = client.adapter.request(
                    method,
                    f"/v1/{quote(path)}",
                    raise_exception=False,
                    json=body,
                    params=query,
                )
            except requests.RequestException as error:
                raise VaultAwayError(f"{method} {path}: {type(error).__name__}") from error
        if answer.status_code == _NOT_FOUND:
            return None
        if answer.status_code >= _REFUSED:
            if _CAS in answer.text:
                raise VaultChangedError(f"{method} {path}: the version has changed")
            raise VaultRefusedError(f"{method} {path}: {answer.status_code}")
        try:
            value: Any = answer.json() if answer.content else {}
        except ValueError:
            raise VaultRefusedError(f"{method} {path}: expected JSON, got something else") from None
        if not isinstance(value, dict):
            raise VaultRefusedError(f"{method} {path}: expected an object, got something else")
        return value

    def data(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Call a path and return the `data` of its answer; None: there is nothing.

        Raises:
            VaultRefusedError, VaultAwayError: as `call`.
        """
        answer = self.call(method, path, body)
        if answer is None:
            return None
        value = answer.get("data")
        return value if isinstance(value, dict) else {}

    def keys(self, path: str) -> list[str]:
        """List a path; what holds nothing has no keys.

        Raises:
            VaultRefusedError, VaultAwayError: as `call`.
        """
        # no method of HTTP's own: proxies and servers need not know a vault's LIST
        answer = self.call("GET", path, query={"list": "true"}) or {}
        return [str(key) for key in (answer.get("data") or {}).get("keys") or ()]


@dataclass(frozen=True, slots=True)
class Store:
    """A key-value store of version 2. `path` is its mount, without a slash at its end."""

    path: str

    def data(self, name: str) -> str:
        """Return where the values of a secret are."""
        return f"{self.path}/data/{name}"

    def metadata(self, name: str) -> str:
        """Return where what is told of a secret is."""
        return f"{self.path}/metadata/{name}"


def stores_of(access: VaultAccess) -> tuple[tuple[Store, ...], tuple[str, ...]]:
    """Return a vault's key-value stores of version 2, and the mounts that hold values otherwise.

    Raises:
        VaultRefusedError, VaultAwayError: the mounts cannot be listed.
    """
    found, others = [], []
    for mount, facts in sorted((access.data("GET", "sys/mounts") or {}).items()):
        if not isinstance(facts, dict) or facts.get("type") not in {"kv", "generic", "cubbyhole"}:
            continue
        if facts["type"] == "kv" and (facts.get("options") or {}).get("version") == "2":
            found.append(Store(mount.rstrip("/")))
        elif facts["type"] != "cubbyhole":  # a cubbyhole is its token's own, and ends with it
            others.append(mount.rstrip("/"))
    return tuple(found), tuple(others)
