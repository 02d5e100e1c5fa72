"""The search for what stands in an attack's way, and the harness under attack itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iamrange.core.controls import CONTROLS, INVARIANTS, Invariant
from iamrange.core.verdict import Judgement, Legitimate, RefusedBy, Trial, Verdict
from iamrange.range.ablation import Attack, prove_scenario
from iamrange.range.catalogue import catalogue

if TYPE_CHECKING:
    from iamrange.range.catalogue import Entry

PAIR = "token-theft/gcp-token-at-aws"
ALL = tuple(catalogue().values())


def refused_by(*guards: str) -> Judgement:
    refusals = tuple(
        RefusedBy(
            request_id="r",
            point="p",
            action="a",
            layer=guard,
            effect="deny",
            reason="r",
            statement="",
            condition_keys=(),
            guards=(guard,) if guard in {**CONTROLS, **INVARIANTS} else (),
        )
        for guard in guards
    )
    return Judgement(verdict=Verdict.BLOCKED, refusals=refusals)


class FakeWorlds:
    """Worlds in which barriers stand one behind the other; starts honest and hardened."""

    def __init__(self, entry: Entry, *, ignores: str | None = None) -> None:
        self.entry = entry
        self.ignores = ignores
        self.attacked: list[tuple[frozenset[str], str | None]] = []

    def barriers(self) -> tuple[str, ...]:
        return tuple(guard for guard in self.entry.guards if guard != self.ignores)

    def judgement(self, off: frozenset[str], rogue: str | None) -> Judgement:
        lacking = {i.id for i in INVARIANTS.values() if i.rogue == rogue}
        standing = [b for b in self.barriers() if b not in off and b not in lacking]
        return refused_by(standing[0]) if standing else Judgement(verdict=Verdict.SUCCEEDED)

    def __call__(self, off: frozenset[str], rogue: str | None = None) -> Trial:
        self.attacked.append((off, rogue))
        return Trial(
            scenario=self.entry.id,
            off=off,
            rogue=rogue,
            judgement=self.judgement(off, rogue),
            records=(),
            legitimate=(Legitimate(part="victim", when="after", ok=True),),
            seconds=0.0,
        )


class AcceptsAll(FakeWorlds):
    def judgement(self, off: frozenset[str], rogue: str | None) -> Judgement:
        del off, rogue
        return Judgement(verdict=Verdict.SUCCEEDED)


class DeniesAll(FakeWorlds):
    def judgement(self, off: frozenset[str], rogue: str | None) -> Judgement:
        del off, rogue
        return refused_by(*self.entry.guards)


class DeniesForAnotherReason(FakeWorlds):
    def judgement(self, off: frozenset[str], rogue: str | None) -> Judgement:
        honest = super().judgement(off, rogue)
        return honest if honest.verdict is Verdict.SUCCEEDED else refused_by("weather")


class Breaks(FakeWorlds):
    def judgement(self, off: frozenset[str], rogue: str | None) -> Judgement:
        del off, rogue
        return Judgement(verdict=Verdict.ERROR, detail="the cloud crashed")


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.id)
def test_an_honest_world_proves_every_guard_of_every_scenario(entry: Entry) -> None:
    result = prove_scenario(entry, FakeWorlds(entry))
    assert result.proved, result.failures


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.id)
@pytest.mark.parametrize("rogue", [AcceptsAll, DeniesAll, DeniesForAnotherReason, Breaks])
def test_a_rogue_world_proves_nothing(entry: Entry, rogue: type[FakeWorlds]) -> None:
    result = prove_scenario(entry, rogue(entry))
    assert not result.proved
    assert not result.proofs
    assert all(entry.id in failure.message for failure in result.failures)
    assert all(failure.range_broke is (rogue is Breaks) for failure in result.failures)


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.id)
def test_a_world_that_ignores_one_guard_fails_that_guard(entry: Entry) -> None:
    ignored = entry.guards[0]
    result = prove_scenario(entry, FakeWorlds(entry, ignores=ignored))
    assert [failure.guard for failure in result.failures] == [ignored]


def test_defence_in_depth_names_what_the_control_stands_behind() -> None:
    entry = catalogue()[PAIR]
    result = prove_scenario(entry, FakeWorlds(entry))
    first, second = entry.guards
    contexts = {proof.guard: proof.context for proof in result.proofs}
    assert contexts == {first: frozenset({second}), second: frozenset({first})}


def test_a_context_holds_no_control_that_the_attack_does_not_need() -> None:
    entry = catalogue()["key-leakage/neighbours-secret-in-aws"]

    class TwoAnswerAtOnce(FakeWorlds):
        """Another control is seen to refuse too, but only while the one under test is on."""

        def judgement(self, off: frozenset[str], rogue: str | None) -> Judgement:
            del rogue
            guard = self.entry.guards[0]
            if guard not in off:
                return refused_by(guard)
            if "aws.network-perimeter" not in off and "aws.abac-project-tag" not in off:
                return refused_by("aws.network-perimeter", "aws.abac-project-tag")
            return Judgement(verdict=Verdict.SUCCEEDED)

    result = prove_scenario(entry, TwoAnswerAtOnce(entry))
    (proof,) = result.proofs
    assert len(proof.context) == 1


@pytest.mark.parametrize(
    "entry",
    [e for e in ALL if not isinstance(e.scenario.blocked_by[0], Invariant)],
    ids=lambda entry: entry.id,
)
def test_a_control_off_in_the_stack_fails_with_the_name_of_the_attack(entry: Entry) -> None:
    off = frozenset({entry.guards[0]})
    result = prove_scenario(entry, FakeWorlds(entry), off_in_stack=off)
    assert not result.proved
    failure = next(f for f in result.failures if f.guard == entry.guards[0])
    assert entry.id in failure.message
    assert ("now works" in failure.message) == (len(entry.guards) == 1)


def test_what_the_stack_has_off_is_no_context_of_another_controls_proof() -> None:
    entry = catalogue()[PAIR]
    first, second = entry.guards
    result = prove_scenario(entry, FakeWorlds(entry), off_in_stack=frozenset({first}))
    (proof,) = result.proofs
    assert proof.guard == second
    assert proof.single_point_of_failure


def test_each_kind_of_world_is_attacked_once() -> None:
    for entry in ALL:
        worlds: Attack = FakeWorlds(entry)
        prove_scenario(entry, worlds)
        assert isinstance(worlds, FakeWorlds)
        assert len(worlds.attacked) == len(set(worlds.attacked))
