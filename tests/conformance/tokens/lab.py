"""A token service whose world starts valid: a directory, its agents, and requests to change."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from iamrange.core.clock import OffsetClock, SystemClock
from iamrange.identity.access_token import AccessToken, verify_access_token
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.directory.model import (
    Agent,
    AgentKey,
    AgentState,
    Classification,
    agent_id,
)
from iamrange.identity.names import (
    AUTH_ISSUER,
    DEFAULT_RESOURCE,
    SERVICES,
    TOKEN_ENDPOINT,
    service_resource,
)
from iamrange.identity.nonces import NonceSource
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.tokens.http import HttpRequest
from iamrange.identity.tokens.keys import AuthorityKeys
from iamrange.identity.tokens.service import TokenService
from iamrange.jose import Refusal, SigningKey
from iamrange.jose.gate import base64url, decode_base64url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.decision import DecisionRecord, LayerAnswer
    from iamrange.identity.stores.ports import Rate, ReplayStore, RevocationStore, Wait
    from iamrange.identity.tokens.http import HttpResponse
    from iamrange.identity.tokens.settings import TokenSettings

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
CUSTOMERS, LOGS = service_resource("customers"), service_resource("logs")
RESOURCES: Mapping[str, frozenset[str]] = {
    **{
        service_resource(name): frozenset({f"read:{name}", f"write:{name}", "read:status"})
        for name in SERVICES
    },
    DEFAULT_RESOURCE: frozenset(
        {"read:database", "read:status"}
        | {f"{verb}:{name}" for verb in ("read", "write") for name in SERVICES}
    ),
}
ANALYST, WORKER, THIRD = agent_id("analyst"), agent_id("worker"), agent_id("third")


class Registered(Protocol):
    """A directory that a test can change."""

    def by_id(self, agent_id: str) -> Agent | None: ...
    def put(self, agent: Agent) -> None: ...
    def change(self, agent_id: str, **changes: Any) -> None: ...  # noqa: ANN401 - members


class Agents:
    """A directory in memory that can be away."""

    def __init__(self) -> None:
        self.entries: dict[str, Agent] = {}
        self.away = False

    def by_id(self, agent_id: str) -> Agent | None:
        if self.away:
            raise StoreDownError("directory")
        return self.entries.get(agent_id)

    def put(self, agent: Agent) -> None:
        self.entries[agent.id] = agent

    def change(self, agent_id: str, **changes: Any) -> None:  # noqa: ANN401 - members
        self.entries[agent_id] = replace(self.entries[agent_id], **changes)


class Replay:
    """The memory store, which can be away."""

    def __init__(self) -> None:
        self.store = MemoryReplay()
        self.away = False

    def insert(self, scope: str, jti: str, *, expires: float, now: float) -> bool:
        if self.away:
            raise StoreDownError("replay")
        return self.store.insert(scope, jti, expires=expires, now=now)

    def seen(self, scope: str, jti: str, *, expires: float) -> bool:
        if self.away:
            raise StoreDownError("replay")
        return self.store.seen(scope, jti, expires=expires)


class Limiter:
    """Counts, and refuses the keys that a test names."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.full: dict[str, Wait] = {}

    def hit(self, key: str, rate: Rate) -> Wait | None:
        assert rate.amount > 0
        self.hits.append(key)
        return self.full.get(key)


