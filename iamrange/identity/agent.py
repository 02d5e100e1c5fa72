"""The agent's own side: prove itself with its key, get assertions and short AWS sessions.

- Standard library and iamrange.jose only, so that it starts fast; it finds the network in the
  environment (HTTPS_PROXY, SSL_CERT_FILE) as any client does.
- The key is read from the agent's home and shown nowhere.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iamrange.identity.names import ASSERTION_ENDPOINT, AWS_SESSION_ENDPOINT, PROOF_LIFE, PROOF_TYPE
from iamrange.jose.sign import SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_FILE = "key.jwk"
SETTINGS_FILE = "agent.json"
_TIMEOUT = 30.0


class AgentIdentityError(Exception):
    """The agent could not have what it asked for; carries the endpoint's own error code."""

    def __init__(self, code: str, message: str, request_id: str = "") -> None:
        """Keep the code and the server's request id apart from the text."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.request_id = request_id


class AgentIdentity:
    """One agent, by the home folder that holds its key and settings."""

    def __init__(self, home: Path | str) -> None:
        """Read the home.

        Raises:
            AgentIdentityError: the home holds no key or no settings.
        """
        self.home = Path(home)
        try:
            self.settings: dict[str, Any] = json.loads((self.home / SETTINGS_FILE).read_bytes())
            self._key = SigningKey.from_jwk(json.loads((self.home / KEY_FILE).read_bytes()))
            self.id = str(self.settings["id"])
        except (OSError, ValueError, KeyError) as error:
            raise AgentIdentityError(
                "no-home", f"agent home {str(self.home)!r}: {type(error).__name__}"
            ) from error

    def proof(self, endpoint: str, **claims: str) -> str:
        """Make a fresh proof for one endpoint."""
        now = int(time.time())
        return self._key.sign(
            {
                "iss": self.id,
                "sub": self.id,
                "aud": endpoint,
                "iat": now,
                "exp": now + PROOF_LIFE,
                "jti": secrets.token_urlsafe(24),
                **claims,
            },
            typ=PROOF_TYPE,
        )

    def token(self, audience: str) -> str:
        """Return a new assertion about this agent for one audience.

        Raises:
            AgentIdentityError: the issuer refused or was not reached.
        """
        proof = self.proof(ASSERTION_ENDPOINT, target_audience=audience)
        return str(_post(ASSERTION_ENDPOINT, {"proof": proof})["token"])

    def aws_session(self, policy: Mapping[str, Any] | str | None = None) -> dict[str, Any]:
        """Return a 15-minute AWS session in the shape that `credential_process` prints.

        Raises:
            AgentIdentityError: the broker refused or was not reached.
        """
        body: dict[str, Any] = {"proof": self.proof(AWS_SESSION_ENDPOINT)}
        if policy is not None:
            body["policy"] = policy
        return _post(AWS_SESSION_ENDPOINT, body)

    def write_token_file(self, audience: str, path: Path | str) -> Path:
        """Write a new assertion where an SDK reads it; readers never see half a token.

        Raises:
            AgentIdentityError: the issuer refused or was not reached.
        """
        return write_private(Path(path), self.token(audience))


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner reads, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return Path(name).replace(path)


def _post(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - our two https endpoints only
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "iamrange-agent"},
    )
    # urlopen keeps its first opener, and with it the proxies of that moment's environment.
    opener = urllib.request.build_opener()
    try:
        with opener.open(request, timeout=_TIMEOUT) as response:
            value = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error.code, error.read(65536)) from None
    except (OSError, ValueError) as error:
        raise AgentIdentityError("unreachable", f"{url}: {error}") from error
    if not isinstance(value, dict):
        raise AgentIdentityError("unreachable", f"{url}: expected a JSON object")
    return value


def _refusal(status: int, body: bytes) -> AgentIdentityError:
    try:
        value = json.loads(body)
        return AgentIdentityError(
            value["error"], value["error_description"], value.get("request_id", "")
        )
    except (ValueError, KeyError, TypeError):
        return AgentIdentityError("unreachable", f"status {status}")
