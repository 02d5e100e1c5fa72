"""POST /oauth/register (RFC 7591): closed, but where an operator left the door open."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.decision import Effect, LayerAnswer, Outcome
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.answers import STORE_DOWN, refusal_response
from iamrange.identity.tokens.http import HttpRequest, HttpResponse, json_response
from iamrange.identity.tokens.judge import Judge, first_refusal, unasked
from iamrange.jose.gate import DocumentError, read_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.identity.directory.model import Agent
    from iamrange.identity.tokens.limits import Limits
    from iamrange.identity.tokens.settings import TokenSettings

POINT: Final = "as.register"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationEndpoint:
    """Answers registration requests.

    `registrar` registers what a client says of itself; it returns the agent, or the reason code of
    a refusal.
    """

    limits: Limits
    settings: TokenSettings
    judge: Judge
    registrar: Callable[[Mapping[str, Any]], Agent | str] | None = None

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Answer one registration request."""
        request_id = str(uuid.uuid4())
        limited = self.limits.before(request.peer)
        limit = limited or LayerAnswer("limit", Effect.ALLOW, "within-rates")
        layers = self.judge.combine(POINT, (limit, self._door(), _shape(request)))
        refusal = first_refusal(layers)
        agent = None
        if refusal is None:
            made = self._register(request)
            agent = None if isinstance(made, LayerAnswer) else made
            answer = made if isinstance(made, LayerAnswer) else _allowed("directory", "registered")
            layers = (*layers, *self.judge.combine(POINT, (answer,)))
            refusal = first_refusal(layers)
        else:
            layers = (*layers, unasked("directory"))
        self.judge.record(
            POINT,
            request,
            layers,
            request_id=request_id,
            action="oauth:Register",
            outcome=Outcome.DENY if refusal is not None or agent is None else Outcome.ALLOW,
            reason=refusal.reason if refusal is not None else "registered",
            principal=agent.id if agent is not None else "",
        )
        if refusal is not None or agent is None:
            return _refused(refusal, request_id)
        return json_response(201, _registered(agent), (("x-request-id", request_id),))

    def _door(self) -> LayerAnswer:
        if self.settings.unsafe_open_registration:
            return _allowed("registration", "unsafe-open-registration")
        return LayerAnswer("registration", Effect.DENY, "registration-closed")

    def _register(self, request: HttpRequest) -> Agent | LayerAnswer:
        asked = _metadata(request)
        if self.registrar is None or asked is None:
            return LayerAnswer("directory", Effect.DENY, "no-registrar")
        try:
            made = self.registrar(asked)
        except StoreDownError as error:
            return LayerAnswer("directory", Effect.DENY, STORE_DOWN, detail=error.store)
        if isinstance(made, str):
            return LayerAnswer("directory", Effect.DENY, made)
        return made


def _metadata(request: HttpRequest) -> Mapping[str, Any] | None:
    kinds = request.header(b"content-type")
    if request.body is None or len(kinds) != 1:
        return None
    if kinds[0].partition(";")[0].strip().lower() != "application/json":
        return None
    try:
        value = read_json(request.body)
    except DocumentError:
        return None
    return value if isinstance(value, Mapping) else None


def _shape(request: HttpRequest) -> LayerAnswer:
    if _metadata(request) is None:
        return LayerAnswer("request", Effect.DENY, "malformed-metadata")
    return _allowed("request", "well-formed")


def _allowed(layer: str, reason: str) -> LayerAnswer:
    return LayerAnswer(layer, Effect.ALLOW, reason)


def _refused(refusal: LayerAnswer | None, request_id: str) -> HttpResponse:
    if refusal is not None and (refusal.reason == STORE_DOWN or refusal.layer == "limit"):
        return refusal_response(refusal, request_id)
    closed = refusal is None or refusal.layer == "registration"
    body = {
        "error": "access_denied" if closed else "invalid_client_metadata",
        "error_description": "agents are registered by their owners, in the directory"
        if closed
        else "the client metadata was not accepted",
        "request_id": request_id,
    }
    return json_response(403 if closed else 400, body, (("x-request-id", request_id),))


def _registered(agent: Agent) -> dict[str, Any]:
    """Return RFC 7591 section 3.2.1's members."""
    return {
        "client_id": agent.id,
        "client_name": agent.name,
        "client_id_issued_at": int(agent.created),
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [{**key.jwk, "kid": key.kid} for key in agent.keys]},
        "scope": " ".join(sorted(agent.scopes)),
    }
