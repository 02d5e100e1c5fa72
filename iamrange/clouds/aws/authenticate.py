"""Decide who signed a request: the decision point `aws.authenticate`.

- Signatures are judged in the machine's real time, sessions in the world's clock.
- Evaluation goes on past a refusal as far as it can, so that a cloud whose signature layer was
  taken away still knows whom the request claims to be from.
- A deleted user's or session's key is an unknown key.
"""

from __future__ import annotations

import hmac
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws import chunked, sigv4
from iamrange.clouds.aws.model import AwsError, Caller
from iamrange.clouds.aws.request import Principal
from iamrange.clouds.aws.responses import refusal
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.model import HttpRequest, IamStore, Session, SessionStore
    from iamrange.clouds.aws.protocol import Target
    from iamrange.clouds.aws.sigv4 import Malformed, Signature
    from iamrange.core.clock import Clock
    from iamrange.core.decision import RecordSink, Tamper

POINT = "aws.authenticate"
ANONYMOUS = Caller(
    principal=Principal(kind="anonymous", arn="anonymous"), access_key_id=None, account=None
)
# Services whose resource policies may name everybody, and calls that need no credentials.
_PUBLIC_SERVICES = frozenset({"s3", "sqs", "sns"})
_PUBLIC_ACTIONS = re.compile(r"(?:^|[?&])Action=AssumeRoleWith(?:WebIdentity|SAML)(?:&|$)")

