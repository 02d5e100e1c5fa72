"""Rotation in Google Secret Manager: a secret as the vault.

- A new version is `latest` at once: whoever reads that has it before the switch. Both values are
  good then, where what accepts them takes two.
- `latest` is the newest version even where that is disabled or destroyed: to give an old value out
  again it is added anew (https://cloud.google.com/secret-manager/docs/access-secret-version).
- Which version a rotation added is found by an annotation that is written before.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import requests

from iamrange.credentials.inventory.google import SECRETS, GoogleRefusedError, why_google
from iamrange.credentials.inventory.moments import moment_of
from iamrange.credentials.rotation.ports import GoneError, PortDownError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.credentials.inventory.google import GoogleAccess

ANNOTATION: Final = "iamrange-rotation"
_ENABLED, _DESTROYED = "ENABLED", "DESTROYED"


@dataclass(frozen=True, slots=True)
class SecretManagerVault:
    """One secret of Secret Manager. A version's name is its number."""

    access: GoogleAccess
    secret: str

    @property
    def name(self) -> str:
        """What the secret is called, with the place that it is in."""
        return f"gcp {self.access.project} {self.secret}"

    def current(self) -> str:
        """Return the newest enabled version."""
        for version in self._versions():
            if version.get("state") == _ENABLED:
                return _number(version)
        raise PortDownError(f"{self.name}: expected an enabled version, got none")

    def replaced_at(self) -> float | None:
        """Return when the newest enabled version was added; None where it is the first."""
        versions = self._versions()
        enabled = [one for one in versions if one.get("state") == _ENABLED]
        return moment_of(enabled[0].get("createTime")) if enabled and len(versions) > 1 else None

    def read(self, version: str) -> str:
        """Return a version's value.

        Raises:
            GoneError: it was destroyed.
        """
        if self._states().get(version, _DESTROYED) == _DESTROYED:
            raise GoneError(f"{self.name}: version {version} was destroyed")
        answer = self._call("GET", f"/versions/{version}:access")
        try:
            return base64.b64decode(answer["payload"]["data"]).decode()
        except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
            raise PortDownError(f"{self.name}: expected text, got another value") from None

    def stage(self, rotation: str, value: str) -> str:
        """Add a new version."""
        before = max((int(number) for number in self._states()), default=0)
        notes = {**self._annotations(), ANNOTATION: f"{rotation}/{before}"}
        self._call("PATCH", "", {"annotations": notes}, {"updateMask": "annotations"})
        data = base64.b64encode(value.encode()).decode()
        return _number(self._call("POST", ":addVersion", {"payload": {"data": data}}))

    def staged(self, rotation: str) -> str | None:
        """Return the version that this rotation has added, if it has."""
        whose, _, before = self._annotations().get(ANNOTATION, "").partition("/")
        if whose != rotation or not before.isdecimal():
            return None
        newer = [number for number in self._states() if int(number) > int(before)]
        if len(newer) > 1:
            raise PortDownError(
                f"{self.name}: expected one version after {before}, got {len(newer)}: somebody "
                "else adds versions; destroy those, then ask again"
            )
        return newer[0] if newer else None

    def promote(self, old: str, new: str) -> None:
        """See that the new version is the newest: it is given out since it was added."""
        del old
        if self.current() != new:
            raise PortDownError(f"{self.name}: expected version {new} to be the newest")

    def restore(self, old: str, new: str) -> None:
        """Add the old value anew, unless a crash came after that."""
        if self.current() == new:
            data = base64.b64encode(self.read(old).encode()).decode()
            self._call("POST", ":addVersion", {"payload": {"data": data}})

    def destroy(self, old: str) -> None:
        """Destroy a version, and older ones that hold the same value: a roll-back leaves such."""
        states = self._states()
        if states.get(old, _DESTROYED) == _DESTROYED:
            return
        value = self.read(old)
        for number in sorted((n for n in states if int(n) <= int(old)), key=int):
            # the version itself goes last, so that a crash before it shows
            if states[number] == _ENABLED and (number == old or self.read(number) == value):
                self._call("POST", f"/versions/{number}:destroy", {})

    def _versions(self) -> list[dict[str, Any]]:
        path = f"{self._path}/versions"
        try:
            return list(self.access.pages(SECRETS, path, "versions"))
        except (GoogleRefusedError, requests.RequestException) as error:
            raise PortDownError(why_google(error)) from error

    def _states(self) -> dict[str, str]:
        return {_number(one): str(one.get("state")) for one in self._versions()}

    def _annotations(self) -> dict[str, str]:
        return dict(self._call("GET", "").get("annotations") or {})

    @property
    def _path(self) -> str:
        return f"/v1/projects/{self.access.project}/secrets/{self.secret}"

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            return self.access.call(
                SECRETS, f"{self._path}{path}", method=method, body=body, query=query
            )
        except (GoogleRefusedError, requests.RequestException) as error:
            raise PortDownError(why_google(error)) from error


def _number(version: Mapping[str, Any]) -> str:
    return str(version["name"]).rpartition("/")[2]
