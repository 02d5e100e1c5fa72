"""Granted against used in a vault: what is found, what is proposed, and that both are right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome, Statement
from iamrange.credentials.privileges.model import Kind, Window
from iamrange.credentials.privileges.vault import (
    LoginRole,
    VaultAgent,
    VaultEstate,
    agent_at,
    assumptions_at,
    uses_at,
)
from iamrange.credentials.privileges.vault_escalations import VAULT_ESCALATIONS
from iamrange.credentials.privileges.vault_findings import findings_at
from iamrange.credentials.privileges.vault_propose import propose_at
from iamrange.credentials.vault.policy import Policy, parse_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.credentials.privileges.model import Finding, Proposal, Use

BOT = "spiffe://iamrange.example/agent/bot"
SECRETS = ("agents/data/bot/key", "agents/data/bot/spare", "agents/data/other/key")
WINDOW = Window(since=0.0, until=60.0, source="test", decisions=9)
ROLES = (
    LoginRole(path="auth/jwt/role/agent-bot", name="agent-bot", policies=("bot",), subject=BOT),
    LoginRole(path="auth/jwt/role/other", name="other", policies=("shared",), subject="else"),
)


def record(
    path: str, operation: str = "read", policy: str = "bot", who: str = BOT
) -> DecisionRecord:
    by = Statement(policy, path)
    return DecisionRecord(
        request_id="r",
        time=5.0,
        point="vault.authorize",
        action="vault:GET",
        resource=path,
        principal=who,
        outcome=Outcome.ALLOW,
        reason="policy-allows",
        layers=(LayerAnswer("policy", Effect.ALLOW, "policy-allows", decided_by=by),),
        facts={"operation": operation},
    )


def audited(
    text: str, *records: DecisionRecord, **more: object
) -> tuple[VaultEstate, VaultAgent, tuple[Use, ...]]:
    policies = {"bot": parse_policy("bot", text), "shared": Policy("shared", ())}
    estate = VaultEstate(
        policies=policies,
        roles=ROLES,
        secrets=SECRETS,
        logins=("auth/jwt/role",),
        **more,  # type: ignore[arg-type] # a case's own
    )
    agent = agent_at(estate, "bot", BOT, "agent-bot")
    return estate, agent, uses_at(records, estate, agent)


def found(text: str, *records: DecisionRecord, **more: object) -> list[Finding]:
    return list(findings_at(*audited(text, *records, **more), WINDOW))


def proposed(text: str, *records: DecisionRecord) -> tuple[Proposal, ...]:
    return propose_at(*audited(text, *records))


def path(pattern: str, *capabilities: str) -> str:
    return f"path {json.dumps(pattern)} {{ capabilities = {json.dumps(capabilities)} }}\n"


def test_policy_that_grants_what_is_used_has_no_finding_and_no_proposal() -> None:
    text = path("agents/data/bot/key", "read")
    assert found(text, record("agents/data/bot/key")) == []
    assert proposed(text, record("agents/data/bot/key")) == ()


def test_wildcard_is_found_with_what_it_opens_besides_and_is_cut_to_the_path() -> None:
    text = path("agents/data/+/key", "read", "list")
    kinds = {one.kind: one for one in found(text, record("agents/data/bot/key"))}
    assert kinds[Kind.WILDCARD_RESOURCE].what == ("agents/data/+/key",)
    assert kinds[Kind.UNUSED_ACTION].what == ("list",)
    assert kinds[Kind.UNUSED_RESOURCE].what == ("agents/data/other/key",)
    (proposal,) = proposed(text, record("agents/data/bot/key"))
    assert proposal.policy == "vault:bot"
    assert proposal.faults == ()
    assert proposal.document == {"path": {"agents/data/bot/key": {"capabilities": ["read"]}}}


def test_limits_and_denials_stay_in_what_is_proposed() -> None:
    text = (
        'path "agents/data/bot/*" { capabilities = ["read", "update"] min_wrapping_ttl = "1s" }\n'
        + path("agents/data/bot/spare", "deny")
    )
    (proposal,) = proposed(text, record("agents/data/bot/key"))
    assert proposal.document == {
        "path": {
            "agents/data/bot/spare": {"capabilities": ["deny"]},
            "agents/data/bot/key": {"capabilities": ["read"], "min_wrapping_ttl": "1s"},
        }
    }


def test_what_others_did_or_other_places_decided_is_no_use() -> None:
    text = path("agents/data/*", "read")
    assert audited(text, record("agents/data/bot/key", who="somebody"))[2] == ()
    assert proposed(text, record("agents/data/bot/key", who="somebody")) == ()


def test_policy_that_others_hold_too_is_not_made_smaller() -> None:
    estate, agent, uses = audited(path("agents/data/*", "read"), record("agents/data/bot/key"))
    (own,) = propose_at(estate, agent, uses)
    shared = (*ROLES, LoginRole(path="auth/jwt/role/third", name="third", policies=("bot",)))
    several = VaultEstate(policies=estate.policies, roles=shared, secrets=SECRETS)
    assert own.document is not None
    assert propose_at(several, agent, uses) == ()


WAYS = {
    "policies.write-own": path("sys/policies/acl/*", "update"),
    "policy.write-own": path("sys/policy/bot", "create"),
    "role.write-own": path("auth/jwt/role/agent-bot", "update"),
    "role.create": path("auth/jwt/role/*", "create"),
    "token.create-sudo": path("auth/token/create", "update", "sudo"),
    "token.create-orphan": path("auth/token/create-orphan", "update", "sudo"),
    "token.create-by-role": path("auth/token/create/wide", "update"),
    "token.role-write": path("auth/token/roles/+", "create")
    + path("auth/token/create/+", "update"),
    "auth.enable": path("sys/auth/*", "create", "sudo") + path("auth/*", "create"),
    "identity.entity": path("identity/entity", "create"),
    "identity.entity-by-id": path("identity/entity/id/*", "update"),
    "identity.entity-by-name": path("identity/entity/name/*", "update"),
    "identity.group": path("identity/group", "update"),
    "identity.group-by-id": path("identity/group/id/+", "update"),
    "identity.alias": path("identity/entity-alias", "update"),
    "raw": path("sys/raw/*", "update", "sudo"),
}


def test_each_way_to_more_has_a_case() -> None:
    assert WAYS.keys() == {one.id for one in VAULT_ESCALATIONS}


@pytest.mark.parametrize("way", WAYS)
def test_way_to_more_is_found_with_what_it_gives_and_not_when_it_may_only_be_read(way: str) -> None:
    more = {"token_roles": {"wide": ("wide",)}}
    wide = parse_policy("wide", path("agents/data/other/key", "read"))
    estate, agent, uses = audited(WAYS[way], **more)
    estate = estate.with_policies({"wide": wide})
    said = [one for one in findings_at(estate, agent, uses, WINDOW) if one.path == way]
    assert len(said) == 1
    assert said[0].policy == "bot"
    assert "read on agents/data/other/key" in said[0].gains
    readable = WAYS[way].replace("create", "list", 0)
    for write in ('"create"', '"update"'):
        readable = readable.replace(f"[{write}", '["read"').replace(f", {write}", "")
    assert way not in {one.path for one in found(readable, **more)}


def test_way_that_needs_sudo_is_none_without_it_and_gives_nothing_to_who_has_all() -> None:
    assert Kind.ESCALATION not in {o.kind for o in found(path("auth/token/create", "update"))}
    everything = path("*", "create", "read", "update", "delete", "list", "sudo")
    kinds = {one.kind for one in found(everything)}
    assert Kind.ESCALATION not in kinds
    assert Kind.ROOT_PATH in kinds


def test_path_that_names_who_asks_is_said_not_to_be_decided() -> None:
    (one,) = found(path("agents/data/{{identity.entity.name}}/*", "read"))
    assert one.kind is Kind.NOT_DECIDED


def test_role_that_is_anybodys_is_one_that_the_agent_may_become() -> None:
    estate, agent, _ = audited(path("x", "read"))
    anybodys = LoginRole(path="auth/jwt/role/any", name="any", policies=("shared",))
    wider = VaultEstate(policies=estate.policies, roles=(*ROLES, anybodys))
    assert [one.role for one in assumptions_at((), wider, agent)] == ["auth/jwt/role/any"]


PATTERNS = st.sampled_from(
    [*SECRETS, "agents/data/*", "agents/data/+/key", "agents/data/bot/*", "agents/+/bot/key", "*"]
)
RULES = st.dictionaries(
    PATTERNS,
    st.lists(st.sampled_from(["read", "update", "list", "delete", "deny"]), max_size=3),
    min_size=1,
    max_size=5,
)


@given(RULES, st.lists(st.tuples(st.sampled_from(SECRETS), st.sampled_from(["read", "update"]))))
def test_proposal_allows_every_use_and_nothing_that_was_not_allowed(
    rules: dict[str, list[str]], asked: Sequence[tuple[str, str]]
) -> None:
    text = "".join(path(pattern, *capabilities) for pattern, capabilities in rules.items())
    estate, agent, _ = audited(text)
    acl = estate.acl(agent.policies)
    records = [record(where, what) for where, what in asked if acl.allows(where, what)]
    estate, agent, uses = audited(text, *records)
    for proposal in propose_at(estate, agent, uses):
        assert proposal.faults == ()
        smaller = (
            Policy("bot", ())
            if proposal.document is None
            else parse_policy("bot", json.dumps(proposal.document))
        )
        after = estate.with_policies({"bot": smaller}).acl(agent.policies)
        assert all(after.allows(use.resource, use.action) for use in uses)
        for where in (*SECRETS, "agents/data/x", "x"):
            for what in ("read", "update", "list", "delete"):
                assert acl.allows(where, what) or not after.allows(where, what)
