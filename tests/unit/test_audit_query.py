"""Events: how decision records become OCSF, which a condition means, how one reads in a line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome, Statement
from iamrange.detect.audit_query import condition_of, holds, sentence
from iamrange.detect.ocsf import event_of
from iamrange.detect.ocsf_changes import Change, event_of_change
from iamrange.detect.ocsf_findings import FoundCredential, event_of_finding
from iamrange.range.changes import MOST_FINDINGS, FindingsTaken, OrdersFullError, OrdersTaken
from iamrange.range.world import CommandRefusedError

RECORD = DecisionRecord(
    request_id="r-1",
    time=1_800_000_000.25,
    point="aws.authorize",
    action="secretsmanager:GetSecretValue",
    resource="arn:aws:secretsmanager:us-east-1:100000000001:secret:x",
    principal="arn:aws:sts::100000000001:assumed-role/agent/s",
    outcome=Outcome.DENY,
    reason="no-statement-allows",
    layers=(
        LayerAnswer("identity", Effect.IMPLICIT_DENY, "no-statement-allows"),
        LayerAnswer("scp", Effect.ALLOW, "statement-allows", decided_by=Statement("all", "#0")),
    ),
    source_ip="203.0.113.9",
    account="100000000001",
)


def test_denied_record_is_a_refused_api_activity() -> None:
    event = event_of(RECORD)
    assert (event["class_uid"], event["category_uid"], event["type_uid"]) == (6003, 6, 600302)
    assert event["time"] == 1_800_000_000_250
    assert (event["action_id"], event["status_id"], event["status_code"]) == (
        2,
        2,
        "no-statement-allows",
    )
    assert event["actor"]["user"] == {
        "uid": RECORD.principal,
        "account": {"uid": "100000000001"},
    }
    assert event["metadata"]["uid"] == "r-1"
    assert event["unmapped"] == {
        "layers": {
            "identity": "implicit-deny no-statement-allows",
            "scp": "allow statement-allows",
        },
        "decided_by": {"scp": "all #0"},
    }
    assert "http_request" not in event


def test_what_the_class_asks_for_is_there_where_nobody_is_known() -> None:
    """API Activity has no event without an actor and a source (OCSF 1.6)."""
    event = event_of(replace(RECORD, principal="", account="", source_ip=""))
    assert event["actor"] == {"user": {"name": "unknown"}}
    assert event["src_endpoint"] == {"name": "unknown"}
    assert event["metadata"]["profiles"] == ["security_control"]
    assert sentence(event).split()[5] == "-"
    for condition in ("actor.user.uid=*", "src_endpoint.ip=*"):
        read = condition_of(condition)
        assert read is not None
        assert not holds(event, [read])


def test_an_accusation_is_severe_and_a_mere_refusal_is_not() -> None:
    allowed = replace(RECORD, point="behaviour.response", outcome=Outcome.ALLOW)
    assert event_of(RECORD)["severity_id"] == 2
    assert event_of(replace(RECORD, point="behaviour.watch"))["severity_id"] == 4
    assert event_of(allowed)["severity_id"] == 1


@pytest.mark.parametrize(
    ("action", "activity"),
    [
        ("secretsmanager:GetSecretValue", 2),
        ("iam:CreateAccessKey", 1),
        ("GET", 2),
        ("POST", 1),
        ("DELETE", 4),
        ("iam.serviceAccounts.signJwt", 99),
        ("secretmanager.versions.access", 2),
        ("iam:DetachRolePolicy", 4),
        ("", 99),
    ],
)
def test_activity_goes_by_the_operations_verb(action: str, activity: int) -> None:
    assert event_of(replace(RECORD, action=action))["activity_id"] == activity


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("status_code=no-statement-allows", True),
        ("status_code=no-*", True),
        ("status_code=replayed", False),
        ("action_id=2", True),
        ("resources.uid=arn:aws:*", True),
        ("unmapped.layers.scp=allow *", True),
        ("unmapped.layers.rcp=*", False),
        ("actor.user=*", False),
        ("actor.user.uid.more=*", False),
        ("nothing=*", False),
    ],
)
def test_condition_holds_for_a_member_or_one_of_a_list(condition: str, *, expected: bool) -> None:
    read = condition_of(condition)
    assert read is not None
    assert holds(event_of(RECORD), [read]) is expected


@pytest.mark.parametrize("text", ["status_code", "=x", "a..b=c", ".a=b", ""])
def test_what_is_no_condition_is_none(text: str) -> None:
    assert condition_of(text) is None


def test_sentence_says_when_whether_where_why_who_and_what() -> None:
    line = sentence({**event_of(RECORD), "seq": 7})
    assert line.startswith("7 2027-01-15T08:00:00.250Z denied aws.authorize no-statement-allows ")
    assert line.endswith(RECORD.resource)


def test_sentence_shows_nothing_that_moves_a_cursor() -> None:
    line = sentence({"actor": {"user": {"uid": "x\x1b[2J\n\u202ey" + "z" * 500}}})
    assert line.isprintable()
    assert len(line) < 300


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["time", "seq", "actor", "api", "resources", "action_id"]), values
    )
)
def test_any_event_reads_as_one_line(event: dict[str, Any]) -> None:
    assert sentence(event).isprintable()


@pytest.mark.parametrize(
    ("action", "activity"),
    [
        ("register", 1),
        ("issue_svid", 1),
        ("rotate", 3),
        ("quarantine", 3),
        ("retire", 4),
        ("withdraw_token_key", 4),
        ("anything else", 3),
    ],
)
def test_change_is_entity_management_by_what_was_done(action: str, activity: int) -> None:
    change = Change("d-1", 1_800_000_000.25, "uid:0", action, "agent", "spiffe://x/a", "directory")
    event = event_of_change(change)
    assert (event["class_uid"], event["type_uid"]) == (3004, 300400 + activity)
    assert (event["status_id"], event["severity_id"]) == (1, 1)
    assert "comment" not in event
    refused = event_of_change(replace(change, refused="not yours", detail="kid"))
    assert (refused["status_id"], refused["status_detail"]) == (2, "not yours")
    assert refused["comment"] == "kid"


def test_orders_are_kept_until_somebody_has_taken_them_and_then_none_is_done() -> None:
    taken = OrdersTaken()
    taken.note(7, "switch", {"off": ["a.b"]}, None)
    taken.note(7, "token_keys", {}, None)
    reader = taken.read()
    (change,) = next(reader)
    assert (change.actor, change.action, change.detail) == ("uid:7", "switch", "off: a.b")
    assert [len(page) for page in taken.read()] == [1]  # the first reader has not come back yet
    assert list(taken.read()) == []
    for _ in range(10_000):
        taken.note(7, "switch", {"off": []}, None)
    with pytest.raises(OrdersFullError):
        taken.check()


FOUND = {"rule": "jwt", "place": "a.py:1", "value": "h4sh", "state": "live", "why": "it worked"}


@pytest.mark.parametrize(("state", "severity"), [("live", 4), ("unknown", 3), ("dead", 1)])
def test_credential_that_still_works_is_the_gravest_finding(state: str, severity: int) -> None:
    found = FoundCredential(**{**FOUND, "state": state})
    event = event_of_finding(found, time=1.5, actor="uid:0")
    assert (event["class_uid"], event["type_uid"], event["time"]) == (2004, 200401, 1500)
    assert (event["severity_id"], event["status_code"]) == (severity, state)
    assert event["finding_info"] == {"uid": "h4sh", "title": "jwt", "types": ["credential"]}


def test_findings_are_kept_until_the_log_has_them() -> None:
    taken = FindingsTaken()
    assert taken.note(findings=[FOUND, {**FOUND, "place": "x" * 5000}]) == 2
    (events,) = taken.read()
    assert [len(event["resources"][0]["uid"]) for event in events] == [6, 200]
    assert list(taken.read()) == []


@pytest.mark.parametrize(
    "findings",
    [
        "",
        None,
        [1],
        [{}],
        [{**FOUND, "secret": "s"}],
        [{"rule": "x"}],
        [FOUND] * (MOST_FINDINGS + 1),
    ],
)
def test_what_is_no_finding_is_refused_and_none_of_it_is_kept(findings: object) -> None:
    taken = FindingsTaken()
    with pytest.raises(CommandRefusedError, match="finding"):
        taken.note(findings=findings)
    assert list(taken.read()) == []
