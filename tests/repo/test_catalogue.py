"""What must hold of the declarations themselves."""

from __future__ import annotations

from iamrange.core.controls import CONTROLS, INVARIANTS
from iamrange.core.scenario import Network
from iamrange.range.catalogue import catalogue, unproved_controls


def test_every_control_and_invariant_is_cited_by_a_scenario() -> None:
    assert catalogue()
    assert unproved_controls() == ()


def test_ids_of_controls_and_invariants_are_told_apart() -> None:
    assert not set(CONTROLS) & set(INVARIANTS)
    assert all(name == control.id for name, control in CONTROLS.items())


def test_every_lesson_and_claim_is_said_once() -> None:
    entries = catalogue().values()
    assert len({entry.scenario.claim for entry in entries}) == len(entries)


def test_only_what_looks_at_the_place_is_attacked_from_outside() -> None:
    outside = [e for e in catalogue().values() if e.scenario.network is Network.OUTSIDE]
    assert sorted(guard for entry in outside for guard in entry.guards) == [
        "aws.network-perimeter",
        "detect.behaviour-baseline",
    ]
