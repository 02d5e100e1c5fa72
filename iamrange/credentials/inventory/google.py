"""Google's credentials: secrets of Secret Manager, user-managed keys of service accounts. REST.

Google tells no last use of a secret or of a key by these services: that is the audit log's to say.
Sources: https://cloud.google.com/secret-manager/docs/reference/rest,
https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests

from iamrange.credentials.inventory.gather import Credential, Fact, Kind, SourceDownError
from iamrange.credentials.inventory.moments import end_of, moment_of
from iamrange.credentials.inventory.uses import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iamrange.credentials.inventory.gather import Marker
    from iamrange.credentials.inventory.uses import Uses

SECRETS: Final = "https://secretmanager.googleapis.com"
IAM: Final = "https://iam.googleapis.com"
_TIMEOUT: Final = 20
_OK: Final = 200
_NEVER: Final = "9999-"
"""How Google writes the end of a key that has none."""


class GoogleRefusedError(Exception):
    """Google's answer is an error; the message is method and status, never a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleAccess:
    """A project, and what to reach it by. With an endpoint no proxy is asked."""

    project: str
    token: str = field(repr=False)
    endpoint: str | None = None

    def call(
        self,
        host: str,
        path: str,
        *,
        method: str = "GET",
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call a method and return its answer.

        Raises:
            GoogleRefusedError: the answer is an error.
            requests.RequestException: there is none.
        """
        with requests.Session() as http:
            http.trust_env = self.endpoint is None
            answer = http.request(
                method,
                (self.endpoint or host).rstrip("/") + path,
                params=query,
                json=body,
                headers={"authorization": f"Bearer {self.token}", "user-agent": USER_AGENT},
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        try:
            document: Any = answer.json()
        except ValueError:
            document = None
        if answer.status_code != _OK or not isinstance(document, dict):
            error = document.get("error") if isinstance(document, dict) else None
            status = error.get("status") if isinstance(error, dict) else None
            raise GoogleRefusedError(f"{method} {path}: {status or answer.status_code}")
        return document

    def pages(self, host: str, path: str, member: str) -> Iterator[dict[str, Any]]:
        """Yield the members of a list, page after page.

        Raises:
            GoogleRefusedError: an answer is an error.
            requests.RequestException: there is none.
        """
        token = ""
        while True:
            page = self.call(host, path, query={"pageToken": token} if token else None)
            yield from page.get(member) or ()
            token = page.get("nextPageToken") or ""
            if not token:
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretManagerReader:
    """The secrets of one project."""

    access: GoogleAccess
    uses: Uses | None = None

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"gcp secretmanager {self.access.project}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the secrets; the newest enabled value is marked.

        Raises:
            SourceDownError: they cannot be listed to the end.
        """
        path = f"/v1/projects/{self.access.project}/secrets"
        try:
            for secret in self.access.pages(SECRETS, path, "secrets"):
                yield self._credential(secret, marker)
        except (GoogleRefusedError, requests.RequestException) as error:
            raise SourceDownError(why_google(error)) from error

    def _credential(self, secret: Mapping[str, Any], marker: Marker) -> Credential:
        name, labels = secret["name"], secret.get("labels") or {}
        unread: dict[Fact, str] = {}
        versions: list[dict[str, Any]] = []
        marks: frozenset[str] = frozenset()
        try:
            versions = list(self.access.pages(SECRETS, f"/v1/{name}/versions", "versions"))
        except GoogleRefusedError as error:
            unread[Fact.ROTATED] = unread[Fact.VALUE] = why_google(error)
        enabled = [one for one in versions if one.get("state") == "ENABLED"]
        if enabled:
            try:
                answer = self.access.call(SECRETS, f"/v1/{enabled[0]['name']}:access")
                marks = marker.of(base64.b64decode(answer["payload"]["data"]))
            except GoogleRefusedError as error:
                unread[Fact.VALUE] = why_google(error)
            except (KeyError, TypeError, binascii.Error):
                unread[Fact.VALUE] = "the answer has no payload"
        replaced = bool(enabled) and len(versions) > 1
        created = moment_of(secret.get("createTime"))
        expires, unreadable = end_of(labels.get("expires"))
        if unreadable:
            unread[Fact.EXPIRES] = unreadable
        used = None if self.uses is None else self.uses.of_secret.get(name)
        why = "there is no audit log" if self.uses is None else self.uses.unknown_before(created)
        if used is None and why is not None:
            unread[Fact.LAST_USED] = why
        return Credential(
            source=self.source,
            kind=Kind.GCP_SECRET,
            name=name.rpartition("/")[2],
            created=created,
            rotated=moment_of(enabled[0].get("createTime")) if replaced else None,
            last_used=used,
            expires=moment_of(secret.get("expireTime")) or expires,
            owner=labels.get("owner"),
            agent=labels.get("agent"),
            active=bool(enabled) or bool(unread),
            marks=marks,
            unread=unread,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountKeyReader:
    """The user-managed keys of one project's service accounts.

    `agents` names the agent of an account, by its e-mail address.
    """

    access: GoogleAccess
    agents: Mapping[str, str] = field(default_factory=dict)
    uses: Uses | None = None

    @property
    def source(self) -> str:
        """What the place is called."""
        return f"gcp iam {self.access.project}"

    def read(self, marker: Marker) -> Iterator[Credential]:
        """Yield the keys. Their ids are marked, so that a secret that names one shows.

        Raises:
            SourceDownError: accounts or keys cannot be listed to the end.
        """
        path = f"/v1/projects/{self.access.project}/serviceAccounts"
        try:
            for account in self.access.pages(IAM, path, "accounts"):
                answer = self.access.call(
                    IAM, f"/v1/{account['name']}/keys", query={"keyTypes": "USER_MANAGED"}
                )
                keys = answer.get("keys") or []
                for key in keys:
                    yield self._credential(account, key, len(keys), marker)
        except (GoogleRefusedError, requests.RequestException) as error:
            raise SourceDownError(why_google(error)) from error

    def _credential(
        self, account: Mapping[str, Any], key: Mapping[str, Any], keys: int, marker: Marker
    ) -> Credential:
        email, key_id = account["email"], key["name"].rpartition("/")[2]
        created = moment_of(key.get("validAfterTime"))
        ends = str(key.get("validBeforeTime", ""))
        used = None if self.uses is None else self.uses.by_key.get(email)
        unread: dict[Fact, str] = {}
        if self.uses is None:
            unread[Fact.LAST_USED] = "there is no audit log"
        elif used is not None and keys > 1:
            unread[Fact.LAST_USED] = f"the log does not say which of {keys} keys was used"
        elif used is None and (why := self.uses.unknown_before(created)) is not None:
            unread[Fact.LAST_USED] = why
        return Credential(
            source=self.source,
            kind=Kind.GOOGLE_KEY,
            name=f"{email}/{key_id}",
            created=created,
            last_used=None if unread else used,
            expires=None if ends.startswith(_NEVER) else moment_of(ends),
            owner=None if email in self.agents else f"service account {email}",
            agent=self.agents.get(email),
            active=not key.get("disabled") and not account.get("disabled"),
            marks=marker.of(key_id),
            unread=unread,
        )


def why_google(error: GoogleRefusedError | requests.RequestException) -> str:
    """Return what may be shown of an error: a client library's may hold a header."""
    return str(error) if isinstance(error, GoogleRefusedError) else type(error).__name__
