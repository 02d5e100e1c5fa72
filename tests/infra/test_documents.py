"""The documents as IAM would read them, and what each lapse makes of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.controls import CONTROLS
from infra import (
    boundaries,
    database_documents,
    documents,
    names,
    organisation_documents,
    vault_documents,
)
from infra.unsafe import NOTHING_OMITTED, UnsafeOmissions

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER = "https://idp.agents.example"
PLACE = documents.Place(account="111122223333", region="eu-west-1")
SUBJECT = "spiffe://agents.example/agent/planner"
PROVIDER = "arn:aws:iam::111122223333:oidc-provider/idp.agents.example"


def _trust() -> documents.Document:
    return documents.agent_trust(provider_arn=PROVIDER, issuer=ISSUER, subject=SUBJECT)


def _statements(document: documents.Document) -> list[dict[str, Any]]:
    body = json.loads(document.to_json())
    assert body["Version"] == "2012-10-17"
    statements: list[dict[str, Any]] = body["Statement"]
    return statements


def test_trust_names_one_subject_and_one_audience() -> None:
    assert _statements(_trust()) == [
        {
            "Sid": "OneSubjectOneAudience",
            "Effect": "Allow",
            "Principal": {"Federated": PROVIDER},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    "idp.agents.example:aud": "sts.amazonaws.com",
                    "idp.agents.example:sub": SUBJECT,
                }
            },
        }
    ]


@pytest.mark.parametrize(
    ("issuer", "prefix"),
    [
        ("https://idp.agents.example", "idp.agents.example"),
        ("https://idp.agents.example/", "idp.agents.example/"),
        ("https://idp.agents.example/realms/A", "idp.agents.example/realms/A"),
    ],
)
def test_condition_keys_keep_the_issuers_spelling(issuer: str, prefix: str) -> None:
    assert documents.condition_prefix(issuer) == prefix


@pytest.mark.parametrize(
    ("left_out", "keys"),
    [
        (set(), {"idp.agents.example:aud", "idp.agents.example:sub"}),
        ({"aws.trust-pins-subject"}, {"idp.agents.example:aud"}),
        ({"aws.trust-pins-audience"}, {"idp.agents.example:sub"}),
    ],
)
def test_trust_loses_the_key_whose_control_is_left_out(left_out: set[str], keys: set[str]) -> None:
    omissions = UnsafeOmissions(frozenset(left_out))
    (statement,) = _statements(omissions.trust(_trust(), ISSUER))
    assert set(statement["Condition"]["StringEquals"]) == keys


def test_trust_without_both_has_no_condition_at_all() -> None:
    omissions = UnsafeOmissions(frozenset({"aws.trust-pins-subject", "aws.trust-pins-audience"}))
    (statement,) = _statements(omissions.trust(_trust(), ISSUER))
    assert "Condition" not in statement


def test_agent_reads_its_own_secret_only() -> None:
    assert documents.own_secret(PLACE, "planner").to_json() == {
        "Sid": "OwnSecret",
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"
        "agents/planner/credentials-??????",
    }


def test_agent_without_least_privilege_reads_every_agents_secret() -> None:
    omissions = UnsafeOmissions(frozenset({"aws.least-privilege"}))
    weak = omissions.own_secret(documents.own_secret(PLACE, "planner"), PLACE)
    assert weak.resources == ("arn:aws:secretsmanager:eu-west-1:111122223333:secret:agents/*",)
    assert weak.sid.startswith("Unsafe")


def test_records_are_bound_to_the_agents_project() -> None:
    strong = documents.project_records(PLACE).to_json()
    assert strong["Condition"] == {
        "StringEquals": {"aws:ResourceTag/project": "${aws:PrincipalTag/project}"}
    }
    weak = UnsafeOmissions(frozenset({"aws.abac-project-tag"})).project_records(
        documents.project_records(PLACE)
    )
    assert "Condition" not in weak.to_json()
    assert weak.to_json()["Resource"] == strong["Resource"]


def test_deploying_agent_writes_policies_of_its_own_role_and_below_it() -> None:
    resources = documents.deploy_role_policies(PLACE, "bot").resources
    assert resources == (
        "arn:aws:iam::111122223333:role/agents/bot-role",
        "arn:aws:iam::111122223333:role/agents/bot-role/*",
    )


AGENTS_POWERS = (
    documents.own_secret(PLACE, "a"),
    documents.project_records(PLACE),
    documents.deploy_role_policies(PLACE, "a"),
    documents.deploy_functions(PLACE, "a"),
    documents.pass_function_role(PLACE, "a"),
    *documents.wrapped_data_keys(PLACE),
    documents.work_for_project(PLACE),
)
ADMINISTRATORS_POWERS = (documents.manage_service_keys(PLACE), documents.administer_account())


def _actions(statements: tuple[documents.Statement, ...]) -> set[str]:
    return {action for statement in statements for action in statement.actions}


@pytest.mark.parametrize(
    ("document", "powers"),
    [
        (boundaries.agent_boundary(PLACE), AGENTS_POWERS),
        (boundaries.administrator_boundary(PLACE), (*AGENTS_POWERS, *ADMINISTRATORS_POWERS)),
    ],
    ids=["agents", "administrators"],
)
def test_boundary_covers_every_power_and_nothing_of_the_platforms(
    document: documents.Document, powers: tuple[documents.Statement, ...]
) -> None:
    capped = _actions(document.statements)
    assert _actions(powers) < capped
    assert {s.effect for s in document.statements} == {"Allow"}
    assert not any("*" in action for action in capped)
    resources = [resource for statement in document.statements for resource in statement.resources]
    assert not any("platform" in resource or ":secret:*" in resource for resource in resources)


def test_agents_boundary_holds_no_administrators_power() -> None:
    boundary = boundaries.agent_boundary(PLACE).statements
    assert not _actions(boundary) & _actions(ADMINISTRATORS_POWERS)
    assert [s.sid for s in boundary if s.resources == ("*",)] == ["SecretNames", "WhoAmI"]


def test_revocation_denies_sessions_older_than_the_incident() -> None:
    assert _statements(documents.revoke_older_sessions("2026-11-25T15:00:00Z")) == [
        {
            "Sid": "RevokeOlderSessions",
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"DateLessThan": {"aws:TokenIssueTime": "2026-11-25T15:00:00Z"}},
        }
    ]


def test_backup_user_reads_one_secret() -> None:
    (statement,) = _statements(documents.read_secret(PLACE, names.BACKUP_KEY_SECRET))
    assert statement["Resource"].endswith(":secret:platform/backup-key-??????")


def test_organisation_denies_every_credential_without_an_end() -> None:
    (statement,) = _statements(organisation_documents.no_long_lived_keys())
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == "*"
    assert "Condition" not in statement
    assert "iam:CreateAccessKey" in statement["Action"]


def test_trail_is_kept_from_everybody_but_the_role_that_provisions_it() -> None:
    (statement,) = _statements(organisation_documents.keep_logging("111122223333"))
    assert statement["Effect"] == "Deny"
    assert "cloudtrail:StopLogging" in statement["Action"]
    assert statement["Condition"] == {
        "ArnNotEquals": {
            "aws:PrincipalArn": "arn:aws:iam::111122223333:role/OrganizationAccountAccessRole"
        }
    }


def test_shared_issuers_subjects_are_ours_up_to_the_delimiter() -> None:
    document = organisation_documents.own_subjects_only(ISSUER, "spiffe://agents.example/agent/*")
    (statement,) = _statements(document)
    assert statement["Principal"] == "*"
    assert statement["Condition"] == {
        "StringNotLike": {"idp.agents.example:sub": "spiffe://agents.example/agent/*"},
        "Null": {"idp.agents.example:sub": "false"},
    }
    weak = UnsafeOmissions(frozenset({"aws.issuer-tenant"}))
    assert weak.own_subjects("spiffe://agents.example/agent/*") == "spiffe://agents*"


def test_list_of_issuers_refuses_where_none_of_their_keys_is_there() -> None:
    (statement,) = _statements(
        organisation_documents.issuer_allow_list((ISSUER, "https://b.example"))
    )
    assert statement["Condition"] == {
        "Null": {"idp.agents.example:aud": "true", "b.example:aud": "true"}
    }


def test_perimeter_denies_agents_calls_from_other_networks() -> None:
    document = organisation_documents.network_perimeter(
        "111122223333", ("192.0.2.0/24", "2001:db8::/32")
    )
    (statement,) = _statements(document)
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {
        "ArnLike": {
            "aws:PrincipalArn": [
                "arn:aws:iam::111122223333:role/agents/*",
                "arn:aws:iam::111122223333:role/shared/*",
            ]
        },
        "NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]},
        "BoolIfExists": {"aws:ViaAWSService": "false"},
    }


def test_condition_pins_the_tenant_and_the_whole_subject() -> None:
    condition = documents.attribute_condition(tenant="acme", trust_domain="agents.example")
    assert condition == (
        "has(assertion.tenant) && assertion.tenant == 'acme' && has(assertion.agent) && "
        "assertion.sub == 'spiffe://agents.example/agent/' + assertion.agent"
    )


def test_mapping_takes_the_agents_name_as_subject() -> None:
    mapping = documents.attribute_mapping()
    assert mapping["google.subject"] == "assertion.sub.extract('/agent/{agent}')"


@pytest.mark.parametrize(
    ("control", "change", "strong", "weak"),
    [
        (
            "aws.provider-client-ids",
            lambda o: o.client_ids(["sts.amazonaws.com"], "https://gcp"),
            ["sts.amazonaws.com"],
            ["sts.amazonaws.com", "https://gcp"],
        ),
        ("aws.permissions-boundary", lambda o: o.boundary("arn"), "arn", None),
        ("gcp.attribute-condition", lambda o: o.attribute_condition("true"), "true", None),
        (
            "gcp.allowed-audiences",
            lambda o: o.allowed_audiences(["https://gcp"]),
            ["https://gcp"],
            ["https://gcp", "sts.amazonaws.com"],
        ),
        ("gcp.no-service-account-keys", lambda o: o.enforcement(), "TRUE", "FALSE"),
        (
            "aws.provider-client-ids",
            lambda o: o.tags(CONTROLS["aws.provider-client-ids"]),
            {},
            {"iamrange:unsafe": "aws.provider-client-ids"},
        ),
        (
            "gcp.allowed-audiences",
            lambda o: o.description("Ours.", CONTROLS["gcp.allowed-audiences"]),
            "Ours.",
            "Ours. iamrange:unsafe=gcp.allowed-audiences",
        ),
    ],
)
def test_lapse_is_made_for_its_own_control_alone(
    control: str, change: Callable[[UnsafeOmissions], object], strong: object, weak: object
) -> None:
    others = frozenset(CONTROLS) - {control}
    assert change(NOTHING_OMITTED) == strong
    assert change(UnsafeOmissions(others)) == strong
    assert change(UnsafeOmissions(frozenset({control}))) == weak


def test_documents_are_the_same_text_each_time() -> None:
    assert _trust().to_json() == _trust().to_json()


@pytest.mark.parametrize("name", ["a", "1", "x" * 24, "x" * 25, "x" * 11 + "-" + "y" * 20])
def test_service_account_id_fits_any_name(name: str) -> None:
    assert re.fullmatch(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])", names.gcp_account_id(name))


def test_service_account_id_shows_a_name_that_fits() -> None:
    assert names.gcp_account_id("data-analyst") == "agent-data-analyst"


def test_cut_service_account_ids_stay_apart() -> None:
    long = [f"{'a' * 30}-{n}" for n in range(200)]
    short = [name[:24] for name in long]
    ids = {names.gcp_account_id(name) for name in (*long, *short)}
    assert len(ids) == len(set(long) | set(short))


def test_vault_policy_reads_one_path_and_quotes_what_it_names() -> None:
    assert vault_documents.use_own("data-analyst").to_hcl() == (
        'path "agents/data/data-analyst/credentials" {\n  capabilities = ["read"]\n}\n'
        'path "agents/data/data-analyst/bootstrap" {\n  capabilities = ["read"]\n'
        '  min_wrapping_ttl = "1s"\n  max_wrapping_ttl = "120s"\n}\n'
        'path "certificates/sign/data-analyst" {\n  capabilities = ["update"]\n'
        '  allowed_parameters = { "csr" = [], "uri_sans" = [], "ttl" = [], }\n}\n'
        'path "keys/encrypt/data-analyst" {\n  capabilities = ["update"]\n}\n'
        'path "keys/decrypt/data-analyst" {\n  capabilities = ["update"]\n}\n'
    )
    rule = vault_documents.PathRule(("read",))
    hostile = vault_documents.VaultPolicy({'a" { capabilities = ["sudo"] }': rule})
    assert hostile.to_hcl().startswith('path "a\\" { capabilities = [\\"sudo\\"] }" {')


def test_vault_login_is_bound_to_one_agent_of_one_tenant() -> None:
    binding = vault_documents.one_agent(
        audience="https://vault.example.com",
        trust_domain="example.com",
        tenant="ours",
        agent="one",
        lease=900,
    )
    assert binding.subject == "spiffe://example.com/agent/one"
    assert binding.claims == {"agent": "one", "tenant": "ours"}


def test_vault_lapses_are_the_ones_asked_for_and_are_marked() -> None:
    binding = vault_documents.LoginBinding(
        audience="a", lease=900, subject="s", claims={"tenant": "ours"}
    )
    policy = vault_documents.use_own("one")
    none = NOTHING_OMITTED
    assert (none.vault_binding(binding), none.vault_policy(policy)) == (binding, policy)
    bound = UnsafeOmissions(frozenset({"secrets.vault-bound-claims"}))
    assert bound.vault_binding(binding) == vault_documents.LoginBinding(audience="a", lease=900)
    lasting = UnsafeOmissions(frozenset({"secrets.short-leases"}))
    assert lasting.vault_binding(binding).lease == 0
    wide = UnsafeOmissions(frozenset({"secrets.vault-policy-per-agent"}))
    text = wide.vault_policy(policy).to_hcl()
    assert text.startswith("# iamrange:unsafe=secrets.vault-policy-per-agent\n")
    assert 'path "agents/data/+/credentials"' in text
    assert 'path "certificates/sign/+"' in text
    assert 'path "keys/decrypt/+"' in text
    assert "min_wrapping_ttl" in text
    asking = vault_documents.use_own("one", database=True)
    assert 'path "database/creds/agent-one"' in asking.to_hcl()
    assert 'path "database/creds/agent-one"' in wide.vault_policy(asking).to_hcl()
    static = UnsafeOmissions(frozenset({"secrets.dynamic-database-credentials"}))
    text = static.vault_policy(asking).to_hcl()
    assert text.startswith("# iamrange:unsafe=secrets.dynamic-database-credentials\n")
    assert 'path "database/static-creds/agent-one-static"' in text
    assert "database/creds" not in text
    plain = UnsafeOmissions(frozenset({"secrets.single-use-wrapping"}))
    assert "wrapping_ttl" not in plain.vault_policy(policy).to_hcl()


def test_logins_are_made_of_one_reader_end_by_themselves_and_are_dropped() -> None:
    logins = database_documents.DatabaseLogins(agent="one", lease=4)
    (made,) = logins.creation
    assert made.endswith('IN ROLE "agent-one"')
    assert "VALID UNTIL '{{expiration}}'" in made
    assert [s.partition(" ")[0] for s in logins.revocation] == ["SELECT", "DROP"]
    assert NOTHING_OMITTED.database_logins(logins) == logins
    static = UnsafeOmissions(frozenset({"secrets.dynamic-database-credentials"}))
    kept = static.database_logins(logins)
    assert (kept.static, kept.role, kept.reader) == (True, "agent-one-static", "agent-one")
    assert "VALID UNTIL" not in kept.rotation[0]


def test_every_name_that_a_login_may_have_fits_into_an_identifier_of_postgresql() -> None:
    longest = names.database_reader("a" * 40)
    made = database_documents.USERNAMES.replace("{{.RoleName}}", longest)
    assert len(made.replace("{{random 16}}", "r" * 16)) <= 63
