"""Lint rules over what the program declares: none fires on the hardened stack, and for each
control left out exactly the rule for it does.

The numbered rules are those that public misconfigurations of federation imply.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from iamrange.core.controls import CONTROLS, SwitchedIn

ISSUER = "https://idp.iamrange.example"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
SECRET_POLICY = "aws:secretsmanager/secretPolicy:SecretPolicy"
OIDC = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
POOL_PROVIDER = "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"
PROJECT_GRANT = "gcp:projects/iAMMember:IAMMember"
ACCOUNT_GRANT = "gcp:serviceaccount/iAMMember:IAMMember"
VAULT_POLICY = "vault:index/policy:Policy"
DATABASE_ROLE = "vault:database/secretBackendRole:SecretBackendRole"
DATABASE_STATIC_ROLE = "vault:database/secretBackendStaticRole:SecretBackendStaticRole"
VAULT_ROLE = "vault:jwt/authBackendRole:AuthBackendRole"
LONGEST_LEASE = 3600
SECRET_GRANT = "gcp:secretmanager/secretIamMember:SecretIamMember"
INCIDENT = {"data-analyst": "2026-11-25T15:00:00Z"}

Plan = Any
Rule = Callable[[Plan], Iterator[str]]


def _agents(plan: Plan) -> dict[str, Any]:
    """Return the roles of agents, by part; other roles carry no agent's tag."""
    return {n: r for n, r in plan.of(ROLE).items() if "agent" in r.inputs.get("tags", {})}


