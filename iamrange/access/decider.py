"""The gateway's decider: gathers what is known of a call, has it decided, spends and records.

- The order of asking is that of the layers. What costs is not asked of a call that a rate has
  refused, nor of one that names no service.
- A proof is spent by the token's verifier once the token part holds. Rates count every call. An
  approval is spent last of all: by a call that everything else allows, and by no other.
- Every agent that the token speaks of is asked about, the one that acts and those it acts for:
  each must be active, and the policy must allow the call to each (`gateway_policy`).
- One record a call, of the point "gateway.call"; the verifier writes its own, "rs.token".
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from iamrange.access.approvals.model import ApprovalRefusal
from iamrange.access.canonical import CanonicalRefusal, Target, as_it_came, canonical
from iamrange.access.decide import Decision, decide
from iamrange.access.evidence import Away, Evidence, Principal, TokenEvidence
from iamrange.access.gateway_layers import UNKNOWN_SERVICE
from iamrange.access.gateway_limits import GatewayLimits
from iamrange.access.gateway_policy import Asked, PolicyAsker
from iamrange.access.gateway_records import failure_record, record_of
from iamrange.access.gateway_settings import GatewaySettings
from iamrange.access.raw_routes import match_raw
from iamrange.access.routes import SERVICE_OF_HOST, Matched, RouteRefusal, is_public, match
from iamrange.core.decision import Effect, LayerAnswer, Tamper, honest
from iamrange.identity.access_token import as_it_stands
from iamrange.identity.challenges import UNAVAILABLE
from iamrange.identity.directory.model import DEFAULT_TENANT, Classification
from iamrange.identity.presentation import MAX_LENGTH, Call, presented
from iamrange.identity.protected import Admitted
from iamrange.identity.stores.errors import StoreDownError
from iamrange.jose import peek

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.access.approvals.model import ApprovalFacts
    from iamrange.access.evidence import AccessCall
    from iamrange.access.gateway_limits import Count
    from iamrange.access.policy_engine import PolicyEngine
    from iamrange.access.record_tap import RecordTap
    from iamrange.access.routes import Route
    from iamrange.core.clock import Clock
    from iamrange.identity.access_token import AccessToken
    from iamrange.identity.directory.model import AgentSource
    from iamrange.identity.protected import TokenVerifier
    from iamrange.identity.stores.ports import Limiter

_FORM: Final = "application/x-www-form-urlencoded"
FAILED: Final = "decision-failed"
_LOG: Final = logging.getLogger(__name__)
_NO_BODY: Final = hashlib.sha256(b"").hexdigest()


class ApprovalBook(Protocol):
    """What is asked of the approvals."""

    def present(  # noqa: PLR0913, PLR0917 - an approval is of one agent, request and moment
        self,
        approval_id: str,
        agent_id: str,
        method: str,
        url: str,
        body_sha256: str,
        now: float,
        /,
        *,
        content_type: str | None = None,
    ) -> ApprovalFacts | ApprovalRefusal:
        """Return what the approval says of this very request; spend nothing."""
        ...

    def consume(self, approval_id: str, now: float, /) -> bool:
        """Spend the approval; exactly one of many that ask at once is told True."""
        ...


class GatewayDecider:
    """Decides calls to the services behind the gateway."""

    def __init__(  # noqa: PLR0913 - what a decision needs, each a port of its own
        self,
        *,
        verifiers: Callable[[str], TokenVerifier],
        agents: AgentSource,
        policy: Callable[[], PolicyEngine],
        approvals: ApprovalBook | None,
        limits: Limiter,
        clock: Clock,
        records: RecordTap,
        tamper: Tamper = honest,
        settings: GatewaySettings | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> None:
        """Take the ports; `records` must be what the verifiers write to as well.

        `verifiers` names a service's verifier, `policy` the policy of the moment.
        """
        self._verifiers = verifiers
        self._agents = agents
        self.settings = settings or GatewaySettings()
        self._policy = PolicyAsker(
            policy, tenant=tenant, ignores_state=self.settings.unsafe_ignores_agent_state
        )
        self._approvals = approvals
        self._limits = GatewayLimits(limits, self.settings)
        self._clock = clock
        self._records = records
        self._tamper = tamper

    def decide(self, call: AccessCall) -> Decision:
        """Decide one call, and record why. Whatever breaks on the way refuses."""
        try:
            return self._decide(call)
        except Exception as error:  # noqa: BLE001 - nothing is forwarded undecided
            return self._failed(call, error)

    def _decide(self, call: AccessCall) -> Decision:
        now = self._clock.now()
        evidence = self._evidence(call, now)
        decision = decide(evidence, self._tamper, request_id=call.request_id)
        approval = evidence.approval
        if decision.allow and approval is not None:
            refused = self._spend(approval, now)
            if refused is not None:
                evidence = replace(evidence, approval=refused)
                decision = decide(evidence, self._tamper, request_id=call.request_id)
        self._records(record_of(call, evidence, decision))
        return decision

    def _failed(self, call: AccessCall, error: Exception) -> Decision:
        # the type alone: a message could hold what the client sent
        kind = type(error).__name__
        _LOG.error("a decision broke: %s", kind)
        layer = LayerAnswer("decision", Effect.DENY, FAILED, detail=kind)
        self._records(failure_record(call, self._clock.now(), layer))
        return Decision(
            allow=False,
            status=UNAVAILABLE.status,
            reason=FAILED,
            error=UNAVAILABLE.error,
            description=UNAVAILABLE.description,
            layers=(layer,),
            headers=(("Retry-After", "1"),),
            request_id=call.request_id,
        )

    def _evidence(self, call: AccessCall, now: float) -> Evidence:
        settings = self.settings
        before = None if settings.unsafe_no_rate_limit else self._limits.before(call.peer)
        target = self._target(call)
        if isinstance(target, CanonicalRefusal):
            return Evidence(now=now, settings=settings, target=target, route=None, before=before)
        service = SERVICE_OF_HOST.get(target.host)
        if service is not None and is_public(service, target.method, target.path):
            return Evidence(
                now=now, settings=settings, target=target, route=None, public=True, before=before
            )
        route = self._route(service, target)
        if service is None or (before is not None and before.over is not None):
            return Evidence(now=now, settings=settings, target=target, route=route, before=before)
        return self._asked(call, target, service, route, before, now)

    def _asked(  # noqa: PLR0913, PLR0917 - what is known so far
        self,
        call: AccessCall,
        target: Target,
        service: str,
        route: Matched | RouteRefusal,
        before: Count | None,
        now: float,
    ) -> Evidence:
        """Ask all that goes by whose token it is."""
        found = self._token(call, target, service, route)
        token = found.token
        if token is None:
            return Evidence(
                now=now,
                settings=self.settings,
                target=target,
                route=route,
                before=before,
                token=found,
            )
        principals = self._principals(token)
        approval = self._approval(call, target, token, now)
        asked = self._policy_answers(call, route, principals, approval, token, now)
        return Evidence(
            now=now,
            settings=self.settings,
            target=target,
            route=route,
            before=before,
            token=found,
            principals=principals,
            approval=approval,
            policy=asked.answers if isinstance(asked, Asked) else asked,
            policy_digest=asked.digest if isinstance(asked, Asked) else "",
            after=self._after(route, found, token),
        )

    def _target(self, call: AccessCall) -> Target | CanonicalRefusal:
        if self.settings.unsafe_raw_paths:
            return as_it_came(call.method, call.host, call.target)
        if call.overrides:
            return CanonicalRefusal("method-override")
        if call.approval_id and call.content_coding:
            # a person agreed to what could be read: the service would read something else
            return CanonicalRefusal("encoded-body")
        return canonical(call.method, call.host, call.target)

    def _route(self, service: str | None, target: Target) -> Matched | RouteRefusal:
        if service is None:
            return RouteRefusal(UNKNOWN_SERVICE)
        matcher = match_raw if self.settings.unsafe_raw_paths else match
        return self._as_set(matcher(service, target.method, target.path))

    def _as_set(self, found: Matched | RouteRefusal) -> Matched | RouteRefusal:
        """Return the route as the settings have it labelled."""
        if isinstance(found, RouteRefusal):
            return found
        settings = self.settings
        if not (settings.unsafe_unlabelled_data or settings.unsafe_needs_no_approval):
            return found
        route = _as_lapsed(
            found.route,
            unlabelled=settings.unsafe_unlabelled_data,
            harmless=settings.unsafe_needs_no_approval,
        )
        return replace(found, route=route)

    def _token(
        self, call: AccessCall, target: Target, service: str, route: Matched | RouteRefusal
    ) -> TokenEvidence:
        asks = isinstance(route, Matched) and not self.settings.unsafe_ignores_scope
        asked = Call(
            method=call.method,
            url=target.location,
            authorization=call.authorization,
            dpop=call.dpop,
            query=target.query or "",
            form=_form(call),
            cookies=call.cookies,
            certificate=call.certificate,
            scopes=frozenset({route.route.scope})
            if asks and isinstance(route, Matched)
            else frozenset(),
            peer=call.peer,
            user_agent=call.user_agent,
            request_id=call.request_id,
        )
        verifier = self._verifiers(service)
        answer = verifier.verify(asked)
        if isinstance(answer, Admitted):
            return TokenEvidence(denied=None, token=answer.token, headers=answer.headers)
        record = self._records.take(call.request_id)
        refusing = None if record is None else next((x for x in record.layers if x.refuses), None)
        return TokenEvidence(
            denied=answer,
            token=_claimed(asked),
            layer=refusing.layer if refusing else "",
            reason=refusing.reason if refusing else (answer.error or "no-token").replace("_", "-"),
            headers=answer.headers,
        )

    def _principals(self, token: AccessToken) -> tuple[Principal, ...] | Away:
        """Return all agents that the token speaks of, the one that acts first."""
        ids = dict.fromkeys((*token.actors, token.subject))
        try:
            return tuple(Principal(one, self._agents.by_id(one)) for one in ids)
        except StoreDownError:
            return Away("directory")

    def _approval(
        self, call: AccessCall, target: Target, token: AccessToken, now: float
    ) -> ApprovalFacts | ApprovalRefusal | Away | None:
        """Ask about the approval that the call presents; spend nothing."""
        if not call.approval_id:
            return None
        if len(call.approval_id) > 1:
            return ApprovalRefusal("several-approvals")
        if self._approvals is None:
            return ApprovalRefusal("approval-unknown")
        if call.body is None:
            return ApprovalRefusal("body-unseen")
        digest = hashlib.sha256(call.body).hexdigest() if call.body else _NO_BODY
        try:
            return self._approvals.present(
                call.approval_id[0],
                token.acting,
                call.method,
                target.url,
                digest,
                now,
                content_type=call.content_type,
            )
        except StoreDownError:
            return Away("approvals")

    def _spend(self, approval: object, now: float) -> ApprovalRefusal | Away | None:
        """Spend the approval; return why it is none any more."""
        if self._approvals is None or isinstance(approval, (ApprovalRefusal, Away)):
            return None  # only a rogue allows by one of these
        try:
            spent = self._approvals.consume(approval.id, now)  # type: ignore[attr-defined] # facts
        except StoreDownError:
            return Away("approvals")
        return None if spent else ApprovalRefusal("approval-used")

    def _policy_answers(  # noqa: PLR0913, PLR0917 - what the policy goes by
        self,
        call: AccessCall,
        route: Matched | RouteRefusal,
        principals: tuple[Principal, ...] | Away,
        approval: ApprovalFacts | ApprovalRefusal | Away | None,
        token: AccessToken,
        now: float,
    ) -> Asked | Away | None:
        if self.settings.unsafe_asks_no_policy or not isinstance(route, Matched):
            return None
        if isinstance(principals, Away):
            return None
        agents = [one.agent for one in principals if one.agent is not None]
        if len(agents) < len(principals):
            return None
        facts = None if isinstance(approval, (ApprovalRefusal, Away)) else approval
        return self._policy.ask(agents, route, facts, now=now, peer=call.peer, actors=token.actors)

    def _after(
        self, route: Matched | RouteRefusal, found: TokenEvidence, token: AccessToken
    ) -> Count | None:
        """Count the call of an agent that has proved itself; nobody else's are counted for it."""
        if self.settings.unsafe_no_rate_limit or not found.proved:
            return None
        return self._limits.after(token.acting, route.route if isinstance(route, Matched) else None)


@cache
def _as_lapsed(route: Route, *, unlabelled: bool, harmless: bool) -> Route:
    """Return the same value each time: the policy's answers are remembered by it."""
    if unlabelled:
        route = replace(route, classification=Classification.PUBLIC)
    return replace(route, high_impact=False) if harmless else route


def _form(call: AccessCall) -> str:
    """Return the body where it is a form: the verifier looks for a token in it."""
    if call.body and call.content_type.strip().lower().startswith(_FORM):
        return call.body.decode("latin-1")
    return ""


def _claimed(call: Call) -> AccessToken | None:
    """Return what a refused token says, for the record of what else would have refused it."""
    token = presented(call).token
    seen = peek(token, max_length=MAX_LENGTH) if token else None
    if seen is None:
        return None
    claimed = as_it_stands(seen.unverified_claims)
    return claimed if claimed.subject else None
