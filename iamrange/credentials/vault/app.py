"""A world's vault: real OpenBao behind one ASGI app, started at the first request to it.

- The app makes the request id, hands the request on as it is, and writes the decision record from
  the vault's audit entry before it answers. It decides nothing itself.
- A request that the vault answered without an entry is not answered: what is not in the log did
  not happen.
- A server that was killed is started again by the next request and told what administrators had
  written. Tokens and leases are not: they end with the server that gave them out.
- A connection to the world's own database is completed on its way: its password is in no stack.
"""

from __future__ import annotations

import functools
import hmac
import json
import secrets
import sys
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, unquote

from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.credentials.errors import VaultDownError, VaultError, VaultStartError
from iamrange.credentials.on_demand import EndedError, OnDemand
from iamrange.credentials.vault.audit_socket import AuditSocket
from iamrange.credentials.vault.decisions import AUTHORIZE, Asked, Decided, decided
from iamrange.credentials.vault.identities import BY_ID, aliases_of
from iamrange.credentials.vault.journal import WRITES, Alias, Written, is_lasting, mounted
from iamrange.credentials.vault.openbao import REQUEST_ID, Answer, OpenBao

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from iamrange.core.clock import Clock
    from iamrange.core.decision import RecordSink
    from iamrange.network.edge import Receive, Scope, Send

BODY_LIMIT = 1024 * 1024
_ENTRY_SECONDS = 2.0
_SUCCESS = range(200, 300)
_TRUE = frozenset({"1", "t", "true"})
_SERVER_ERROR = 500
_SEALED = 503

_UNAUDITED = ("sys/health", "sys/init", "sys/leader", "sys/seal-status", "sys/unseal")
"""What OpenBao answers anybody, and writes no entry of."""

_SEALS = "sys/seal"
"""Its own entry cannot be finished: the log is shut when it has been done."""

_CARRIED = frozenset({"accept", "authorization", "content-type", "user-agent"})
_ANSWERED = frozenset({"cache-control", "content-type", "retry-after", "warning"})


class VaultState:
    """What a world's vault holds, whichever server holds it; a fork carries it along."""

    def __init__(self) -> None:
        """Choose the administrator's token."""
        self.administrator = f"administrator-{secrets.token_hex(32)}"
        self.journal: list[Written] = []
        self._mounts: dict[str, str] = {}

    def is_administrators(self, token: str) -> bool:
        """Tell whether a token is the administrator's."""
        return hmac.compare_digest(token.encode(), self.administrator.encode())

    def took(self, token: str, written: Written) -> None:
        """Keep a write that the vault took, if it was an administrator's and lasts."""
        if self.is_administrators(token) and (
            written.aliases or is_lasting(written.method, written.path, self._mounts)
        ):
            self.journal.append(written)
            found = mounted(written)
            if found is not None:
                self._mounts[found[0]] = found[1]


class Databases(Protocol):
    """What a vault makes logins of: its own, whose password the vault is told by nobody else."""

    def completed(self, path: str, body: bytes) -> bytes:
        """Return an administrator's write as the vault is to have it."""
        ...

    async def renew(self) -> None:
        """End every login that was made: the vault that made them is no more."""
        ...


