"""A world for approvals: agents, people and a clock that a test moves. It starts valid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from iamrange.access.approvals.declared import describe
from iamrange.access.approvals.model import ApprovalEvent, ApprovalRequest, Verdict
from iamrange.access.approvals.service import Approvals, AskedCall
from iamrange.access.approvals.settings import ApprovalSettings
from iamrange.access.approvals.signing import sign_decision
from iamrange.access.approvals.sql_store import SqlApprovalStore
from iamrange.core.clock import FixedClock
from iamrange.identity.directory.model import Agent, AgentKey, AgentState, Kind, agent_id
from iamrange.identity.stores.errors import StoreDownError
from iamrange.jose.sign import SigningKey

if TYPE_CHECKING:
    from iamrange.access.approvals.ports import ApprovalStore
    from iamrange.core.decision import DecisionRecord

NOW = 1_800_000_000
AGENT = agent_id("payments-agent")
OTHER = agent_id("deploy-bot")
MANAGER = agent_id("maria", kind=Kind.PERSON)
SECOND = agent_id("sam", kind=Kind.PERSON)
ADMINISTRATOR = agent_id("ada", kind=Kind.PERSON)
OWNER = agent_id("olga", kind=Kind.PERSON)
CLERK = agent_id("carl", kind=Kind.PERSON)
OWNERS_AGENT = agent_id("olgas-helper")

TRANSFERS = "https://payments.iamrange.example/transfers"
JSON = "application/json"
BODY = b'{"to":"DE02120300000000202051","amount":100.50,"currency":"EUR"}'
TRANSFER = AskedCall(method="POST", url=TRANSFERS, body=BODY, content_type=JSON)
DEPLOYMENT = AskedCall(
    method="POST",
    url="https://deployments.iamrange.example/deployments/production",
    body=b'{"version":"1.2.3"}',
    content_type=JSON,
)
COMMAND = AskedCall(
    method="POST", url="https://hr.iamrange.example/admin/commands", body=b"{}", content_type=JSON
)
ENTRIES: tuple[tuple[str, dict[str, Any]], ...] = (
    (AGENT, {"owner": "olga@example.com"}),
    (OTHER, {"owner": "dora@example.com"}),
    (OWNERS_AGENT, {"owner": "olga@example.com", "roles": frozenset({"manager"})}),
    (MANAGER, {"owner": "maria@example.com", "roles": frozenset({"manager"})}),
    (SECOND, {"owner": "sam@example.com", "roles": frozenset({"manager"})}),
    (ADMINISTRATOR, {"owner": "ada@example.com", "roles": frozenset({"administrator"})}),
    (OWNER, {"owner": "olga@example.com", "roles": frozenset({"manager"})}),
    (CLERK, {"owner": "carl@example.com"}),
)


@dataclass
class Folk:
    """A directory in memory that can be away."""

    entries: dict[str, Agent] = field(default_factory=dict)
    keys: dict[str, SigningKey] = field(default_factory=dict)
    away: bool = False

    def get(self, identifier: str, /) -> Agent | None:
        if self.away:
            raise StoreDownError("directory")
        return self.entries.get(identifier)

    def add(self, identifier: str, **fields: Any) -> SigningKey:  # noqa: ANN401 - any field
        self.keys[identifier] = key = SigningKey.generate()
        kind, name = identifier.split("/")[-2:]
        given: dict[str, Any] = {
            "tenant": identifier.removeprefix("spiffe://").partition(".example/")[0],
            "state": AgentState.ACTIVE,
            "keys": (AgentKey.from_jwk(public(key)),),
            **fields,
        }
        self.entries[identifier] = Agent(name=name, kind=Kind(kind), **given)
        return key

    def change(self, identifier: str, **fields: Any) -> None:  # noqa: ANN401 - any field
        self.entries[identifier] = replace(self.entries[identifier], **fields)


def public(key: SigningKey) -> dict[str, str]:
    jwk = key.public_jwk()
    return {name: jwk[name] for name in ("kty", "crv", "x", "y")}


@dataclass(repr=False)
class Lab:
    """Approvals over a store, with everybody in the directory."""

    store: ApprovalStore
    settings: ApprovalSettings = field(default_factory=ApprovalSettings)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    folk: Folk = field(default_factory=Folk)
    events: list[ApprovalEvent] = field(default_factory=list)
    records: list[DecisionRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        for identifier, fields in ENTRIES:
            self.folk.add(identifier, **fields)
        self.approvals = Approvals(
            self.store,
            self.folk,
            describe,
            clock=self.clock,
            settings=self.settings,
            audit=self.events.append,
            records=self.records.append,
        )

    def asked(self, call: AskedCall = TRANSFER, agent: str = AGENT) -> ApprovalRequest:
        asked = self.approvals.ask(agent, call)
        assert isinstance(asked, ApprovalRequest), asked
        return asked

    def signed(
        self,
        request: ApprovalRequest,
        approver: str = MANAGER,
        verdict: Verdict = Verdict.APPROVE,
        **claims: Any,  # noqa: ANN401 - JSON
    ) -> str:
        """A signature by the approver's own key; `claims` differ from what is right."""
        key, now = self.folk.keys[approver], self.clock.now()
        if not claims:
            return sign_decision(key, request, verdict=verdict, approver=approver, now=now)
        right = {
            "approval_id": request.id,
            "request_digest": request.digest(),
            "decision": verdict.value,
            "approver": approver,
            "iat": int(now),
            "exp": request.expires,
            "jti": "0123456789abcdef",
        }
        header = claims.pop("header", None)
        typ = claims.pop("typ", "approval+jwt")
        given = {n: v for n, v in {**right, **claims}.items() if v is not None}
        return key.sign(given, typ=typ, header=header)

    def approved(self, call: AskedCall = TRANSFER, approver: str = MANAGER) -> ApprovalRequest:
        request = self.asked(call)
        decided = self.approvals.decide(request.id, self.signed(request, approver))
        assert isinstance(decided, ApprovalRequest), decided
        return decided

    def present(self, request: ApprovalRequest, **other: Any) -> object:  # noqa: ANN401 - members
        """Present as it was approved; `other` differs from it."""
        given: dict[str, Any] = {
            "approval_id": request.id,
            "agent_id": request.agent,
            "method": request.method,
            "url": request.url,
            "body_sha256": request.body_sha256,
            "now": self.clock.now(),
            **other,
        }
        return self.approvals.present(**given)


def reason(answer: object) -> str | None:
    """The code of a refusal; None of anything else."""
    found = getattr(answer, "reason", None)
    return None if found is None else str(found)


def sqlite(folder: object, **options: Any) -> SqlApprovalStore:  # noqa: ANN401 - options
    return SqlApprovalStore(f"sqlite:///{folder}/approvals.db", **options)
