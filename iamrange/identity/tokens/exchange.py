"""Token exchange (RFC 8693): a token for less, or for another agent that acts.

Who may exchange which token, by what the token itself says; which parameters come along decides
nothing, so that leaving `actor_token` out sheds no delegation:

- The token's *holder* is its present actor, or its subject where nobody acts. The holder may
  narrow it. It must prove possession of every key that the token is bound to, and the new token
  is bound to the same: a thief of the token without the key gets nothing (RFC 9449 section 5,
  RFC 8705 section 3).
- Any *other* agent becomes the new, outermost actor. The token's `may_act` must name it, and the
  directory must still say so. It authenticates as itself and proves possession of a key of its
  own, to which the new token is bound. It cannot be asked for the subject's key: it was handed the
  token and no key. So a stolen token is worth something only to an agent that its subject let
  act, under that agent's own name, in the open (RFC 8693 sections 4.1, 4.4 and 5).
- The subject and earlier actors never come in again, and the chain has an end.
- A bound token never becomes one that is bound to nobody.
- Scopes stay within the token's, and within what each agent of the chain is registered for now.
- A token for the gateway may become one for a service; never the other way. A service's token
  becomes another service's only for a new actor, and only with scopes that both understand.
- The new token ends when the old one does, and dies with it: its ancestors are named, and the
  epochs of all agents in the chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.access_token import (
    AccessToken,
    as_it_stands,
    ask_revocation,
    verify_access_token,
)
from iamrange.identity.names import AUTH_ISSUER, DEFAULT_RESOURCE
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.binding import Confirmation
from iamrange.identity.tokens.issue import ACCESS_TOKEN, may_act_claim, new_token_id
from iamrange.jose import Refusal, peek

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.identity.directory.model import Agent, AgentSource
    from iamrange.identity.stores.ports import RevocationReader
    from iamrange.identity.tokens.form import Form
    from iamrange.identity.tokens.keys import TokenKeys
    from iamrange.identity.tokens.settings import TokenSettings

LAYER: Final = "exchange"
PARAMETERS: Final = (
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What is exchanged by whom. `subject` is verified only where the layer allows."""

    answer: LayerAnswer
    subject: AccessToken | None = None
    actor: AccessToken | None = None
    delegated: bool = False
    parties: Mapping[str, Agent] = field(default_factory=dict, repr=False)

    @property
    def default_resource(self) -> str:
        """The resource of the new token where none is asked for: the old one's."""
        return self.subject.audience if self.subject is not None else DEFAULT_RESOURCE

    def answer_for(self, asked: frozenset[str] | None, wanted: str) -> LayerAnswer:
        """Return the layer's answer to a request for these scopes at this resource."""
        if self.answer.refuses or self.subject is None:
            return self.answer
        beyond = sorted((asked or frozenset()) - self.subject.scopes)
        if beyond:
            return LayerAnswer(LAYER, Effect.DENY, "scope-widened", detail=", ".join(beyond)[:256])
        if self._widens_resource(wanted):
            return LayerAnswer(LAYER, Effect.DENY, "resource-widened", detail=wanted[:256])
        return self.answer

    def _widens_resource(self, wanted: str) -> bool:
        held = self.default_resource
        if held in (wanted, DEFAULT_RESOURCE):
            return False
        return wanted == DEFAULT_RESOURCE or not self.delegated

    def claims(  # noqa: PLR0913 - one argument a claim
        self,
        client: Agent,
        *,
        resource: str,
        scopes: frozenset[str],
        confirmation: Confirmation,
        now: float,
        settings: TokenSettings,
    ) -> dict[str, Any]:
        """Return the claims of the new token.

        Raises:
            ValueError: there is no subject token to make one from.
        """
        held = self.subject
        if held is None:
            raise ValueError("exchange: no subject token")
        issued = int(now)
        expires = issued + settings.lifetime
        if not settings.unsafe_exchange_widens:
            expires = min(expires, int(held.expires))
        actors = (client.id, *held.actors) if self.delegated else held.actors
        parents = [*held.ancestors, held.jti]
        if self.actor is not None and self.actor.jti != held.jti:
            parents.append(self.actor.jti)
        optional = {
            "cnf": confirmation.claim(),
            "act": _nested(actors),
            "may_act": may_act_claim(held.may_act),
            "agent": dict(held.agent) or None,
        }
        return {
            "iss": AUTH_ISSUER,
            "sub": held.subject,
            "aud": resource,
            "client_id": client.id,
            "scope": " ".join(sorted(scopes)),
            "iat": issued,
            "nbf": issued,
            "exp": expires,
            "jti": new_token_id(),
            "epochs": {**held.epochs, client.id: client.epoch},
            "ancestors": parents,
        } | {name: value for name, value in optional.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanger:
    """Judges exchanges."""

    agents: AgentSource
    keys: TokenKeys
    revocation: RevocationReader
    settings: TokenSettings

    def examine(
        self, form: Form, client: Agent | None, confirmation: Confirmation, now: float
    ) -> Exchange:
        """Judge whether this client may exchange this token, having proved this possession."""
        malformed = _form_refusal(form)
        text = form.one("subject_token")
        if text is None:
            return _refused(malformed or "missing-subject-token")
        try:
            return self._examine(form, text, client, confirmation, now, malformed)
        except StoreDownError as error:
            return _refused("store-down", error.store)

    def _examine(  # noqa: PLR0913, PLR0917 - what a decision rests on
        self,
        form: Form,
        text: str,
        client: Agent | None,
        confirmation: Confirmation,
        now: float,
        malformed: str | None,
    ) -> Exchange:
        subject, refused = self._token(text, now)
        if subject is None:
            return _refused(malformed or f"subject-{refused}")
        actor_text = form.one("actor_token")
        actor, actor_refused = self._token(actor_text, now) if actor_text else (None, None)
        parties = {one: agent for one in subject.agents if (agent := self.agents.by_id(one))}
        delegated = client is not None and client.id != subject.acting
        reason = malformed or (f"subject-{refused}" if refused else None)
        reason = reason or self._party_refusal(subject, parties, now)
        if reason is None and actor_refused is not None:
            reason = f"actor-{actor_refused}"
        if reason is None and client is not None:
            reason = (
                _actor_refusal(actor, client, confirmation)
                or self._relation_refusal(subject, client, parties)
                or self._binding_refusal(subject, confirmation, delegated=delegated)
            )
        elif reason is None:
            reason = "no-client"
        parents = len(subject.ancestors) + (1 if actor is None else 2)
        if reason is None and parents > self.settings.max_ancestors:
            reason = "too-many-generations"
        kind = "delegated" if delegated else "narrowed"
        effect = Effect.DENY if reason else Effect.ALLOW
        return Exchange(
            answer=LayerAnswer(LAYER, effect, reason or kind),
            subject=subject,
            actor=actor,
            delegated=delegated,
            parties=parties,
        )

    def _token(self, text: str, now: float) -> tuple[AccessToken | None, str | None]:
        """Return the token as far as it can be read, and why it is worth nothing, or None."""
        verified = verify_access_token(text, keys=self.keys.key_set(), now=now)
        if isinstance(verified, Refusal):
            seen = peek(text)
            return (as_it_stands(seen.unverified_claims) if seen else None), verified.code
        if verified.expires <= now:
            # the skew that a service allows is nothing to make a new token of
            return verified, "expired"
        if verified.client_id != verified.acting:
            return verified, "malformed"
        dead = ask_revocation(verified, self.revocation)
        return verified, dead.code if dead is not None else None

    def _party_refusal(
        self, subject: AccessToken, parties: Mapping[str, Agent], now: float
    ) -> str | None:
        """Ask the directory itself for everyone in the chain."""
        for one in subject.agents:
            agent = parties.get(one)
            if agent is None or not agent.usable(now):
                return "subject-agent-inactive"
            if agent.epoch > subject.epochs.get(one, 0):
                return "subject-epoch-raised"
        return None

    def _relation_refusal(
        self, subject: AccessToken, client: Agent, parties: Mapping[str, Agent]
    ) -> str | None:
        if client.id == subject.acting:
            return None
        if client.id in (subject.subject, *subject.actors):
            return "actor-repeated"
        if client.id not in subject.may_act:
            return "may-act-not-named"
        principal = parties.get(subject.subject)
        if principal is None or client.id not in principal.may_act:
            return "may-act-withdrawn"
        if len(subject.actors) + 1 > self.settings.max_actors:
            return "chain-too-long"
        return None

    def _binding_refusal(
        self, subject: AccessToken, confirmation: Confirmation, *, delegated: bool
    ) -> str | None:
        if not subject.bound:
            return None
        if delegated:
            dropped = confirmation.claim() is None and not self.settings.unsafe_exchange_widens
            return "binding-dropped" if dropped else None
        return _possession_refusal(subject, confirmation)


def _form_refusal(form: Form) -> str | None:
    if form.one("subject_token") is None:
        return "missing-subject-token"
    if (form.one("actor_token") is None) != (form.one("actor_token_type") is None):
        return "incomplete-actor-token"
    kinds = (form.one("subject_token_type"), form.one("actor_token_type") or ACCESS_TOKEN)
    if any(kind != ACCESS_TOKEN for kind in kinds):
        return "unsupported-token-type"
    if form.one("requested_token_type") not in (None, ACCESS_TOKEN):
        return "unsupported-token-type"
    return None


def _actor_refusal(
    actor: AccessToken | None, client: Agent, confirmation: Confirmation
) -> str | None:
    """Judge an actor token: it must be the client's own, by its own key (RFC 8693 section 1.1)."""
    if actor is None:
        return None
    if actor.actors or actor.subject != client.id:
        return "actor-not-client"
    return _possession_refusal(actor, confirmation)


def _possession_refusal(token: AccessToken, confirmation: Confirmation) -> str | None:
    """Ask for every key that the token is bound to."""
    if not confirmation.holds(Confirmation(jkt=token.jkt)):
        return "possession-not-proved"
    if not confirmation.holds(Confirmation(x5t_s256=token.x5t_s256)):
        return "certificate-not-proved"
    return None


def _nested(actors: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the `act` claim: the present actor outermost (RFC 8693 section 4.1)."""
    claim: dict[str, Any] | None = None
    for actor in reversed(actors):
        claim = {"sub": actor} if claim is None else {"sub": actor, "act": claim}
    return claim


def _refused(reason: str, detail: str = "") -> Exchange:
    return Exchange(answer=LayerAnswer(LAYER, Effect.DENY, reason, detail=detail))
