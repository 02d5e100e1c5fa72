"""Revocation (RFC 7009) and introspection (RFC 7662): for authenticated clients only.

- A client revokes tokens that were issued to it; for any other the answer is the same and nothing
  happens, so that nobody learns what a token is.
- A token is shown to its holder and to those registered for its resource; to anybody else it is
  inactive, exactly as one that never was.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.decision import Effect, LayerAnswer, Outcome
from iamrange.identity.access_token import AccessToken, ask_revocation, verify_access_token
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.answers import STORE_DOWN, refusal_response
from iamrange.identity.tokens.credentials import presented_by
from iamrange.identity.tokens.form import Form, read_form
from iamrange.identity.tokens.http import NO_STORE, HttpRequest, HttpResponse, json_response
from iamrange.identity.tokens.judge import Judge, first_refusal, unasked
from iamrange.jose import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.core.clock import Clock
    from iamrange.identity.directory.model import Agent
    from iamrange.identity.stores.ports import RevocationStore
    from iamrange.identity.tokens.clients import ClientAuthenticator, Examined
    from iamrange.identity.tokens.keys import TokenKeys
    from iamrange.identity.tokens.limits import Limits

REVOKE: Final = "as.revoke"
INTROSPECT: Final = "as.introspect"
_CALLER_LAYERS: Final = ("request", "client", "registration")
_TOKEN_LAYERS: Final = ("token", "access")
_KEPT_AFTER_EXPIRY: Final = 10
"""Seconds: verifiers allow for skew, and count whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A request about a token, and what was found."""

    layers: tuple[LayerAnswer, ...]
    token: AccessToken | None = None
    examined: Examined | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenManagement:
    """Answers what is asked about tokens that were issued."""

    clients: ClientAuthenticator
    limits: Limits
    keys: TokenKeys
    revocation: RevocationStore
    clock: Clock
    judge: Judge
    introspectors: Mapping[str, frozenset[str]]

    def revoke(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 7009 section 2: 200 whatever the token was, 503 if nothing could be kept."""

        def access(token: AccessToken, caller: Agent) -> LayerAnswer:
            if token.client_id != caller.id:
                return LayerAnswer("access", Effect.DENY, "not-holder")
            return LayerAnswer("access", Effect.ALLOW, "holder")

        def done(_: _Seen, request_id: str) -> HttpResponse:
            return HttpResponse(status=200, headers=(*NO_STORE, ("x-request-id", request_id)))

        return self._answer(REVOKE, request, access, granted=done, withheld=done)

    def introspect(self, request: HttpRequest) -> HttpResponse:
        """Answer RFC 7662 section 2."""

        def access(token: AccessToken, caller: Agent) -> LayerAnswer:
            if caller.id == token.client_id:
                return LayerAnswer("access", Effect.ALLOW, "holder")
            if caller.id in self.introspectors.get(token.audience, frozenset()):
                return LayerAnswer("access", Effect.ALLOW, "resource")
            return LayerAnswer("access", Effect.DENY, "not-the-resource")

        def active(seen: _Seen, request_id: str) -> HttpResponse:
            token = seen.token
            if token is None:  # only a rogue comes here
                return inactive(seen, request_id)
            return json_response(200, _shown(token), (("x-request-id", request_id),))

        def inactive(_: _Seen, request_id: str) -> HttpResponse:
            return json_response(200, {"active": False}, (("x-request-id", request_id),))

        return self._answer(INTROSPECT, request, access, granted=active, withheld=inactive)

    def _answer(
        self,
        point: str,
        request: HttpRequest,
        access: Callable[[AccessToken, Agent], LayerAnswer],
        *,
        granted: Callable[[_Seen, str], HttpResponse],
        withheld: Callable[[_Seen, str], HttpResponse],
    ) -> HttpResponse:
        request_id = str(uuid.uuid4())
        seen = self._look(request, access)
        layers = self.judge.combine(point, seen.layers)
        refusal = first_refusal(layers)
        if point == REVOKE and refusal is None and seen.token is not None:
            layers = (*layers, self._revoke(seen.token))
            refusal = first_refusal(layers)
        self.judge.record(
            point,
            request,
            layers,
            request_id=request_id,
            action=f"oauth:{point.removeprefix('as.').capitalize()}",
            outcome=Outcome.ALLOW if refusal is None else Outcome.DENY,
            reason=refusal.reason if refusal is not None else "granted",
            resource=seen.token.audience if seen.token is not None else "",
            principal=seen.examined.claimed if seen.examined is not None else "",
            facts={"jti": seen.token.jti} if seen.token is not None else {},
        )
        if refusal is None:
            return granted(seen, request_id)
        if refusal.layer in _TOKEN_LAYERS and refusal.reason != STORE_DOWN:
            return withheld(seen, request_id)
        challenged = bool(request.header(b"authorization"))
        return refusal_response(refusal, request_id, challenged=challenged)

    def _revoke(self, token: AccessToken) -> LayerAnswer:
        try:
            self.revocation.revoke(token.jti, expires=token.expires + _KEPT_AFTER_EXPIRY)
        except StoreDownError as error:
            return LayerAnswer("store", Effect.DENY, STORE_DOWN, detail=error.store)
        return LayerAnswer("store", Effect.ALLOW, "revoked")

    def _look(
        self, request: HttpRequest, access: Callable[[AccessToken, Agent], LayerAnswer]
    ) -> _Seen:
        limited = self.limits.before(request.peer)
        form = read_form(request)
        if limited is not None or isinstance(form, str):
            reason = form if isinstance(form, str) else "not-evaluated"
            effect = Effect.DENY if isinstance(form, str) else Effect.NOT_APPLICABLE
            rest = tuple(unasked(name) for name in (*_CALLER_LAYERS[1:], *_TOKEN_LAYERS))
            limit = limited or self.limits.of_agent(None)
            return _Seen(layers=(limit, LayerAnswer("request", effect, reason), *rest))
        presented = presented_by(form, request)
        shape = _request_layer(form, presented.fault)
        examined = self.clients.examine(presented, request.certificates)
        caller = examined.authenticated
        limit = self.limits.of_agent(caller.id if caller is not None else None)
        layers = (limit, shape, examined.client, examined.registration)
        text = form.one("token")
        if caller is None or shape.refuses or limit.refuses or text is None:
            rest = tuple(unasked(name) for name in _TOKEN_LAYERS)
            return _Seen(layers=(*layers, *rest), examined=examined)
        token, answer = self._token(text)
        reached = unasked("access")
        if token is not None and not answer.refuses:
            reached = access(token, caller)
        return _Seen(layers=(*layers, answer, reached), token=token, examined=examined)

    def _token(self, text: str) -> tuple[AccessToken | None, LayerAnswer]:
        now = self.clock.now()
        token = verify_access_token(text, keys=self.keys.key_set(), now=now)
        if isinstance(token, Refusal):
            return None, LayerAnswer("token", Effect.DENY, token.code)
        try:
            dead = ask_revocation(token, self.revocation)
            gone = [one for one in token.agents if not self._usable(one, token, now)]
        except StoreDownError as error:
            return token, LayerAnswer("token", Effect.DENY, STORE_DOWN, detail=error.store)
        if token.expires <= now:
            return token, LayerAnswer("token", Effect.DENY, "expired")
        if dead is not None:
            return token, LayerAnswer("token", Effect.DENY, dead.code)
        if gone:
            return token, LayerAnswer("token", Effect.DENY, "agent-inactive", detail=gone[0][:256])
        return token, LayerAnswer("token", Effect.ALLOW, "live")

    def _usable(self, agent_id: str, token: AccessToken, now: float) -> bool:
        agent = self.clients.agents.by_id(agent_id)
        if agent is None or not agent.usable(now):
            return False
        return agent.epoch <= token.epochs.get(agent_id, 0)


def _request_layer(form: Form, fault: str | None) -> LayerAnswer:
    reason = "repeated-parameter" if form.repeated is not None else fault
    if reason is None and form.one("token") is None:
        reason = "missing-token"
    if reason is not None:
        return LayerAnswer("request", Effect.DENY, reason)
    return LayerAnswer("request", Effect.ALLOW, "well-formed")


def _shown(token: AccessToken) -> dict[str, Any]:
    """Return RFC 7662 section 2.2's members, with RFC 8705 and 9449's confirmation."""
    names = ("iss", "sub", "aud", "client_id", "scope", "iat", "nbf", "exp", "jti", "cnf", "act")
    shown = {name: token.claims[name] for name in names if name in token.claims}
    kind = "DPoP" if token.jkt is not None else "Bearer"
    return {"active": True, "token_type": kind, **shown}
