"""A resource server behind the guard, over real HTTP, and all that its clients need.

- Tokens, proofs and their signatures are made here with `cryptography` alone: what is under test
  has no part in making them.
- The clock stands still; cases are offsets from it.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import uvicorn
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from iamrange.core.clock import FixedClock
from iamrange.core.decision import DecisionRecord, Tamper, honest
from iamrange.identity.access_token import PROFILE
from iamrange.identity.nonces import NonceSource
from iamrange.identity.protected import TokenVerifier, VerifierSettings
from iamrange.identity.protected_http import (
    CERTIFICATE_EXTENSION,
    TokenGuard,
    admitted,
    metadata_route,
)
from iamrange.identity.stores.directory import DirectoryRevocation
from iamrange.jose import KeySet, parse_key_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from iamrange.identity.stores.ports import ReplayStore, RevocationStore

NOW = 1_800_000_000
ISSUER = "https://auth.iamrange.example"
RESOURCE = "https://logs.iamrange.example"
URL = f"{RESOURCE}/records"
SCOPES = "read:logs"
AGENT, ACTOR, THIRD = (f"spiffe://iamrange.example/agent/{n}" for n in ("log-reader", "boss", "x"))
Json = Any


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def compact(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Key:
    """A P-256 key that signs whatever it is told to."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        numbers = self.private.public_key().public_numbers()
        self.jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": b64(numbers.x.to_bytes(32, "big")),
            "y": b64(numbers.y.to_bytes(32, "big")),
        }
        members = {name: self.jwk[name] for name in sorted(self.jwk)}
        self.thumbprint = b64(hashlib.sha256(compact(members)).digest())

    @property
    def private_jwk(self) -> dict[str, str]:
        value = self.private.private_numbers().private_value
        return {**self.jwk, "d": b64(value.to_bytes(32, "big"))}

    @property
    def published(self) -> dict[str, str]:
        return {**self.jwk, "kid": self.thumbprint, "alg": "ES256", "use": "sig"}

    def numbers(self, message: bytes) -> tuple[int, int]:
        return decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))

    def signature(self, message: bytes) -> bytes:
        r, s = self.numbers(message)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def sign(self, header: bytes | Json, claims: bytes | Json) -> str:
        parts = [part if isinstance(part, bytes) else compact(part) for part in (header, claims)]
        text = ".".join(b64(part) for part in parts)
        return f"{text}.{b64(self.signature(text.encode()))}"


def ath(token: str) -> str:
    return b64(hashlib.sha256(token.encode()).digest())


@dataclass(frozen=True)
class Sent:
    """One request as it goes over the wire."""

    headers: tuple[tuple[str, str], ...]
    method: str = "GET"
    target: str = "/records"
    body: str = ""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for one, value in self.headers if one.lower() == name.lower()]

    @property
    def error(self) -> str:
        value = json.loads(self.body)
        return str(value.get("error", "")) if isinstance(value, dict) else ""

    @property
    def text(self) -> str:
        return self.body.decode() + "".join(f"{name}: {value}\n" for name, value in self.headers)


@dataclass
class RegisteredAgent:
    epoch: int = 1
    state: str = "active"
    expires: float | None = None


class Agents:
    """A directory of three agents."""

    def __init__(self) -> None:
        self.known = {name: RegisteredAgent() for name in (AGENT, ACTOR, THIRD)}

    def register(self, agent_id: str) -> None:
        self.known[agent_id] = RegisteredAgent()

    def by_id(self, agent_id: str) -> RegisteredAgent | None:
        return self.known.get(agent_id)


