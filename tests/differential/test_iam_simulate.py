"""Generated policies and requests: our decision beside that of `@cloud-copilot/iam-simulate`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from iamrange.core.decision import Outcome
from tests.differential.cases import Case, cases, ours
from tests.differential.settled import READINGS, without

if TYPE_CHECKING:
    from collections import Counter

    from tests.differential.peer import Peer

EXAMPLES = int(os.environ.get("IAMRANGE_DIFFERENTIAL", "300"))


def both(case: Case, peer: Peer) -> tuple[bool, bool]:
    """Return our verdict and the peer's."""
    answer = peer.ask(case.to_json())
    assert answer.error is None, answer.error
    assert not answer.ignored, f"the peer left out {answer.ignored}"
    return ours(case).outcome is Outcome.ALLOW, answer.allowed


def explained(case: Case, peer: Peer) -> str | None:
    """Return the reading that a disagreement turns on; None if it is none that is settled."""
    for reading in READINGS:
        stripped = without(case, reading)
        if stripped is None:
            continue
        mine, theirs = both(stripped, peer)
        if mine is theirs:
            return reading.__name__
        case = stripped
    return None


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(case=cases())
def test_decisions_agree_or_the_disagreement_is_settled(
    case: Case, peer: Peer, figures: Counter[str]
) -> None:
    mine, theirs = both(case, peer)
    figures["compared"] += 1
    figures["allowed"] += mine
    if mine is theirs:
        figures["agreed"] += 1
        return
    reading = explained(case, peer)
    assert reading is not None, f"ours {mine}, theirs {theirs}: {case}"
    figures[reading] += 1


def test_every_settled_reading_is_written_down() -> None:
    text = Path(__file__).with_name("disagreements.md").read_text()
    written = re.findall(r"^## `(\w+)`$", text, re.MULTILINE)
    assert written == [reading.__name__ for reading in READINGS]


@pytest.mark.parametrize("section", range(len(READINGS)))
def test_every_settlement_cites_the_vendor(section: int) -> None:
    text = Path(__file__).with_name("disagreements.md").read_text()
    assert "https://docs.aws.amazon.com/" in text.split("\n## ")[section + 1]
