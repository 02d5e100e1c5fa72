"""One configured Google Cloud provider instance: whose token, which project, plain REST.

- Requests go to the endpoint of the provider's own process; no environment variable, proxy or
  credential file of the user's has a say.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import requests
from grpc import StatusCode

from iamrange.engine.package import ConfigurationError
from iamrange.engine.resource import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.engine.endpoints import GcpEndpoint
    from iamrange.engine.resource import Properties

_TIMEOUT: Final = 30.0
_SUCCESS: Final = range(200, 300)
NOT_FOUND: Final = "NOT_FOUND"
ALREADY_EXISTS: Final = "ALREADY_EXISTS"
_CONFLICT: Final = "ABORTED"
_ATTEMPTS: Final = 8


class GcpError(Exception):
    """An error that Google Cloud answered with: its status, its words."""

    def __init__(self, code: int, status: str, message: str, call: str) -> None:
        """Take the HTTP code, the canonical status, the message and the method called."""
        super().__init__(f"{status}: {message} (HTTP {code}, {call})")
        self.code = code
        self.status = status


class GcpSession:
    """The token, the project and the default labels of one provider instance."""

    def __init__(self, endpoint: GcpEndpoint, config: Properties) -> None:
        """Choose the project by the configuration; calls nothing yet."""
        self._endpoint = endpoint
        self._threads = threading.local()
        self._policies = threading.Lock()
        self.project: str = config.get("project") or endpoint.default_project
        self.region: str | None = config.get("region")
        self.zone: str | None = config.get("zone")
        self.default_tags: Mapping[str, str] = config.get("defaultLabels") or {}
        if self.project not in endpoint.tokens:
            raise ConfigurationError(
                f"project {self.project!r} is not one of this range; has {sorted(endpoint.tokens)}"
            )

    def token(self, project: str | None = None) -> str:
        """Return the administrator's token of a project; an unknown project gets our own."""
        return self._endpoint.tokens.get(project or "", self._endpoint.tokens[self.project])

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 - any JSON value
        **query: str,
    ) -> dict[str, Any]:
        """Call a method and return its answer.

        Raises:
            GcpError: the answer is an error.
            requests.RequestException: there is no answer.
        """
        http = getattr(self._threads, "http", None)
        if http is None:
            http = self._threads.http = requests.Session()
            http.trust_env = False
        answer = http.request(
            method,
            self._endpoint.url.rstrip("/") + path,
            json=body,
            params=query,
            # a connection that idles may be closed by the server just when it is used again
            headers={
                "authorization": f"Bearer {self.token(_project_of(path))}",
                "connection": "close",
            },
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
        if answer.status_code not in _SUCCESS:
            raise _error(answer, f"{method} {path}")
        document: dict[str, Any] = answer.json()
        return document

    def finish(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
        """Call a method that starts an operation, and return the operation's response.

        Raises:
            GcpError: the answer, or the operation's outcome, is an error.
        """
        operation = self.call(method, path, body, **query)
        if operation.get("error"):
            error = operation["error"]
            raise GcpError(200, str(error.get("code")), str(error.get("message")), method)
        if not operation.get("done"):
            raise ProviderError(f"{method} {path}: the operation is not done")
        response: dict[str, Any] = operation.get("response") or {}
        return response

    def edit_policy(
        self, read: tuple[str, str], write: str, edit: Callable[[list[dict[str, Any]]], None]
    ) -> None:
        """Change the bindings of an allow policy, again when somebody else did meanwhile.

        Raises:
            GcpError: the policy cannot be read or written.
        """
        # resources of one policy are made side by side: here they wait instead of colliding
        with self._policies:
            for attempt in range(_ATTEMPTS):
                policy = self.read_policy(read)
                bindings = policy.setdefault("bindings", [])
                edit(bindings)
                policy["bindings"] = [binding for binding in bindings if binding.get("members")]
                policy["version"] = 3
                try:
                    self.call("POST", write, {"policy": policy})
                except GcpError as error:
                    if error.status != _CONFLICT or attempt == _ATTEMPTS - 1:
                        raise
                else:
                    return

    def read_policy(self, read: tuple[str, str]) -> dict[str, Any]:
        """Return an allow policy, conditions included."""
        method, path = read
        if method == "GET":
            return self.call(method, path, **{"options.requestedPolicyVersion": "3"})
        return self.call(method, path, {"options": {"requestedPolicyVersion": 3}})


def _project_of(path: str) -> str | None:
    parts = path.split("/")
    return parts[parts.index("projects") + 1].partition(":")[0] if "projects" in parts else None


def _error(answer: requests.Response, call: str) -> GcpError:
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return GcpError(answer.status_code, "UNKNOWN", "the answer is no JSON error", call)
    if not isinstance(error, dict):
        return GcpError(answer.status_code, str(error), "", call)
    status = str(error.get("status", "UNKNOWN"))
    return GcpError(answer.status_code, status, str(error.get("message", "")), call)


def describe(error: BaseException) -> tuple[StatusCode, str] | None:
    """Return the status and words of a cloud's error, or None for any other exception."""
    if isinstance(error, GcpError):
        return getattr(StatusCode, error.status, StatusCode.UNKNOWN), str(error)
    if isinstance(error, requests.RequestException):
        return StatusCode.UNAVAILABLE, f"Google Cloud does not answer: {type(error).__name__}"
    return None