class Vault:
    """The app in front of one world's server."""

    def __init__(  # noqa: PLR0913 - keyword-only ports
        self,
        state: VaultState,
        folder: Path,
        *,
        address: str,
        environment: Callable[[], Mapping[str, str]],
        clock: Clock,
        records: RecordSink,
        databases: Databases | None = None,
    ) -> None:
        """Take what it holds, a folder with a short path, and how its server reaches the network.

        `address` is what clients call it, `environment` is asked at each start.
        """
        self._databases = databases
        self._state = state
        self._folder = folder
        self._address = address
        self._environment = environment
        self._clock = clock
        self._records = records
        self._audit = AuditSocket(folder / "a.sock")
        self._server = OnDemand(self._start)

    async def start(self) -> None:
        """Listen for audit entries; the server waits until it is asked something."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        await self._audit.start()

    async def stop(self) -> None:
        """End the server."""
        await self._server.end()
        await self._audit.stop()

    @property
    def running(self) -> OpenBao | None:
        """The server, if one was started and runs."""
        return self._server.running

    @property
    def starts(self) -> int:
        """How often one was started."""
        return self._server.starts

    async def server(self) -> OpenBao:
        """Return the running server, having started it if need be.

        Raises:
            VaultError: it cannot be started.
        """
        try:
            return await self._server.server()
        except EndedError:
            raise VaultStartError("openbao: ended while it started") from None

    async def _start(self) -> OpenBao:
        try:
            return await self._started()
        except VaultError as error:
            sys.stderr.write(f"world: {error}\n")  # clients hear the reason alone
            raise

    async def _started(self) -> OpenBao:
        if self._databases is not None:
            await self._databases.renew()
        return await OpenBao.start(
            self._folder,
            audit=self._audit.path,
            administrator=self._state.administrator,
            address=self._address,
            environment=self._environment(),
            journal=tuple(map(self._completed, self._state.journal)),
        )

    def _completed(self, written: Written) -> Written:
        """Return a write with what only this world knows; the journal keeps it without."""
        if self._databases is None:
            return written
        return replace(written, body=self._databases.completed(written.path, written.body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = str(uuid.uuid4())
        path = _path_of(scope)
        body = await _body_of(receive)
        if path is None or body is None:
            status, said = (404, "no such path") if path is None else (413, "body too long")
            await _send(send, _own_answer(status, said), request_id)
            return
        try:
            answer, found = await self._asked(scope, path, body, request_id)
        except VaultError as error:
            self._record(scope, path, request_id, _unreachable())
            await _send(send, _own_answer(_SEALED, error.reason), request_id)
            return
        if found is not None:
            self._record(scope, path, request_id, found)
        await _send(send, answer, request_id)

    async def _asked(
        self, scope: Scope, path: str, body: bytes, request_id: str
    ) -> tuple[Answer, Decided | None]:
        """Hand one request on; return the answer and what was decided, None if nothing was.

        Raises:
            VaultError: there is no answer, or none that is in the log.
        """
        method = str(scope["method"])
        headers = _carried(scope)
        server = await self.server()
        written = Written(method, path, body)
        if method in WRITES and self._state.is_administrators(_token_of(headers)):
            body = self._completed(written).body
        self._audit.expect(request_id)
        try:
            answer = await server.request(
                method,
                path,
                headers=headers | {REQUEST_ID: request_id},
                body=body,
                query=scope["query_string"].decode("latin-1"),
            )
            unaudited = path.startswith(_UNAUDITED) or answer.status == _SEALED or path == _SEALS
            entry = None if unaudited else await self._audit.take(request_id, _ENTRY_SECONDS)
        finally:
            self._audit.forget(request_id)
        if answer.status in _SUCCESS:
            if entry is None and not unaudited:
                raise VaultDownError("openbao: it answered and wrote no audit entry")
            if method in {"POST", "PUT"} and path.startswith(BY_ID):
                written = replace(written, aliases=await self._aliases(server, path, headers))
            self._state.took(_token_of(headers), written)
        if path.startswith(_UNAUDITED):
            return answer, None
        return answer, decided(Asked(method, path, answer.status, answer.errors), entry or {})

    async def _aliases(
        self, server: OpenBao, path: str, headers: Mapping[str, str]
    ) -> tuple[Alias, ...]:
        """Return who an entity is that an administrator has written about."""
        token = _token_of(headers)
        if not self._state.is_administrators(token):
            return ()
        return await aliases_of(functools.partial(server.ask, token=token), path)

    def _record(self, scope: Scope, path: str, request_id: str, found: Decided) -> None:
        client = scope.get("client")
        agents = [v for n, v in scope["headers"] if n == b"user-agent"]
        self._records(
            DecisionRecord(
                request_id=request_id,
                time=self._clock.now(),
                point=found.point,
                action=f"vault:{_method_of(scope)}",
                resource=path[:256],
                principal=found.principal,
                outcome=found.outcome,
                reason=found.reason,
                layers=found.layers,
                facts=found.facts(),
                source_ip=str(client[0]) if client else "",
                user_agent=agents[0].decode("latin-1")[:256] if agents else "",
            )
        )


def _unreachable() -> Decided:
    answer = LayerAnswer("vault", Effect.DENY, "unreachable")
    return Decided(AUTHORIZE, Outcome.DENY, answer.reason, (answer,), "")


def _path_of(scope: Scope) -> str | None:
    """Return the path below `/v1/`, None for any other and for one that means two things."""
    raw = scope.get("raw_path") or scope["path"].encode()
    path = unquote(raw.partition(b"?")[0].decode("latin-1"))
    if not path.startswith("/v1/") or "//" in path:
        return None
    parts = path.removeprefix("/v1/").split("/")
    return None if {".", ".."} & set(parts) else "/".join(parts)


def _method_of(scope: Scope) -> str:
    """Return the method as the vault takes it: a GET that asks for a list is its LIST."""
    lists = parse_qs(scope["query_string"].decode("latin-1")).get("list", [""])[-1].lower()
    return "LIST" if scope["method"] == "GET" and lists in _TRUE else str(scope["method"])


async def _body_of(receive: Receive) -> bytes | None:
    """Return the body, None if it is too long."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > BODY_LIMIT:
            return None
        if not message.get("more_body"):
            return body


def _carried(scope: Scope) -> dict[str, str]:
    """Return the client's headers that concern the vault; the request's id is never theirs."""
    return {
        name: value.decode("latin-1")
        for name, value in ((n.decode("latin-1").lower(), v) for n, v in scope["headers"])
        if name in _CARRIED or name.startswith(("x-vault-", "x-openbao-"))
    }


def _token_of(headers: Mapping[str, str]) -> str:
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return headers.get("x-vault-token") or bearer


def _own_answer(status: int, said: str) -> Answer:
    """Return an answer of this app's own, in the vault's shape."""
    body = json.dumps({"errors": [said]}).encode()
    return Answer(status, {"content-type": "application/json"}, body)


async def _send(send: Send, answer: Answer, request_id: str) -> None:
    headers: list[Any] = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers.items()
        if name.lower() in _ANSWERED
    ]
    headers += [
        (b"content-length", str(len(answer.body)).encode()),
        (REQUEST_ID.encode(), request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
