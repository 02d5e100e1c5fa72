"""Token exchange: who may exchange what, into what, and what kills the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.identity.access_token import ask_revocation
from iamrange.identity.directory.model import AgentState, agent_id
from iamrange.identity.names import DEFAULT_RESOURCE
from iamrange.identity.tokens.settings import TokenSettings
from iamrange.jose import Refusal, SigningKey
from tests.conformance.tokens.lab import (
    ACCESS_TOKEN,
    ANALYST,
    CUSTOMERS,
    LOGS,
    THIRD,
    WORKER,
    Answer,
    House,
    Party,
)

if TYPE_CHECKING:
    from collections.abc import Callable

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


def test_the_holder_narrows_its_token_and_keeps_its_binding(house: House) -> None:
    held = house.token()
    answer = house.exchange(house.analyst, held, resource=LOGS, scope="read:logs")
    assert answer.verdict == (200, "", "issued")
    assert answer.body["issued_token_type"] == ACCESS_TOKEN
    narrowed, first = house.read(answer.body["access_token"]), house.read(held)
    assert (narrowed.subject, narrowed.client_id, narrowed.actors) == (ANALYST, ANALYST, ())
    assert (narrowed.audience, narrowed.scopes) == (LOGS, frozenset({"read:logs"}))
    assert narrowed.jkt == first.jkt == house.analyst.dpop.kid
    assert narrowed.ancestors == (first.jti,)
    assert narrowed.expires <= first.expires


def test_another_agent_becomes_the_outermost_actor_by_its_own_key(house: House) -> None:
    first = house.exchange(house.worker, house.token())
    second = house.exchange(house.third, first.body["access_token"], scope="read:customers")
    chain = house.read(second.body["access_token"])
    assert (chain.subject, chain.client_id, chain.actors) == (ANALYST, THIRD, (THIRD, WORKER))
    assert chain.jkt == house.third.dpop.kid
    assert set(chain.epochs) == {ANALYST, WORKER, THIRD}
    assert len(chain.ancestors) == 2
    assert chain.claims["act"] == {"sub": THIRD, "act": {"sub": WORKER}}


def test_without_a_scope_the_new_token_has_what_all_of_the_chain_may(house: House) -> None:
    exchanged = house.exchange(house.worker, house.token())
    assert exchanged.body["scope"] == "read:customers read:logs read:status"
    further = house.exchange(house.third, exchanged.body["access_token"])
    assert further.body["scope"] == "read:customers read:status"


@dataclass(frozen=True, slots=True)
class Row:
    """An exchange that must be refused."""

    name: str
    attempt: Callable[[House], Answer]
    status: int
    error: str
    reason: str


def _narrow(**form: Any) -> Callable[[House], Answer]:  # noqa: ANN401 - parameters
    return lambda house: house.exchange(house.analyst, house.token(), **form)


def _delegate(**form: Any) -> Callable[[House], Answer]:  # noqa: ANN401 - parameters
    return lambda house: house.exchange(house.worker, house.token(), **form)


def _actor_again(house: House) -> Answer:
    """The worker acts, hands on to a third, and gets the token back."""
    first = house.exchange(house.worker, house.token())
    second = house.exchange(house.third, first.body["access_token"])
    return house.exchange(house.worker, second.body["access_token"])


def _subject_again(house: House) -> Answer:
    first = house.exchange(house.worker, house.token())
    return house.exchange(house.analyst, first.body["access_token"])


def _stolen_by_a_stranger(house: House) -> Answer:
    thief = Party(agent_id("thief"))
    house.register(thief, scopes={"read:customers", "read:status"})
    return house.exchange(thief, house.token())


def _stolen_with_the_holders_credential_but_not_its_key(house: House) -> Answer:
    held = house.token()
    return house.exchange(house.analyst, held, proof=house.analyst.proof(key=SigningKey.generate()))


def _may_act_withdrawn(house: House) -> Answer:
    held = house.token()
    house.change(house.analyst, may_act=frozenset())
    return house.exchange(house.worker, held)


def _service_to_gateway(house: House) -> Answer:
    held = house.token(resource=CUSTOMERS, scope="read:status")
    return house.exchange(house.worker, held, resource=DEFAULT_RESOURCE)


def _service_to_service_by_the_holder(house: House) -> Answer:
    held = house.token(resource=CUSTOMERS, scope="read:status")
    return house.exchange(house.analyst, held, resource=LOGS)


def _wider_than_the_token(house: House) -> Answer:
    held = house.token(scope="read:status")
    return house.exchange(house.analyst, held, scope="read:status read:logs")


def _wider_than_a_parted_registration(house: House) -> Answer:
    held = house.token()
    house.change(house.analyst, scopes=frozenset({"read:status"}))
    return house.exchange(house.worker, held, scope="read:customers")


def _dead(kill: Callable[[House, str], None]) -> Callable[[House], Answer]:
    def attempt(house: House) -> Answer:
        held = house.token()
        kill(house, held)
        return house.exchange(house.worker, held)

    return attempt


def _revoke(house: House, held: str) -> None:
    token = house.read(held)
    house.revocation.revoke(token.jti, expires=token.expires)


def _bump(house: House, held: str) -> None:
    del held
    house.change(house.analyst, epoch=1)


def _raise_in_store(house: House, held: str) -> None:
    del held
    house.revocation.raise_epoch(ANALYST, 1)


def _quarantine(house: House, held: str) -> None:
    del held
    house.change(house.analyst, state=AgentState.QUARANTINED)


def _withdraw_key(house: House, held: str) -> None:
    del held
    house.keys.withdraw(house.keys.signer.kid)


def _expire(house: House, held: str) -> None:
    del held
    house.clock.offset = 301


def _actor_token(**form: Any) -> Callable[[House], Answer]:  # noqa: ANN401 - parameters
    def attempt(house: House) -> Answer:
        actor = house.token(house.worker)
        asked = {"actor_token": actor, "actor_token_type": ACCESS_TOKEN} | form
        return house.exchange(house.worker, house.token(), **asked)

    return attempt


def _actor_token_of_another(house: House) -> Answer:
    actor = house.token(house.third)
    return house.exchange(
        house.worker, house.token(), actor_token=actor, actor_token_type=ACCESS_TOKEN
    )


def _stolen_actor_token(house: House) -> Answer:
    actor = house.token(house.worker)
    other = house.worker.proof(key=SigningKey.generate())
    return house.exchange(
        house.worker, house.token(), actor_token=actor, actor_token_type=ACCESS_TOKEN, proof=other
    )


def _forged_subject(house: House) -> Answer:
    claims = dict(house.read(house.token()).claims)
    forged = SigningKey.generate().sign(claims, typ="at+jwt")
    return house.exchange(house.worker, forged)


REQUEST = (400, "invalid_request")
ROWS = [
    Row("stolen by a stranger", _stolen_by_a_stranger, *REQUEST, "may-act-not-named"),
    Row(
        "50 stolen without its key",
        _stolen_with_the_holders_credential_but_not_its_key,
        400,
        "invalid_dpop_proof",
        "possession-not-proved",
    ),
    Row("57 may_act withdrawn since", _may_act_withdrawn, *REQUEST, "may-act-withdrawn"),
    Row("57 the actor hides itself", _subject_again, *REQUEST, "actor-repeated"),
    Row("59 cyclic", _actor_again, *REQUEST, "actor-repeated"),
    Row(
        "58 scope beyond the token",
        _wider_than_the_token,
        400,
        "invalid_scope",
        "scope-widened",
    ),
    Row(
        "58 scope beyond the actor",
        _delegate(scope="write:logs"),
        400,
        "invalid_scope",
        "scope-not-registered",
    ),
    Row(
        "58 scope that the subject has no more",
        _wider_than_a_parted_registration,
        400,
        "invalid_scope",
        "scope-not-registered",
    ),
    Row("58 up to the gateway", _service_to_gateway, 400, "invalid_target", "resource-widened"),
    Row(
        "58 sideways",
        _service_to_service_by_the_holder,
        400,
        "invalid_target",
        "resource-widened",
    ),
    Row(
        "58 to a cloud",
        _narrow(audience="sts.amazonaws.com"),
        400,
        "invalid_target",
        "cloud-resource",
    ),
    Row(
        "58 binding dropped",
        _delegate(proof=None),
        400,
        "invalid_dpop_proof",
        "no-sender-constraint",
    ),
    Row("69 revoked", _dead(_revoke), *REQUEST, "subject-token-revoked"),
    Row("69 epoch raised in the directory", _dead(_bump), *REQUEST, "subject-epoch-raised"),
    Row("69 epoch raised in the store", _dead(_raise_in_store), *REQUEST, "subject-epoch-raised"),
    Row("69 subject quarantined", _dead(_quarantine), *REQUEST, "subject-agent-inactive"),
    Row("71 key withdrawn", _dead(_withdraw_key), *REQUEST, "subject-unknown-key"),
    Row("expired", _dead(_expire), *REQUEST, "subject-expired"),
    Row("forged", _forged_subject, *REQUEST, "subject-unknown-key"),
    Row("no subject token", _narrow(subject_token=None), *REQUEST, "missing-subject-token"),
    Row("no type", _narrow(subject_token_type=None), *REQUEST, "unsupported-token-type"),
    Row("another type", _narrow(subject_token_type=JWT_TYPE), *REQUEST, "unsupported-token-type"),
    Row(
        "another type wanted",
        _narrow(requested_token_type="urn:ietf:params:oauth:token-type:refresh_token"),
        *REQUEST,
        "unsupported-token-type",
    ),
    Row("not a token", _narrow(subject_token="x.y.z"), *REQUEST, "subject-malformed"),
    Row("57 actor token of another", _actor_token_of_another, *REQUEST, "actor-not-client"),
    Row(
        "57 stolen actor token",
        _stolen_actor_token,
        400,
        "invalid_dpop_proof",
        "possession-not-proved",
    ),
    Row(
        "57 actor token without its type",
        _actor_token(actor_token_type=None),
        *REQUEST,
        "incomplete-actor-token",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_exchange_is_refused_with_its_reason(house: House, row: Row) -> None:
    answer = row.attempt(house)
    assert answer.verdict == (row.status, row.error, row.reason)
    assert "access_token" not in answer.body


def test_the_chain_of_actors_ends_at_four(house: House) -> None:
    names = frozenset(agent_id(f"link{number}") for number in range(6))
    parties = [Party(name) for name in sorted(names)]
    for party in parties:
        house.register(party, scopes={"read:status"}, may_act=names - {party.id})
    token = house.token(parties[0])
    for actors, party in enumerate(parties[1:5], start=1):
        answer = house.exchange(party, token)
        token = answer.body["access_token"]
        assert len(house.read(token).actors) == actors
    assert house.exchange(parties[5], token).verdict == (400, "invalid_request", "chain-too-long")


def test_narrowing_ends_after_eight_generations(house: House) -> None:
    token = house.token()
    for _ in range(8):
        token = house.exchange(house.analyst, token).body["access_token"]
    answer = house.exchange(house.analyst, token)
    assert answer.verdict == (400, "invalid_request", "too-many-generations")


def test_an_actor_token_changes_nothing_but_the_ancestors(house: House) -> None:
    held, actor = house.token(), house.token(house.worker)
    plain = house.read(house.exchange(house.worker, held).body["access_token"])
    asked = {"actor_token": actor, "actor_token_type": ACCESS_TOKEN}
    with_actor = house.read(house.exchange(house.worker, held, **asked).body["access_token"])
    assert with_actor.ancestors == (*plain.ancestors, house.read(actor).jti)
    same = ("sub", "aud", "client_id", "scope", "act", "may_act", "cnf", "epochs")
    assert {n: with_actor.claims[n] for n in same} == {n: plain.claims[n] for n in same}


def test_a_present_actor_narrows_and_stays_in_sight(house: House) -> None:
    acting = house.exchange(house.worker, house.token()).body["access_token"]
    narrowed = house.exchange(house.worker, acting, scope="read:status")
    assert house.read(narrowed.body["access_token"]).actors == (WORKER,)


def test_a_services_token_reaches_another_service_by_a_new_actor_with_shared_scopes_only(
    house: House,
) -> None:
    held = house.token(resource=CUSTOMERS)
    assert house.read(held).scopes == {"read:customers", "read:status"}
    reached = house.exchange(house.worker, held, resource=LOGS)
    assert house.read(reached.body["access_token"]).scopes == {"read:status"}
    beyond = house.exchange(house.worker, held, resource=LOGS, scope="read:logs")
    assert beyond.verdict == (400, "invalid_scope", "scope-widened")


def test_the_new_token_never_outlives_the_old_one(house: House) -> None:
    held = house.token()
    house.clock.offset = 200
    answer = house.exchange(house.worker, held)
    assert house.read(answer.body["access_token"]).expires == house.read(held).expires
    assert answer.body["expires_in"] <= 100


@pytest.mark.parametrize("who", [ANALYST, WORKER])
def test_raising_the_epoch_of_anyone_in_the_chain_kills_the_descendant(
    house: House, who: str
) -> None:
    token = house.read(house.exchange(house.worker, house.token()).body["access_token"])
    assert ask_revocation(token, house.revocation) is None
    house.revocation.raise_epoch(who, 1)
    assert ask_revocation(token, house.revocation) == Refusal("epoch-raised", who)


def test_revoking_an_ancestor_kills_all_descendants(house: House) -> None:
    held = house.token()
    child = house.exchange(house.worker, held).body["access_token"]
    grandchild = house.exchange(house.third, child).body["access_token"]
    answer = house.post(path="/oauth/revoke", token=held, grant_type=None)
    assert answer.status == 200
    dead = ask_revocation(house.read(grandchild), house.revocation)
    assert dead == Refusal("ancestor-revoked")


def test_an_exchange_widens_only_where_that_control_was_left_out() -> None:
    house = House(TokenSettings(unsafe_exchange_widens=True))
    house.change(house.worker, scopes=frozenset({"read:payments", "read:status"}))
    held = house.token(resource=CUSTOMERS, scope="read:status")
    answer = house.exchange(house.worker, held, resource=DEFAULT_RESOURCE, scope="read:payments")
    assert answer.verdict == (200, "", "issued")
    assert house.read(answer.body["access_token"]).subject == ANALYST


def test_a_token_whose_client_is_not_who_acts_in_it_is_none_of_ours(house: House) -> None:
    """Even with our own signature: routing rests on the chain, never on `client_id` alone."""
    claims = dict(house.read(house.token()).claims) | {"client_id": WORKER}
    forged = house.keys.signer.sign(claims, typ="at+jwt")
    answer = house.exchange(house.worker, forged)
    assert answer.verdict == (400, "invalid_request", "subject-malformed")