@dataclass
class Lab:
    """One resource server with its verifier, and the keys of its issuer and clients."""

    replay: ReplayStore
    revocation: RevocationStore
    tamper: Tamper = honest
    settings: VerifierSettings = field(default_factory=VerifierSettings)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    issuer: Key = field(default_factory=Key)
    retired: Key = field(default_factory=Key)
    agent: Key = field(default_factory=Key)
    other: Key = field(default_factory=Key)
    agents: Agents = field(default_factory=Agents)
    records: list[DecisionRecord] = field(default_factory=list)
    more_keys: list[Mapping[str, Json]] = field(default_factory=list)
    certificate: bytes = field(default_factory=lambda: secrets.token_bytes(400))
    port: int = 0

    def __post_init__(self) -> None:
        self.nonces = NonceSource(None, self.clock)
        self.other_server = NonceSource(None, self.clock)
        unfit = (
            ("use-enc", {"use": "enc"}),
            ("ops-sign", {"key_ops": ["sign"], "use": None}),
            ("alg-es384", {"alg": "ES384"}),
        )
        self.more_keys = [
            {
                name: value
                for name, value in {**self.issuer.published, "kid": kid, **changed}.items()
                if value is not None
            }
            for kid, changed in unfit
        ]
        self.publish(self.issuer.published, self.retired.published)
        self.verifier = TokenVerifier(
            RESOURCE,
            keys=lambda: self.keys,
            replay=self.replay,
            revocation=DirectoryRevocation(self.agents, self.revocation, clock=self.clock),
            nonces=self.nonces,
            clock=self.clock,
            records=self.records.append,
            tamper=self.tamper,
            settings=self.settings,
        )

    def publish(self, *keys: Mapping[str, Json]) -> None:
        found = parse_key_set({"keys": [*keys, *self.more_keys]}, PROFILE)
        assert isinstance(found, KeySet)
        self.keys = found

    @property
    def certificate_thumbprint(self) -> str:
        return b64(hashlib.sha256(self.certificate).digest())

    def claims(self, **changed: Json) -> dict[str, Json]:
        """The claims of a good token; None takes one away."""
        claims = {
            "iss": ISSUER,
            "sub": AGENT,
            "aud": RESOURCE,
            "client_id": AGENT,
            "scope": SCOPES,
            "iat": NOW - 10,
            "nbf": NOW - 10,
            "exp": NOW + 200,
            "jti": secrets.token_urlsafe(16),
            "cnf": {"jkt": self.agent.thumbprint},
            "epochs": {AGENT: 1},
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def header(self, **changed: Json) -> dict[str, Json]:
        header = {"alg": "ES256", "typ": "at+jwt", "kid": self.issuer.thumbprint, **changed}
        return {name: value for name, value in header.items() if value is not None}

    def token(self, header: Mapping[str, Json] | None = None, **claims: Json) -> str:
        return self.issuer.sign(self.header(**(header or {})), self.claims(**claims))

    def proof(
        self,
        token: str,
        *,
        key: Key | None = None,
        header: Mapping[str, Json] | None = None,
        **claims: Json,
    ) -> str:
        key = key or self.agent
        made = {
            "jti": secrets.token_urlsafe(16),
            "htm": "GET",
            "htu": URL,
            "iat": NOW,
            "ath": ath(token),
            "nonce": self.nonces.current(),
            **claims,
        }
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk, **(header or {})}
        return key.sign(
            {name: value for name, value in head.items() if value is not None},
            {name: value for name, value in made.items() if value is not None},
        )

    def call(self, token: str, proof: str | None = None, **options: Json) -> Sent:
        """A DPoP call with the token, and a good proof unless another is given."""
        proof = self.proof(token) if proof is None else proof
        headers = (("Authorization", f"DPoP {token}"), ("DPoP", proof))
        return Sent(headers=headers, **options)

    def bearer(self, token: str, *more: tuple[str, str], **options: Json) -> Sent:
        return Sent(headers=(("Authorization", f"Bearer {token}"), *more), **options)

    def with_certificate(self, sent: Sent, certificate: bytes | None = None) -> Sent:
        shown = b64(self.certificate if certificate is None else certificate)
        return Sent((*sent.headers, ("X-Test-Certificate", shown)), sent.method, sent.target)

    def send(self, sent: Sent) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(sent.method, sent.target, skip_host=True)
            connection.putheader("Host", "logs.iamrange.example")
            for name, value in sent.headers:
                connection.putheader(name, value)
            if sent.body:
                connection.putheader("Content-Length", str(len(sent.body)))
            connection.endheaders(sent.body.encode() or None)
            answer = connection.getresponse()
            return Answer(answer.status, tuple(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def record_of(self, answer: Answer) -> DecisionRecord:
        (request_id,) = answer.values("x-request-id") or [""]
        (found,) = [record for record in self.records if record.request_id == request_id]
        return found

    def app(self) -> Certificates:
        async def records(request: Request) -> JSONResponse:
            token = admitted(request.scope).token
            body = (await request.body()).decode()
            return JSONResponse({"subject": token.subject, "body": body})

        routes = [Route("/{path:path}", records, methods=["GET", "POST"])]
        guarded = TokenGuard(
            Starlette(routes=routes),
            self.verifier,
            scopes=lambda scope: {"write:logs"} if scope["path"] == "/purge" else {SCOPES},
        )
        metadata = metadata_route(RESOURCE, scopes=[SCOPES])
        return Certificates(Starlette(routes=[metadata, Route("/{path:path}", guarded)]))


class Certificates:
    """Puts a test's client certificate where the listener's middleware puts a real one."""

    def __init__(self, app: Starlette) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope.get("headers", ()):
            if name == b"x-test-certificate":
                text = value.decode()
                der = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
                scope.setdefault("extensions", {})[CERTIFICATE_EXTENSION] = (der,)
        await self.app(scope, receive, send)


@contextmanager
def serving(lab: Lab) -> Iterator[Lab]:
    """Serve the lab's app on a port that the kernel picks."""
    config = uvicorn.Config(
        lab.app(), host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < end
        assert thread.is_alive()
        time.sleep(0.01)
    lab.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield lab
    finally:
        server.should_exit = True
        thread.join(10)
