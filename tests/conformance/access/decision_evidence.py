"""Evidence of a good call, of which a test changes one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from iamrange.access.approvals.model import ApprovalFacts
from iamrange.access.canonical import Target
from iamrange.access.evidence import Evidence, Principal, TokenEvidence
from iamrange.access.gateway_limits import Count
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.access.policy_engine import PolicyAnswer
from iamrange.access.routes import ROUTES, Matched
from iamrange.identity.access_token import AccessToken
from iamrange.identity.directory.model import Classification
from iamrange.identity.protected import Denied
from tests.conformance.access.decision_lab import ANALYST, MANAGER, agent

NOW = 1_800_000_000.0
TARGET = Target("GET", "customers.iamrange.example", "/records/latest")
ROUTE = next(r for r in ROUTES if (r.service, r.path) == ("customers", "/records/latest"))
TRANSFER = next(r for r in ROUTES if r.path == "/transfers")
ENTRY = agent("ana", "data-analyst", "analytics", Classification.PUBLIC)
TOKEN = AccessToken(
    issuer="https://auth.iamrange.example",
    subject=ANALYST,
    audience="https://customers.iamrange.example",
    client_id=ANALYST,
    jti="j",
    issued=NOW,
    expires=NOW + 300,
    scopes=frozenset({"read:customers", "transfer:payments"}),
    jkt="k" * 43,
)
NONCE = ("DPoP-Nonce", "n")
DENIED = Denied(status=401, error="invalid_token", description="no", headers=(NONCE,))
FACTS = ApprovalFacts(id="a", approver=MANAGER, manager_signed=True, agent=ANALYST, expires=NOW + 9)
GOOD = Evidence(
    now=NOW,
    target=TARGET,
    route=Matched(ROUTE, {}),
    before=Count(),
    token=TokenEvidence(denied=None, token=TOKEN, headers=(NONCE,)),
    principals=(Principal(ANALYST, ENTRY),),
    policy=(PolicyAnswer(allow=True, rules=("analyst-reads-public-data",)),),
    after=Count(),
)


def refused_token(layer: str, reason: str, status: int = 401, error: str = "invalid_token") -> Any:  # noqa: ANN401 - evidence
    answer = replace(DENIED, status=status, error=error)
    return TokenEvidence(denied=answer, token=TOKEN, layer=layer, reason=reason, headers=(NONCE,))


def entry(**changed: Any) -> tuple[Principal, ...]:  # noqa: ANN401 - an entry's fields
    return (Principal(ANALYST, replace(ENTRY, **changed)),)


def but(**changed: Any) -> Evidence:  # noqa: ANN401 - evidence
    """The good call, except for what is given."""
    return replace(GOOD, **changed)


def lapsed(name: str) -> GatewaySettings:
    options: dict[str, Any] = {name: True}
    return GatewaySettings(**options)
