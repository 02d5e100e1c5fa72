"""The claims of an access token (RFC 9068), and the answer that carries it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from iamrange.identity.names import ACCESS_TOKEN_TYPE, AUTH_ISSUER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.identity.directory.model import Agent
    from iamrange.identity.tokens.binding import Confirmation
    from iamrange.identity.tokens.keys import TokenKeys

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def new_token_id() -> str:
    """Return a fresh jti."""
    return secrets.token_urlsafe(18)


def may_act_claim(agents: frozenset[str]) -> dict[str, Any] | None:
    """Return the `may_act` claim (RFC 8693 section 4.4) that names these agents.

    The RFC shows one party; several are a list under the same member.
    """
    if not agents:
        return None
    named = sorted(agents)
    return {"sub": named[0] if len(named) == 1 else named}


def agent_claim(agent: Agent) -> dict[str, str]:
    """Return what services may know of the subject beside its id."""
    members = {
        "name": agent.name,
        "owner": agent.owner,
        "project": agent.project,
        "classification": agent.classification.value,
    }
    return {name: value for name, value in members.items() if value}


def first_claims(  # noqa: PLR0913 - one argument a claim
    agent: Agent,
    *,
    resource: str,
    scopes: frozenset[str],
    confirmation: Confirmation,
    now: float,
    lifetime: int,
) -> dict[str, Any]:
    """Return the claims of a token that an agent gets for itself."""
    issued = int(now)
    expires = issued + lifetime
    if agent.expires is not None:
        # no token outlives its agent
        expires = max(issued + 1, min(expires, int(agent.expires)))
    claims: dict[str, Any] = {
        "iss": AUTH_ISSUER,
        "sub": agent.id,
        "aud": resource,
        "client_id": agent.id,
        "scope": " ".join(sorted(scopes)),
        "iat": issued,
        "nbf": issued,
        "exp": expires,
        "jti": new_token_id(),
        "epochs": {agent.id: agent.epoch},
        "agent": agent_claim(agent),
    }
    optional = {"cnf": confirmation.claim(), "may_act": may_act_claim(agent.may_act)}
    return claims | {name: value for name, value in optional.items() if value is not None}


def sign(claims: Mapping[str, Any], keys: TokenKeys) -> str:
    """Sign the claims as an access token (RFC 9068 section 2.1)."""
    return keys.signer.sign(claims, typ=ACCESS_TOKEN_TYPE)


def token_answer(claims: Mapping[str, Any], token: str, *, exchanged: bool) -> dict[str, Any]:
    """Return the answer's members (RFC 6749 section 5.1, RFC 8693 section 2.2.1)."""
    bound = claims.get("cnf", {})
    answer = {
        "access_token": token,
        # RFC 9449 section 5: DPoP where a key is proved; RFC 8705 keeps Bearer for certificates
        "token_type": "DPoP" if "jkt" in bound else "Bearer",
        "expires_in": claims["exp"] - claims["iat"],
        "scope": claims["scope"],
    }
    return answer | {"issued_token_type": ACCESS_TOKEN} if exchanged else answer
