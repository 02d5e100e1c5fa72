"""The life of an agent, as a table and as a machine that tries everything."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from joserfc.jwk import ECKey

from iamrange.identity.directory import lifecycle
from iamrange.identity.directory.field_rules import MAX_KEYS
from iamrange.identity.directory.model import (
    Agent,
    AgentKey,
    AgentSpec,
    AgentState,
    Classification,
    DirectoryRefusal,
    check_fields,
)

NOW = 1000.0
KEYS = tuple(
    AgentKey.from_jwk(dict(ECKey.generate_key("P-256").as_dict(private=False))) for _ in range(12)
)
R, A, Q, X = AgentState
STEPS = {
    "activate": lifecycle.activate,
    "quarantine": lifecycle.quarantine,
    "release": lifecycle.release,
    "retire": lifecycle.retire,
    "revoke": lifecycle.revoke,
}


def agent_in(state: AgentState, *, approved: bool = True) -> Agent:
    spec = AgentSpec(name="one", owner="team", keys=KEYS[:1], scopes=frozenset({"read:a"}))
    found: Any = lifecycle.provision(spec, "digest", NOW, activate=approved)
    if state is Q:
        found = lifecycle.quarantine(found, NOW)
    elif state is X:
        found = lifecycle.retire(found, NOW)
    assert found.state is state
    return found  # type: ignore[no-any-return] # asserted above


TABLE: dict[tuple[AgentState, str], tuple[AgentState | str, int]] = {
    # (state, command): (state after or refusal, rise of the epoch)
    (R, "activate"): (A, 0),
    (R, "quarantine"): (Q, 1),
    (R, "release"): (R, 0),
    (R, "retire"): (X, 1),
    (R, "revoke"): (R, 1),
    (A, "activate"): (A, 0),
    (A, "quarantine"): (Q, 1),
    (A, "release"): (A, 0),
    (A, "retire"): (X, 1),
    (A, "revoke"): (A, 1),
    (Q, "activate"): ("quarantined", 0),
    (Q, "quarantine"): (Q, 0),
    (Q, "release"): (A, 0),
    (Q, "retire"): (X, 1),
    (Q, "revoke"): (Q, 1),
    (X, "activate"): ("retired", 0),
    (X, "quarantine"): ("retired", 0),
    (X, "release"): ("retired", 0),
    (X, "retire"): (X, 0),
    (X, "revoke"): ("retired", 0),
}


def test_the_table_is_complete() -> None:
    assert set(TABLE) == {(state, command) for state in AgentState for command in STEPS}


@pytest.mark.parametrize(("state", "command"), TABLE, ids=str)
def test_a_command_in_a_state(state: AgentState, command: str) -> None:
    expected, rise = TABLE[state, command]
    before = agent_in(state, approved=state is not R)
    after = STEPS[command](before, NOW + 1)
    if isinstance(after, DirectoryRefusal):
        assert after.code == expected
        return
    assert (after.state, after.epoch - before.epoch) == (expected, rise)
    if state is expected and not rise:
        assert after is before


def test_release_does_not_approve_who_never_was() -> None:
    quarantined = lifecycle.quarantine(agent_in(R, approved=False), NOW)
    assert isinstance(quarantined, Agent)
    released = lifecycle.release(quarantined, NOW)
    assert isinstance(released, Agent)
    assert released.state is R


def test_a_second_rotation_neither_ends_nor_prolongs_the_first_overlap() -> None:
    agent: Any = agent_in(A)
    agent = lifecycle.rotate(agent, KEYS[1], NOW, overlap=100)
    agent = lifecycle.rotate(agent, KEYS[2], NOW + 50, overlap=100)
    ends = {key.kid: key.not_after for key in agent.keys}
    assert ends == {KEYS[2].kid: None, KEYS[1].kid: NOW + 150, KEYS[0].kid: NOW + 100}
    agent = lifecycle.rotate(agent, KEYS[3], NOW + 120, overlap=0)
    assert {key.kid for key in agent.keys} == {KEYS[3].kid, KEYS[1].kid}


def test_no_more_keys_are_accepted_than_the_bound() -> None:
    agent: Any = agent_in(A)
    for key in KEYS[1:MAX_KEYS]:
        agent = lifecycle.rotate(agent, key, NOW, overlap=100)
    refused = lifecycle.rotate(agent, KEYS[MAX_KEYS], NOW, overlap=100)
    assert isinstance(refused, DirectoryRefusal)
    assert refused.code == "too-many-keys"
    assert isinstance(lifecycle.rotate(agent, KEYS[MAX_KEYS], NOW + 100, overlap=100), Agent)


@pytest.mark.parametrize("overlap", [-1.0, float("nan"), float("inf"), lifecycle.MAX_OVERLAP + 1])
def test_an_overlap_is_bounded(overlap: float) -> None:
    refused = lifecycle.rotate(agent_in(A), KEYS[1], NOW, overlap=overlap)
    assert isinstance(refused, DirectoryRefusal)
    assert refused.code == "bad-overlap"


@pytest.mark.parametrize("expires", [NOW, NOW - 1, float("nan"), float("inf")])
def test_recertifying_needs_a_moment_to_come(expires: float) -> None:
    refused = lifecycle.recertify(agent_in(A), expires, NOW)
    assert isinstance(refused, DirectoryRefusal)
    assert refused.code == "bad-expiry"


def test_expired_is_not_usable_and_recertified_is_again() -> None:
    agent = lifecycle.recertify(agent_in(A), NOW + 10, NOW)
    assert isinstance(agent, Agent)
    assert lifecycle.recertify(agent, NOW + 10, NOW + 1) is agent
    assert agent.usable(NOW + 9.9)
    assert not agent.usable(NOW + 10)
    again = lifecycle.recertify(agent, NOW + 100, NOW + 50)
    assert isinstance(again, Agent)
    assert again.usable(NOW + 50)
    assert again.recertified == NOW + 50


@pytest.mark.parametrize(
    ("changes", "rises"),
    [
        ({"owner": "else"}, False),
        ({"scopes": frozenset({"read:a", "read:b"})}, False),
        ({"scopes": frozenset({"read:b"})}, True),
        ({"resources": frozenset({"https://hr.iamrange.example"})}, True),
        ({"classification": Classification.PUBLIC}, True),
        ({"classification": Classification.RESTRICTED}, False),
        ({"tls_subject": True}, False),
        ({"audiences": frozenset({"x"})}, False),
    ],
    ids=str,
)
def test_taking_something_away_raises_the_epoch(
    changes: lifecycle.AgentChanges,
    rises: bool,  # noqa: FBT001 - a table's column
) -> None:
    agent = agent_in(A)
    after = lifecycle.update(agent, changes, NOW)
    assert isinstance(after, Agent)
    assert after.epoch == agent.epoch + rises
    assert lifecycle.update(after, changes, NOW) is after


@pytest.mark.parametrize(
    "changes",
    [{"name": "two"}, {"keys": ()}, {"epoch": 0}, {"state": "active"}, {"scopes": {"Bad"}}],
    ids=str,
)
def test_update_refuses(changes: lifecycle.AgentChanges) -> None:
    refused = lifecycle.update(agent_in(A), changes, NOW)
    assert isinstance(refused, DirectoryRefusal)
    assert refused.code == "bad-field"


class Life(RuleBasedStateMachine):
    """Any commands in any order, with the clock going on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.agent = agent_in(R, approved=False)
        self.before = self.agent
        self.gone: set[str] = set()
        self.approved = False

    def take(self, outcome: lifecycle.Outcome) -> None:
        if isinstance(outcome, DirectoryRefusal):
            assert outcome.code
            assert outcome.detail
            return
        assert isinstance(outcome, get_args(lifecycle.Outcome)[0])
        self.before, self.agent = self.agent, outcome

    @rule(command=st.sampled_from(sorted(STEPS)))
    def command(self, command: str) -> None:
        self.approved = self.approved or (command == "activate" and self.agent.state is R)
        self.take(STEPS[command](self.agent, self.now))

    @rule(key=st.sampled_from(KEYS), overlap=st.floats(0, 100))
    def rotate(self, key: AgentKey, overlap: float) -> None:
        if key.kid not in self.gone:  # the directory's list of taken keys sees to that
            self.take(lifecycle.rotate(self.agent, key, self.now, overlap=overlap))

    @precondition(lambda self: self.agent.keys)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        kid = data.draw(st.sampled_from([key.kid for key in self.agent.keys]))
        self.take(lifecycle.withdraw(self.agent, kid, self.now))
        assert all(key.kid != kid for key in self.agent.keys)

    @rule(ahead=st.floats(1, 500))
    def recertify(self, ahead: float) -> None:
        self.take(lifecycle.recertify(self.agent, self.now + ahead, self.now))

    @rule(step=st.floats(0, 80))
    def wait(self, step: float) -> None:
        self.now += step

    @invariant()
    def keys_hold(self) -> None:
        accepted = self.agent.accepted_keys(self.now)
        assert len(self.agent.keys) <= MAX_KEYS
        assert sum(key.not_after is None for key in accepted) <= 1
        self.gone |= {key.kid for key in KEYS} & (
            {key.kid for key in self.before.keys} - {key.kid for key in accepted}
        )
        assert self.gone.isdisjoint(key.kid for key in accepted)

    @invariant()
    def life_holds(self) -> None:
        check_fields(self.agent)
        assert self.agent.epoch >= self.before.epoch
        assert self.agent.state is X or self.before.state is not X
        if self.agent.state is A:
            assert self.approved
        if self.agent.state is X:
            assert not self.agent.keys
            assert not self.agent.usable(self.now)
        if self.before.state is A and self.agent.state is not A:
            assert self.agent.epoch > self.before.epoch


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
