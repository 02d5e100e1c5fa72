"""Whatever is exchanged, by whom and in what order: no token is worth more than its ancestors."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from iamrange.identity.access_token import AccessToken, ask_revocation
from iamrange.identity.directory.model import agent_id
from iamrange.identity.names import DEFAULT_RESOURCE
from iamrange.jose import SigningKey
from tests.conformance.tokens.lab import CUSTOMERS, LOGS, RESOURCES, House, Party

NAMES = ("a", "b", "c", "d", "e", "f")
SCOPES = ("read:customers", "read:logs", "write:logs", "read:status", "write:payments")
AGENTS = st.sampled_from(NAMES)
SOME_SCOPES = st.frozensets(st.sampled_from(SCOPES), min_size=1, max_size=3)


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt: who exchanges which earlier token into what, with which keys in hand."""

    token: int
    client: str
    scope: frozenset[str] | None
    resource: str | None
    actor_token: int | None
    own_key: bool
    moved: int


MANY_SCOPES = st.frozensets(st.sampled_from(SCOPES), min_size=2).map(lambda s: s | {"read:status"})

STEPS = st.builds(
    Step,
    token=st.integers(0, 20),
    client=AGENTS,
    scope=st.none() | st.none() | st.just(frozenset({"read:status"})) | SOME_SCOPES,
    resource=st.none() | st.none() | st.sampled_from([DEFAULT_RESOURCE, CUSTOMERS, LOGS]),
    actor_token=st.none() | st.none() | st.none() | st.integers(0, 20),
    own_key=st.sampled_from([True, True, True, False]),
    moved=st.integers(0, 40),
)
REGISTRATIONS = st.fixed_dictionaries(
    {name: st.tuples(MANY_SCOPES, st.frozensets(AGENTS, min_size=3)) for name in NAMES}
)


def narrower(child: AccessToken, parent: AccessToken, client: str) -> None:
    """Check a token against the one that it was made from."""
    assert child.subject == parent.subject
    assert child.scopes <= parent.scopes
    assert child.scopes <= (RESOURCES[child.audience] or child.scopes)
    assert child.expires <= parent.expires
    assert parent.jti in child.ancestors
    assert set(parent.ancestors) <= set(child.ancestors)
    assert set(parent.epochs) | {client} == set(child.epochs)
    assert child.bound
    assert child.may_act == parent.may_act
    assert len({child.subject, *child.actors}) == 1 + len(child.actors) <= 5
    if client == parent.client_id:
        assert child.actors == parent.actors
        assert child.jkt == parent.jkt
    else:
        assert client in parent.may_act
        assert child.actors == (client, *parent.actors)
    if parent.audience != DEFAULT_RESOURCE:
        assert child.audience != DEFAULT_RESOURCE
        assert child.audience == parent.audience or client != parent.client_id


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(registrations=REGISTRATIONS, first=AGENTS, steps=st.lists(STEPS, max_size=12))
def test_no_exchanged_token_is_worth_more_than_the_one_it_was_made_from(
    registrations: dict[str, tuple[frozenset[str], frozenset[str]]],
    first: str,
    steps: list[Step],
) -> None:
    house = House()
    parties = {name: Party(agent_id(name)) for name in NAMES}
    for name, (scopes, may_act) in registrations.items():
        allowed = frozenset(agent_id(other) for other in may_act - {name})
        house.register(parties[name], scopes=set(scopes), may_act=allowed)
    tokens = [house.token(parties[first])]
    for step in steps:
        house.clock.offset += step.moved
        held, party = tokens[step.token % len(tokens)], parties[step.client]
        form: dict[str, str] = {}
        if step.scope is not None:
            form["scope"] = " ".join(step.scope)
        if step.resource is not None:
            form["resource"] = step.resource
        if step.actor_token is not None:
            form["actor_token"] = tokens[step.actor_token % len(tokens)]
            form["actor_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        proof = party.proof(key=None if step.own_key else SigningKey.generate())
        answer = house.exchange(party, held, proof=proof, **form)
        if answer.status != 200:
            assert "access_token" not in answer.body
            event(answer.verdict[2])
            continue
        event("narrowed" if party.id == house.read(held).client_id else "delegated")
        child = house.read(answer.body["access_token"])
        narrower(child, house.read(held), party.id)
        if step.scope is not None:
            assert child.scopes == step.scope
        tokens.append(answer.body["access_token"])
    alive = [read for token in tokens if (read := house.read_if_alive(token)) is not None]
    house.revocation.raise_epoch(parties[first].id, 1)
    assert all(ask_revocation(read, house.revocation) is not None for read in alive)