_SAID = {
    "unknown-access-key": "The security token included in the request is invalid.",
    "inactive-access-key": "The security token included in the request is invalid.",
    "session-token-invalid": "The security token included in the request is invalid.",
    "session-not-for-iam": "The security token included in the request is invalid.",
    "session-expired": "The security token included in the request is expired",
    "signature-mismatch": (
        "The request signature we calculated does not match the signature you provided. Check "
        "your AWS Secret Access Key and signing method. Consult the service documentation for "
        "details."
    ),
    "payload-mismatch": "The provided 'x-amz-content-sha256' header does not match what was "
    "computed.",
    "missing-authentication": "Missing Authentication Token",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """Who asks, and the request with its body taken out of any chunked upload."""

    caller: Caller
    http: HttpRequest
    region: str | None


@dataclass(slots=True, kw_only=True)
class _Found:
    """What a claimed access key turned out to be."""

    secret: str | None = field(default=None, repr=False)
    caller: Caller = ANONYMOUS
    answer: LayerAnswer


def _allow(layer: str, reason: str) -> LayerAnswer:
    return LayerAnswer(layer=layer, effect=Effect.ALLOW, reason=reason)


def _deny(layer: str, reason: str, detail: str = "") -> LayerAnswer:
    return LayerAnswer(layer=layer, effect=Effect.DENY, reason=reason, detail=detail)


def _overridden(own: Mapping[str, str], passed: Mapping[str, str]) -> dict[str, str]:
    """Return a principal's tags under its session's: tag keys know no case here.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
    """
    taken = {key.lower() for key in passed}
    return {key: value for key, value in own.items() if key.lower() not in taken} | dict(passed)


def _may_call_iam(session: Session) -> bool:
    """Tell whether IAM takes the session at all, whatever its policies say.

    A user's own session needs MFA for that, a federated user's never may.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html
    """
    if session.principal.kind == "user":
        return session.mfa_at is not None
    return session.principal.kind != "federated"


class Authenticator:
    """Knows long-term keys from the IAM store and temporary ones from the session store."""

    def __init__(
        self,
        *,
        store: IamStore,
        sessions: SessionStore,
        clock: Clock,
        records: RecordSink,
        tamper: Tamper,
    ) -> None:
        """Take the stores that hold credentials, and where records go."""
        self._store = store
        self._sessions = sessions
        self._clock = clock
        self._records = records
        self._tamper = tamper

    def authenticate(
        self, target: Target, http: HttpRequest, request_id: str
    ) -> Authenticated | AwsError:
        """Say who asks, or refuse in the service's own words."""
        claimed = sigv4.read(http)
        if claimed is None:
            return self._anonymous(target, http, request_id)
        if isinstance(claimed, sigv4.Malformed):
            return self._malformed(target, http, request_id, claimed)
        found = self._find(claimed, target.service)
        signature, body = self._check_signature(http, claimed, found.secret)
        layers = self._tamper(POINT, (found.answer, signature))
        refused = next((layer for layer in layers if layer.refuses), None)
        if refused is not None or any(a.refuses for a in (found.answer, signature)):
            self._record(target, http, request_id, layers, found.caller)
        if refused is not None:
            message = refused.detail or _SAID.get(refused.reason, "Access Denied")
            expired = refused.reason == "request-too-old" and claimed.form != "header"
            kind = "presigned-expired" if expired else refused.reason
            return refusal(kind, target.service, target.protocol, message)
        if body is None:
            # A rogue let a broken upload pass; there is no content to pass on.
            return refusal("internal", target.service, target.protocol, "no readable content")
        return Authenticated(
            caller=found.caller,
            http=http if body is http.body else replace(http, body=body),
            region=claimed.region or None,
        )

    def _find(self, claimed: Signature, service: str) -> _Found:
        key = self._store.access_key(claimed.access_key_id)
        if key is not None:
            user = self._store.user(key.account, key.user_name) if key.user_name else None
            if user is None:
                return _Found(answer=_deny("credential", "unknown-access-key"))
            caller = Caller(
                principal=Principal(kind="user", arn=user.arn, account=user.account),
                access_key_id=key.access_key_id,
                account=user.account,
                user_id=user.user_id,
                user_name=user.name,
                tags=user.tags,
            )
            answer = _allow("credential", "active-access-key")
            if not key.active:
                answer = _deny("credential", "inactive-access-key")
            elif claimed.session_token is not None:
                answer = _deny("credential", "session-token-invalid")
            return _Found(secret=key.secret_access_key, caller=caller, answer=answer)
        session = self._sessions.by_access_key(claimed.access_key_id)
        if session is None:
            return _Found(answer=_deny("credential", "unknown-access-key"))
        return _Found(
            secret=session.secret_access_key,
            caller=self._session_caller(session),
            answer=self._session_answer(session, claimed, service),
        )

    def _session_answer(self, session: Session, claimed: Signature, service: str) -> LayerAnswer:
        given = claimed.session_token or ""
        if not hmac.compare_digest(given.encode(), session.session_token.encode()):
            return _deny("credential", "session-token-invalid")
        if self._clock.now() >= session.expires_at:
            return _deny("credential", "session-expired")
        if not self._still_there(session):
            return _deny("credential", "unknown-access-key")
        if service == "iam" and not _may_call_iam(session):
            return _deny("credential", "session-not-for-iam")
        return _allow("credential", "live-session")

    def _still_there(self, session: Session) -> bool:
        """Tell whether the role or user behind a session exists: it, not a namesake made since."""
        principal = session.principal
        if principal.role_arn is not None:
            role = self._store.role_by_arn(principal.role_arn)
            return role is not None and session.user_id.partition(":")[0] == role.role_id
        arn = principal.user_arn or session.issuer_arn
        if ":user/" not in arn:
            return True
        user = self._store.user(session.account, arn.rsplit("/", 1)[-1])
        if user is None or user.arn != arn:
            return False
        return principal.kind != "user" or user.user_id == session.user_id

    def _session_caller(self, session: Session) -> Caller:
        own: dict[str, str] = {}
        user_name = None
        if session.principal.kind == "user":
            user_name = session.issuer_arn.rsplit("/", 1)[-1]
            user = self._store.user(session.account, user_name)
            own = dict(user.tags) if user else {}
        elif session.principal.user_arn is not None:
            name = session.principal.user_arn.rsplit("/", 1)[-1]
            federating = self._store.user(session.account, name)
            own = dict(federating.tags) if federating else {}
        elif session.principal.role_arn is not None:
            role = self._store.role_by_arn(session.principal.role_arn)
            own = dict(role.tags) if role else {}
        return Caller(
            principal=session.principal,
            access_key_id=session.access_key_id,
            account=session.account,
            user_id=session.user_id,
            user_name=user_name,
            tags=_overridden(own, session.tags),
            session=session,
        )

    def _check_signature(
        self, http: HttpRequest, claimed: Signature, secret: str | None
    ) -> tuple[LayerAnswer, bytes | None]:
        stale = sigv4.too_old(claimed, time.time())
        body: bytes | None = http.body
        if secret is None:
            return _deny("signature", "signature-mismatch"), body
        verified = sigv4.verify(http, claimed, secret)
        broken = None
        if claimed.payload_hash in sigv4.STREAMING:
            stated = http.header("x-amz-decoded-content-length") or ""
            length = int(stated) if re.fullmatch(r"[0-9]{1,12}", stated) else None
            try:
                body = chunked.decode(http.body, claimed, secret if verified else None, length)
            except chunked.ChunkError as error:
                body, broken = None, str(error)
        if not verified or broken is not None:
            return _deny("signature", "signature-mismatch", broken or ""), body
        if stale is not None:
            return _deny("signature", "request-too-old", stale), body
        if not sigv4.payload_matches(http, claimed):
            return _deny("signature", "payload-mismatch"), body
        return _allow("signature", "signature-matches"), body

    def _anonymous(
        self, target: Target, http: HttpRequest, request_id: str
    ) -> Authenticated | AwsError:
        public = target.service in _PUBLIC_SERVICES
        if target.service == "sts":
            text = f"{http.query}&{http.body[:65536].decode('latin-1')}"
            public = _PUBLIC_ACTIONS.search(text) is not None
        if public:
            return Authenticated(caller=ANONYMOUS, http=http, region=target.region)
        answer = _deny("credential", "missing-authentication")
        layers = self._tamper(POINT, (answer,))
        self._record(target, http, request_id, layers, ANONYMOUS)
        if any(layer.refuses for layer in layers):
            said = _SAID["missing-authentication"]
            return refusal("missing-authentication", target.service, target.protocol, said)
        return Authenticated(caller=ANONYMOUS, http=http, region=target.region)

    def _malformed(
        self, target: Target, http: HttpRequest, request_id: str, why: Malformed
    ) -> AwsError:
        # Nothing can be believed of a signature that cannot be read, whatever a rogue says.
        layers = self._tamper(POINT, (_deny("signature", "malformed", why.detail),))
        self._record(target, http, request_id, layers, ANONYMOUS, refused=True)
        return refusal("malformed", target.service, target.protocol, why.detail)

    def _record(  # noqa: PLR0913 - the parts of a record
        self,
        target: Target,
        http: HttpRequest,
        request_id: str,
        layers: tuple[LayerAnswer, ...],
        caller: Caller,
        *,
        refused: bool = False,
    ) -> None:
        first = next((layer for layer in layers if layer.refuses), None)
        denied = refused or first is not None
        self._records(
            DecisionRecord(
                request_id=request_id,
                time=self._clock.now(),
                point=POINT,
                action=f"{target.service}:*",
                resource="",
                principal=caller.principal.arn,
                outcome=Outcome.DENY if denied else Outcome.ALLOW,
                reason=first.reason if first else ("malformed" if refused else "authenticated"),
                layers=layers,
                source_ip=http.peer,
                user_agent=http.header("user-agent") or "",
                account=caller.account or "",
            )
        )
