"""One configured Vault provider instance: whose token, plain HTTP.

- Requests go to the endpoint of the provider's own process; no environment variable, proxy or
  token file of the user's has a say.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import requests
from grpc import StatusCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.engine.endpoints import VaultEndpoint

_TIMEOUT: Final = 60.0
_UPGRADE_SECONDS: Final = 10.0
_SUCCESS: Final = range(200, 300)
_NOT_FOUND: Final = 404
_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500
_ABSENT: Final = {
    _BAD_REQUEST: ("No secret engine mount at", "No auth engine at"),
    _SERVER_ERROR: ("unable to find PKI issuer for reference",),
}
"""What it says with another status of things that are not there."""
_UPGRADING: Final = "Upgrading from non-versioned to versioned"
_STATUS: Final = {
    400: StatusCode.INVALID_ARGUMENT,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    503: StatusCode.UNAVAILABLE,
}


class VaultApiError(Exception):
    """An error that the vault answered with: its HTTP status, its words."""

    def __init__(self, status: int, said: str, call: str) -> None:
        """Take the HTTP status, the message and the request."""
        super().__init__(f"{said or 'no reason given'} (HTTP {status}, {call})")
        self.status = status
        self.absent = status == _NOT_FOUND or any(
            words in said for words in _ABSENT.get(status, ())
        )
        self.upgrading = _UPGRADING in said


class VaultSession:
    """The token of one provider instance."""

    default_tags: Mapping[str, str] = {}

    def __init__(self, endpoint: VaultEndpoint) -> None:
        """Take the endpoint; calls nothing yet."""
        self._endpoint = endpoint
        self._threads = threading.local()

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        """Call the vault and return its answer, empty where it has none. `path` is below `/v1/`.

        Raises:
            VaultApiError: the answer is an error.
            requests.RequestException: there is no answer.
        """
        deadline = time.monotonic() + _UPGRADE_SECONDS
        while True:
            try:
                return self._call(method, path, body)
            except VaultApiError as error:
                # a KV store of version 2 needs a moment after it was mounted
                if not error.upgrading or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _call(self, method: str, path: str, body: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        http = getattr(self._threads, "http", None)
        if http is None:
            http = self._threads.http = requests.Session()
            http.trust_env = False
        answer = http.request(
            method,
            f"{self._endpoint.url.rstrip('/')}/v1/{quote(path)}",
            json=body,
            # a connection that idles may be closed by the server just when it is used again
            headers={
                "X-Vault-Token": self._endpoint.token,
                "X-Vault-Request": "true",
                "Connection": "close",
            },
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
        if answer.status_code not in _SUCCESS:
            raise VaultApiError(answer.status_code, _said(answer), f"{method} {path}")
        document: dict[str, Any] = answer.json() if answer.content else {}
        return document


def _said(answer: requests.Response) -> str:
    try:
        errors = answer.json().get("errors")
    except (ValueError, AttributeError):
        return ""
    return "; ".join(map(str, errors)) if isinstance(errors, list) else ""


def describe(error: BaseException) -> tuple[StatusCode, str] | None:
    """Return the status and words of the vault's error, or None for any other exception."""
    if isinstance(error, VaultApiError):
        return _STATUS.get(error.status, StatusCode.UNKNOWN), str(error)
    if isinstance(error, requests.RequestException):
        return StatusCode.UNAVAILABLE, f"the vault does not answer: {type(error).__name__}"
    return None
