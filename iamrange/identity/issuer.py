"""The OIDC issuer that clouds trust: discovery, key set, and assertions for agents.

- It signs assertions for clouds and vaults, and nothing else.
- Keys rotate with overlap: the old key stays published until it is withdrawn.
- Proofs are judged in real time, assertions are dated by the world's clock.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from iamrange.core.clock import Clock, SystemClock
from iamrange.core.decision import (
    DecisionRecord,
    Effect,
    LayerAnswer,
    Outcome,
    RecordSink,
    Tamper,
    honest,
)
from iamrange.identity.http import (
    answer,
    down_record,
    new_request_id,
    read_object,
    refuse,
    unavailable,
)
from iamrange.identity.names import ASSERTION_ENDPOINT, ASSERTION_LIFE, ISSUER
from iamrange.identity.proof import Examined, ProofVerifier
from iamrange.identity.stores.errors import StoreDownError
from iamrange.jose import SigningKey

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from iamrange.identity.directory.model import Agent, AgentSource

_KEY_SET_PATH = "/.well-known/jwks.json"
_POINT = "idp.assertion"
_ACTION = "idp:IssueAssertion"


class IssuerError(Exception):
    """An operator asked for something that the issuer's keys do not allow."""


class Issuer:
    """The issuer's keys and its ASGI app."""

    def __init__(  # noqa: PLR0913 - keyword-only ports with defaults
        self,
        *,
        agents: AgentSource,
        clock: Clock,
        records: RecordSink,
        tamper: Tamper = honest,
        real_clock: Clock | None = None,
        key: SigningKey | None = None,
    ) -> None:
        """Take the directory, the world's clock, the sink, and optionally a first key."""
        self._clock = clock
        self._real_clock = real_clock or SystemClock()
        self._records = records
        self.tamper = tamper
        self._keys = [key or SigningKey.generate("RS256")]
        self._verifier = ProofVerifier(
            agents=agents, endpoint=ASSERTION_ENDPOINT, clock=clock, real_clock=self._real_clock
        )
        self._app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", _discovery),
                Route(_KEY_SET_PATH, self._key_set),
                Route("/assertion", self._assertion, methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    @property
    def kids(self) -> tuple[str, ...]:
        """The published keys' ids, the signing one last."""
        return tuple(key.kid for key in self._keys)

    def rotate(self) -> str:
        """Add a key, sign with it from now on, and return its id."""
        self._keys.append(SigningKey.generate("RS256"))
        return self._keys[-1].kid

    def withdraw(self, kid: str) -> None:
        """Stop publishing an old key.

        Raises:
            IssuerError: it is the signing key, or no key of ours.
        """
        if kid not in self.kids[:-1]:
            raise IssuerError(f"key {kid!r}: expected an old key, one of {self.kids[:-1]}")
        self._keys = [key for key in self._keys if key.kid != kid]

    def mint(self, agent: Agent, audience: str) -> str:
        """Sign an assertion about the agent for one audience. The caller has decided already."""
        now = int(self._clock.now())
        return self._keys[-1].sign(
            {
                "iss": ISSUER,
                "sub": agent.id,
                "aud": audience,
                "iat": now,
                "nbf": now,
                "exp": now + ASSERTION_LIFE,
                "jti": str(uuid.uuid4()),
                "agent": agent.name,
                "tenant": agent.tenant,
            }
        )

    async def _key_set(self, _: Request) -> Response:
        return JSONResponse({"keys": [key.public_jwk() for key in self._keys]})

    async def _assertion(self, request: Request) -> Response:
        request_id = new_request_id()
        body = await read_object(request)
        proof = body.get("proof") if body else None
        if not isinstance(proof, str):
            return refuse(400, "invalid_request", "expected JSON with a proof", request_id)
        try:
            examined = self._verifier.examine(proof)
        except StoreDownError as error:
            self._records(down_record(request, request_id, self._clock.now(), _POINT, _ACTION))
            return unavailable(error, request_id)
        audience = examined.unverified_claims.get("target_audience")
        wanted = audience[:512] if isinstance(audience, str) else ""
        layers = self.tamper(
            _POINT,
            (examined.proof, examined.registration, _audience(examined.agent, wanted)),
        )
        refusing = [layer for layer in layers if layer.refuses]
        outcome = Outcome.DENY if refusing else Outcome.ALLOW
        self._record(request, request_id, examined, wanted, layers, outcome)
        # An agent that is not registered has no name to sign for, whatever a rogue answers.
        if refusing or examined.agent is None:
            return _refusal(refusing, request_id)
        token = self.mint(examined.agent, wanted)
        return answer({"token": token, "expires_in": ASSERTION_LIFE}, request_id)

    def _record(  # noqa: PLR0913, PLR0917 - one argument a part of the record
        self,
        request: Request,
        request_id: str,
        examined: Examined,
        audience: str,
        layers: tuple[LayerAnswer, ...],
        outcome: Outcome,
    ) -> None:
        reason = next((layer.reason for layer in layers if layer.refuses), "issued")
        self._records(
            DecisionRecord(
                request_id=request_id,
                time=self._clock.now(),
                point=_POINT,
                action=_ACTION,
                resource=audience,
                principal=examined.subject,
                outcome=outcome,
                reason=reason,
                layers=layers,
                source_ip=request.client.host if request.client else "",
                user_agent=request.headers.get("user-agent", "")[:256],
            )
        )


async def _discovery(_: Request) -> Response:
    document: dict[str, Any] = {
        "issuer": ISSUER,
        "jwks_uri": ISSUER + _KEY_SET_PATH,
        "assertion_endpoint": ASSERTION_ENDPOINT,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "agent", "tenant"],
    }
    return JSONResponse(document)


def _audience(agent: Agent | None, wanted: str) -> LayerAnswer:
    if agent is not None and wanted in agent.audiences:
        return LayerAnswer("audience", Effect.ALLOW, "registered-audience")
    return LayerAnswer("audience", Effect.DENY, "audience-not-registered")


def _refusal(refusing: list[LayerAnswer], request_id: str) -> Response:
    if [layer.layer for layer in refusing] == ["audience"]:
        # RFC 8707 section 2
        return refuse(400, "invalid_target", "the audience is not registered", request_id)
    return refuse(401, "invalid_client", "the proof was not accepted", request_id)
