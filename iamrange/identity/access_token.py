"""Our access tokens (RFC 9068), read into a type: who, for what, bound to which key, since when.

- `AccessToken` is made of verified claims. `as_it_stands` exists for rogue verifiers alone.
- A claim of ours that has another shape than the token service gives it makes the token
  malformed; claims that are not ours are ignored (RFC 7519 section 4).
- A confirmation that we cannot check is a refusal, never "not bound" (RFC 7800 section 3.1).
- Revocation is by epoch: a token holds the epoch of its subject and of each actor, and dies when
  the directory's is higher; and by token id, its own and its ancestors'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from iamrange.identity.names import ACCESS_TOKEN_LIFE, ACCESS_TOKEN_TYPE, AUTH_ISSUER
from iamrange.jose import (
    KeySet,
    Refusal,
    VerifiedClaims,
    check_time,
    parse,
    strict,
    verify_signature,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.identity.stores.ports import RevocationReader, RevocationState

_STRICT: Final = strict(ACCESS_TOKEN_TYPE)
PROFILE: Final = replace(
    _STRICT,
    name="access-token",
    required_claims=_STRICT.required_claims | {"client_id", "jti"},
    max_lifetime=ACCESS_TOKEN_LIFE,
)
MAX_ACTORS: Final = 4
"""How many agents may act one for another (RFC 8693 section 4.1 sets no bound)."""

MAX_ANCESTORS: Final = 8
_TEXT_LENGTH: Final = 256
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z")
# RFC 6749 section 3.3
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*\Z")
_CONFIRMATIONS: Final = frozenset({"jkt", "x5t#S256"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What an access token says. Its repr shows whose it is, never the token.

    `actors` are the agents that act, the present one first (RFC 8693 section 4.1); empty where
    the subject acts itself. `agent` is what the directory said of the subject at issue.
    """

    issuer: str
    subject: str
    audience: str
    client_id: str
    jti: str
    issued: float
    expires: float
    scopes: frozenset[str] = frozenset()
    jkt: str | None = field(default=None, repr=False)
    x5t_s256: str | None = field(default=None, repr=False)
    epochs: Mapping[str, int] = field(default_factory=dict, repr=False)
    ancestors: tuple[str, ...] = field(default=(), repr=False)
    actors: tuple[str, ...] = ()
    may_act: frozenset[str] = field(default=frozenset(), repr=False)
    agent: Mapping[str, Any] = field(default_factory=dict, repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def bound(self) -> bool:
        """Tell whether the token is worth something only with a key."""
        return self.jkt is not None or self.x5t_s256 is not None

    @property
    def acting(self) -> str:
        """Return who calls: the last that the token was handed to."""
        return self.actors[0] if self.actors else self.subject

    @property
    def agents(self) -> tuple[str, ...]:
        """Return everyone whose revocation kills this token."""
        return tuple(dict.fromkeys((self.subject, *self.actors, *self.epochs)))

    @property
    def jtis(self) -> tuple[str, ...]:
        """Return the token ids whose revocation kills this token."""
        return (self.jti, *self.ancestors)


class _ShapeError(ValueError):
    """A claim has another shape than ours."""


def verify_access_token(
    token: str,
    *,
    keys: KeySet,
    now: float,
    issuer: str = AUTH_ISSUER,
    audience: str | None = None,
) -> AccessToken | Refusal:
    """Return the token if our issuer signed it and it is of this time; None: for any audience.

    Asks neither for its binding nor for its revocation.
    """
    parsed = parse(token, PROFILE)
    if isinstance(parsed, Refusal):
        return parsed
    claims = verify_signature(parsed, keys, PROFILE)
    if isinstance(claims, Refusal):
        return claims
    refusal = (
        issuer_refusal(claims, issuer)
        or audience_refusal(claims, audience)
        or check_time(claims, now, PROFILE)
    )
    return refusal or read_access_token(claims)


def issuer_refusal(claims: Mapping[str, Any], issuer: str) -> Refusal | None:
    """Return why the claims are not by this issuer, or None; compared exactly."""
    return None if claims.get("iss") == issuer else Refusal("wrong-issuer")


def audience_refusal(claims: Mapping[str, Any], audience: str | None) -> Refusal | None:
    """Return why the claims are not for this audience, or None.

    One audience only: a token for several is one that each of them could use at the others.
    """
    given = claims.get("aud")
    if not isinstance(given, str):
        return Refusal("several-audiences", "aud expected one text")
    if audience is not None and given != audience:
        return Refusal("wrong-audience")
    return None


def read_access_token(claims: VerifiedClaims) -> AccessToken | Refusal:
    """Return the typed token, or why these verified claims are none of ours."""
    token, refusal = read_unverified(claims)
    return refusal or token


def as_it_stands(claims: Mapping[str, Any]) -> AccessToken:
    """Read what can be read, of claims that were refused too: for rogue verifiers and records."""
    return read_unverified(claims)[0]


def read_unverified(claims: Mapping[str, Any]) -> tuple[AccessToken, Refusal | None]:
    """Read what can be read, and say why the claims have another shape than ours, or None."""
    values: dict[str, Any] = {}
    refusal = None
    for name, (reader, otherwise) in _READERS.items():
        try:
            values[name] = reader(claims)
        except _ShapeError as error:
            values[name] = otherwise
            refusal = refusal or Refusal("malformed", str(error))
    token = AccessToken(**values, claims=dict(claims))
    if refusal is None and not {token.subject, *token.actors} <= token.epochs.keys():
        refusal = Refusal("malformed", "epochs do not name every agent")
    return token, refusal


def revocation_refusal(token: AccessToken, state: RevocationState) -> Refusal | None:
    """Return why the token is dead by what is known against its agents and ids, or None."""
    if not state.revoked.isdisjoint(token.jtis):
        own = token.jti in state.revoked
        return Refusal("token-revoked" if own else "ancestor-revoked")
    for agent in token.agents:
        if agent in state.inactive:
            return Refusal("agent-inactive", agent)
        if state.epochs.get(agent, 0) > token.epochs.get(agent, 0):
            return Refusal("epoch-raised", agent)
    if token.expires <= state.forgotten_until:
        # it is past by the store's reckoning, whatever the clock says now
        return Refusal("revocation-forgotten")
    return None


def ask_revocation(token: AccessToken, reader: RevocationReader) -> Refusal | None:
    """Ask a store, and return why the token is dead, or None.

    Raises:
        StoreDownError: the store cannot answer.
    """
    return revocation_refusal(token, reader.state(token.agents, token.jtis))


def _text(name: str) -> Callable[[Mapping[str, Any]], str]:
    def read(claims: Mapping[str, Any]) -> str:
        value = claims.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= _TEXT_LENGTH:
            raise _ShapeError(f"claim {name} expected a text of at most {_TEXT_LENGTH}")
        return value

    return read


def _audience(claims: Mapping[str, Any]) -> str:
    # more than one is the audience check's refusal
    given = claims.get("aud")
    return given if isinstance(given, str) else ""


def _date(name: str) -> Callable[[Mapping[str, Any]], float]:
    def read(claims: Mapping[str, Any]) -> float:
        value = claims.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _ShapeError(f"claim {name} is not a numeric date")
        return value

    return read


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    value = claims.get("scope", "")
    if not isinstance(value, str) or (value and not _SCOPE.match(value)):
        raise _ShapeError("claim scope is not a list of scopes")
    return frozenset(value.split())


def _confirmation(method: str) -> Callable[[Mapping[str, Any]], str | None]:
    def read(claims: Mapping[str, Any]) -> str | None:
        if "cnf" not in claims:
            return None
        cnf = claims["cnf"]
        if not isinstance(cnf, Mapping) or not cnf or cnf.keys() - _CONFIRMATIONS:
            raise _ShapeError("claim cnf names a confirmation that we do not know")
        if not all(isinstance(v, str) and _THUMBPRINT.match(v) for v in cnf.values()):
            raise _ShapeError("claim cnf is not a thumbprint")
        value: str | None = cnf.get(method)
        return value

    return read


def _epochs(claims: Mapping[str, Any]) -> Mapping[str, int]:
    value = claims.get("epochs")
    if not isinstance(value, Mapping) or not 0 < len(value) <= MAX_ACTORS + 1:
        raise _ShapeError("claim epochs is not an object of agents")
    if not all(type(epoch) is int and epoch >= 0 for epoch in value.values()):
        raise _ShapeError("claim epochs is not an object of whole numbers")
    return value


def _ancestors(claims: Mapping[str, Any]) -> tuple[str, ...]:
    value = claims.get("ancestors", [])
    if not isinstance(value, list) or len(value) > MAX_ANCESTORS:
        raise _ShapeError(f"claim ancestors is not a list of at most {MAX_ANCESTORS}")
    if not all(isinstance(jti, str) and 0 < len(jti) <= _TEXT_LENGTH for jti in value):
        raise _ShapeError("claim ancestors is not a list of token ids")
    return tuple(value)


def _actors(claims: Mapping[str, Any]) -> tuple[str, ...]:
    actors: list[str] = []
    act = claims.get("act")
    while act is not None:
        subject = act.get("sub") if isinstance(act, Mapping) else None
        if not isinstance(subject, str) or not subject or subject in actors:
            raise _ShapeError("claim act is not a chain of different agents")
        actors.append(subject)
        if len(actors) > MAX_ACTORS:
            raise _ShapeError(f"claim act has more than {MAX_ACTORS} actors")
        act = act.get("act")
    return tuple(actors)


def _may_act(claims: Mapping[str, Any]) -> frozenset[str]:
    """Read `may_act` (RFC 8693 section 4.4); several agents stand in a list under `sub`."""
    value = claims.get("may_act")
    if value is None:
        return frozenset()
    subject = value.get("sub") if isinstance(value, Mapping) else None
    named = [subject] if isinstance(subject, str) else subject
    if not isinstance(named, list) or not all(isinstance(one, str) and one for one in named):
        raise _ShapeError("claim may_act names no agents")
    return frozenset(named)


def _agent(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    value = claims.get("agent", {})
    if not isinstance(value, Mapping):
        raise _ShapeError("claim agent is not an object")
    return value


_READERS: Final[Mapping[str, tuple[Callable[[Mapping[str, Any]], Any], Any]]] = {
    "issuer": (_text("iss"), ""),
    "subject": (_text("sub"), ""),
    "audience": (_audience, ""),
    "client_id": (_text("client_id"), ""),
    "jti": (_text("jti"), ""),
    "issued": (_date("iat"), 0.0),
    "expires": (_date("exp"), 0.0),
    "scopes": (_scopes, frozenset()),
    "jkt": (_confirmation("jkt"), None),
    "x5t_s256": (_confirmation("x5t#S256"), None),
    "epochs": (_epochs, {}),
    "ancestors": (_ancestors, ()),
    "actors": (_actors, ()),
    "may_act": (_may_act, frozenset()),
    "agent": (_agent, {}),
}
"""Every claim of ours: how it is read, and what stands for it where only a rogue reads on."""