def _trusts(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, role in _agents(plan).items():
        for statement in role.document("assumeRolePolicy")["Statement"]:
            yield name, statement


def google_accounts_are_named(plan: Plan) -> Iterator[str]:
    """Rule 1, for the issuer that everybody shares: one account, and a token made for AWS."""
    for name, role in plan.of(ROLE).items():
        for statement in role.document("assumeRolePolicy")["Statement"]:
            if "accounts.google.com" not in json.dumps(statement["Principal"]):
                continue
            exact = statement.get("Condition", {}).get("StringEquals", {})
            if not {"accounts.google.com:sub", "accounts.google.com:oaud"} <= exact.keys():
                yield name


def _exact(statement: Mapping[str, Any], claim: str) -> bool:
    key = f"{ISSUER.removeprefix('https://')}:{claim}"
    return key in statement.get("Condition", {}).get("StringEquals", {})


def trust_names_its_subject(plan: Plan) -> Iterator[str]:
    """Rule 1: the subject is asked for, under the issuer's exact key."""
    key = f"{ISSUER.removeprefix('https://')}:sub"
    yield from (n for n, s in _trusts(plan) if key not in json.dumps(s.get("Condition", {})))
    yield from google_accounts_are_named(plan)


def trust_names_its_audience(plan: Plan) -> Iterator[str]:
    """Rule 1: and so does the audience."""
    return (name for name, statement in _trusts(plan) if not _exact(statement, "aud"))


def trust_has_exact_operators_only(plan: Plan) -> Iterator[str]:
    """Rules 1 to 3: no wildcard, no operator that an absent key satisfies."""
    for name, statement in _trusts(plan):
        for operator, keys in statement.get("Condition", {}).items():
            values = json.dumps(list(keys.values()))
            if operator != "StringEquals" or "*" in values or "?" in values:
                yield f"{name}: {operator}"


def trust_lets_nobody_tag_sessions(plan: Plan) -> Iterator[str]:
    """Rule 5: our issuer emits no tags claim, so nobody needs sts:TagSession."""
    for name, statement in _trusts(plan):
        if statement["Action"] != "sts:AssumeRoleWithWebIdentity":
            yield name


def provider_takes_tokens_for_aws_only(plan: Plan) -> Iterator[str]:
    """Rule 8, on AWS: no other party's audience in the list of client ids."""
    for name, provider in plan.of(OIDC).items():
        if provider.inputs["clientIdLists"] != ["sts.amazonaws.com"]:
            yield name


def pool_takes_tokens_for_itself_only(plan: Plan) -> Iterator[str]:
    """Rule 8, on Google Cloud."""
    for name, provider in plan.of(POOL_PROVIDER).items():
        audiences = provider.inputs["oidc"]["allowedAudiences"]
        ours = all(a.startswith("https://iam.googleapis.com/projects/") for a in audiences)
        if len(audiences) != 1 or not ours:
            yield name


def pool_provider_has_a_condition(plan: Plan) -> Iterator[str]:
    """Rule 6: a condition that names a claim, and asks has() before it reads an optional one."""
    for name, provider in plan.of(POOL_PROVIDER).items():
        condition = provider.inputs.get("attributeCondition", "")
        guarded = all(
            f"has(assertion.{claim})" in condition
            for claim in ("tenant", "agent")
            if f"assertion.{claim}" in condition
        )
        if "assertion.tenant ==" not in condition or not guarded:
            yield name


def pool_has_one_provider(plan: Plan) -> Iterator[str]:
    """Rule 6: subjects are bound without the provider, so a pool has one."""
    pools = [p.inputs["workloadIdentityPoolId"] for p in plan.of(POOL_PROVIDER).values()]
    return (pool for pool in pools if pools.count(pool) > 1)


def grants_name_single_principals(plan: Plan) -> Iterator[str]:
    """Rules 6 and 7: no set of principals, and nobody who is everybody."""
    for resource in plan.resources:
        member = resource.inputs.get("member", "")
        if member.startswith(("principalSet:", "all")) or "*" in member:
            yield f"{resource.name}: {member}"


def subject_fits(plan: Plan) -> Iterator[str]:
    """Rule 7: a subject of 126 bytes is safe; the agent's name is all of it."""
    for provider in plan.of(POOL_PROVIDER).values():
        if "extract(" not in provider.inputs["attributeMapping"]["google.subject"]:
            yield provider.name
    for role in _agents(plan).values():
        if len(role.inputs["tags"]["agent"].encode()) > 126:
            yield role.name


def sessions_are_short(plan: Plan) -> Iterator[str]:
    """Rule 9: no role allows more than an hour."""
    for name, role in plan.of(ROLE).items():
        if role.inputs["maxSessionDuration"] > 3600:
            yield name


def issuers_are_ours(plan: Plan) -> Iterator[str]:
    """Rule 10: no issuer but our own is trusted."""
    found = [p.inputs["url"] for p in plan.of(OIDC).values()]
    found += [p.inputs["oidc"]["issuerUri"] for p in plan.of(POOL_PROVIDER).values()]
    return (issuer for issuer in found if issuer != ISSUER)


def roles_have_a_boundary(plan: Plan) -> Iterator[str]:
    for name, role in _agents(plan).items():
        if "permissionsBoundary" not in role.inputs:
            yield name


def _agent_statements(plan: Plan) -> Iterator[tuple[str, str, dict[str, Any]]]:
    agents = {name: role.inputs["tags"]["agent"] for name, role in _agents(plan).items()}
    for name, policy in plan.of(ROLE_POLICY).items():
        if policy.inputs["name"] == "agent":
            for statement in policy.document("policy")["Statement"]:
                yield name, agents[name], statement


def agents_read_their_own_secret_only(plan: Plan) -> Iterator[str]:
    for name, agent, statement in _agent_statements(plan):
        if "secretsmanager:" in json.dumps(statement["Action"]) and not statement[
            "Resource"
        ].endswith(f":secret:agents/{agent}/credentials-??????"):
            yield name


def records_are_bound_to_the_project(plan: Plan) -> Iterator[str]:
    own = {"StringEquals": {"aws:ResourceTag/project": "${aws:PrincipalTag/project}"}}
    for name, _, statement in _agent_statements(plan):
        reads_records = "table/projects-" in json.dumps(statement["Resource"])
        if reads_records and statement.get("Condition") != own:
            yield name


def _attached(plan: Plan) -> dict[str, str]:
    policies = plan.of("aws:organizations/policy:Policy")
    attachments = plan.of("aws:organizations/policyAttachment:PolicyAttachment").values()
    ids = {a.inputs["policyId"] for a in attachments if a.inputs["targetId"] == "100000000002"}
    return {name: p.inputs["content"] for name, p in policies.items() if f"{name}-id" in ids}


def organisation_binds_networks(plan: Plan) -> Iterator[str]:
    if not any("aws:SourceIp" in content for content in _attached(plan).values()):
        yield "no attached policy looks at the source address"


def organisation_refuses_long_lived_keys(plan: Plan) -> Iterator[str]:
    if not any("iam:CreateAccessKey" in content for content in _attached(plan).values()):
        yield "no attached policy names iam:CreateAccessKey"


def organisation_keeps_its_logs(plan: Plan) -> Iterator[str]:
    if not any("cloudtrail:StopLogging" in content for content in _attached(plan).values()):
        yield "no attached policy names cloudtrail:StopLogging"


def organisation_keeps_its_accounts(plan: Plan) -> Iterator[str]:
    if not any("organizations:LeaveOrganization" in c for c in _attached(plan).values()):
        yield "no attached policy names organizations:LeaveOrganization"


def organisation_lists_its_issuers(plan: Plan) -> Iterator[str]:
    """Rule 10: issuers come from an allow-list, and nobody in the account can lengthen it."""
    key = f"{ISSUER.removeprefix('https://')}:aud"
    if not any(key in content for content in _attached(plan).values()):
        yield "no attached policy asks whose token it is"


def shared_roles_take_tags_for_good(plan: Plan) -> Iterator[str]:
    """A role that anybody may tag the session of, asks for transitive tags."""
    for name, role in plan.of(ROLE).items():
        for statement in role.document("assumeRolePolicy")["Statement"]:
            if "aws:RequestTag/project" not in json.dumps(statement):
                continue
            if "sts:TransitiveTagKeys" not in json.dumps(statement):
                yield name


def roles_are_passed_one_by_one(plan: Plan) -> Iterator[str]:
    for name, _, statement in _agent_statements(plan):
        if statement["Action"] == "iam:PassRole" and "*" in json.dumps(statement["Resource"]):
            yield name


def strangers_say_for_whom_they_come(plan: Plan) -> Iterator[str]:
    """An account that is not ours needs an external id."""
    for name, role in plan.of(ROLE).items():
        for statement in role.document("assumeRolePolicy")["Statement"]:
            principal = json.dumps(statement["Principal"])
            stranger = "arn:aws:iam::" in principal and "::100000000002:" not in principal
            if stranger and "sts:ExternalId" not in json.dumps(statement.get("Condition", {})):
                yield name


def keys_are_opened_in_ones_own_name(plan: Plan) -> Iterator[str]:
    for name, key in plan.of("aws:kms/key:Key").items():
        for statement in key.document("policy")["Statement"]:
            asks = "kms:EncryptionContext:" in json.dumps(statement.get("Condition", {}))
            if "kms:Decrypt" in json.dumps(statement["Action"]) and not asks:
                yield name


def patterns_end_at_a_delimiter(plan: Plan) -> Iterator[str]:
    """Rule 3: a wildcard for subjects stands behind a delimiter."""
    for name, content in _attached(plan).items():
        for statement in json.loads(content)["Statement"]:
            for pattern in statement.get("Condition", {}).get("StringNotLike", {}).values():
                if not pattern.endswith("/*"):
                    yield f"{name}: {pattern}"


def restricted_secrets_have_one_reader(plan: Plan) -> Iterator[str]:
    guarded = {r.name for r in plan.resources if r.type == SECRET_POLICY}
    for name, role in _agents(plan).items():
        if role.inputs["tags"].get("classification") == "restricted" and name not in guarded:
            yield name


def incidents_end_older_sessions(plan: Plan) -> Iterator[str]:
    policies = plan.of(ROLE_POLICY)
    for name, role in _agents(plan).items():
        if "incident" in role.inputs["tags"] and f"{name}-revocation" not in policies:
            yield name


def _project_grants(plan: Plan, role: str) -> Iterator[str]:
    for resource in plan.resources:
        if resource.type == PROJECT_GRANT and resource.inputs["role"] == role:
            yield resource.name


def impersonation_is_granted_on_accounts(plan: Plan) -> Iterator[str]:
    return _project_grants(plan, "roles/iam.workloadIdentityUser")


def secrets_are_granted_one_by_one(plan: Plan) -> Iterator[str]:
    return _project_grants(plan, "roles/secretmanager.secretAccessor")


def service_accounts_have_no_keys(plan: Plan) -> Iterator[str]:
    for policy in plan.of("gcp:orgpolicy/policy:Policy").values():
        if policy.inputs["spec"]["rules"] != [{"enforce": "TRUE"}]:
            yield policy.name


def vault_roles_are_one_agents(plan: Plan) -> Iterator[str]:
    """A role is opened by one subject, and by no other tenant's agent of that name."""
    for name, role in plan.of(VAULT_ROLE).items():
        claims = role.inputs.get("boundClaims") or {}
        if not role.inputs.get("boundSubject") or not {"agent", "tenant"} <= claims.keys():
            yield name


def vault_roles_have_an_audience_and_no_default_policy(plan: Plan) -> Iterator[str]:
    """A token for somebody else opens nothing, and a login gives what the policy says alone."""
    for name, role in plan.of(VAULT_ROLE).items():
        if not role.inputs.get("boundAudiences") or not role.inputs.get("tokenNoDefaultPolicy"):
            yield name


def vault_policies_name_single_paths(plan: Plan) -> Iterator[str]:
    for name, policy in plan.of(VAULT_POLICY).items():
        if "*" in policy.inputs["policy"] or "+" in policy.inputs["policy"]:
            yield name


def what_is_handed_on_is_wrapped(plan: Plan) -> Iterator[str]:
    for name, policy in plan.of(VAULT_POLICY).items():
        rules = [rule for rule in policy.inputs["policy"].split("path ") if "/bootstrap" in rule]
        if not rules or any("min_wrapping_ttl" not in rule for rule in rules):
            yield name


def vault_leases_are_short(plan: Plan) -> Iterator[str]:
    """Nought is the vault's own default, of 32 days."""
    for name, role in plan.of(VAULT_ROLE).items():
        lives = (role.inputs.get("tokenTtl", 0), role.inputs.get("tokenMaxTtl", 0))
        if not all(0 < life <= LONGEST_LEASE for life in lives):
            yield name


def database_logins_are_made_and_end(plan: Plan) -> Iterator[str]:
    """A login is made anew, with an end that the database itself knows, and dropped."""
    kinds = (DATABASE_ROLE, DATABASE_STATIC_ROLE)
    roles = [resource for resource in plan.resources if resource.type in kinds]
    if not roles:
        yield "nobody has logins made"
    for role in roles:
        inputs = role.inputs
        if role.type == DATABASE_STATIC_ROLE:
            yield role.name
            continue
        lives = (inputs.get("defaultTtl", 0), inputs.get("maxTtl", 0))
        ends = "VALID UNTIL" in "".join(inputs["creationStatements"])
        drops = "DROP ROLE" in "".join(inputs.get("revocationStatements", []))
        if not (ends and drops and all(0 < life <= LONGEST_LEASE for life in lives)):
            yield role.name
    for name, policy in plan.of(VAULT_POLICY).items():
        if "static-creds" in policy.inputs["policy"]:
            yield f"policy {name}"


RULE_OF: Mapping[str, Rule] = {
    "aws.trust-pins-subject": trust_names_its_subject,
    "aws.trust-pins-audience": trust_names_its_audience,
    "aws.provider-client-ids": provider_takes_tokens_for_aws_only,
    "aws.least-privilege": agents_read_their_own_secret_only,
    "aws.permissions-boundary": roles_have_a_boundary,
    "aws.abac-project-tag": records_are_bound_to_the_project,
    "aws.network-perimeter": organisation_binds_networks,
    "aws.revoke-older-sessions": incidents_end_older_sessions,
    "aws.org-no-long-lived-keys": organisation_refuses_long_lived_keys,
    "aws.org-keep-logging": organisation_keeps_its_logs,
    "aws.org-stay-in-organisation": organisation_keeps_its_accounts,
    "aws.issuer-allow-list": organisation_lists_its_issuers,
    "aws.issuer-tenant": patterns_end_at_a_delimiter,
    "aws.tag-session": shared_roles_take_tags_for_good,
    "aws.passrole-scoped": roles_are_passed_one_by_one,
    "aws.kms-encryption-context": keys_are_opened_in_ones_own_name,
    "aws.external-id": strangers_say_for_whom_they_come,
    "aws.secret-resource-policy": restricted_secrets_have_one_reader,
    "gcp.attribute-condition": pool_provider_has_a_condition,
    "gcp.allowed-audiences": pool_takes_tokens_for_itself_only,
    "gcp.impersonation-scoped": impersonation_is_granted_on_accounts,
    "gcp.secret-level-iam": secrets_are_granted_one_by_one,
    "gcp.no-service-account-keys": service_accounts_have_no_keys,
    "secrets.vault-bound-claims": vault_roles_are_one_agents,
    "secrets.vault-policy-per-agent": vault_policies_name_single_paths,
    "secrets.short-leases": vault_leases_are_short,
    "secrets.single-use-wrapping": what_is_handed_on_is_wrapped,
    "secrets.dynamic-database-credentials": database_logins_are_made_and_end,
}
ALWAYS: tuple[Rule, ...] = (
    vault_roles_have_an_audience_and_no_default_policy,
    trust_has_exact_operators_only,
    trust_lets_nobody_tag_sessions,
    pool_has_one_provider,
    grants_name_single_principals,
    subject_fits,
    sessions_are_short,
    issuers_are_ours,
)


def _findings(plan: Plan) -> dict[str, list[str]]:
    rules = (*RULE_OF.values(), *ALWAYS)
    found = {rule.__name__: list(rule(plan)) for rule in rules}
    return {name: findings for name, findings in found.items() if findings}


def test_every_control_of_the_stack_has_a_rule() -> None:
    switched = {id_ for id_, c in CONTROLS.items() if c.switched_in is SwitchedIn.STACK}
    assert set(RULE_OF) == switched


def test_hardened_stack_breaks_no_rule(declare: Callable[..., Plan]) -> None:
    assert _findings(declare(incidents=INCIDENT)) == {}


@pytest.mark.parametrize("control", RULE_OF)
def test_control_left_out_breaks_its_own_rule_and_no_other(
    declare: Callable[..., Plan], control: str
) -> None:
    plan = declare(incidents=INCIDENT, controls={control: False})
    assert set(_findings(plan)) == {RULE_OF[control].__name__}


TAMPERED: Mapping[str, tuple[Rule, str, str, Any]] = {
    "wildcard": (
        trust_has_exact_operators_only,
        ROLE,
        "assumeRolePolicy",
        '{"Statement": [{"Condition": {"StringEquals": {"x:sub": "spiffe://*"}}}]}',
    ),
    "if-exists": (
        trust_has_exact_operators_only,
        ROLE,
        "assumeRolePolicy",
        '{"Statement": [{"Condition": {"StringEqualsIfExists": {"x:sub": "s"}}}]}',
    ),
    "tag-session": (
        trust_lets_nobody_tag_sessions,
        ROLE,
        "assumeRolePolicy",
        '{"Statement": [{"Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]}]}',
    ),
    "principal-set": (
        grants_name_single_principals,
        ACCOUNT_GRANT,
        "member",
        "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*",
    ),
    "everybody": (grants_name_single_principals, SECRET_GRANT, "member", "allUsers"),
    "whole-subject": (
        subject_fits,
        POOL_PROVIDER,
        "attributeMapping",
        {"google.subject": "assertion.sub"},
    ),
    "long-session": (sessions_are_short, ROLE, "maxSessionDuration", 43200),
    "any-audience": (
        vault_roles_have_an_audience_and_no_default_policy,
        VAULT_ROLE,
        "boundAudiences",
        [],
    ),
    "default-policy": (
        vault_roles_have_an_audience_and_no_default_policy,
        VAULT_ROLE,
        "tokenNoDefaultPolicy",
        False,
    ),
    "other-issuer": (issuers_are_ours, OIDC, "url", "https://idp.attacker.example"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_rule_without_a_control_fires_on_what_it_forbids(
    declare: Callable[..., Plan], case: str
) -> None:
    rule, type_, name, value = TAMPERED[case]
    plan = declare()
    assert not list(rule(plan))
    among = _agents(plan) if type_ == ROLE else plan.of(type_)
    next(iter(among.values())).inputs[name] = value
    assert list(rule(plan))


def test_second_provider_of_a_pool_is_found(declare: Callable[..., Plan]) -> None:
    plan = declare()
    only = next(iter(plan.of(POOL_PROVIDER).values()))
    plan.resources.append(type(only)(only.type, "second", only.inputs, only.provider))
    assert list(pool_has_one_provider(plan))


def test_weak_resources_are_marked_and_strong_ones_are_not(declare: Callable[..., Plan]) -> None:
    assert "unsafe" not in json.dumps([r.inputs for r in declare().resources]).lower()
    for control in RULE_OF:
        plan = declare(incidents=INCIDENT, controls={control: False})
        text = json.dumps([r.inputs for r in plan.resources])
        marked = f'"iamrange:unsafe": "{control}"' in text or f"iamrange:unsafe={control}" in text
        assert marked or '"Unsafe' in text.replace("\\", "") or control in UNMARKED


# what is left out here is a whole resource, or stands where the cloud has no room for a mark
UNMARKED = {
    "aws.network-perimeter",
    "aws.org-no-long-lived-keys",
    "aws.org-keep-logging",
    "aws.org-stay-in-organisation",
    "aws.issuer-allow-list",
    "aws.secret-resource-policy",
    "aws.revoke-older-sessions",
    "gcp.impersonation-scoped",
    "gcp.secret-level-iam",
    "gcp.no-service-account-keys",
    "secrets.vault-bound-claims",
    "secrets.short-leases",
}
