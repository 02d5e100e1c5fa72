"""Over-privilege on Google Cloud: findings by kind, ways to more, and bindings that only shrink."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iamrange.clouds.gcp.authorize import Binding, Condition, DenyPolicy, DenyRule
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome, Statement
from iamrange.credentials.privileges.gcp import GcpAgent, GcpEstate, Held, agent_of, ask_gcp
from iamrange.credentials.privileges.gcp_escalations import GCP_ESCALATIONS
from iamrange.credentials.privileges.gcp_findings import findings_on_gcp, uses_on_gcp
from iamrange.credentials.privileges.gcp_propose import propose_on_gcp, with_bindings_of
from iamrange.credentials.privileges.model import Kind, Use, Window

PROJECT = "projects/p1"
POOL = "projects/42/locations/global/workloadIdentityPools/agents"
EMAIL = "agent@p1.iam.gserviceaccount.com"
BIG_EMAIL = "big@p1.iam.gserviceaccount.com"
ME = f"serviceAccount:{EMAIL}"
SUBJECT = f"principal://iam.googleapis.com/{POOL}/subject/analyst"
BIG = f"serviceAccount:{BIG_EMAIL}"
MINE, OTHER = "projects/42/secrets/mine", "projects/42/secrets/other"
OWN_ACCOUNT, BIG_ACCOUNT = (
    f"{PROJECT}/serviceAccounts/{EMAIL}",
    f"{PROJECT}/serviceAccounts/{BIG_EMAIL}",
)
ACCESSOR = "roles/secretmanager.secretAccessor"
READ = "secretmanager.versions.access"
ONLY_READ = f"{PROJECT}/roles/reads"
WINDOW = Window(since=0.0, until=60.0, source="a test", decisions=3)
SOON = Condition("request.time < timestamp('2030-01-01T00:00:00Z')", "soon")
LATE = Condition("request.time < timestamp('2000-01-01T00:00:00Z')", "late")

Bindings = dict[str, tuple[Binding, ...]]


def estate_of(bindings: Bindings, *, roles: dict[str, frozenset[str]] | None = None) -> GcpEstate:
    def held(name: str, kind: str, email: str = "") -> Held:
        return Held(name=name, kind=kind, target=name, bindings=bindings.get(name, ()), email=email)

    things = (
        held(MINE, "secret"),
        held(OTHER, "secret"),
        held(OWN_ACCOUNT, "account", EMAIL),
        held(BIG_ACCOUNT, "account", BIG_EMAIL),
    )
    return GcpEstate(
        project=held(PROJECT, "project"),
        number="42",
        held={thing.name: thing for thing in things},
        roles={ONLY_READ: frozenset({READ}), **(roles or {})},
        pools=(POOL,),
        now=1_800_000_000.0,
    )


def me(estate: GcpEstate) -> GcpAgent:
    return agent_of(estate, "analyst", EMAIL)


def used(action: str, resource: str, policy: str, role: str, principal: str = ME) -> Use:
    return Use(
        principal=principal,
        action=action,
        resource=resource,
        policy=policy,
        statement=role,
        count=1,
        last=1.0,
    )


@pytest.mark.parametrize(
    ("bindings", "uses", "kind", "what"),
    [
        (
            {MINE: (Binding(ACCESSOR, (ME,)),)},
            (used(READ, MINE, MINE, ACCESSOR),),
            Kind.UNUSED_ACTION,
            ("resourcemanager.projects.get",),
        ),
        ({MINE: (Binding(ONLY_READ, (ME,)),)}, (), Kind.UNUSED_ACTION, (READ,)),
        (
            {PROJECT: (Binding(ONLY_READ, (ME,)),)},
            (used(READ, MINE, PROJECT, ONLY_READ),),
            Kind.WILDCARD_RESOURCE,
            (PROJECT,),
        ),
        (
            {PROJECT: (Binding(ONLY_READ, (ME,)),)},
            (used(READ, MINE, PROJECT, ONLY_READ),),
            Kind.UNUSED_RESOURCE,
            (OTHER,),
        ),
        (
            {MINE: (Binding(ONLY_READ, (f"principalSet://iam.googleapis.com/{POOL}/*",)),)},
            (used(READ, MINE, MINE, ONLY_READ, SUBJECT),),
            Kind.WILDCARD_RESOURCE,
            (f"principalSet://iam.googleapis.com/{POOL}/*",),
        ),
    ],
    ids=["part of a role", "a whole binding", "the project", "a spare secret", "a set of members"],
)
def test_a_binding_that_need_not_be_is_found_and_named(
    bindings: Bindings, uses: tuple[Use, ...], kind: Kind, what: tuple[str, ...]
) -> None:
    estate = estate_of(bindings)
    findings = list(findings_on_gcp(estate, me(estate), uses, WINDOW))
    (finding,) = [one for one in findings if one.kind is kind]
    assert finding.what == what
    assert finding.policy in bindings
    assert finding.way_out
    assert kind is Kind.WILDCARD_RESOURCE or "watched for 60 s" in finding.detail


def test_what_is_used_whole_where_it_is_bound_is_no_finding() -> None:
    estate = estate_of({MINE: (Binding(ONLY_READ, (ME,)), Binding("roles/viewer", (BIG,)))})
    uses = [used(READ, MINE, MINE, ONLY_READ)]
    assert list(findings_on_gcp(estate, me(estate), uses, WINDOW)) == []
    assert propose_on_gcp(estate, me(estate), uses) == ()


def ways(estate: GcpEstate) -> set[str]:
    found = findings_on_gcp(estate, me(estate), (), WINDOW)
    return {one.path for one in found if one.kind is Kind.ESCALATION}


@pytest.mark.parametrize("escalation", GCP_ESCALATIONS, ids=lambda one: one.id)
def test_every_way_is_found_where_it_is_granted_and_not_without_a_part_of_it(
    escalation: Any,  # noqa: ANN401 - a row of the table
) -> None:
    wanted = frozenset({*escalation.permissions, *escalation.in_project})
    reads = {OTHER: (Binding(ONLY_READ, (BIG,)),)}

    def granting(permissions: frozenset[str]) -> GcpEstate:
        return estate_of(
            {**reads, PROJECT: (Binding(f"{PROJECT}/roles/x", (ME,)),)},
            roles={f"{PROJECT}/roles/x": permissions},
        )

    assert escalation.id in ways(granting(wanted))
    for missing in wanted:
        assert escalation.id not in ways(granting(wanted - {missing}))


def test_a_deny_policy_and_a_constraint_close_a_way() -> None:
    bindings: Bindings = {
        OTHER: (Binding(ONLY_READ, (BIG,)),),
        PROJECT: (Binding("roles/iam.serviceAccountKeyAdmin", (ME,)),),
    }
    estate = estate_of(bindings)
    assert ways(estate) == {"serviceAccountKeys.create"}
    assert ways(replace(estate, keys_forbidden=True)) == set()
    rule = DenyRule(
        ("principalSet://goog/public:all",),
        (),
        ("iam.googleapis.com/serviceAccountKeys.create",),
        (),
    )
    assert ways(replace(estate, deny_policies=(DenyPolicy("d", (rule,)),))) == set()


def test_to_act_as_the_own_account_is_no_escalation() -> None:
    user = Binding("roles/iam.workloadIdentityUser", (SUBJECT,))
    estate = estate_of({OWN_ACCOUNT: (user,), MINE: (Binding(ACCESSOR, (ME,)),)})
    assert ways(estate) == set()


def test_uses_are_those_of_the_agents_own_identities() -> None:
    def record(principal: str, outcome: Outcome = Outcome.ALLOW) -> DecisionRecord:
        by = Statement(MINE, ACCESSOR)
        return DecisionRecord(
            request_id="r",
            time=5.0,
            point="gcp.authorize",
            action=READ,
            resource=f"{MINE}/versions/latest",
            principal=principal,
            outcome=outcome,
            reason="binding-allows",
            layers=(LayerAnswer("allow-policy", Effect.ALLOW, "binding-allows", decided_by=by),),
            facts={"policy_resource": MINE},
        )

    estate = estate_of({})
    records = [record(ME), record(ME), record(BIG), record(ME, Outcome.DENY)]
    (use,) = uses_on_gcp(records, me(estate))
    assert (use.principal, use.resource, use.policy, use.statement) == (ME, MINE, MINE, ACCESSOR)
    assert use.count == 2


PERMISSIONS = (
    READ,
    "secretmanager.versions.add",
    "iam.serviceAccounts.getAccessToken",
    "resourcemanager.projects.get",
    "resourcemanager.projects.setIamPolicy",
)
bindings_st = st.builds(
    Binding,
    st.sampled_from(
        (
            ACCESSOR,
            ONLY_READ,
            "roles/secretmanager.admin",
            "roles/owner",
            "roles/viewer",
            "roles/iam.workloadIdentityUser",
            "roles/iam.serviceAccountTokenCreator",
        )
    ),
    st.lists(
        st.sampled_from((ME, SUBJECT, BIG, f"principalSet://iam.googleapis.com/{POOL}/*")),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(tuple),
    st.sampled_from((None, None, SOON, LATE)),
)
estates = st.dictionaries(
    st.sampled_from((PROJECT, MINE, OTHER, OWN_ACCOUNT, BIG_ACCOUNT)),
    st.lists(bindings_st, max_size=3).map(tuple),
    max_size=4,
).map(estate_of)


MINE_SOON_SUBJECTS_ALWAYS = estate_of(
    {MINE: (Binding(ACCESSOR, (ME,), SOON), Binding(ACCESSOR, (SUBJECT, BIG)))}
)


@given(estates, st.lists(st.tuples(st.sampled_from(PERMISSIONS), st.integers(0, 9)), max_size=5))
@example(MINE_SOON_SUBJECTS_ALWAYS, [(READ, 6)])
@settings(max_examples=250, deadline=None)
def test_proposed_bindings_allow_what_was_used_and_nothing_that_is_not_granted(
    estate: GcpEstate, asked: list[tuple[str, int]]
) -> None:
    agent = me(estate)
    everything = list(estate.everything())
    uses = []
    for permission, number in asked:
        held = everything[number % len(everything)]
        caller = agent.callers[number % 2]
        outcome, layers = ask_gcp(estate, caller, permission, held)
        if outcome is Outcome.ALLOW:
            by = next(layer.decided_by for layer in layers if layer.effect is Effect.ALLOW)
            assert by is not None
            uses.append(used(permission, held.name, by.policy, by.statement, caller.member))
    for proposal in propose_on_gcp(estate, agent, uses):
        assert proposal.faults == ()
        assert proposal.document is not None
        after = with_bindings_of(estate, proposal.document)
        changed = {held.name: held for held in after.everything()}
        callers = {caller.member: caller for caller in agent.callers}
        for use in uses:
            now = ask_gcp(after, callers[use.principal], use.action, changed[use.resource])
            assert now[0] is Outcome.ALLOW
        for held in everything:
            for permission in PERMISSIONS:
                for caller, moment in product(agent.callers, (1_800_000_000.0, 2_000_000_000.0)):
                    then = replace(after, now=moment)
                    if ask_gcp(then, caller, permission, changed[held.name])[0] is Outcome.ALLOW:
                        was = ask_gcp(replace(estate, now=moment), caller, permission, held)
                        assert was[0] is Outcome.ALLOW


def test_a_project_wide_binding_is_proposed_where_it_was_used_with_its_condition() -> None:
    estate = estate_of({PROJECT: (Binding(ACCESSOR, (ME, BIG), SOON),)})
    (proposal,) = propose_on_gcp(estate, me(estate), [used(READ, MINE, PROJECT, ACCESSOR)])
    assert proposal.document is not None
    (binding,) = proposal.document["bindings"]
    (role,) = proposal.document["roles"]
    assert binding["resource"] == MINE
    assert binding["members"] == [ME]
    assert binding["condition"]["expression"] == SOON.expression
    assert (binding["role"], role["includedPermissions"]) == (role["name"], [READ])
    after = with_bindings_of(estate, proposal.document)
    assert after.project.bindings == (Binding(ACCESSOR, (BIG,), SOON),)
