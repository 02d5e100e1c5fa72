"""Temporary credentials: how they look, and the table that knows which were issued.

- Everything secret in them is random; a token carries no meaning that could be forged.
- An expired session stays known for a day, so that its use can be told from a forgery.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.clouds.aws.model import ContextValues, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.policy import CompiledPolicy
    from iamrange.clouds.aws.request import Principal

_KEY_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_TOKEN_PREFIX: Final = "IQoJb3JpZ2luX2Vj"  # noqa: S105 - how AWS's tokens begin, no secret
_TOKEN_LENGTH: Final = 416
_KEPT_AFTER_EXPIRY: Final = 86_400
_SWEEP_EVERY: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a new session is to be, before it has credentials."""

    principal: Principal
    account: str
    user_id: str
    issuer_arn: str
    session_name: str
    duration: int
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tag_keys: frozenset[str] = frozenset()
    source_identity: str | None = None
    session_policies: tuple[CompiledPolicy, ...] | None = None
    mfa_at: float | None = None
    federated_context: ContextValues = field(default_factory=dict)


class SessionTable:
    """All sessions of one cloud, in memory; implements `SessionStore`."""

    def __init__(self) -> None:
        """Start with no session."""
        self._sessions: dict[str, Session] = {}

    def by_access_key(self, access_key_id: str) -> Session | None:
        """Return the session of that access key, expired or not, or None."""
        return self._sessions.get(access_key_id)

    def issue(self, grant: Grant, *, now: float, token_size: int = 0) -> Session:
        """Make credentials for the grant, from this moment on."""
        session = Session(
            access_key_id=_access_key_id(),
            secret_access_key=base64.b64encode(secrets.token_bytes(30)).decode("ascii"),
            session_token=_session_token(token_size),
            principal=grant.principal,
            account=grant.account,
            user_id=grant.user_id,
            issuer_arn=grant.issuer_arn,
            session_name=grant.session_name,
            issued_at=now,
            expires_at=now + grant.duration,
            tags=dict(grant.tags),
            transitive_tag_keys=grant.transitive_tag_keys,
            source_identity=grant.source_identity,
            session_policies=grant.session_policies,
            mfa_at=grant.mfa_at,
            federated_context=dict(grant.federated_context),
        )
        self._sessions[session.access_key_id] = session
        if len(self._sessions) % _SWEEP_EVERY == 0:
            self._sweep(now)
        return session

    def _sweep(self, now: float) -> None:
        self._sessions = {
            key: session
            for key, session in self._sessions.items()
            if session.expires_at + _KEPT_AFTER_EXPIRY > now
        }


def _access_key_id() -> str:
    """Return an id of the shape of temporary keys: ASIA and sixteen base-32 characters."""
    return "ASIA" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(16))


def _session_token(at_least: int) -> str:
    """Return an opaque token, as long as the caller asks (MinimumSessionTokenSize) or longer."""
    length = max(_TOKEN_LENGTH, at_least)
    random = base64.b64encode(secrets.token_bytes(length)).decode("ascii")
    return (_TOKEN_PREFIX + random)[:length]
