"""The credential broker: 15-minute AWS sessions for agents, cut to the task.

- It assumes only the role registered for the agent, with a duration that the agent cannot choose.
- It holds no credentials of its own: each call rests on an assertion minted for that agent.
- A registered session policy cannot be replaced by the caller; without one, a caller may narrow.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.applications import Starlette
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
from iamrange.identity.names import AWS_AUDIENCE, AWS_SESSION_ENDPOINT, BROKERED_LIFE
from iamrange.identity.proof import ProofVerifier
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.sts import SessionRequest, Sts, StsRefused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from iamrange.identity.directory.model import Agent, AgentSource
    from iamrange.identity.issuer import Issuer

_POINT = "broker.aws-session"
_ACTION = "broker:IssueAwsSession"
_SESSION_NAME_LIMIT = 64


class Broker:
    """The broker's ASGI app."""

    def __init__(  # noqa: PLR0913 - keyword-only ports with defaults
        self,
        *,
        agents: AgentSource,
        issuer: Issuer,
        sts: Sts,
        clock: Clock,
        records: RecordSink,
        run_id: str,
        tamper: Tamper = honest,
        real_clock: Clock | None = None,
    ) -> None:
        """Take the directory, the issuer in this process, STS, and the run id for names."""
        self._issuer = issuer
        self._sts = sts
        self._clock = clock
        self._records = records
        self._run_id = run_id
        self.tamper = tamper
        self.unsafe_whole_role = False
        """Whether sessions are handed out with all that the role has: a control's lapse."""
        self._verifier = ProofVerifier(
            agents=agents,
            endpoint=AWS_SESSION_ENDPOINT,
            clock=clock,
            real_clock=real_clock or SystemClock(),
        )
        self._app = Starlette(routes=[Route("/aws/session", self._session, methods=["POST"])])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    async def _session(self, request: Request) -> Response:
        request_id = new_request_id()
        body = await read_object(request)
        proof = body.get("proof") if body else None
        asked = body.get("policy") if body else None
        if not isinstance(proof, str) or not isinstance(asked, str | dict | None):
            return refuse(400, "invalid_request", "expected JSON with a proof", request_id)
        try:
            examined = self._verifier.examine(proof)
        except StoreDownError as error:
            self._records(down_record(request, request_id, self._clock.now(), _POINT, _ACTION))
            return unavailable(error, request_id)
        agent = examined.agent
        layers = self.tamper(
            _POINT,
            (
                examined.proof,
                examined.registration,
                _role(agent),
                _policy(agent, asked=asked is not None),
            ),
        )
        refusing = [layer for layer in layers if layer.refuses]
        role_arn = agent.aws_role_arn if agent else None
        self._records(
            DecisionRecord(
                request_id=request_id,
                time=self._clock.now(),
                point=_POINT,
                action=_ACTION,
                resource=role_arn or "",
                principal=examined.subject,
                outcome=Outcome.DENY if refusing else Outcome.ALLOW,
                reason=refusing[0].reason if refusing else "brokered",
                layers=layers,
                source_ip=request.client.host if request.client else "",
                user_agent=request.headers.get("user-agent", "")[:256],
            )
        )
        if refusing or agent is None or role_arn is None:
            return _refusal(refusing, request_id)
        policy = (
            None
            if self.unsafe_whole_role
            else agent.aws_session_policy
            or (json.dumps(asked) if isinstance(asked, dict) else asked)
        )
        session = await self._sts.assume(
            SessionRequest(
                role_arn=role_arn,
                session_name=f"{agent.name}-{self._run_id}"[:_SESSION_NAME_LIMIT],
                token=self._issuer.mint(agent, AWS_AUDIENCE),
                duration=BROKERED_LIFE,
                policy=policy,
            )
        )
        if isinstance(session, StsRefused):
            description = f"{session.code}: {session.message} (aws request {session.request_id})"
            return refuse(403, "access_denied", description, request_id)
        return answer(
            {
                "Version": 1,
                "AccessKeyId": session.access_key_id,
                "SecretAccessKey": session.secret_access_key,
                "SessionToken": session.session_token,
                "Expiration": session.expiration,
            },
            request_id,
        )


def _role(agent: Agent | None) -> LayerAnswer:
    if agent is None or agent.aws_role_arn is None:
        return LayerAnswer("role", Effect.DENY, "no-role-registered")
    if AWS_AUDIENCE not in agent.audiences:
        return LayerAnswer("role", Effect.DENY, "audience-not-registered")
    return LayerAnswer("role", Effect.ALLOW, "registered-role")


def _policy(agent: Agent | None, *, asked: bool) -> LayerAnswer:
    if asked and agent is not None and agent.aws_session_policy is not None:
        return LayerAnswer("session-policy", Effect.DENY, "session-policy-is-registered")
    return LayerAnswer("session-policy", Effect.ALLOW, "session-policy-accepted")


def _refusal(refusing: list[LayerAnswer], request_id: str) -> Response:
    if any(layer.layer in ("proof", "registration") for layer in refusing):
        return refuse(401, "invalid_client", "the proof was not accepted", request_id)
    reason = refusing[0].reason if refusing else "no-role-registered"
    return refuse(403, "access_denied", reason, request_id)
