"""Cutting off: in order, once, and again until it has worked."""

from __future__ import annotations

import json

import pytest

from iamrange.detect.containment import LONGEST_PAUSE, Containment, MeansError


class Fake:
    """A means that works unless it is away."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.away = False
        self.acts: list[tuple[str, str]] = []

    def cut(self, agent: str) -> str:
        return self._act("cut", agent)

    def restore(self, agent: str) -> str:
        return self._act("restore", agent)

    def _act(self, act: str, agent: str) -> str:
        if self.away:
            raise MeansError(f"{self.name} is away")
        self.acts.append((act, agent))
        return f"{act} by {self.name}"


def both() -> tuple[Fake, Fake, Containment]:
    directory, clouds = Fake("directory"), Fake("clouds")
    return directory, clouds, Containment([directory, clouds])


def test_every_means_is_used_the_directory_first() -> None:
    _, _, containment = both()
    assert containment.contain("a")
    steps = containment.tick(0.0)
    assert [(step.means, step.done, step.detail) for step in steps] == [
        ("directory", True, "cut by directory"),
        ("clouds", True, "cut by clouds"),
    ]
    assert containment.contained("a")
    assert containment.tick(1e9) == ()


def test_an_agent_is_contained_once_however_often_it_is_accused() -> None:
    directory, _, containment = both()
    assert [containment.contain("a") for _ in range(5)] == [True, False, False, False, False]
    containment.tick(0.0)
    containment.tick(9.0)
    assert directory.acts == [("cut", "a")]


def test_in_a_flood_all_are_in_quarantine_before_anybodys_cloud_is_asked() -> None:
    _, _, containment = both()
    for number in range(100):
        containment.contain(f"a{number}")
    assert [step.means for step in containment.tick(0.0)] == ["directory"] * 100 + ["clouds"] * 100


@pytest.mark.parametrize("away", ["directory", "clouds"])
def test_a_means_that_is_away_holds_up_no_other_and_is_tried_until_it_works(away: str) -> None:
    directory, clouds, containment = both()
    broken = directory if away == "directory" else clouds
    broken.away = True
    containment.contain("a")
    first = {step.means: step.done for step in containment.tick(0.0)}
    assert first == {"directory": away != "directory", "clouds": away != "clouds"}
    assert not containment.contained("a")
    assert containment.tick(0.1) == ()  # not at once
    now, tries = 0.1, 0
    for _ in range(20):
        now += LONGEST_PAUSE
        (step,) = containment.tick(now)
        assert (step.done, step.detail) == (False, f"{away} is away")
        tries = step.attempts
    broken.away = False
    (step,) = containment.tick(now + LONGEST_PAUSE)
    assert (step.done, step.attempts) == (True, tries + 1)
    assert containment.contained("a")


def test_a_restart_half_way_goes_on_with_what_was_not_done() -> None:
    _, clouds, containment = both()
    clouds.away = True
    containment.contain("a")
    containment.tick(1e6)
    directory, _, again = both()
    again.take(json.loads(json.dumps(containment.to_json())))
    assert not again.contain("a")
    (step,) = again.tick(0.0)  # monotonic time has begun anew
    assert (step.means, step.done, step.attempts) == ("clouds", True, 2)
    assert directory.acts == []


def test_restoring_undoes_the_last_first_and_lets_the_agent_be_contained_again() -> None:
    _, clouds, containment = both()
    containment.contain("a")
    containment.tick(0.0)
    clouds.away = True
    undone = containment.restore("a")
    assert [(step.means, step.done) for step in undone] == [("clouds", False), ("directory", True)]
    assert containment.restore("a") == ()
    assert containment.contain("a")


def test_an_agent_that_was_never_accused_is_not_contained() -> None:
    _, _, containment = both()
    assert not containment.contained("a")
    assert containment.step("a", "directory") is None


def test_a_containment_without_means_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one means"):
        Containment([])
