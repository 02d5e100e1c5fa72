"""What a caller makes too long is in the log, cut, and keeps nothing else out of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.clock import FixedClock
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.detect.audit_cut import LONGEST_TEXT, append, fitting
from iamrange.detect.audit_events import verified
from iamrange.detect.audit_log import AuditLog
from iamrange.detect.audit_seal import MAX_LINE
from iamrange.detect.audit_segments import LOG_FILE
from iamrange.detect.audit_verify import Verified
from iamrange.detect.ocsf import event_of

if TYPE_CHECKING:
    from pathlib import Path

LONG = "x" * (2 * MAX_LINE)


def record(**changed: Any) -> DecisionRecord:  # noqa: ANN401 - members of any type
    given: dict[str, Any] = {
        "request_id": "r",
        "time": 1_800_000_000.0,
        "point": "aws.authorize",
        "action": "secretsmanager:GetSecretValue",
        "resource": "arn:aws:secretsmanager:r:1:secret:s",
        "principal": "arn:aws:iam::1:role/r",
        "outcome": Outcome.DENY,
        "reason": "no-statement-allows",
        "layers": (LayerAnswer("identity", Effect.DENY, "no-statement-allows"),),
    }
    return DecisionRecord(**{**given, **changed})


TOO_LONG = {
    "a resource": {"resource": LONG},
    "an action": {"action": LONG},
    "a principal": {"principal": LONG},
    "a user agent": {"user_agent": LONG},
    "a detail": {"layers": (LayerAnswer("identity", Effect.DENY, "r", detail=LONG),)},
    "many facts": {"facts": {f"{number}{'y' * 100}": LONG[:9000] for number in range(200)}},
    "a fact's name": {"facts": {LONG: "x"}},
}


@pytest.mark.parametrize("changed", TOO_LONG.values(), ids=TOO_LONG)
def test_an_event_that_is_too_long_is_cut_and_the_others_are_as_they_were(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    log, anchor = AuditLog.create(tmp_path / "log", FixedClock(1_800_000_000.0))
    events = [event_of(record()), event_of(record(**changed)), event_of(record(reason="z" * 9000))]
    with log:
        assert append(log, iter(events)) == 3
    assert isinstance(verified(tmp_path / "log", anchor), Verified)
    read = [json.loads(line) for line in (tmp_path / "log" / LOG_FILE).read_bytes().splitlines()]
    ours = [{name: v for name, v in one.items() if name not in {"seq", "seal"}} for one in read]
    assert [ours[0], ours[2]] == [events[0], events[2]]
    cut = ours[1]
    assert (cut["metadata"]["uid"], cut["class_uid"]) == ("r", 6003)
    assert cut["status_code"] == "no-statement-allows"
    assert len(json.dumps(cut)) < 64 * LONGEST_TEXT * 2
    assert f"({len(LONG)} characters)" in json.dumps(cut) or "facts" in changed


@pytest.mark.parametrize(
    "event",
    [{}, {"seq": 1}, {"time": float("nan")}, {"time": 5, "x": object()}, {"a": {"b": {1, 2}}}],
)
def test_what_no_log_takes_is_told_of(tmp_path: Path, event: dict[str, Any]) -> None:
    log, _ = AuditLog.create(tmp_path / "log", FixedClock(1_800_000_000.0))
    with log:
        assert append(log, [event, {"number": 1}]) == 2
    first, second = (tmp_path / "log" / LOG_FILE).read_bytes().splitlines()
    assert json.loads(first)["status_code"] == "event-not-loggable"
    assert json.loads(second)["number"] == 1


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_whatever_is_cut_fits(event: dict[str, Any]) -> None:
    once = fitting(event)
    assert once
    assert len(json.dumps(once)) < MAX_LINE
    assert fitting(once) == once
