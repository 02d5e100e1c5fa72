"""Rotation: killed between any two steps and gone on with, it ends with one good value."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.credentials.rotation.journal import BusyError, Journal, JournalError
from iamrange.credentials.rotation.ports import GoneError, PortDownError
from iamrange.credentials.rotation.run import Parts, StillAcceptedError, rotate
from iamrange.credentials.rotation.states import DAY, OVER, TABLE, Event, Rotation, State, due

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = Rotation(id="1", secret="s", state=State.PLANNED, reason="schedule", old="v1")


class FakeClock:
    def __init__(self) -> None:
        self.moment = 1000.0

    def now(self) -> float:
        return self.moment


class KilledError(BaseException):
    """The process is killed here."""


class World:
    """A vault, what accepts its values, and a consumer; each call may be the last one.

    `calls` counts; at the `dies_at`th the process is killed, before (even) or after (odd) its
    effect.
    """

    name = "vault s"

    def __init__(self) -> None:
        self.versions = {"v1": "old-value"}
        self.given_out = "v1"
        self.good = {"old-value": True}
        self.staged_by: dict[str, str] = {}
        self.made = 0
        self.works = True
        self.stubborn = False
        self.forgotten_consumer = False
        self.calls = 0
        self.dies_at: int | None = None
        self.down = False

    def touch(self, effect: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the call returns
        if self.down:
            raise PortDownError("vault s: away")
        self.calls += 1
        if self.dies_at is not None and self.calls == self.dies_at // 2 and not self.dies_at % 2:
            raise KilledError
        value = effect()
        if self.dies_at is not None and self.calls == self.dies_at // 2 and self.dies_at % 2:
            raise KilledError
        return value

    # the vault

    def current(self) -> str:
        return str(self.touch(lambda: self.given_out))

    def replaced_at(self) -> float | None:
        return None

    def read(self, version: str) -> str:
        if version not in self.versions:
            raise GoneError(version)
        return str(self.touch(lambda: self.versions[version]))

    def stage(self, rotation: str, value: str) -> str:
        def effect() -> str:
            version = f"v-{rotation}"
            self.versions[version] = value
            self.staged_by[rotation] = version
            return version

        return str(self.touch(effect))

    def staged(self, rotation: str) -> str | None:
        found: str | None = self.touch(lambda: self.staged_by.get(rotation))
        return found

    def promote(self, old: str, new: str) -> None:
        del old
        self.touch(lambda: setattr(self, "given_out", new))

    def restore(self, old: str, new: str) -> None:
        del new
        self.touch(lambda: setattr(self, "given_out", old))

    def destroy(self, old: str) -> None:
        self.touch(lambda: self.versions.pop(old, None))

    @property
    def value(self) -> str:
        return self.versions[self.given_out]

    # what accepts

    @property
    def acceptor(self) -> Acceptor:
        return Acceptor(self)

    def failure(self) -> str | None:
        if not self.works and self.value != "old-value":
            return "cannot read the new form"
        if self.forgotten_consumer and not self.good.get("old-value"):
            return "the nightly job still has the old one"
        return None if self.good.get(self.value) else "refused"

    @property
    def parts(self) -> Parts:
        return Parts(vault=self, acceptor=self.acceptor, consumers=[self])


class Acceptor:
    """Takes two values at a time."""

    def __init__(self, world: World) -> None:
        self.world = world

    def issue(self, keep: str) -> str:
        world = self.world

        def effect() -> str:
            for value in [one for one in world.good if one != keep]:
                del world.good[value]
            world.made += 1
            world.good[f"new-value-{world.made}"] = True
            assert len(world.good) <= 2
            return f"new-value-{world.made}"

        return str(world.touch(effect))

    def admit(self, value: str) -> None:
        self.world.touch(lambda: self.world.good.update({value: True}))

    def accepts(self, value: str) -> bool:
        good = self.world.touch(lambda: self.world.good.get(value, False))
        return bool(good) or (self.world.stubborn and value == "old-value")

    def disable(self, value: str) -> None:
        self.world.touch(lambda: self.world.good.update({value: False}))

    def destroy(self, value: str) -> None:
        self.world.touch(lambda: self.world.good.pop(value, None))


def run(world: World, folder: Path, **options: Any) -> Rotation:  # noqa: ANN401 - rotate's own
    clock = options.pop("clock", FakeClock())
    return rotate(world.parts, Journal(folder), clock, reason="test", **options)


def test_rotation_goes_through_all_its_states_and_the_old_value_is_gone(tmp_path: Path) -> None:
    world, states = World(), []
    done = run(world, tmp_path, hear=lambda rotation: states.append(rotation.state))
    assert states == [
        State.PLANNED,
        State.STAGED,
        State.SWITCHED,
        State.VERIFIED,
        State.DISABLED,
        State.PROVED,
        State.DONE,
    ]
    assert world.good == {"new-value-1": True}
    assert world.versions == {done.new: "new-value-1"}
    assert world.given_out == done.new


@pytest.mark.parametrize(
    ("broken", "why"),
    [("works", "cannot read the new form"), ("forgotten_consumer", "the nightly job")],
)
def test_consumer_that_fails_has_the_old_value_back_and_the_new_one_is_gone(
    tmp_path: Path, broken: str, why: str
) -> None:
    world = World()
    setattr(world, broken, broken == "forgotten_consumer")
    undone = run(world, tmp_path)
    assert undone.state is State.UNDONE
    assert why in undone.why_undone
    assert world.good == {"old-value": True}
    assert world.value == "old-value"
    assert world.versions == {"v1": "old-value"}


def test_old_value_that_is_still_accepted_is_an_error_and_nothing_is_destroyed(
    tmp_path: Path,
) -> None:
    world = World()
    world.stubborn = True
    with pytest.raises(StillAcceptedError, match="expected to be refused, is accepted"):
        run(world, tmp_path)
    assert "v1" in world.versions
    world.stubborn = False
    assert run(world, tmp_path).state is State.DONE


def test_old_and_new_are_good_together_for_the_overlap_and_not_longer(tmp_path: Path) -> None:
    world, clock = World(), FakeClock()
    waiting = run(world, tmp_path, overlap=60.0, clock=clock)
    assert waiting.state is State.VERIFIED
    assert world.good == {"old-value": True, "new-value-1": True}
    clock.moment += 59
    assert run(world, tmp_path, overlap=60.0, clock=clock).state is State.VERIFIED
    clock.moment += 1
    assert run(world, tmp_path, overlap=60.0, clock=clock).state is State.DONE


def test_incident_does_not_wait_for_the_overlap_of_the_schedule(tmp_path: Path) -> None:
    world = World()
    assert run(world, tmp_path, overlap=3600.0).state is State.VERIFIED
    assert run(world, tmp_path, overlap=0.0).state is State.DONE
    assert world.made == 1


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(2, 80), max_size=6),
    st.sampled_from(["good", "works", "forgotten_consumer"]),
)
def test_killed_anywhere_and_gone_on_with_it_ends_with_one_good_value_that_is_given_out(
    tmp_path_factory: pytest.TempPathFactory, deaths: list[int], broken: str
) -> None:
    folder, world = tmp_path_factory.mktemp("journal"), World()
    if broken != "good":
        setattr(world, broken, broken == "forgotten_consumer")
    for death in deaths:
        world.calls, world.dies_at = 0, death
        try:
            run(world, folder)
        except KilledError:
            # nobody is ever without a value that works
            assert world.good.get(world.value)
            continue
        break
    world.dies_at = None
    last = Journal(folder).last(world.name)
    ended = last if last is not None and last.over else run(world, folder)
    assert ended.state is (State.DONE if broken == "good" else State.UNDONE)
    assert [value for value, good in world.good.items() if good] == [world.value]
    assert len(world.good) == 1
    assert list(world.versions) == [world.given_out]


@pytest.mark.parametrize("death", range(2, 40))
def test_killed_at_each_single_call_it_is_gone_on_with(tmp_path: Path, death: int) -> None:
    world = World()
    world.dies_at = death
    try:
        run(world, tmp_path)
    except KilledError:
        world.dies_at = None
        last = Journal(tmp_path).last(world.name)
        assert (last is not None and last.over) or run(world, tmp_path).state is State.DONE
    assert world.good == {world.value: True}
    assert world.value != "old-value"


def test_vault_that_goes_away_is_told_and_the_rotation_is_gone_on_with(tmp_path: Path) -> None:
    world = World()
    run(world, tmp_path, overlap=9.0)
    world.down = True
    with pytest.raises(PortDownError, match="away"):
        run(world, tmp_path)
    world.down = False
    assert run(world, tmp_path).state is State.DONE


def _hold(folder: str, ready: Any, end: Any) -> None:  # noqa: ANN401 - multiprocessing's events
    from pathlib import Path as FolderPath  # noqa: PLC0415 - another process

    with Journal(FolderPath(folder)).alone("vault s"):
        ready.set()
        end.wait(30)


def test_of_two_rotations_at_once_exactly_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path), ready, end))
    other.start()
    try:
        assert ready.wait(30)
        world = World()
        with pytest.raises(BusyError, match="another process"):
            run(world, tmp_path)
        assert world.calls == 0
    finally:
        end.set()
        other.join(30)
    assert run(World(), tmp_path).state is State.DONE


def test_journal_holds_no_value(tmp_path: Path) -> None:
    world = World()
    run(world, tmp_path, overlap=9.0)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "old-value" not in text
    assert "new-value" not in text
    assert '"verified"' in text
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"state": "done"}', '{"id": 3}'])
def test_journal_that_is_none_stops_the_rotation(tmp_path: Path, text: str) -> None:
    world = World()
    run(world, tmp_path, overlap=9.0)
    (path,) = tmp_path.glob("*.json")
    path.write_text(text)
    before = dict(world.good)
    with pytest.raises(JournalError, match="expected a rotation"):
        run(world, tmp_path)
    assert world.good == before


def test_journal_that_cannot_be_written_stops_the_rotation_before_anything(tmp_path: Path) -> None:
    world = World()
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError):
        run(world, tmp_path / "file")
    assert world.good == {"old-value": True}


@given(st.sampled_from(State), st.sampled_from(Event))
def test_only_what_the_table_has_can_follow(state: State, event: Event) -> None:
    rotation = replace(START, state=state)
    if (state, event) in TABLE:
        assert rotation.after(event, 5.0).state is TABLE[state, event]
    else:
        with pytest.raises(ValueError, match="cannot come of it"):
            rotation.after(event, 5.0)


def test_every_state_that_is_not_over_goes_on_and_none_that_is() -> None:
    assert {state for state, _ in TABLE} == set(State) - OVER


def test_old_value_is_destroyed_only_after_it_was_seen_to_be_refused() -> None:
    before = {state for (state, _), then in TABLE.items() if then is State.DONE}
    assert before == {State.PROVED}
    assert {s for (s, _), then in TABLE.items() if then is State.PROVED} == {State.DISABLED}


@given(
    st.builds(
        Rotation,
        id=st.text(),
        secret=st.text(),
        state=st.sampled_from(State),
        reason=st.text(),
        old=st.text(),
        new=st.text(),
        switched_at=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        why_undone=st.text(),
    )
)
def test_rotation_is_read_back_as_it_was_written(rotation: Rotation) -> None:
    assert Rotation.from_json(json.loads(json.dumps(rotation.to_json()))) == rotation


@pytest.mark.parametrize(
    ("last", "now", "is_due"),
    [(None, 0.0, True), (0.0, 30 * DAY, True), (0.0, 30 * DAY - 1, False)],
)
def test_schedule_says_when_a_value_is_due(last: float | None, now: float, *, is_due: bool) -> None:
    assert due(last, 30, now) is is_due


def test_lock_goes_with_its_process(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        Journal(tmp_path).alone("s").__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    with Journal(tmp_path).alone("s"):
        pass
