"""The bulk commands: each agent by itself, in parts, to be gone on with."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from iamrange.identity.directory import AgentState, Directory, TamperedError, schema
from iamrange.identity.directory.bulk import BULK_ACTIONS, BulkResult
from iamrange.identity.directory.listing import AgentFilter
from tests.conformance.directory.lab import NOW, agent_of, code_of, new_jwk, spec

if TYPE_CHECKING:
    from iamrange.core.clock import FixedClock
    from iamrange.identity.directory import AuditEvent

COUNT = 25


@pytest.fixture
def names(directory: Directory) -> list[str]:
    given = [spec(f"many-{n}", owner="even" if n % 2 == 0 else "odd") for n in range(COUNT)]
    seen: list[int] = []
    result = directory.register_many(
        given,
        actor="tester",
        activate=True,
        batch=10,
        progress=lambda done: seen.append(done.position),
    )
    assert (result.changed, result.refused, seen) == (COUNT, 0, [10, 20, 25])
    return [each.name for each in given]


def test_what_is_refused_does_not_stop_the_others(directory: Directory) -> None:
    key = new_jwk()
    good, other = spec("good", key), spec("other")
    result = directory.register_many(
        [good, good, spec("thief", key), spec("other"), other, spec("good")], actor="tester"
    )
    assert (result.changed, result.unchanged, result.position) == (2, 1, 6)
    assert [(who.rpartition("/")[2], why.code) for who, why in result.refusals] == [
        ("thief", "key-taken"),
        ("other", "name-taken"),
        ("good", "name-taken"),
    ]
    directory.verify()


def test_rows_signed_alone_and_in_groups_are_read_alike(
    directory: Directory, names: list[str]
) -> None:
    agent_of(directory.register(spec("alone"), actor="tester"))
    agent_of(directory.revoke(names[3], actor="tester"))
    with directory.database.reading() as connection:
        rows = connection.execute(sa.select(schema.entries.c.signature)).scalars()
        # two tens in groups of eight and two, a five in four and one; two were written alone
        lengths = sorted(len(signature) for signature in rows)
    assert lengths == [64] * 3 + [97] * 4 + [129] * 4 + [161] * 15
    assert all(agent_of(directory.get(name)).name == name for name in [*names, "alone"])
    assert directory.verify().count == COUNT + 1


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_after_a_bulk_command_that_failed(
    directory: Directory, *, enabled: bool
) -> None:
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        directory.register_many([spec("good")], actor="tester")
        assert gc.isenabled() is enabled
        with directory.database.writing() as connection:
            connection.execute(schema.head.delete())
        with pytest.raises(TamperedError, match="gone"):
            directory.register_many([spec("late")], actor="tester")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was else gc.disable)()


def test_many_keys_are_rotated_each_by_itself(directory: Directory, names: list[str]) -> None:
    keys = {name: new_jwk() for name in names}
    first = agent_of(directory.get("many-0")).keys[0].jwk
    pairs = [*keys.items(), ("nobody", new_jwk()), ("many-1", first), ("many-2", {"kty": "RSA"})]
    result = directory.rotate_many(pairs, overlap=60, actor="tester", batch=10)
    assert (result.changed, result.position) == (COUNT, COUNT + 3)
    assert [(who, why.code) for who, why in result.refusals] == [
        ("many-2", "bad-key"),
        ("nobody", "unknown-agent"),
        ("many-1", "key-taken"),
    ]
    again = directory.rotate_many(keys.items(), overlap=60, actor="tester")
    assert (again.changed, again.unchanged) == (0, COUNT)
    for name in names:
        kept = agent_of(directory.get(name)).keys
        assert [key.not_after for key in kept] == [None, NOW + 60]
        assert kept[0].jwk == keys[name]
    directory.verify()


def test_a_key_given_to_two_agents_at_once_is_one_agents(
    directory: Directory, names: list[str]
) -> None:
    del names
    key = new_jwk()
    result = directory.rotate_many([("many-3", key), ("many-4", key)], overlap=0, actor="tester")
    assert (result.changed, [why.code for _, why in result.refusals]) == (1, ["key-taken"])


def test_a_filter_chooses_and_a_position_goes_on(
    directory: Directory, names: list[str], events: list[AuditEvent]
) -> None:
    odd = AgentFilter(owner="odd")
    stopped: list[int] = []

    def stop(result: BulkResult) -> None:
        stopped.append(result.position)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        directory.change_many("revoke", odd, actor="tester", progress=stop, batch=5)
    result = directory.change_many("revoke", odd, actor="tester", after=stopped[0], batch=5)
    assert (stopped, result.changed) == ([10], COUNT // 2 - 5)
    epochs = [agent_of(directory.get(name)).epoch for name in names]
    assert epochs == [number % 2 for number in range(COUNT)]
    assert [event.version for event in events] == list(range(1, directory.head().version + 1))


@pytest.mark.parametrize("action", BULK_ACTIONS)
def test_every_bulk_action_does_what_the_single_one_does(
    directory: Directory, names: list[str], action: str
) -> None:
    one, many = names[0], names[1:5]
    single = getattr(directory, action)(one, actor="tester")
    result = directory.change_many(action, [*many, "nobody"], actor="tester")
    assert code_of(result.refusals[0][1]) == "unknown-agent"
    for name in many:
        agent = agent_of(directory.get(name))
        assert (agent.state, agent.epoch) == (single.state, single.epoch)


def test_there_is_no_other_bulk_action(directory: Directory) -> None:
    with pytest.raises(ValueError, match="bulk action"):
        directory.change_many("update", [], actor="tester")


def test_those_whose_time_is_up_are_retired_by_filter(
    directory: Directory, clock: FixedClock
) -> None:
    for number in range(6):
        expires = NOW + 10 if number < 4 else None
        directory.register(spec(f"timed-{number}", expires=expires), actor="tester")
    clock.moment += 10
    result = directory.change_many("retire", AgentFilter(expired=True), actor="tester", batch=3)
    assert result.changed == 4
    retired = directory.list(AgentFilter(state=AgentState.RETIRED)).agents
    assert [agent.number for agent in retired] == [1, 2, 3, 4]
