"""POST /oauth/token: nine questions, one answer, one record.

- Every layer is asked that can be, also after one refused; the first that refuses gives the answer.
- Nothing is signed unless no layer refuses, and nothing is spent for a client that did not
  authenticate.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.decision import Effect, LayerAnswer, Outcome
from iamrange.identity.tokens.answers import refusal_response
from iamrange.identity.tokens.binding import LAYER as PROOF
from iamrange.identity.tokens.binding import Binder, Bound
from iamrange.identity.tokens.credentials import Presented, presented_by
from iamrange.identity.tokens.exchange import PARAMETERS, Exchange, Exchanger
from iamrange.identity.tokens.form import Form, read_form
from iamrange.identity.tokens.http import HttpRequest, HttpResponse, json_response
from iamrange.identity.tokens.issue import EXCHANGE, first_claims, sign, token_answer
from iamrange.identity.tokens.judge import Judge, first_refusal, unasked
from iamrange.identity.tokens.targets import (
    SCOPE_NOT_REGISTERED,
    Granted,
    Target,
    resource_answer,
    scope_answer,
    scopes_of,
    target_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.core.clock import Clock
    from iamrange.identity.directory.model import Agent
    from iamrange.identity.nonces import NonceSource
    from iamrange.identity.tokens.clients import ClientAuthenticator, Examined
    from iamrange.identity.tokens.keys import TokenKeys
    from iamrange.identity.tokens.limits import Limits
    from iamrange.identity.tokens.settings import TokenSettings

POINT: Final = "as.token"
LAYERS: Final = (
    "request",
    "client",
    "registration",
    PROOF,
    "scope",
    "resource",
    "exchange",
    "limit",
)
_CLIENT_CREDENTIALS: Final = "client_credentials"
_ACTIONS: Final = {
    _CLIENT_CREDENTIALS: "oauth:ClientCredentials",
    EXCHANGE: "oauth:TokenExchange",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One token request, and all that was found out about it."""

    grant: str
    layers: tuple[LayerAnswer, ...]
    examined: Examined | None = None
    bound: Bound | None = None
    granted: Granted = field(default_factory=lambda: Granted(answer=unasked("scope")), repr=False)
    target: Target = field(default_factory=Target)
    resource: str = ""
    exchange: Exchange | None = None

    @property
    def agent(self) -> Agent | None:
        """Whom the request claims to come from, where the directory knows it."""
        return self.examined.agent if self.examined is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """Decides on token requests, and issues."""

    clients: ClientAuthenticator
    binder: Binder
    exchanger: Exchanger
    limits: Limits
    keys: TokenKeys
    nonces: NonceSource
    resources: Mapping[str, frozenset[str] | None]
    settings: TokenSettings
    clock: Clock
    real_clock: Clock
    judge: Judge
    cloud_minter: Callable[[Agent, str], str] | None = None

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one token request."""
        request_id = str(uuid.uuid4())
        limited = self.limits.before(request.peer)
        if limited is not None:
            layers = (*(unasked(name) for name in LAYERS[:-1]), limited)
            combined = self.judge.combine(POINT, layers)
            if first_refusal(combined) is not None:
                return self._refuse(request, request_id, Asked(grant="", layers=combined))
        asked = self._ask(request, limited)
        combined = self.judge.combine(POINT, asked.layers)
        if first_refusal(combined) is not None:
            return self._refuse(request, request_id, asked, combined)
        return self._issue(request, request_id, asked, combined)

    def _ask(self, request: HttpRequest, limited: LayerAnswer | None) -> Asked:
        form = read_form(request)
        if isinstance(form, str):
            refused = LayerAnswer("request", Effect.DENY, form)
            rest = tuple(unasked(name) for name in LAYERS[1:-1])
            limit = limited or self.limits.of_agent(None)
            return Asked(grant="", layers=(refused, *rest, limit))
        presented = presented_by(form, request)
        grant = form.one("grant_type") or ""
        shape = _request_layer(form, presented, grant)
        now, real_now = self.clock.now(), self.real_clock.now()
        bound = self.binder.examine(request, real_now)
        # a client that is asked for a nonce sends the same assertion again
        sound = not shape.refuses and not bound.answer.refuses
        examined = self.clients.examine(presented, request.certificates, spend=sound)
        known = examined.authenticated
        bound = self.binder.used(bound, real_now, spend=known is not None and not shape.refuses)
        exchange = self._exchange(form, grant, examined.agent, bound, now)
        target = target_of(form)
        resource = target.or_default(exchange.default_resource) if exchange else target.or_default()
        granted = self._granted(form, examined.agent, resource, exchange)
        layers = (
            shape,
            examined.client,
            examined.registration,
            bound.answer,
            granted.answer,
            self._resource_layer(target, resource, examined.agent, exchange),
            self._exchange_layer(exchange, form, resource),
            limited or self.limits.of_agent(known.id if known is not None else None),
        )
        return Asked(
            grant=grant,
            layers=layers,
            examined=examined,
            bound=bound,
            granted=granted,
            target=target,
            resource=resource,
            exchange=exchange,
        )

    def _exchange(
        self, form: Form, grant: str, agent: Agent | None, bound: Bound, now: float
    ) -> Exchange | None:
        if grant != EXCHANGE:
            return None
        return self.exchanger.examine(form, agent, bound.confirmation, now)

    def _granted(
        self, form: Form, agent: Agent | None, resource: str, exchange: Exchange | None
    ) -> Granted:
        if agent is None:
            return Granted(answer=unasked("scope"))
        bounds = [(SCOPE_NOT_REGISTERED, agent.scopes)]
        understood = self.resources.get(resource)
        if understood is not None and not self.settings.unsafe_any_audience:
            bounds.append(("scope-not-understood", understood))
        scopes = scopes_of(form)
        if exchange is not None and not self.settings.unsafe_exchange_widens:
            parties = exchange.parties.values()
            bounds += [(SCOPE_NOT_REGISTERED, party.scopes) for party in parties]
            if exchange.subject is not None and scopes.asked is None:
                # what is asked for beyond these is the exchange layer's refusal
                bounds.append(("scope-widened", exchange.subject.scopes))
        return scope_answer(scopes, bounds, self.settings)

    def _exchange_layer(self, exchange: Exchange | None, form: Form, resource: str) -> LayerAnswer:
        if exchange is None:
            return unasked("exchange", "no-exchange")
        if self.settings.unsafe_exchange_widens:
            return exchange.answer
        return exchange.answer_for(scopes_of(form).asked, resource)

    def _resource_layer(
        self, target: Target, resource: str, agent: Agent | None, exchange: Exchange | None
    ) -> LayerAnswer:
        answer = resource_answer(target, resource, agent, self.resources, self.settings)
        if answer.refuses or exchange is None or self.settings.unsafe_exchange_widens:
            return answer
        for party in exchange.parties.values():
            answer = resource_answer(target, resource, party, self.resources, self.settings)
            if answer.refuses:
                return answer
        return answer

    def _issue(
        self,
        request: HttpRequest,
        request_id: str,
        asked: Asked,
        layers: tuple[LayerAnswer, ...],
    ) -> HttpResponse:
        agent, bound = asked.agent, asked.bound
        exchange = asked.exchange
        if agent is None or bound is None or (exchange is not None and exchange.subject is None):
            # only a rogue comes here: there is nobody to name in a token
            nobody = LayerAnswer("client", Effect.DENY, "nobody-to-name")
            return self._refuse(request, request_id, asked, (nobody,))
        if asked.target.is_cloud and self.cloud_minter is not None:
            return self._mint(request, request_id, asked, layers, agent)
        claims = self._claims(asked, agent, bound)
        token = sign(claims, self.keys)
        self._record(request, request_id, asked, layers, outcome=Outcome.ALLOW, claims=claims)
        body = token_answer(claims, token, exchanged=exchange is not None)
        headers = [("x-request-id", request_id)]
        if self.settings.nonce_required:
            headers.append(("dpop-nonce", self.nonces.current()))
        return json_response(200, body, tuple(headers))

    def _claims(self, asked: Asked, agent: Agent, bound: Bound) -> dict[str, Any]:
        now = self.clock.now()
        if asked.exchange is not None:
            return asked.exchange.claims(
                agent,
                resource=asked.resource,
                scopes=asked.granted.scopes,
                confirmation=bound.confirmation,
                now=now,
                settings=self.settings,
            )
        return first_claims(
            agent,
            resource=asked.resource,
            scopes=asked.granted.scopes,
            confirmation=bound.confirmation,
            now=now,
            lifetime=self.settings.lifetime,
        )

    def _mint(
        self,
        request: HttpRequest,
        request_id: str,
        asked: Asked,
        layers: tuple[LayerAnswer, ...],
        agent: Agent,
    ) -> HttpResponse:
        """Hand out what the clouds' issuer signs: only where an operator opened this door."""
        minter = self.cloud_minter
        if minter is None:  # pragma: no cover - the caller looked
            raise RuntimeError("no cloud minter")
        subject = agent
        if asked.exchange is not None and asked.exchange.subject is not None:
            subject = asked.exchange.parties.get(asked.exchange.subject.subject, agent)
        token = minter(subject, asked.resource)
        self._record(request, request_id, asked, layers, outcome=Outcome.ALLOW, claims={})
        body = {
            "access_token": token,
            "issued_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_type": "N_A",
            "expires_in": self.settings.lifetime,
        }
        return json_response(200, body, (("x-request-id", request_id),))

    def _refuse(
        self,
        request: HttpRequest,
        request_id: str,
        asked: Asked,
        layers: tuple[LayerAnswer, ...] | None = None,
    ) -> HttpResponse:
        combined = layers if layers is not None else asked.layers
        refusal = first_refusal(combined)
        if refusal is None:  # pragma: no cover - the callers looked
            raise RuntimeError("a refusal without a refusing layer")
        self._record(request, request_id, asked, combined, outcome=Outcome.DENY, claims={})
        wants_nonce = refusal.reason in ("missing-nonce", "stale-nonce")
        needed = self.settings.nonce_required or wants_nonce
        extra = (("dpop-nonce", self.nonces.current()),) if needed else ()
        challenged = bool(request.header(b"authorization"))
        return refusal_response(refusal, request_id, challenged=challenged, extra=extra)

    def _record(  # noqa: PLR0913 - one argument a part of the record
        self,
        request: HttpRequest,
        request_id: str,
        asked: Asked,
        layers: tuple[LayerAnswer, ...],
        *,
        outcome: Outcome,
        claims: Mapping[str, Any],
    ) -> None:
        refusal = first_refusal(layers)
        self.judge.record(
            POINT,
            request,
            layers,
            request_id=request_id,
            action=_ACTIONS.get(asked.grant, "oauth:Token"),
            outcome=outcome,
            reason=refusal.reason if refusal is not None else "issued",
            resource=asked.resource,
            principal=asked.examined.claimed if asked.examined is not None else "",
            facts=_facts(asked, claims),
        )


