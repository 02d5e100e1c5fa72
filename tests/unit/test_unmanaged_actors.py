"""Who acts unmanaged: what a log says of it, and what is done about it."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.clock import SystemClock
from iamrange.detect.audit_events import LogUntrustedError, verified_events
from iamrange.detect.audit_log import AuditLog
from iamrange.detect.audit_segments import LOG_FILE
from iamrange.detect.cut import CutError
from iamrange.detect.cut_clouds import AwsHand, GoogleHand
from iamrange.detect.unmanaged import DAY, Actors, Attribution, Entry, Reason, Unmanaged
from iamrange.detect.unmanaged_cut import (
    Cut,
    FromFunction,
    Means,
    carried_out,
    planned,
)
from iamrange.detect.unmanaged_log import act_of, actors_in, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

AGENT = "spiffe://iamrange.example/agent/bot"
ROLE = "arn:aws:sts::100000000002:assumed-role/bot-role/bot-1"
ADMIN = "arn:aws:iam::100000000002:user/admin"
GHOST = "arn:aws:sts::100000000002:assumed-role/ghost/work"
MOON = "serviceAccount:moon@proj.iam.gserviceaccount.com"
NOW = 1_000 * DAY
ATTRIBUTIONS = (
    Attribution(
        pattern="arn:aws:sts::100000000002:assumed-role/bot-role/*", agent=AGENT, session="bot-*"
    ),
    Attribution(pattern=ADMIN, why="the administrator"),
)
ACTIVE = Entry(id=AGENT, state="active", owner="ana@example.com", registered_by="operator:ana")


def event(  # noqa: PLR0913 - keyword-only members of one event
    principal: str,
    *,
    at: float = 10.0,
    operation: str = "s3:GetObject",
    resource: str = "thing",
    point: str = "aws.authorize",
    allowed: bool = True,
    request: str = "r",
    **unmapped: object,
) -> dict[str, Any]:
    return {
        "time": int(at * 1000),
        "class_uid": 6003,
        "action_id": 1 if allowed else 2,
        "metadata": {"uid": request},
        "api": {"operation": operation, "service": {"name": point}},
        "actor": {"user": {"uid": principal}},
        "resources": [{"uid": resource}],
        "src_endpoint": {"ip": "127.10.0.1"},
        "unmapped": unmapped,
    }


def seen(
    *events: Mapping[str, Any], entries: Iterable[Entry] = (ACTIVE,), days: float = 30
) -> Actors:
    return actors_in(events, ATTRIBUTIONS, entries, now=NOW, unseen_days=days)


def reasons(*events: Mapping[str, Any], entries: Iterable[Entry] = (ACTIVE,)) -> list[Reason]:
    return [one.reason for one in seen(*events, entries=entries).unmanaged]


@pytest.mark.parametrize(
    "principal",
    [ROLE, AGENT, ADMIN, "", "anonymous"],
)
def test_active_agent_and_platform_are_managed_and_nobody_is_no_actor(principal: str) -> None:
    assert reasons(event(principal)) == []


@pytest.mark.parametrize(
    ("principal", "entry", "reason"),
    [
        (GHOST, ACTIVE, Reason.UNKNOWN),
        (MOON, ACTIVE, Reason.UNKNOWN),
        ("arn:aws:iam::100000000002:user/other", ACTIVE, Reason.UNKNOWN),
        ("arn:aws:sts::200000000002:assumed-role/bot-role/bot-1", ACTIVE, Reason.UNKNOWN),
        ("spiffe://other.example/agent/bot", ACTIVE, Reason.NOT_REGISTERED),
        (ROLE.replace("/bot-1", "/payments-1"), ACTIVE, Reason.FOREIGN_SESSION),
        (ROLE, Entry(id=AGENT, state="retired", owner="a", since=9.0), Reason.RETIRED),
        (AGENT, Entry(id=AGENT, state="retired", owner="a"), Reason.RETIRED),
        (AGENT, Entry(id=AGENT, state="quarantined", owner="a", since=9.0), Reason.QUARANTINED),
        (AGENT, Entry(id=AGENT, state="registered", owner="a"), Reason.NOT_ACTIVE),
        (AGENT, Entry(id=AGENT, state="active", owner="a", expires=10.0), Reason.EXPIRED),
    ],
)
def test_who_acts_unmanaged_is_named_with_the_reason(
    principal: str, entry: Entry, reason: Reason
) -> None:
    assert reasons(event(principal), entries=[entry]) == [reason]


@pytest.mark.parametrize(
    "entry",
    [
        Entry(id=AGENT, state="retired", owner="a", since=11.0),
        Entry(id=AGENT, state="quarantined", owner="a", since=11.0),
        Entry(id=AGENT, state="active", owner="a", expires=11.0),
    ],
)
def test_what_an_agent_did_before_it_was_over_was_managed(entry: Entry) -> None:
    assert reasons(event(AGENT), entries=[entry]) == []


def test_finding_says_what_was_touched_when_from_where_and_by_whom_it_was_made() -> None:
    (one,) = seen(
        event(
            ADMIN,
            at=1,
            operation="iam:CreateRole",
            resource="arn:aws:iam::100000000002:role/path/ghost",
        ),
        event(
            ADMIN, at=2, operation="sts:AssumeRole", resource="arn:aws:iam::100000000002:role/ghost"
        ),
        event(GHOST, at=3, resource="secret-a"),
        event(GHOST, at=5, resource="secret-b", allowed=False),
    ).unmanaged
    assert (one.allowed, one.refused, one.first, one.last) == (1, 1, 3.0, 5.0)
    assert dict(one.touched) == {"secret-a": 1, "secret-b": 1}
    assert one.origins == ("127.10.0.1",)
    assert [(made.operation, made.by) for made in one.made] == [
        ("iam:CreateRole", ADMIN),
        ("sts:AssumeRole", ADMIN),
    ]


def test_google_account_and_its_key_are_traced_to_who_made_them_by_the_request() -> None:
    name = "projects/proj/serviceAccounts/moon"
    email = f"{name}@proj.iam.gserviceaccount.com"
    found = seen(
        event("user:a", request="1", operation="iam.serviceAccounts.create", point="gcp.authorize"),
        event("user:a", request="1", resource=name, point="gcp.organization-policy"),
        event(
            "user:b", request="2", operation="iam.serviceAccountKeys.create", point="gcp.authorize"
        ),
        event("user:b", request="2", resource=email, point="gcp.organization-policy"),
        event(MOON, request="3", point="gcp.authorize"),
    ).unmanaged
    (one,) = (each for each in found if each.principal == MOON)
    assert sorted((made.operation, made.by) for made in one.made) == [
        ("iam.serviceAccountKeys.create", "user:b"),
        ("iam.serviceAccounts.create", "user:a"),
    ]


def test_maker_that_was_refused_made_nothing() -> None:
    (one,) = seen(
        event(
            ADMIN,
            allowed=False,
            operation="iam:CreateRole",
            resource="arn:aws:iam::100000000002:role/ghost",
        ),
        event(GHOST),
    ).unmanaged
    assert one.made == ()


def test_refusal_where_identity_is_proved_accuses_nobody() -> None:
    (claimed,) = seen(event(GHOST, point="aws.authenticate", allowed=False)).unmanaged
    assert not claimed.proven
    (cut,) = planned([claimed])
    assert cut.means is Means.NONE


def test_request_that_was_refused_at_the_door_proves_nothing_further_in() -> None:
    (claimed,) = seen(
        event(GHOST, request="1", allowed=False),
        event(GHOST, request="1", point="aws.authenticate", allowed=False),
    ).unmanaged
    assert not claimed.proven
    proven, *_ = seen(
        event(GHOST, request="1", allowed=False),
        event(GHOST, request="2", point="aws.authenticate", allowed=False),
    ).unmanaged
    assert proven.proven


def test_subject_of_another_issuer_is_not_our_agent() -> None:
    facts = {"iss": "https://idp.attacker.example", "sub": AGENT}
    (one,) = seen(event(AGENT, point="aws.web-identity", facts=facts)).unmanaged
    assert one.principal == f"https://idp.attacker.example {AGENT}"
    assert one.reason is Reason.UNKNOWN


def test_agent_that_nobody_saw_is_named_and_one_that_a_young_log_cannot_tell_is_not_evaluated() -> (
    None
):
    other = Entry(id=f"{AGENT}-2", state="active", owner="b", created=NOW - 40 * DAY)
    young = Entry(id=f"{AGENT}-3", state="active", owner="b", created=NOW - DAY)
    old_log = seen(event(ROLE, at=NOW - 50 * DAY), entries=[ACTIVE, other, young])
    assert [(one.agent, one.last) for one in old_log.unseen] == [
        (AGENT, NOW - 50 * DAY),
        (other.id, None),
    ]
    young_log = seen(event(ROLE, at=NOW - 2 * DAY), entries=[ACTIVE, other, young])
    assert young_log.unseen == ()
    assert young_log.not_evaluated == (other.id,)


def test_person_retired_or_expired_agent_is_not_missed() -> None:
    entries = [
        Entry(id="p", state="active", owner="a", agent=False),
        Entry(id="r", state="retired", owner="a"),
        Entry(id="e", state="active", owner="a", expires=1.0),
    ]
    assert seen(event(ADMIN, at=1.0), entries=entries).unseen == ()


def test_refused_attempt_is_no_sign_of_life() -> None:
    assert [one.agent for one in seen(event(ROLE, at=1.0, allowed=False)).unseen] == [AGENT]


@given(st.permutations(range(6)))
def test_order_of_events_changes_nothing(order: list[int]) -> None:
    events = [
        event(GHOST, at=1, request="1"),
        event(GHOST, at=2, request="2", allowed=False, point="aws.authenticate"),
        event(ROLE, at=3, request="3"),
        event(
            ADMIN,
            at=4,
            request="4",
            operation="iam:CreateRole",
            resource="arn:aws:iam::100000000002:role/ghost",
        ),
        event(MOON, at=5, request="5", allowed=False, point="gcp.authenticate"),
        event(ROLE.replace("/bot-1", "/x"), at=6, request="6"),
    ]
    assert seen(*(events[n] for n in order)) == seen(*events)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_event_of_any_form_is_read_or_passed_over(value: object) -> None:
    for member in ("time", "actor", "resources", "api", "metadata", "unmapped"):
        act_of({**event(GHOST), member: value})
        seen({**event(GHOST), member: value})


@pytest.mark.parametrize("class_uid", [3004, 2004, 4001, 4002, 0, None, "6003"])
def test_what_is_no_decision_is_nobodys_act(class_uid: object) -> None:
    """The log has events of other classes: requests as Envoy saw them, changes, findings."""
    other = {**event("uid:0"), "class_uid": class_uid}
    assert act_of(other) is None
    assert seen(other, event(ADMIN)).unmanaged == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("arn:aws:iam::100000000002:role/a/b/ghost", "aws 100000000002 role ghost"),
        (GHOST, "aws 100000000002 role ghost"),
        ("arn:aws:iam::100000000002:user/service/backup", "aws 100000000002 user backup"),
        (MOON, "gcp proj moon"),
        ("arn:aws:iam::100000000002:policy/x", None),
        ("", None),
    ],
)
def test_one_identity_has_one_name_however_it_is_written(text: str, name: str | None) -> None:
    assert name_of(text) == name


def unmanaged(principal: str, reason: Reason, agent: str | None = None) -> Unmanaged:
    entries = [ACTIVE]
    (one,) = seen(event(GHOST), entries=entries).unmanaged
    values = {field: getattr(one, field) for field in Unmanaged.__dataclass_fields__}
    return Unmanaged(**{**values, "principal": principal, "reason": reason, "agent": agent})


def at_vault(principal: str, **named: Any) -> dict[str, Any]:  # noqa: ANN401 - an event's members
    said = {"point": "vault.authorize", "operation": "vault:GET", "resource": "agents/data/x"}
    return event(principal, **{**said, **named})


def test_token_of_nobodys_at_the_vault_is_named_with_who_made_it_and_is_cut_off_there() -> None:
    made = at_vault(
        ADMIN, operation="vault:POST", resource="auth/token/create", facts={"gave": "token-stray"}
    )
    found = seen(made, at_vault("token-stray"), entries=[ACTIVE])
    (one,) = found.unmanaged
    assert (one.principal, one.reason, one.proven) == ("token-stray", Reason.UNKNOWN, True)
    assert [(maker.by, maker.operation) for maker in one.made] == [(ADMIN, "vault:POST")]
    (cut,) = planned(found.unmanaged)
    assert (cut.means, cut.target) == (Means.VAULT, "token-stray")


def test_refusal_by_a_policy_of_the_vault_is_an_act_and_one_at_its_login_a_claim() -> None:
    (policy,) = seen(at_vault("token-stray", allowed=False), entries=[ACTIVE]).unmanaged
    assert policy.proven
    refused = at_vault("token-stray", allowed=False, point="vault.login")
    (login,) = seen(refused, entries=[ACTIVE]).unmanaged
    assert not login.proven
    assert planned([login])[0].means is Means.NONE


def test_retired_agent_that_still_acts_at_the_vault_is_cut_off_there() -> None:
    retired = Entry(id=AGENT, state="retired", owner="ana@example.com", since=5.0)
    (one,) = seen(at_vault(AGENT), entries=[retired]).unmanaged
    assert one.reason is Reason.RETIRED
    assert planned([one])[0].means is Means.VAULT


@pytest.mark.parametrize(
    ("principal", "reason", "agent", "means", "target"),
    [
        (GHOST, Reason.UNKNOWN, None, Means.AWS_ROLE, "100000000002/ghost"),
        (ROLE, Reason.RETIRED, AGENT, Means.AWS_ROLE, "100000000002/bot-role"),
        (ROLE, Reason.FOREIGN_SESSION, AGENT, Means.DIRECTORY, AGENT),
        (AGENT, Reason.NOT_ACTIVE, AGENT, Means.DIRECTORY, AGENT),
        (AGENT, Reason.EXPIRED, AGENT, Means.DIRECTORY, AGENT),
        (AGENT, Reason.RETIRED, AGENT, Means.NONE, AGENT),
        (
            "arn:aws:iam::100000000002:user/service/old",
            Reason.UNKNOWN,
            None,
            Means.AWS_USER,
            "100000000002/old",
        ),
        (MOON, Reason.UNKNOWN, None, Means.GOOGLE_ACCOUNT, MOON.removeprefix("serviceAccount:")),
        ("arn:aws:iam::100000000002:root", Reason.UNKNOWN, None, Means.NONE, None),
        ("user:x@example.com", Reason.UNKNOWN, None, Means.NONE, None),
    ],
)
def test_each_identity_is_cut_off_by_the_means_that_fit_it(
    principal: str, reason: Reason, agent: str | None, means: Means, target: str | None
) -> None:
    (cut,) = planned([unmanaged(principal, reason, agent)])
    assert (cut.means, cut.target) == (means, principal if target is None else target)
    assert bool(cut.why) is (means is Means.NONE)


def test_cut_that_fails_is_told_and_the_others_are_made() -> None:
    made: list[str] = []

    def broken(_target: str) -> str:
        raise CutError("PutRolePolicy: AccessDenied")

    def works(target: str) -> str:
        made.append(target)
        return "done"

    cuts = [
        Cut("a", Means.AWS_ROLE, "a"),
        Cut("b", Means.GOOGLE_ACCOUNT, "b"),
        Cut("c", Means.NONE, "c", "by hand"),
        Cut("d", Means.AWS_USER, "d"),
    ]
    hands = {
        Means.AWS_ROLE: FromFunction(broken),
        Means.GOOGLE_ACCOUNT: FromFunction(works),
    }
    done = carried_out(cuts, hands)
    assert [one.error for one in done] == [
        "PutRolePolicy: AccessDenied",
        "",
        "nothing here can do it: deny policy on the AWS user, keys inactive",
    ]
    assert made == ["b"]


class FakeIam:
    """Keeps one policy and two keys; `forgets` what is written, or `refuses` everything."""

    def __init__(self, *, forgets: bool = False, refuses: bool = False) -> None:
        self.forgets, self.refuses = forgets, refuses
        self.kept: Any = {}
        self.keys = {"AKIA1": "Active", "AKIA2": "Inactive"}

    def put_role_policy(self, **given: str) -> None:
        if self.refuses:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutRolePolicy")
        self.kept = {} if self.forgets else json.loads(given["PolicyDocument"])

    put_user_policy = put_role_policy

    def get_role_policy(self, **_: str) -> dict[str, Any]:
        return {"PolicyDocument": self.kept}

    get_user_policy = get_role_policy

    def get_paginator(self, _name: str) -> FakeIam:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        keys = [{"AccessKeyId": key, "Status": status} for key, status in self.keys.items()]
        return [{"AccessKeyMetadata": keys}]

    def update_access_key(self, **given: str) -> None:
        if not self.forgets:
            self.keys[given["AccessKeyId"]] = given["Status"]


class FakeAwsHand(AwsHand):
    __slots__ = ("iam",)

    def _client(self, key: Mapping[str, str]) -> Any:  # noqa: ANN401 - stands for a boto3 client
        del key
        return cast("Any", self).iam


def aws_hand(iam: FakeIam, *, users: bool) -> AwsHand:
    hand = FakeAwsHand(endpoint=None, keys={"1": {}}, users=users)
    object.__setattr__(hand, "iam", iam)
    return hand


def test_user_that_is_cut_off_is_denied_everything_and_has_no_active_key() -> None:
    iam = FakeIam()
    aws_hand(iam, users=True).cut("1/old")
    assert iam.kept["Statement"][0]["Effect"] == "Deny"
    assert set(iam.keys.values()) == {"Inactive"}


@pytest.mark.parametrize("users", [True, False])
@pytest.mark.parametrize(
    ("iam", "target", "said"),
    [
        (FakeIam(forgets=True), "1/x", "still active|reads otherwise"),
        (FakeIam(refuses=True), "1/x", "PutRolePolicy: AccessDenied"),
        (FakeIam(), "2/x", "account 2: none of ours"),
    ],
)
def test_cut_that_cannot_be_seen_is_an_error(
    iam: FakeIam, target: str, said: str, *, users: bool
) -> None:
    with pytest.raises(CutError, match=said):
        aws_hand(iam, users=users).cut(target)


def test_account_of_a_project_that_is_not_ours_is_not_touched() -> None:
    hand = GoogleHand(endpoint="http://127.0.0.1:1", tokens={"proj": "t"})
    with pytest.raises(CutError, match="project other: none of ours"):
        hand.cut("moon@other.iam.gserviceaccount.com")


@pytest.fixture
def log(tmp_path: Path) -> tuple[Path, Any]:
    opened, anchor = AuditLog.create(tmp_path / "log", SystemClock())
    with opened:
        opened.append([event(GHOST, at=number) for number in range(5)])
    return tmp_path / "log", anchor


def test_events_of_a_verified_log_come_in_their_order(log: tuple[Path, Any]) -> None:
    assert [one["seq"] for one in verified_events(*log)] == [0, 1, 2, 3, 4]


def test_record_that_is_being_written_is_left_for_the_next_time(log: tuple[Path, Any]) -> None:
    with (log[0] / LOG_FILE).open("ab") as file:
        file.write(b'{"time":5')
    assert len(list(verified_events(*log))) == 5


def test_nothing_is_read_from_a_log_that_somebody_changed(log: tuple[Path, Any]) -> None:
    path = log[0] / LOG_FILE
    changed = bytearray(path.read_bytes())
    place = random.Random(1).choice(range(len(changed) // 2))  # noqa: S311 - a place, not a secret
    changed[place] ^= 1
    path.write_bytes(changed)
    with pytest.raises(LogUntrustedError, match="record"):
        next(verified_events(*log))


def test_log_that_was_emptied_is_found_by_its_heads(log: tuple[Path, Any]) -> None:
    (log[0] / LOG_FILE).write_bytes(io.BytesIO().getvalue())
    with pytest.raises(LogUntrustedError, match="truncated"):
        next(verified_events(*log))
