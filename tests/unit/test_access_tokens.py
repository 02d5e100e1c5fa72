"""Access tokens as the token service reads its own: exchange, introspection, revocation."""

from __future__ import annotations

from typing import Any

import pytest

from iamrange.identity.access_token import (
    AccessToken,
    ask_revocation,
    revocation_refusal,
    verify_access_token,
)
from iamrange.identity.stores.directory import DirectoryRevocation
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.stores.ports import RevocationState
from iamrange.jose import Refusal
from tests.conformance.protected_lab import ACTOR, AGENT, NOW, RESOURCE, THIRD, Lab

LAB = Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW))


def read(audience: str | None = None, now: float = NOW, **claims: Any) -> AccessToken | Refusal:  # noqa: ANN401 - JSON
    return verify_access_token(LAB.token(**claims), keys=LAB.keys, now=now, audience=audience)


def token(**claims: Any) -> AccessToken:  # noqa: ANN401 - JSON
    found = read(**claims)
    assert isinstance(found, AccessToken)
    return found


def test_every_claim_of_ours_is_read() -> None:
    found = token(
        jti="this-token",
        scope="read:logs write:logs",
        cnf={"jkt": "j" * 43, "x5t#S256": "x" * 43},
        epochs={AGENT: 3, ACTOR: 4, THIRD: 0},
        ancestors=["grandparent", "parent"],
        act={"sub": ACTOR, "act": {"sub": THIRD}},
        may_act={"sub": [ACTOR, THIRD]},
        agent={"name": "log-reader", "classification": "internal"},
    )
    assert (found.subject, found.audience, found.client_id) == (AGENT, RESOURCE, AGENT)
    assert found.scopes == {"read:logs", "write:logs"}
    assert (found.jkt, found.x5t_s256) == ("j" * 43, "x" * 43)
    assert found.epochs == {AGENT: 3, ACTOR: 4, THIRD: 0}
    assert found.actors == (ACTOR, THIRD)
    assert found.agents == (AGENT, ACTOR, THIRD)
    assert found.jtis == ("this-token", "grandparent", "parent")
    assert found.may_act == {ACTOR, THIRD}
    assert found.agent["classification"] == "internal"
    assert (found.issued, found.expires) == (NOW - 10, NOW + 200)


def test_one_agent_may_stand_alone_in_may_act() -> None:
    assert token(may_act={"sub": ACTOR}).may_act == {ACTOR}
    assert token().may_act == frozenset()


@pytest.mark.parametrize("value", ["x", [], {"sub": 1}, {"sub": [1]}, {"sub": [""]}, {}])
def test_a_may_act_that_names_no_agent_is_malformed(value: object) -> None:
    answer = read(may_act=value)
    assert isinstance(answer, Refusal)
    assert answer.code == "malformed"


def test_the_repr_shows_no_key_and_no_ancestor() -> None:
    shown = repr(token(ancestors=["parent-id"]))
    assert LAB.agent.thumbprint not in shown
    assert "parent-id" not in shown


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"iss": "https://idp.iamrange.example"}, "wrong-issuer"),
        ({"aud": [RESOURCE]}, "several-audiences"),
        ({"audience": "https://hr.iamrange.example"}, "wrong-audience"),
        ({"now": NOW + 206}, "expired"),
        ({"epochs": {ACTOR: 1}}, "malformed"),
        ({"jti": None}, "missing-claim"),
    ],
)
def test_verifying_refuses(changed: dict[str, Any], expected: str) -> None:
    answer = read(**changed)
    assert isinstance(answer, Refusal)
    assert answer.code == expected


def test_no_audience_asked_is_any_audience() -> None:
    assert isinstance(read(aud="https://hr.iamrange.example"), AccessToken)


ACTING = token(
    jti="this-token",
    epochs={AGENT: 3, ACTOR: 4},
    act={"sub": ACTOR},
    ancestors=["parent"],
)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (RevocationState(), None),
        (RevocationState(epochs={AGENT: 3, ACTOR: 4}), None),
        (RevocationState(epochs={AGENT: 2, THIRD: 99}), None),
        (RevocationState(epochs={AGENT: 4}), "epoch-raised"),
        (RevocationState(epochs={ACTOR: 5}), "epoch-raised"),
        (RevocationState(inactive=frozenset({AGENT})), "agent-inactive"),
        (RevocationState(inactive=frozenset({ACTOR})), "agent-inactive"),
        (RevocationState(revoked=frozenset({"this-token"})), "token-revoked"),
        (RevocationState(revoked=frozenset({"parent"})), "ancestor-revoked"),
        (RevocationState(revoked=frozenset({"another"})), None),
        (RevocationState(forgotten_until=NOW + 199), None),
        (RevocationState(forgotten_until=NOW + 200), "revocation-forgotten"),
    ],
)
def test_a_token_dies_by_what_is_known_of_it(state: RevocationState, expected: str | None) -> None:
    answer = revocation_refusal(ACTING, state)
    assert (answer.code if answer else None) == expected


def test_the_directory_and_the_store_are_asked_together() -> None:
    lab = Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW))
    reader = DirectoryRevocation(lab.agents, lab.revocation, clock=lab.clock)
    mine = token(epochs={AGENT: 1})
    assert ask_revocation(mine, reader) is None
    lab.revocation.raise_epoch(AGENT, 2)
    assert reader.state([AGENT], []).epochs == {AGENT: 2}
    lab.agents.known[AGENT].epoch = 5
    assert reader.state([AGENT], []).epochs == {AGENT: 5}
    refusal = ask_revocation(mine, reader)
    assert refusal is not None
    assert refusal.code == "epoch-raised"


@pytest.mark.parametrize("state", ["registered", "quarantined", "retired", "Active", ""])
def test_only_an_active_agent_is_active(state: str) -> None:
    lab = Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW))
    lab.agents.known[AGENT].state = state
    reader = DirectoryRevocation(lab.agents, lab.revocation, clock=lab.clock)
    assert reader.state([AGENT, ACTOR, "spiffe://x"], []).inactive == {AGENT, "spiffe://x"}


def test_an_agent_expires_at_its_moment() -> None:
    lab = Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW))
    reader = DirectoryRevocation(lab.agents, lab.revocation, clock=lab.clock)
    lab.agents.known[AGENT].expires = NOW + 0.5
    assert reader.state([AGENT], []).inactive == frozenset()
    lab.clock.moment = NOW + 0.5
    assert reader.state([AGENT], []).inactive == {AGENT}