def _request_layer(form: Form, presented: Presented, grant: str) -> LayerAnswer:
    reason = _request_refusal(form, presented, grant)
    if reason is not None:
        return LayerAnswer("request", Effect.DENY, reason)
    return LayerAnswer("request", Effect.ALLOW, "well-formed")


def _request_refusal(form: Form, presented: Presented, grant: str) -> str | None:
    if form.repeated is not None:
        return "repeated-parameter"
    if presented.fault is not None:
        return presented.fault
    if not grant:
        return "missing-grant-type"
    if grant not in _ACTIONS:
        return "unsupported-grant-type"
    if grant != EXCHANGE and any(form.one(name) is not None for name in PARAMETERS):
        # what was meant as an exchange must not be answered with the client's own power
        return "exchange-parameters"
    return None


def _facts(asked: Asked, claims: Mapping[str, Any]) -> dict[str, str]:
    """Return what a reader of the record may see: names and ids, never a token."""
    facts = {"method": asked.examined.method if asked.examined is not None else ""}
    if asked.bound is not None and asked.bound.confirmation.jkt is not None:
        facts["jkt"] = asked.bound.confirmation.jkt
    if asked.bound is not None and asked.bound.confirmation.x5t_s256 is not None:
        facts["x5t#S256"] = asked.bound.confirmation.x5t_s256
    if claims:
        facts |= {"jti": claims["jti"], "scope": claims["scope"][:1024], "sub": claims["sub"]}
    if asked.exchange is not None and asked.exchange.subject is not None:
        held = asked.exchange.subject
        facts |= {"subject_jti": held.jti, "subject": held.subject, "actors": " ".join(held.actors)}
    return {name: value for name, value in facts.items() if value}
