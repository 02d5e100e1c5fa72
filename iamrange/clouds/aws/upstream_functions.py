"""Functions at an emulator: their settings are asked there, their code is what came through here.

- No two emulators hand code out alike, and some not at all. So a zip file that was uploaded
  through the authorizer is remembered, and run while the emulator still names its digest.
- Code that came another way is not run: nobody here has it.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.aws.functions import Function
from iamrange.clouds.aws.upstream_ask import question

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.clouds.aws.model import AwsRequest
    from iamrange.clouds.aws.upstream_ask import Asker

_MOST_BYTES: Final = 256 << 20


class RemoteFunctions:
    """Finds functions at an emulator, from inside `waiting`."""

    def __init__(self, asker: Asker) -> None:
        """Take whom to ask."""
        self._asker = asker
        self._accounts: Callable[[], frozenset[str]] = frozenset
        self._code: dict[str, bytes] = {}

    def of(self, accounts: Callable[[], frozenset[str]]) -> RemoteFunctions:
        """Take which accounts there are."""
        self._accounts = accounts
        return self

    def remember(self, request: AwsRequest) -> None:
        """Keep the code that a call has uploaded; the oldest goes when there is too much."""
        parameters = request.parameters
        uploaded: Any = None
        if request.operation == "CreateFunction":
            uploaded = (parameters.get("Code") or {}).get("ZipFile")
        elif request.operation == "UpdateFunctionCode":
            uploaded = parameters.get("ZipFile")
        if not isinstance(uploaded, bytes):
            return
        digest = _digest(uploaded)
        self._code.pop(digest, None)
        self._code[digest] = uploaded
        while sum(map(len, self._code.values())) > _MOST_BYTES:
            del self._code[next(iter(self._code))]

    def find(self, account: str, region: str, name: str) -> Function | None:
        """Return the function of that name, if its code came through here.

        Raises:
            UpstreamError: the emulator's answer is neither a function nor its absence.
        """
        if account not in self._accounts():
            return None
        asked = question("lambda", "GetFunction", account, region, FunctionName=name)
        found: dict[str, Any] = (self._asker.one(asked) or {}).get("Configuration") or {}
        code = self._code.get(str(found.get("CodeSha256")))
        if code is None:
            return None
        return Function(
            name=name,
            region=region,
            role_arn=str(found["Role"]),
            handler=str(found.get("Handler") or ""),
            runtime=str(found.get("Runtime") or ""),
            seconds=int(found.get("Timeout") or 3),
            code=code,
            environment=dict((found.get("Environment") or {}).get("Variables") or {}),
        )


def _digest(code: bytes) -> str:
    return b64encode(hashlib.sha256(code).digest()).decode()
