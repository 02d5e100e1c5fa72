"""The watch over a world: what it writes down, what it does, and what a restart leaves of it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.decision import DecisionRecord, Outcome
from iamrange.core.detect_controls import AUTOMATIC_REVOCATION, RESPONSE, WATCH
from iamrange.core.scenario import Part
from iamrange.range.behaviour_watch import BehaviourWatch
from iamrange.range.processes import ProcessError
from iamrange.range.world import CommandRefusedError
from tests.unit.test_behaviour_calls import AGENT, AT_GATEWAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORBIDDEN = replace(
    AT_GATEWAY,
    resource="https://payments.iamrange.example/records/latest",
    facts={"service": "payments", "method": "GET", "route": "/records/latest"},
)


class FakeWorld:
    """A world with one agent, which starts with nothing written down."""

    def __init__(self) -> None:
        self.records: list[DecisionRecord] = []
        self.folder = Path("/nonexistent")  # nothing works as the agent
        self.state = "active"
        self.switched_off: frozenset[str] = frozenset()
        self.directory_is_away = False
        self.records_are_refused = False

    def records_since(self, offset: int) -> tuple[list[DecisionRecord], int]:
        return self.records[offset:], len(self.records)

    def record(self, record: DecisionRecord) -> None:
        if self.records_are_refused and record.point in (WATCH, RESPONSE):
            raise CommandRefusedError("no record now")
        self.records.append(record)

    def off(self) -> frozenset[str]:
        return self.switched_off

    def declared(self, agent: str) -> dict[str, Any] | None:
        if self.directory_is_away:
            raise CommandRefusedError("store 'directory' cannot answer")
        if agent != AGENT:
            return None
        return {"scopes": ["read:hr"], "classification": "restricted", "state": self.state}

    def change_agent(self, agent: str, transition: str) -> None:
        if self.directory_is_away:
            raise CommandRefusedError("store 'directory' cannot answer")
        assert agent == AGENT
        self.state = {"quarantine": "quarantined", "release": "active"}[transition]

    def describe(self) -> dict[str, Any]:
        return {"clock_offset": 0.0}

    aws_keys: dict[str, dict[str, str]] = {"1": {}}  # noqa: RUF012 - a fake's
    gcp_tokens = {"p": ""}  # noqa: RUF012 - same
    aws_endpoint = gcp_endpoint = vault_endpoint = vault_token = ""

    def said(self, point: str) -> list[tuple[str, str, str]]:
        return [(r.action, r.outcome.value, r.reason) for r in self.records if r.point == point]


class FakeZygote:
    """Carries out what it is told at once, unless the clouds are away."""

    def __init__(self) -> None:
        self.clouds_are_away = False

    def spawn(self, function: str, arguments: dict[str, Any], *, name: str) -> SimpleNamespace:
        del arguments, name
        if self.clouds_are_away:
            raise ProcessError("no answer")
        answer = {"done": function.rpartition(":")[2]}
        return SimpleNamespace(receive=lambda _: answer, wait=lambda _: None, close=lambda: None)


class Range:
    """A fake world under a real watch."""

    def __init__(self, state: Path | None = None) -> None:
        self.world, self.zygote, self.state = FakeWorld(), FakeZygote(), state
        self.watch = self.begin()

    def begin(self) -> BehaviourWatch:
        facts = {
            "spiffe_id": AGENT,
            "name": "ana",
            "aws_account": "1",
            "aws_role_arn": "arn:aws:iam::1:role/ana-role",
            "gcp_service_account": "ana@p",
        }
        deployment: Any = SimpleNamespace(
            world=self.world,
            stage=SimpleNamespace(agents={Part.DATA_ANALYST: facts}, vault={"store": "agents"}),
            landing=SimpleNamespace(project="p", region="r", project_number="1"),
            tools=SimpleNamespace(zygote=self.zygote),
        )
        self.watch = BehaviourWatch(deployment, state=self.state)
        self.watch.start(len(self.world.records))
        return self.watch

    def until(self, holds: Callable[[], bool]) -> None:
        ends = time.monotonic() + 20
        while not holds():
            self.watch.check()
            assert time.monotonic() < ends, self.world.records
            time.sleep(0.01)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Range]:
    lab = Range(tmp_path / "behaviour.json")
    yield lab
    lab.watch.stop()  # the last one that was begun


CUT = [
    ("contain:directory", "allow", "done"),
    ("contain:processes", "allow", "done"),
    ("contain:clouds", "allow", "done"),
    ("contain:vault", "allow", "done"),
]


def test_an_accusation_is_written_down_and_the_agent_cut_off_by_every_means(lab: Range) -> None:
    lab.world.record(AT_GATEWAY)
    lab.world.record(replace(FORBIDDEN, request_id="f"))
    lab.until(lambda: sorted(lab.world.said(RESPONSE)) == sorted(CUT))
    assert lab.world.state == "quarantined"
    assert lab.world.said(WATCH) == [("behaviour:Accuse", "deny", "undeclared-service")]
    (accusation,) = [one for one in lab.world.records if one.point == WATCH]
    assert accusation.principal == AGENT
    assert [(one.layer, one.effect.value) for one in accusation.layers] == [
        ("limits", "deny"),
        ("baseline", "allow"),
    ]
    assert "gateway.call f" in accusation.facts["evidence"]


def test_what_cannot_be_written_down_now_is_written_later_and_holds_nothing_up(lab: Range) -> None:
    lab.world.records_are_refused = True
    lab.world.record(FORBIDDEN)
    lab.until(lambda: lab.world.state == "quarantined")
    assert lab.world.said(WATCH) == []
    lab.world.records_are_refused = False
    lab.until(lambda: sorted(lab.world.said(RESPONSE)) == sorted(CUT))
    assert len(lab.world.said(WATCH)) == 1


def test_junk_that_names_an_agent_has_nobody_cut_off(lab: Range) -> None:
    for number in range(500):
        lab.world.record(
            replace(FORBIDDEN, request_id=str(number), layers=(), outcome=Outcome.DENY)
        )
    lab.world.record(replace(FORBIDDEN, request_id="true", principal="spiffe://else/agent/ana"))
    lab.watch.settle()
    assert (lab.world.said(WATCH), lab.world.state) == ([], "active")


def test_a_call_that_could_not_be_judged_is_judged_once_the_directory_is_back(lab: Range) -> None:
    lab.world.directory_is_away = True
    lab.world.record(AT_GATEWAY)
    lab.world.record(replace(FORBIDDEN, request_id="f"))
    time.sleep(0.2)  # a few attempts
    assert (lab.world.said(WATCH), lab.world.said(RESPONSE)) == ([], [])
    lab.world.directory_is_away = False
    lab.until(lambda: lab.world.state == "quarantined" and bool(lab.world.said(WATCH)))
    assert len(lab.world.said(WATCH)) == 1


def test_a_directory_that_is_away_is_tried_until_it_answers_and_every_try_is_said(
    lab: Range,
) -> None:
    lab.world.record(AT_GATEWAY)  # what it is declared for is known for a while
    lab.watch.settle()
    lab.world.directory_is_away = True
    lab.world.record(replace(FORBIDDEN, request_id="f"))
    failed = ("contain:directory", "deny", "to-be-tried-again")
    lab.until(lambda: lab.world.said(RESPONSE).count(failed) > 1)
    assert CUT[2] in lab.world.said(RESPONSE)  # the clouds did not wait for it
    lab.world.directory_is_away = False
    lab.until(lambda: lab.world.state == "quarantined")
    lab.until(lambda: CUT[0] in lab.world.said(RESPONSE))


def test_a_restart_goes_on_where_the_containment_was(lab: Range) -> None:
    lab.zygote.clouds_are_away = True
    lab.world.record(FORBIDDEN)
    lab.until(lambda: lab.world.state == "quarantined")
    lab.watch.stop()
    lab.zygote.clouds_are_away = False
    lab.begin()
    assert lab.watch.accused == (AGENT,)
    lab.until(lambda: CUT[2] in lab.world.said(RESPONSE))
    assert len(lab.world.said(WATCH)) == 1  # accused once


def test_an_agent_that_a_human_releases_gets_its_sessions_back_and_is_judged_anew(
    lab: Range,
) -> None:
    lab.world.record(FORBIDDEN)
    lab.until(lambda: len(lab.world.said(RESPONSE)) == len(CUT))
    lab.world.state = "active"
    lab.until(lambda: lab.watch.accused == ())
    assert ("release:clouds", "allow", "done") in lab.world.said(RESPONSE)
    lab.world.record(replace(FORBIDDEN, request_id="again"))
    lab.until(lambda: len(lab.world.said(WATCH)) == 2)


def test_an_agent_that_was_wronged_is_released_by_one_word(lab: Range) -> None:
    lab.world.record(FORBIDDEN)
    lab.until(lambda: len(lab.world.said(RESPONSE)) == len(CUT))
    told = lab.watch.accept(AGENT)
    assert told == {"accepted": [], "not accepted": ["undeclared-service"]}
    assert (lab.watch.accused, lab.world.state) == ((), "active")
    with pytest.raises(CommandRefusedError, match="expected one that stands accused"):
        lab.watch.accept(AGENT)


def test_without_automatic_revocation_an_accusation_is_only_written_down(lab: Range) -> None:
    lab.watch.stop()
    lab.world.switched_off = frozenset(
        {AUTOMATIC_REVOCATION.id, "detect.isolation", "detect.vault-isolation"}
    )
    lab.begin()
    lab.world.record(FORBIDDEN)
    lab.until(lambda: len(lab.world.said(WATCH)) == 1)
    lab.watch.settle()
    assert (lab.world.said(RESPONSE), lab.world.state) == ([], "active")


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"watcher": {"version": 9}}'])
def test_a_state_file_that_is_none_stops_the_range_and_says_the_way_out(
    tmp_path: Path, broken: str
) -> None:
    file = tmp_path / "behaviour.json"
    file.write_text(broken)
    with pytest.raises(ProcessError, match="way out: remove it") as error:
        Range(file)
    assert str(file) in str(error.value)


def test_the_state_file_is_private_and_holds_the_incident(lab: Range, tmp_path: Path) -> None:
    lab.world.record(FORBIDDEN)
    lab.until(lambda: len(lab.world.said(RESPONSE)) == len(CUT))
    lab.watch.stop()
    file = tmp_path / "behaviour.json"
    assert file.stat().st_mode & 0o077 == 0
    (incident,) = json.loads(file.read_bytes())["incidents"]
    assert (incident["agent"], incident["contained"]) == (AGENT, True)
    (said,) = incident["accusations"]
    assert (said["rule"], said["seen"]) == ("undeclared-service", "payments")
