"""Which member strings name which callers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.clouds.gcp.principals import (
    ANONYMOUS,
    Caller,
    Federated,
    deny_principal_names,
    member_names,
    member_problem,
)

POOL = "projects/1/locations/global/workloadIdentityPools/agents"
BASE = f"iam.googleapis.com/{POOL}"
AGENT = Caller(
    "federated",
    federated=Federated(
        POOL, "agent:planner", ("planners",), {"repository": ("acme/runner",), "tags": ("x", "y")}
    ),
)
ACCOUNT = Caller(
    "service-account", email="a@p.iam.gserviceaccount.com", project_number="1", organization="9"
)
USER = Caller("user", email="ann@example.com")


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (f"principal://{BASE}/subject/agent:planner", True),
        (f"principal://{BASE}/subject/agent:planner2", False),
        (f"principal://{BASE}/subject/Agent:planner", False),
        (f"principal://{BASE}/subject/agent:*", False),
        (f"principal://{BASE}/subject/*", False),
        (f"principal://{BASE}/*", False),
        (f"principalSet://{BASE}/subject/agent:planner", False),
        (f"principalSet://{BASE}/*", True),
        (f"principalSet://{BASE}", False),
        (f"principalSet://{BASE}/acme/*", False),
        (f"principalSet://{BASE}/group/planners", True),
        (f"principalSet://{BASE}/group/planner", False),
        (f"principal://{BASE}/group/planners", False),
        (f"principalSet://{BASE}/attribute.repository/acme/runner", True),
        (f"principalSet://{BASE}/attribute.repository/acme/*", False),
        (f"principalSet://{BASE}/attribute.repository/*", False),
        (f"principalSet://{BASE}/attribute.repository", False),
        (f"principalSet://{BASE}/attribute.tags/y", True),
        (f"principalSet://{BASE}/attribute.absent/x", False),
        (f"principalSet://{BASE.replace('agents', 'others')}/*", False),
        (f"principalSet://{BASE.replace('projects/1/', 'projects/2/')}/*", False),
        (f"principalSet://{BASE.replace('projects/1/', 'projects/p/')}/*", False),
        ("allUsers", True),
        ("allAuthenticatedUsers", False),
        ("serviceAccount:agent:planner", False),
        ("user:", False),
    ],
)
def test_a_member_names_a_federated_caller(member: str, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    assert member_names(member, AGENT) is expected


@pytest.mark.parametrize(
    ("member", "account", "user"),
    [
        ("serviceAccount:a@p.iam.gserviceaccount.com", True, False),
        ("serviceAccount:A@p.iam.gserviceaccount.com", True, False),
        ("serviceAccount:b@p.iam.gserviceaccount.com", False, False),
        ("user:a@p.iam.gserviceaccount.com", False, False),
        ("user:ann@example.com", False, True),
        ("deleted:serviceAccount:a@p.iam.gserviceaccount.com?uid=1", False, False),
        ("principalSet://cloudresourcemanager.googleapis.com/projects/1/type/ServiceAccount",
         True, False),
        ("principalSet://cloudresourcemanager.googleapis.com/organizations/9/type/ServiceAccount",
         True, False),
        ("principalSet://cloudresourcemanager.googleapis.com/projects/2/type/ServiceAccount",
         False, False),
        ("allAuthenticatedUsers", True, True),
        ("allUsers", True, True),
    ],
)  # fmt: skip
def test_a_member_names_an_account_or_a_person(member: str, account: bool, user: bool) -> None:  # noqa: FBT001 - a column of the table
    assert (member_names(member, ACCOUNT), member_names(member, USER)) == (account, user)


@pytest.mark.parametrize(
    ("principal", "caller", "expected"),
    [
        ("principalSet://goog/public:all", AGENT, True),
        ("principalSet://goog/public:all", ANONYMOUS, True),
        ("principal://goog/subject/ann@example.com", USER, True),
        ("principal://goog/subject/bob@example.com", USER, False),
        (
            "principal://iam.googleapis.com/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com",
            ACCOUNT,
            True,
        ),
        (f"principalSet://{BASE}/*", AGENT, True),
        (f"principalSet://{BASE}/*", ACCOUNT, False),
        ("user:ann@example.com", USER, False),
        ("allUsers", USER, False),
    ],
)
def test_a_deny_rule_names_its_callers_in_the_v2_forms(
    principal: str,
    caller: Caller,
    expected: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert deny_principal_names(principal, caller) is expected


@pytest.mark.parametrize(
    "member", ["planner", "", "group:all@example.com", "domain:example.com", "user:nobody", None, 3]
)
def test_a_member_of_no_known_form_is_refused_when_written(member: object) -> None:
    assert member_problem(member)


@given(st.text(max_size=60))
def test_no_text_names_nobody_by_chance(member: str) -> None:
    if member != "allUsers":
        assert not member_names(member, ANONYMOUS)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_a_subject_is_named_by_itself_alone(one: str, other: str) -> None:
    caller = Caller("federated", federated=Federated(POOL, one))
    assert member_names(f"principal://{BASE}/subject/{other}", caller) is (one == other)
