"""The table of attacks is attacked itself: against a rogue verifier it must fail."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.identity.protected import POINT
from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from tests.conformance.protected_attacks import CASES
from tests.conformance.protected_lab import NOW, Lab, serving
from tests.conformance.test_protected_attacks import failure

if TYPE_CHECKING:
    from iamrange.core.decision import Tamper
    from tests.conformance.protected_cases import Case

Layers = tuple[LayerAnswer, ...]
LAYERS = sorted({case.verdict.layer for case in CASES} - {""})
REFUSED = [case for case in CASES if case.verdict.status != 200]
ADMITTED = [case for case in CASES if case.verdict.status == 200]


def accepts_all(point: str, layers: Layers) -> Layers:
    assert point == POINT
    return tuple(replace(layer, effect=Effect.ALLOW) for layer in layers)


def denies_all(point: str, layers: Layers) -> Layers:
    assert point == POINT
    return tuple(replace(layer, effect=Effect.DENY, reason="closed") for layer in layers)


def wrong_reason(point: str, layers: Layers) -> Layers:
    assert point == POINT
    return tuple(replace(a, reason="of-its-own") if a.refuses else a for a in layers)


def lacking(name: str) -> Tamper:
    def tamper(point: str, layers: Layers) -> Layers:
        assert point == POINT
        return tuple(replace(a, effect=Effect.ALLOW) if a.layer == name else a for a in layers)

    return tamper


def outcome(case: Case, lab: Lab) -> str | None:
    try:
        return failure(case, lab)
    except AssertionError:
        return "what should have come before it did not"


def passed(cases: list[Case], tamper: Tamper) -> list[str]:
    lab = Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW), tamper=tamper)
    with serving(lab):
        return [case.id for case in cases if outcome(case, lab) is None]


def test_a_verifier_that_accepts_all_passes_no_attack() -> None:
    assert passed(REFUSED, accepts_all) == []


def test_a_verifier_that_denies_all_passes_no_case() -> None:
    assert passed(CASES, denies_all) == []


def test_a_verifier_that_refuses_for_another_reason_passes_no_attack() -> None:
    assert passed(REFUSED, wrong_reason) == []


def test_what_is_admitted_passes_where_only_reasons_are_wrong() -> None:
    assert len(passed(ADMITTED, wrong_reason)) == len(ADMITTED)


@pytest.mark.parametrize("layer", LAYERS)
def test_an_attack_succeeds_where_its_layer_alone_is_lacking(layer: str) -> None:
    lab = Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW), tamper=lacking(layer))
    aimed = [case for case in CASES if case.verdict.layer == layer]
    assert aimed
    with serving(lab):
        assert 200 in {lab.send(case.build(lab)).status for case in aimed}
