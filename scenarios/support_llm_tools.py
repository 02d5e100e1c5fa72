"""The support agent's tools for real: unmodified clients with the agent's own credentials.

- A token is asked for whichever service of ours an address names, bound to a key of this process;
  where there is none for it, the agent shows what it has. To hosts of anybody else no credential
  is sent.
- What comes back is rid of credentials before the agent reads it: so no transcript holds one, and
  no document can have one sent away. They are not what the range's canaries stand for.
- Whatever a hostile text makes a client library raise is an answer: its type's name alone.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions
import requests
from requests_oauth2client.exceptions import EndpointError, InvalidScope

from scenarios import oauth, workloads
from scenarios.support_llm import Answer, work
from scenarios.support_llm_calls import BOUNDS, Bounds, Document, Tool, ToolCall

_TIMEOUT = 5
_REFUSED_FROM = 300
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]{5,}")
_NAMED = re.compile(
    r'("(?:\w*(?:secret_?access_?key|session_?token|access_?token|refresh_?token|private_?key)|d)"'
    r'\s*:\s*")[^"]*"',
    re.IGNORECASE,
)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*-----END [A-Z ]*PRIVATE KEY-----")


def without_credentials(text: str) -> str:
    """Return a text with whatever looks like a credential taken out."""
    text = _PEM.sub("[withheld]", _JWT.sub("[withheld]", text))
    return _NAMED.sub(r'\1[withheld]"', text)


def documents_in(folder: Path, bounds: Bounds = BOUNDS) -> list[Document]:
    """Read every file of a folder as one document, in the order of their names."""
    files = sorted(file for file in folder.iterdir() if file.is_file())[: bounds.documents]
    texts = (file.read_bytes()[: bounds.document_characters] for file in files)
    return [
        Document(file.name, text.decode(errors="replace"))
        for file, text in zip(files, texts, strict=True)
    ]


def main() -> int:
    """Have the agent whose process this is read a folder's files; write its transcript as JSON."""
    folder = Path(sys.argv[1])
    transcript = work(documents_in(folder), OwnTools(folder))
    json.dump(transcript.to_json(), sys.stdout)
    return 0


class OwnTools:
    """The tools of the agent whose process this is. `documents` is all that `read` can read."""

    def __init__(self, documents: Path, bounds: Bounds = BOUNDS) -> None:
        """Take the agent from its home, and the folder of its documents."""
        self._own = oauth.Own.from_home()
        self._documents = documents.resolve()
        self._bounds = bounds
        self._client: Any = None
        self._tokens: dict[str, Any] = {}

    def perform(self, call: ToolCall) -> Answer:
        """Perform one call; see `Tools`."""
        try:
            if call.tool is Tool.AWS:
                return self._aws(call)
            if call.tool is Tool.READ:
                return self._read(call)
            if call.tool is Tool.SEND:
                return self._http("POST", call.url, call.body or "")
            return self._http(call.method, call.url, call.body)
        except botocore.exceptions.ClientError as error:
            metadata = error.response.get("ResponseMetadata", {})
            return Answer(
                status=metadata.get("HTTPStatusCode"),
                refused=str(error.response.get("Error", {}).get("Code", "ClientError")),
                request_id=metadata.get("RequestId"),
            )
        except requests.exceptions.ProxyError:
            return Answer(refused="no-way-out")
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            return Answer(refused=type(error).__name__)

    def _http(self, method: str, url: str, body: str | None) -> Answer:
        token, no_token = self._token(url)
        kind = "application/json" if (body or "").startswith(("{", "[")) else "text/plain"
        with requests.request(
            method,
            url,
            data=None if body is None else body.encode(),
            headers={} if body is None else {"Content-Type": kind},
            auth=token,
            timeout=_TIMEOUT,
            allow_redirects=False,
            stream=True,
        ) as response:
            data = next(response.iter_content(self._bounds.answer_characters), b"")
            text = without_credentials(data.decode(errors="replace"))
            reason = response.headers.get("x-iamrange-reason", "")
            refused = f"HTTP {response.status_code} {reason}".strip()
            return Answer(
                status=response.status_code,
                text=text,
                refused=refused if response.status_code >= _REFUSED_FROM else None,
                request_id=response.headers.get("X-Request-Id"),
                token_refused=None if no_token is None else str(no_token.error),
                token_request_id=None if no_token is None else _request_id(no_token),
            )

    def _token(self, url: str) -> tuple[Any, EndpointError | None]:
        """Return a token for the service that an address names, and why there is no own one."""
        parts = urlsplit(url)
        ours = (urlsplit(self._own.issuer).hostname or "").partition(".")[2]
        host = (parts.hostname or "").lower()
        if parts.scheme.lower() != "https" or not ours or not host.endswith(f".{ours}"):
            return None, None
        resource = f"https://{host}"
        if resource in self._tokens:
            return self._tokens[resource], None
        try:
            self._tokens[resource] = self._asked_for(resource)
        except EndpointError as error:
            # It shows the token of its daily work instead: bound to its key, it is no use to others
            return next(iter(self._tokens.values()), None), error
        return self._tokens[resource], None

    def _asked_for(self, resource: str) -> Any:  # noqa: ANN401 - a token in requests' place for one
        """Ask for a token: for all that the agent may do there, else for all that there is."""
        if self._client is None:
            self._client = self._own.client()
        try:
            return self._client.client_credentials(resource=resource)
        except InvalidScope:
            described = requests.get(
                f"{resource}/.well-known/oauth-protected-resource", timeout=_TIMEOUT
            )
            if not described.ok:
                raise
            scope = " ".join(map(str, described.json()["scopes_supported"]))
            return self._client.client_credentials(resource=resource, scope=scope)

    def _read(self, call: ToolCall) -> Answer:
        path = (self._documents / call.path).resolve()
        if not path.is_relative_to(self._documents):
            return Answer(refused="not-a-document")
        with path.open(errors="replace") as file:
            return Answer(text=without_credentials(file.read(self._bounds.answer_characters)))

    def _aws(self, call: ToolCall) -> Answer:
        session: Any = workloads.own_session()  # its stubs know services by name alone
        client = session.client(call.service)
        if call.operation not in client.meta.method_to_api_mapping:
            return Answer(refused="no-such-operation")
        answer = getattr(client, call.operation)(**json.loads(call.parameters))
        metadata = answer.pop("ResponseMetadata", {})
        plain = {
            name: value.read(self._bounds.answer_characters).decode(errors="replace")
            if hasattr(value, "read")
            else value
            for name, value in answer.items()
        }
        return Answer(
            status=metadata.get("HTTPStatusCode"),
            text=without_credentials(json.dumps(plain, default=str)),
            request_id=metadata.get("RequestId"),
        )


def _request_id(error: EndpointError) -> str | None:
    response: requests.Response | None = error.response
    return None if response is None else response.headers.get("X-Request-Id")


if __name__ == "__main__":
    sys.exit(main())
