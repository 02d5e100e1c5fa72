"""A gateway's decider over a real verifier and the real policy, and whatever its callers need.

- The default world is valid: a data analyst reads the latest customer record.
- Tokens and proofs are made with `cryptography` alone.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import iamrange.access
from iamrange.access.approvals.model import ApprovalFacts, ApprovalRefusal
from iamrange.access.decider import GatewayDecider
from iamrange.access.evidence import AccessCall
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.access.policy_engine import PolicyEngine
from iamrange.access.record_tap import RecordTap
from iamrange.core.clock import FixedClock
from iamrange.core.decision import DecisionRecord, Tamper, honest
from iamrange.identity.access_token import PROFILE
from iamrange.identity.directory.model import Agent, AgentState, Classification, agent_id
from iamrange.identity.nonces import NonceSource
from iamrange.identity.protected import TokenVerifier, VerifierSettings
from iamrange.identity.stores.directory import DirectoryRevocation
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.stores.limits import LocalLimiter
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.jose import KeySet, parse_key_set
from tests.conformance.protected_lab import ISSUER, NOW, Key, ath

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.access.decide import Decision
    from iamrange.identity.stores.ports import Limiter

POLICY = Path(iamrange.access.__file__).parent / "policy"
ANALYST, HR, PAYMENTS, DEPLOYER, ADMIN = (
    agent_id(name) for name in ("ana", "hera", "paul", "dora", "adam")
)
MANAGER = "spiffe://iamrange.example/person/mia"
Json = Any


def agent(name: str, role: str, project: str, ceiling: Classification, **changed: Json) -> Agent:
    members: dict[str, Json] = {
        "name": name,
        "owner": "olga",
        "project": project,
        "classification": ceiling,
        "roles": frozenset({role}),
        "state": AgentState.ACTIVE,
        "epoch": 1,
        **changed,
    }
    return Agent(**members)


class Directory:
    """Five agents; each can be changed, and all of it can be away."""

    def __init__(self) -> None:
        self.away = False
        self.known = {
            one.id: one
            for one in (
                agent("ana", "data-analyst", "analytics", Classification.PUBLIC),
                agent("hera", "hr-assistant", "people", Classification.CONFIDENTIAL),
                agent("paul", "payments-agent", "payments", Classification.RESTRICTED),
                agent("dora", "deploy-bot", "platform", Classification.INTERNAL),
                agent("adam", "platform-admin", "platform", Classification.RESTRICTED),
            )
        }

    def by_id(self, agent_id: str) -> Agent | None:
        if self.away:
            raise StoreDownError("directory")
        return self.known.get(agent_id)


@dataclass
class Book:
    """Approvals by id; each is for one agent, method, URL and body."""

    held: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    presented: list[str] = field(default_factory=list)
    away: bool = False
    signed: bool = True

    def approve(self, agent: str, method: str, url: str, body: bytes = b"") -> str:
        name = secrets.token_urlsafe(12)
        self.held[name] = (agent, method, url, hashlib.sha256(body).hexdigest())
        return name

    def present(  # noqa: PLR0913, PLR0917 - the port's own
        self,
        name: str,
        agent: str,
        method: str,
        url: str,
        digest: str,
        now: float,
        /,
        *,
        content_type: str | None = None,
    ) -> ApprovalFacts | ApprovalRefusal:
        if self.away:
            raise StoreDownError("approvals")
        assert content_type is not None
        self.presented.append(name)
        if name not in self.held:
            return ApprovalRefusal("approval-unknown")
        if name in self.used:
            return ApprovalRefusal("approval-used")
        if self.held[name] != (agent, method, url, digest):
            return ApprovalRefusal("approval-for-another-request")
        return ApprovalFacts(
            id=name, approver=MANAGER, manager_signed=self.signed, agent=agent, expires=now + 60
        )

    def consume(self, name: str, now: float, /) -> bool:
        del now
        if self.away:
            raise StoreDownError("approvals")
        if name in self.used:
            return False
        self.used.append(name)
        return True


@dataclass
class Gateway:
    """One decider, its verifiers' issuer, and its callers."""

    settings: GatewaySettings = field(default_factory=GatewaySettings)
    tamper: Tamper = honest
    limiter: Limiter = field(default_factory=LocalLimiter)
    verifier_settings: VerifierSettings = field(default_factory=VerifierSettings)
    replay: Json = field(default_factory=MemoryReplay)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    directory: Directory = field(default_factory=Directory)
    book: Book = field(default_factory=Book)
    records: list[DecisionRecord] = field(default_factory=list)
    issuer: Key = field(default_factory=Key)
    key: Key = field(default_factory=Key)

    def __post_init__(self) -> None:
        self.nonces = NonceSource(None, self.clock)
        self.revocation = MemoryRevocation(now=self.clock.now)
        found = parse_key_set({"keys": [self.issuer.published]}, PROFILE)
        assert isinstance(found, KeySet)
        self.keys = found
        self.tap = RecordTap(self.records.append)
        self.verifiers: dict[str, TokenVerifier] = {}
        self.engine = PolicyEngine.from_folder(POLICY)
        self.decider = GatewayDecider(
            verifiers=self.verifier,
            agents=self.directory,
            policy=lambda: self.engine,
            approvals=self.book,
            limits=self.limiter,
            clock=self.clock,
            records=self.tap,
            tamper=self.tamper,
            settings=self.settings,
        )

    def verifier(self, service: str) -> TokenVerifier:
        if service not in self.verifiers:
            self.verifiers[service] = TokenVerifier(
                f"https://{service}.iamrange.example",
                keys=lambda: self.keys,
                replay=self.replay,
                revocation=DirectoryRevocation(self.directory, self.revocation, clock=self.clock),
                nonces=self.nonces,
                clock=self.clock,
                records=self.tap,
                tamper=self.tamper,
                settings=self.verifier_settings,
            )
        return self.verifiers[service]

    def token(self, subject: str = ANALYST, service: str = "customers", **claims: Json) -> str:
        """A good token; None takes a claim away."""
        actors = claims.pop("actors", ())
        made: dict[str, Json] = {
            "iss": ISSUER,
            "sub": subject,
            "aud": f"https://{service}.iamrange.example",
            "client_id": subject,
            "scope": f"read:{service}",
            "iat": NOW - 10,
            "nbf": NOW - 10,
            "exp": NOW + 200,
            "jti": secrets.token_urlsafe(16),
            "cnf": {"jkt": self.key.thumbprint},
            "epochs": dict.fromkeys((subject, *actors), 1),
            **claims,
        }
        act: Json = None
        for actor in reversed(actors):
            act = {"sub": actor} | ({"act": act} if act else {})
        if act:
            made["act"] = act
        header = {"alg": "ES256", "typ": "at+jwt", "kid": self.issuer.thumbprint}
        return self.issuer.sign(header, {n: v for n, v in made.items() if v is not None})

    def proof(self, token: str, url: str, method: str = "GET", **claims: Json) -> str:
        made = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url,
            "iat": NOW,
            "ath": ath(token),
            "nonce": self.nonces.current(),
            **claims,
        }
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.jwk}
        return self.key.sign(header, made)

    def call(
        self,
        target: str = "/records/latest",
        method: str = "GET",
        *,
        service: str = "customers",
        token: str | None = None,
        proof: str | None = None,
        **changed: Json,
    ) -> AccessCall:
        """A good call, except for what is given."""
        host = f"{service}.iamrange.example"
        token = self.token(service=service) if token is None else token
        url = f"https://{host}{target.partition('?')[0]}"
        proof = self.proof(token, url, method) if proof is None else proof
        members: dict[str, Json] = {
            "method": method,
            "host": (host,),
            "target": target,
            "authorization": (f"DPoP {token}",),
            "dpop": (proof,),
            "peer": "127.0.0.1",
            "request_id": secrets.token_hex(8),
            **changed,
        }
        return AccessCall(**members)

    def transfer(self, **changed: Json) -> AccessCall:
        """A transfer of money: high impact."""
        token = self.token(PAYMENTS, "payments", scope="transfer:payments read:payments")
        options: dict[str, Json] = {"token": token, "body": b'{"amount":5}', **changed}
        return self.call("/transfers", "POST", service="payments", **options)

    def approval_of(self, call: AccessCall, agent: str = PAYMENTS) -> str:
        url = f"https://{call.host[0]}{call.target}"
        return self.book.approve(agent, call.method, url, call.body or b"")

    def decide(self, call: AccessCall) -> Decision:
        return self.decider.decide(call)

    def record(self, call: AccessCall) -> DecisionRecord:
        (found,) = [
            record
            for record in self.records
            if record.request_id == call.request_id and record.point == "gateway.call"
        ]
        return found

    def layers(self, call: AccessCall) -> Mapping[str, str]:
        return {layer.layer: layer.reason for layer in self.record(call).layers}

    def refusing(self, call: AccessCall) -> dict[str, str]:
        return {one.layer: one.reason for one in self.record(call).layers if one.refuses}