@dataclass(slots=True)
class Party:
    """An agent's own side: its registered key, and a key that it proves possession of."""

    id: str
    key: SigningKey = field(default_factory=SigningKey.generate)
    dpop: SigningKey = field(default_factory=SigningKey.generate)

    def assertion(
        self,
        *,
        header: Mapping[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401 - claims
    ) -> str:
        """Return a client assertion; a change of None leaves the claim out."""
        now = int(time.time())
        claims = {
            "iss": self.id,
            "sub": self.id,
            "aud": AUTH_ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
        }
        return self.key.sign(_changed(claims, changes), header=header)

    def proof(
        self,
        *,
        header: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
        **changes: Any,  # noqa: ANN401 - claims
    ) -> str:
        """Return a DPoP proof for the token endpoint."""
        signer = key or self.dpop
        claims = {
            "htm": "POST",
            "htu": TOKEN_ENDPOINT,
            "iat": int(time.time()),
            "jti": uuid.uuid4().hex,
        }
        public = {k: v for k, v in signer.public_jwk().items() if k in ("kty", "crv", "x", "y")}
        # SigningKey.sign adds a kid, which a proof has none of: written over its own header
        return sign_exactly(
            signer,
            {"typ": "dpop+jwt", "alg": "ES256", "jwk": public, **(header or {})},
            _changed(claims, changes),
        )


def sign_exactly(key: SigningKey, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Sign with exactly this header, also one that no library would write."""
    jwk = key.private_jwk()
    number = int.from_bytes(decode_base64url(jwk["d"]), "big")
    private = derive_private_key(number, SECP256R1())
    parts = (base64url(json.dumps(dict(part)).encode()) for part in (header, claims))
    signing_input = ".".join(parts)
    r, s = decode_dss_signature(private.sign(signing_input.encode(), ECDSA(SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signing_input}.{base64url(signature)}"


def _changed(claims: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**claims, **changes}
    return {name: value for name, value in merged.items() if value is not None}


class House:
    """The service and its ports."""

    def __init__(self, settings: TokenSettings | None = None, **ports: Any) -> None:  # noqa: ANN401 - ports
        self.clock = OffsetClock()
        self.records: list[DecisionRecord] = []
        self.agents: Registered = ports.pop("agents", None) or Agents()
        self.replay: ReplayStore = ports.pop("replay", None) or Replay()
        self.revocation: RevocationStore = ports.pop("revocation", None) or MemoryRevocation()
        self.limiter = Limiter()
        self.nonces = NonceSource(None, SystemClock())
        self.keys = AuthorityKeys(clock=self.clock)
        self.authority = LocalAuthority.create("iamrange.example", clock=self.clock)
        self.parties: tuple[Party, Party, Party] = ports.pop("parties", None) or (
            Party(ANALYST),
            Party(WORKER),
            Party(THIRD),
        )
        self.analyst: Party = self.parties[0]
        self.worker: Party = self.parties[1]
        self.third: Party = self.parties[2]
        self.register(
            self.analyst,
            scopes={"read:customers", "read:logs", "write:logs", "read:status"},
            may_act=frozenset({WORKER, THIRD}),
        )
        self.register(self.worker, scopes={"read:customers", "read:logs", "read:status"})
        self.register(self.third, scopes={"read:customers", "read:status"})
        chosen: dict[str, Any] = {
            "agents": self.agents,
            "keys": self.keys,
            "replay": self.replay,
            "revocation": self.revocation,
            "limiter": self.limiter,
            "nonces": self.nonces,
            "resources": RESOURCES,
            "clock": self.clock,
            "real_clock": SystemClock(),
            "records": self.records.append,
            "settings": settings,
            "trust_bundle": self.authority.trust_bundle,
        }
        self.service = TokenService(**(chosen | ports))

    def register(self, party: Party, *, scopes: set[str], **members: Any) -> Agent:  # noqa: ANN401 - members
        """Put an active agent into the directory."""
        name = party.id.rpartition("/")[2]
        agent = Agent(
            name=name,
            owner="team",
            project="lab",
            classification=Classification.INTERNAL,
            scopes=frozenset(scopes),
            keys=(AgentKey.from_jwk(party.key.public_jwk()),),
            state=AgentState.ACTIVE,
            **members,
        )
        self.agents.put(agent)
        return agent

    def change(self, party: Party, **changes: Any) -> None:  # noqa: ANN401 - members
        """Change an agent's entry."""
        self.agents.change(party.id, **changes)

    def request(  # noqa: PLR0913 - a request's parts
        self,
        party: Party | None = None,
        *,
        path: str = "/oauth/token",
        headers: Mapping[str, str] | None = None,
        certificates: tuple[bytes, ...] = (),
        peer: str = "127.0.0.1",
        proof: str | None = "",
        **form: Any,  # noqa: ANN401 - parameters
    ) -> HttpRequest:
        """Return a valid client_credentials request, changed; None leaves a parameter out.

        `proof` "" makes one, None sends none.
        """
        who = party or self.analyst
        values: dict[str, Any] = {
            "grant_type": "client_credentials",
            "client_assertion_type": JWT_BEARER,
            "client_assertion": who.assertion() if "client_assertion" not in form else None,
        }
        values = _changed(values, form)
        sent = {"content-type": "application/x-www-form-urlencoded"}
        made = who.proof() if proof == "" else proof
        if made is not None and path == "/oauth/token":
            sent["dpop"] = made
        sent |= headers or {}
        return HttpRequest(
            method="POST",
            path=path,
            headers=tuple((name.encode(), value.encode()) for name, value in sent.items()),
            body=urlencode(values, doseq=True).encode(),
            peer=peer,
            certificates=certificates,
        )

    def post(self, party: Party | None = None, **form: Any) -> Answer:  # noqa: ANN401 - as `request`
        """Make a request and return the answer."""
        return self.send(self.request(party, **form))

    def send(self, request: HttpRequest) -> Answer:
        """Return the answer to a request, with the record that it made."""
        before = len(self.records)
        response = self.service.answer(request)
        made = self.records[before:]
        return Answer(response, made[0] if made else None)

    def token(self, party: Party | None = None, **form: Any) -> str:  # noqa: ANN401 - as `request`
        """Return an access token."""
        answer = self.post(party, **form)
        assert answer.status == 200, answer
        return str(answer.body["access_token"])

    def exchange(self, party: Party, held: str, /, **form: Any) -> Answer:  # noqa: ANN401 - as `request`
        """Exchange a token."""
        asked: dict[str, Any] = {
            "grant_type": EXCHANGE,
            "subject_token": held,
            "subject_token_type": ACCESS_TOKEN,
        }
        return self.post(party, **(asked | form))

    def read_if_alive(self, token: str) -> AccessToken | None:
        """Return what a token says, or None if it is over."""
        read = verify_access_token(token, keys=self.keys.key_set(), now=self.clock.now())
        return None if isinstance(read, Refusal) else read

    def read(self, token: str) -> AccessToken:
        """Return what a token says."""
        read = verify_access_token(token, keys=self.keys.key_set(), now=self.clock.now())
        assert not isinstance(read, Refusal), read
        return read


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and its decision record."""

    response: HttpResponse
    record: DecisionRecord | None

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def body(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.response.body or b"{}")
        return value

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.response.headers)

    @property
    def verdict(self) -> tuple[int, str, str]:
        """Status, OAuth error and the reason in the record."""
        assert self.record is not None
        return self.status, str(self.body.get("error", "")), self.record.reason

    def layer(self, name: str) -> LayerAnswer:
        """Return one layer's answer."""
        assert self.record is not None
        return next(layer for layer in self.record.layers if layer.layer == name)
