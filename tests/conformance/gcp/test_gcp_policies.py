"""Allow and deny policies, conditions, organisation policies and custom roles, on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from google.cloud import secretmanager_v1
from google.oauth2 import credentials as user_credentials

from iamrange.core.decision import Effect, LayerAnswer

World = Any  # conftest's: tests are no packages, so that it cannot be imported
Json = dict[str, Any]

IAM = "https://iam.googleapis.com/v1/projects/acme-lab"
PROJECT = "https://cloudresourcemanager.googleapis.com/v1/projects/acme-lab"
ORGANIZATION = "https://cloudresourcemanager.googleapis.com/v3/organizations/123456789012"
SECRETS = "https://secretmanager.googleapis.com/v1/projects/acme-lab/secrets"
OTHER_SECRETS = "https://secretmanager.googleapis.com/v1/projects/acme-security/secrets"
ACCOUNT = "planner@acme-lab.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{ACCOUNT}"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
ACCESSOR = "roles/secretmanager.secretAccessor"


@pytest.fixture
def token(world: World) -> str:
    """Make an account, two secrets here and one next door; return the account's token."""
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "planner"})
    for base, name in ((SECRETS, "one"), (SECRETS, "two"), (OTHER_SECRETS, "far")):
        operator = world.token if base == SECRETS else world.other_token
        body: Json = {"replication": {"automatic": {}}}
        assert world.rest("POST", f"{base}?secretId={name}", body, token=operator).ok
        body = {"payload": {"data": "bm9uY2U="}}
        assert world.rest("POST", f"{base}/{name}:addVersion", body, token=operator).ok
    administrator = "user:administrator@acme-lab.iamrange.example"
    bind(world, f"{IAM}/serviceAccounts/{ACCOUNT}", "roles/iam.serviceAccountTokenCreator",
         administrator)  # fmt: skip
    url = (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{ACCOUNT}:generateAccessToken"
    )
    return str(world.done("POST", url, {"scope": [CLOUD_PLATFORM]})["accessToken"])


def bind(
    world: World, resource: str, role: str, member: str = MEMBER, condition: Json | None = None
) -> None:
    """Replace a resource's policy by one binding."""
    binding: Json = {"role": role, "members": [member]}
    if condition:
        binding["condition"] = condition
    policy = {"version": 3, "bindings": [binding]}
    world.done("POST", f"{resource}:setIamPolicy", {"policy": policy})


def reads(world: World, token: str, secret: str = "one", base: str = SECRETS) -> bool:  # noqa: S107 - a word, no password
    """Tell whether the account reads a secret."""
    answer = world.rest("GET", f"{base}/{secret}/versions/latest:access", token=token)
    assert answer.status_code in (200, 403), answer.text
    return bool(answer.status_code == 200)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (f"{SECRETS}/one", (True, False, False)),
        (PROJECT, (True, True, False)),
        (ORGANIZATION, (True, True, True)),
        (f"{SECRETS}/two", (False, True, False)),
    ],
    ids=["secret", "project", "organisation", "neighbour"],
)
def test_a_grant_reaches_what_is_below_it_and_nothing_else(
    world: World, token: str, resource: str, expected: tuple[bool, bool, bool]
) -> None:
    bind(world, resource, ACCESSOR)
    seen = (
        reads(world, token, "one"),
        reads(world, token, "two"),
        reads(world, token, "far", OTHER_SECRETS),
    )
    assert seen == expected


@pytest.mark.parametrize(
    ("expression", "expected", "key"),
    [
        ("request.time < timestamp('{soon}')", True, None),
        ("request.time < timestamp('{past}')", False, "request.time"),
        ("resource.name.startsWith('projects/1234567890/secrets/one')", True, None),
        ("resource.name.startsWith('projects/acme-lab/secrets/one')", False, "resource.name"),
        ("resource.name.endsWith('/versions/latest')", True, None),
        ("resource.type == 'secretmanager.googleapis.com/SecretVersion'", True, None),
        ("resource.type == 'secretmanager.googleapis.com/Secret'", False, "resource.type"),
        ("resource.service == 'secretmanager.googleapis.com'", True, None),
        ("resource.name.extract('secrets/{name}/') == 'one'", True, None),
        ("resource.matchTag('123456789012/env', 'prod')", False, "resource.matchtag"),
        ("request.auth.level == 'high'", False, "request.auth.level"),
        ("request.time.getHours('Europe/Berlin') >= 0", True, None),
        ("destination.port == 443", False, "destination.port"),
    ],
)
def test_a_condition_decides_and_what_it_turned_on_is_recorded(
    world: World,
    token: str,
    expression: str,
    expected: bool,  # noqa: FBT001 - a column of the table
    key: str | None,
) -> None:
    now = datetime.now(UTC)
    text = expression.replace("{soon}", (now + timedelta(hours=1)).isoformat()).replace(
        "{past}", (now - timedelta(hours=1)).isoformat()
    )
    bind(world, f"{SECRETS}/one", ACCESSOR, condition={"title": "c", "expression": text})
    assert reads(world, token) is expected
    allow = world.last("gcp.authorize").layers[1]
    if expected:
        assert allow.decided_by.statement == ACCESSOR
    else:
        assert allow.reason == "condition-not-met"
        assert [(s.statement, s.condition_keys) for s in allow.near_misses] == [(ACCESSOR, (key,))]


def test_a_time_bound_grant_ends_by_the_clock_of_the_world(world: World, token: str) -> None:
    end = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    condition = {"title": "c", "expression": f"request.time < timestamp('{end}')"}
    bind(world, f"{SECRETS}/one", ACCESSOR, condition=condition)
    assert reads(world, token)
    world.clock.offset = 700
    assert not reads(world, token)


@pytest.mark.parametrize(
    ("policy", "match"),
    [
        ({"bindings": [{"role": "roles/none.such", "members": [MEMBER]}]}, "not supported"),
        ({"bindings": [{"role": ACCESSOR, "members": ["planner"]}]}, "unknown type"),
        ({"bindings": [{"role": ACCESSOR, "members": ["domain:example.com"]}]}, "no domains"),
        (
            {"bindings": [{"role": ACCESSOR, "members": [MEMBER.replace("planner", "absent")]}]},
            "does not exist",
        ),
        (
            {
                "version": 3,
                "bindings": [
                    {
                        "role": ACCESSOR,
                        "members": [MEMBER],
                        "condition": {"title": "c", "expression": "request.time <"},
                    }
                ],
            },
            "compilation failed",
        ),
        (
            {
                "version": 1,
                "bindings": [
                    {
                        "role": ACCESSOR,
                        "members": [MEMBER],
                        "condition": {"title": "c", "expression": "true"},
                    }
                ],
            },
            "version must be 3",
        ),
        (
            {
                "version": 3,
                "bindings": [
                    {
                        "role": "roles/owner",
                        "members": [MEMBER],
                        "condition": {"title": "c", "expression": "true"},
                    }
                ],
            },
            "basic roles",
        ),
    ],
)
def test_a_policy_that_the_api_does_not_take_is_refused(
    world: World, token: str, policy: Json, match: str
) -> None:
    del token
    answer = world.rest("POST", f"{SECRETS}/one:setIamPolicy", {"policy": policy})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert match in answer.text


def test_a_policy_written_on_an_old_etag_is_aborted(world: World, token: str) -> None:
    del token
    first = world.done("POST", f"{PROJECT}:getIamPolicy", {})
    bind(world, PROJECT, ACCESSOR)
    answer = world.rest("POST", f"{PROJECT}:setIamPolicy", {"policy": first})
    assert (answer.status_code, answer.json()["error"]["status"]) == (409, "ABORTED")
    kept = world.done("POST", f"{PROJECT}:getIamPolicy", {})
    assert kept["bindings"] == [{"role": ACCESSOR, "members": [MEMBER]}]


RESOURCES = [f"{IAM}/serviceAccounts/{ACCOUNT}", f"{SECRETS}/one", PROJECT, ORGANIZATION]
NO_END = {"title": "t", "expression": "request.time > timestamp('2020-01-01T00:00:00Z')"}
GRANT = {"role": "roles/iam.securityReviewer", "members": [MEMBER]}
AUDIT = [{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}]


def policy_of(world: World, resource: str) -> Json:
    """Read a policy, with its conditions."""
    verb = "GET" if resource.startswith(SECRETS) else "POST"
    url = f"{resource}:getIamPolicy?options.requestedPolicyVersion=3"
    read: Json = world.done(verb, url)
    return read


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("version", [0, 1, None])
def test_conditions_are_not_lost_to_a_writer_who_read_an_older_form(
    world: World, token: str, resource: str, version: int | None
) -> None:
    del token
    policy = {"version": 3, "bindings": [{**GRANT, "condition": NO_END}]}
    world.done("POST", f"{resource}:setIamPolicy", {"policy": policy})
    read = policy_of(world, resource)
    assert read["version"] == 3
    older: Json = {"etag": read["etag"], "bindings": []}
    older |= {} if version is None else {"version": version}
    answer = world.rest("POST", f"{resource}:setIamPolicy", {"policy": older})
    assert answer.status_code == 400
    assert "must be set to 3" in answer.json()["error"]["message"]
    assert policy_of(world, resource) == read
    # the real API lets a blind write through (cloud.google.com/iam/docs/policies)
    world.done("POST", f"{resource}:setIamPolicy", {"policy": {"bindings": [GRANT]}})
    assert policy_of(world, resource)["bindings"] == [GRANT]


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize(
    ("mask", "document", "bindings", "audit"),
    [
        (None, {"bindings": []}, None, AUDIT),
        (None, {"bindings": [], "auditConfigs": []}, None, None),
        ("bindings", {"bindings": [], "auditConfigs": []}, None, AUDIT),
        ("auditConfigs", {"bindings": [], "auditConfigs": []}, [GRANT], None),
        ("audit_configs,etag", {}, [GRANT], None),
        ("etag", {"bindings": []}, [GRANT], AUDIT),
    ],
)
def test_an_update_mask_bounds_what_a_policy_write_changes(  # noqa: PLR0913, PLR0917 - a table's row
    world: World,
    token: str,
    resource: str,
    mask: str | None,
    document: Json,
    bindings: list[Json] | None,
    audit: list[Json] | None,
) -> None:
    del token
    whole = {"bindings": [GRANT], "auditConfigs": AUDIT}
    world.done("POST", f"{resource}:setIamPolicy", {"policy": whole})
    body = {"policy": document} | ({} if mask is None else {"updateMask": mask})
    world.done("POST", f"{resource}:setIamPolicy", body)
    read = policy_of(world, resource)
    assert (read.get("bindings"), read.get("auditConfigs")) == (bindings, audit)


@pytest.mark.parametrize(
    ("version", "mask"), [(2, None), (5, None), (True, None), ("3", None), (1, "colour")]
)
def test_a_policy_write_of_another_form_is_refused(
    world: World, token: str, version: object, mask: str | None
) -> None:
    del token
    body = {"policy": {"version": version, "bindings": [GRANT]}, "updateMask": mask}
    answer = world.rest("POST", f"{SECRETS}/one:setIamPolicy", body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "expression",
    [
        "request.time",
        "resource.name",
        "'text'",
        "resource.nme == 'a'",
        "request.user == 'a'",
        "destination.host == 'a'",
        "api.name == 'a'",
        "assertion.sub == 'a'",
        "resource.name = 'a'",
        "[1].all(google, google.x == 1)",
    ],
)
def test_a_condition_that_could_never_be_true_is_refused_where_it_is_written(
    world: World, token: str, expression: str
) -> None:
    del token
    binding = {**GRANT, "condition": {"title": "t", "expression": expression}}
    body = {"policy": {"version": 3, "bindings": [binding]}}
    answer = world.rest("POST", f"{SECRETS}/one:setIamPolicy", body)
    assert answer.status_code == 400
    assert "Condition expression compilation failed" in answer.json()["error"]["message"]


def test_a_grant_to_an_address_in_capitals_dies_with_its_account(world: World, token: str) -> None:
    member = f"serviceAccount:planner@{ACCOUNT.partition('@')[2].upper()}"
    bind(world, f"{SECRETS}/one", ACCESSOR, member)
    assert policy_of(world, f"{SECRETS}/one")["bindings"][0]["members"] == [MEMBER]
    assert reads(world, token)
    world.done("DELETE", f"{IAM}/serviceAccounts/{ACCOUNT}")
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "planner"})
    (kept,) = policy_of(world, f"{SECRETS}/one")["bindings"][0]["members"]
    assert kept.startswith(f"deleted:{MEMBER}?uid=")


def test_an_account_made_again_under_its_name_inherits_nothing(world: World, token: str) -> None:
    bind(world, f"{SECRETS}/one", ACCESSOR)
    assert reads(world, token)
    world.done("DELETE", f"{IAM}/serviceAccounts/{ACCOUNT}")
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "planner"})
    bindings = world.done("GET", f"{SECRETS}/one:getIamPolicy")["bindings"]
    assert bindings[0]["members"][0].startswith(f"deleted:{MEMBER}?uid=")
    answer = world.rest("GET", f"{SECRETS}/one/versions/1:access", token=token)
    assert answer.status_code == 401


DENY = "https://iam.googleapis.com/v2/policies/{point}/denypolicies"
AT_PROJECT = DENY.format(
    point=quote("cloudresourcemanager.googleapis.com/projects/acme-lab", safe="")
)
AT_ORGANIZATION = DENY.format(
    point=quote("cloudresourcemanager.googleapis.com/organizations/123456789012", safe="")
)
V2_ACCOUNT = f"principal://iam.googleapis.com/projects/-/serviceAccounts/{ACCOUNT}"
EVERYONE = "principalSet://goog/public:all"


def rule(**members: object) -> Json:
    """Return a deny rule that takes one change from one that denies all."""
    body: Json = {
        "deniedPrincipals": [EVERYONE],
        "deniedPermissions": ["secretmanager.googleapis.com/versions.access"],
        **members,
    }
    return {"rules": [{"denyRule": body}]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, False),
        ({"deniedPrincipals": [V2_ACCOUNT]}, False),
        ({"deniedPrincipals": [V2_ACCOUNT.replace("planner", "writer")]}, True),
        ({"exceptionPrincipals": [V2_ACCOUNT]}, True),
        (
            {
                "deniedPrincipals": [
                    (
                        "principalSet://cloudresourcemanager.googleapis.com/projects/1234567890"
                        "/type/ServiceAccount"
                    )
                ]
            },
            False,
        ),
        ({"deniedPermissions": ["secretmanager.googleapis.com/versions.destroy"]}, True),
        ({"deniedPermissions": ["secretmanager.googleapis.com/versions.*"]}, False),
        ({"deniedPermissions": ["secretmanager.googleapis.com/*"]}, False),
        ({"deniedPermissions": ["iam.googleapis.com/*"]}, True),
        (
            {
                "deniedPermissions": ["secretmanager.googleapis.com/*"],
                "exceptionPermissions": ["secretmanager.googleapis.com/versions.access"],
            },
            True,
        ),
        ({"denialCondition": {"expression": "resource.matchTag('1/env', 'test')"}}, True),
        ({"denialCondition": {"expression": "!resource.matchTag('1/env', 'test')"}}, False),
    ],
)
@pytest.mark.parametrize("url", [AT_PROJECT, AT_ORGANIZATION], ids=["project", "organisation"])
def test_a_deny_policy_wins_over_every_grant(
    world: World,
    token: str,
    change: Json,
    expected: bool,  # noqa: FBT001 - a column of the table
    url: str,
) -> None:
    bind(world, f"{SECRETS}/one", ACCESSOR)
    assert reads(world, token)
    operation = world.done("POST", f"{url}?policyId=no-secrets", rule(**change))
    assert operation["done"]
    assert reads(world, token) is expected
    if not expected:
        record = world.last("gcp.authorize")
        assert (record.reason, record.layers[0].decided_by.policy) == (
            "rule-denies",
            operation["response"]["name"],
        )
        assert record.layers[1].reason == "binding-allows"


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("projects/1234567890", False),
        ("organizations/123456789012", False),
        ("projects/1234567890/type/ServiceAccount", False),
        ("projects/1234567891", True),
        ("organizations/1", True),
    ],
)
def test_a_deny_rule_names_all_principals_of_a_project_or_an_organisation(
    world: World,
    token: str,
    scope: str,
    expected: bool,  # noqa: FBT001 - a column of the table
) -> None:
    bind(world, f"{SECRETS}/one", ACCESSOR)
    named = f"principalSet://cloudresourcemanager.googleapis.com/{scope}"
    world.done("POST", f"{AT_PROJECT}?policyId=none", rule(deniedPrincipals=[named]))
    assert reads(world, token) is expected


def test_a_deny_policy_is_read_changed_and_deleted(world: World, token: str) -> None:
    bind(world, f"{SECRETS}/one", ACCESSOR)
    world.done("POST", f"{AT_PROJECT}?policyId=no-secrets", {"displayName": "d", **rule()})
    one = f"{AT_PROJECT}/no-secrets"
    found = world.done("GET", one)
    assert (found["displayName"], found["kind"]) == ("d", "DenyPolicy")
    assert found["name"].startswith(
        "policies/cloudresourcemanager.googleapis.com%2Fprojects%2F1234567890/denypolicies/"
    )
    assert world.rest("POST", f"{AT_PROJECT}?policyId=no-secrets", rule()).status_code == 409
    changed = {**rule(exceptionPrincipals=[V2_ACCOUNT]), "etag": found["etag"]}
    operation = world.done("PUT", one, changed)
    assert world.rest("PUT", one, changed).status_code == 409
    assert world.done("GET", f"https://iam.googleapis.com/v2/{operation['name']}")["done"]
    assert reads(world, token)
    world.done("DELETE", one)
    assert world.rest("GET", one).status_code == 404
    assert world.done("GET", AT_PROJECT) == {}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"deniedPrincipals": [MEMBER]}, "IAM v2"),
        ({"deniedPermissions": ["secretmanager.versions.access"]}, "SERVICE.googleapis.com"),
        ({"deniedPermissions": []}, "needs denied"),
        ({"denialCondition": {"expression": "request.time < timestamp('x')"}}, "undeclared"),
        ({"denialCondition": {"expression": "resource.name == 'x'"}}, "resource tags"),
        ({"denialCondition": {"expression": "true"}}, "resource tags"),
    ],
)
def test_a_deny_policy_that_the_api_does_not_take_is_refused(
    world: World, change: Json, match: str
) -> None:
    answer = world.rest("POST", f"{AT_PROJECT}?policyId=no-secrets", rule(**change))
    assert answer.status_code == 400
    assert match in answer.text


def test_only_an_operator_writes_deny_and_organisation_policies(world: World, token: str) -> None:
    bind(world, PROJECT, "roles/owner")
    denied = world.rest("POST", f"{AT_PROJECT}?policyId=no-secrets", rule(), token=token)
    url = "https://orgpolicy.googleapis.com/v2/projects/acme-lab/policies"
    body = {
        "name": "projects/acme-lab/policies/iam.disableServiceAccountKeyCreation",
        "spec": {"rules": [{"enforce": False}]},
    }
    assert denied.status_code == 403
    assert world.rest("POST", url, body, token=token).status_code == 403


ISSUERS = "iam.workloadIdentityPoolProviders"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"rules": [{"values": {"allowedValues": ["https://idp.agents.example"]}}]}, 200),
        ({"rules": [{"values": {"allowedValues": ["https://other.example"]}}]}, 400),
        ({"rules": [{"values": {"deniedValues": ["https://idp.agents.example"]}}]}, 400),
        ({"rules": [{"values": {"deniedValues": ["https://other.example"]}}]}, 200),
        ({"rules": [{"denyAll": True}]}, 400),
        ({"rules": [{"allowAll": True}]}, 200),
    ],
)
def test_an_issuer_that_the_organisation_does_not_allow_gets_no_provider(
    world: World, spec: Json, expected: int
) -> None:
    base = "https://orgpolicy.googleapis.com/v2/organizations/123456789012/policies"
    name = f"organizations/123456789012/policies/{ISSUERS}"
    world.done("POST", base, {"name": name, "spec": spec})
    pools = f"{IAM}/locations/global/workloadIdentityPools"
    world.done("POST", f"{pools}?workloadIdentityPoolId=agents", {})
    answer = world.rest(
        "POST",
        f"{pools}/agents/providers?workloadIdentityPoolProviderId=idp1",
        {
            "attributeMapping": {"google.subject": "assertion.sub"},
            "oidc": {"issuerUri": "https://idp.agents.example"},
        },
    )
    assert answer.status_code == expected, answer.text
    if expected == 400:
        violation = answer.json()["error"]["details"][0]["violations"][0]
        assert answer.json()["error"]["status"] == "FAILED_PRECONDITION"
        assert violation["type"] == f"constraints/{ISSUERS}"


def test_the_nearest_organisation_policy_wins(world: World, token: str) -> None:
    del token
    constraint = "iam.disableServiceAccountKeyCreation"
    base = "https://orgpolicy.googleapis.com/v2"
    for owner, enforce in (("organizations/123456789012", True), ("projects/1234567890", False)):
        body = {
            "name": f"{owner}/policies/{constraint}",
            "spec": {"rules": [{"enforce": enforce}]},
        }
        world.done("POST", f"{base}/{owner}/policies", body)
    keys = f"{IAM}/serviceAccounts/{ACCOUNT}/keys"
    assert world.rest("POST", keys, {}).status_code == 200
    policy = f"{base}/projects/acme-lab/policies/{constraint}"
    found = world.done("GET", policy)
    assert found["name"] == f"projects/1234567890/policies/{constraint}"
    world.done("PATCH", policy, {"spec": {"rules": [{"enforce": True}]}})
    assert world.rest("POST", keys, {}).status_code == 400
    world.done("DELETE", policy)
    assert world.rest("GET", policy).status_code == 404
    assert world.rest("POST", keys, {}).status_code == 400
    v1 = world.done("POST", f"{PROJECT}:getOrgPolicy", {"constraint": f"constraints/{constraint}"})
    assert "booleanPolicy" not in v1


def test_a_constraint_that_nothing_enforces_is_refused(world: World) -> None:
    url = "https://orgpolicy.googleapis.com/v2/projects/acme-lab/policies"
    name = "projects/acme-lab/policies/compute.disableSerialPortAccess"
    answer = world.rest("POST", url, {"name": name, "spec": {"rules": [{"enforce": True}]}})
    assert (answer.status_code, "not served" in answer.text) == (404, True)


def test_organisation_policies_are_listed_and_resolved_in_the_older_shape(world: World) -> None:
    constraint = "constraints/iam.disableServiceAccountCreation"
    policy = {"constraint": constraint, "booleanPolicy": {"enforced": True}}
    organization = ORGANIZATION.replace("/v3/", "/v1/")
    world.done("POST", f"{organization}:setOrgPolicy", {"policy": policy})
    assert world.done("POST", f"{PROJECT}:listOrgPolicies", {}) == {}
    (listed,) = world.done("POST", f"{organization}:listOrgPolicies", {})["policies"]
    assert listed["booleanPolicy"] == {"enforced": True}
    effective = world.done("POST", f"{PROJECT}:getEffectiveOrgPolicy", {"constraint": constraint})
    assert effective == policy


def test_the_services_of_this_cloud_are_on_and_no_others_can_be(world: World, token: str) -> None:
    services = "https://serviceusage.googleapis.com/v1/projects/acme-lab/services"
    operation = world.done("POST", f"{services}/secretmanager.googleapis.com:enable", {})
    assert operation["done"]
    polled = world.done("GET", f"https://serviceusage.googleapis.com/v1/{operation['name']}")
    assert polled == operation
    wanted = {"serviceIds": ["iam.googleapis.com", "sts.googleapis.com"]}
    enabled = world.done("POST", f"{services}:batchEnable", wanted)["response"]["services"]
    assert [service["state"] for service in enabled] == ["ENABLED", "ENABLED"]
    listed = world.done("GET", services)["services"]
    assert enabled[0] in listed
    for url, status in (
        (f"{services}/compute.googleapis.com:enable", 404),
        (f"{services}/iam.googleapis.com:disable", 501),
    ):
        assert world.rest("POST", url, {}).status_code == status
    assert world.rest("GET", services, token=token).status_code == 403


def test_a_role_of_a_service_that_is_not_served_grants_nothing_here(
    world: World, token: str
) -> None:
    bind(world, PROJECT, "roles/pubsub.publisher")
    assert not reads(world, token)
    role = world.done("GET", "https://iam.googleapis.com/v1/roles/pubsub.publisher")
    assert "includedPermissions" not in role
    policy = {"bindings": [{"role": "roles/pubsub.nosuch", "members": [MEMBER]}]}
    assert world.rest("POST", f"{PROJECT}:setIamPolicy", {"policy": policy}).status_code == 400


QUOTA = [
    (None, "acme-lab", 403),
    ("roles/serviceusage.serviceUsageConsumer", "acme-lab", 200),
    ("roles/serviceusage.serviceUsageConsumer", "1234567890", 200),
    ("roles/serviceusage.serviceUsageConsumer", "acme-security", 403),
    ("roles/serviceusage.serviceUsageConsumer", "no-such-project", 403),
    ("roles/viewer", "acme-lab", 403),
    ("roles/editor", "acme-lab", 200),
]


@pytest.mark.parametrize(("role", "project", "status"), QUOTA)
def test_a_caller_charges_only_a_project_that_it_may_use(
    world: World, token: str, role: str | None, project: str, status: int
) -> None:
    bind(world, f"{SECRETS}/one", ACCESSOR)
    if role:
        bind(world, PROJECT, role)
    headers = {"Authorization": f"Bearer {token}", "x-goog-user-project": project}
    answer = world.session.get(f"{SECRETS}/one/versions/1:access", headers=headers, timeout=10)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["details"][0]["reason"] == "USER_PROJECT_DENIED"


def test_a_custom_role_grants_what_it_lists_until_it_is_deleted(world: World, token: str) -> None:
    body = {
        "roleId": "reader",
        "role": {"title": "r", "includedPermissions": ["secretmanager.versions.access"]},
    }
    role = world.done("POST", f"{IAM}/roles", body)["name"]
    assert role == "projects/acme-lab/roles/reader"
    bind(world, f"{SECRETS}/one", role)
    assert reads(world, token)
    foreign = {"bindings": [{"role": role, "members": [MEMBER]}]}
    answer = world.rest(
        "POST", f"{OTHER_SECRETS}/far:setIamPolicy", {"policy": foreign}, token=world.other_token
    )
    assert answer.status_code == 400
    mask = "?updateMask=includedPermissions"
    one = f"{IAM}/roles/reader"
    world.done("PATCH", one + mask, {"includedPermissions": ["secretmanager.versions.get"]})
    assert not reads(world, token)
    world.done("PATCH", one + mask, {"includedPermissions": ["secretmanager.versions.access"]})
    assert reads(world, token)
    assert world.done("DELETE", one)["deleted"]
    assert not reads(world, token)
    assert world.rest("POST", f"{IAM}/roles", body).status_code == 409
    world.done("POST", f"{one}:undelete", {})
    assert reads(world, token)


def test_permissions_are_tested_without_being_used(world: World, token: str) -> None:
    bind(world, f"{SECRETS}/one", ACCESSOR)
    asked = ["secretmanager.versions.access", "secretmanager.secrets.delete"]
    client = secretmanager_v1.SecretManagerServiceClient(
        credentials=user_credentials.Credentials(token), transport="rest"
    )
    answer = client.test_iam_permissions(
        request={"resource": "projects/acme-lab/secrets/one", "permissions": asked}
    )
    assert list(answer.permissions) == ["secretmanager.versions.access"]


def test_delegated_grants_are_bounded_by_the_roles_that_change(world: World, token: str) -> None:
    expression = (
        f"api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['{ACCESSOR}'])"
    )
    bind(
        world,
        f"{SECRETS}/one",
        "roles/secretmanager.admin",
        condition={"title": "c", "expression": expression},
    )
    policy = world.done("GET", f"{SECRETS}/one:getIamPolicy?options.requestedPolicyVersion=3")
    policy["version"] = 3
    for role, status in (("roles/secretmanager.viewer", 403), (ACCESSOR, 200)):
        bindings = [*policy["bindings"], {"role": role, "members": [MEMBER]}]
        body = {"policy": {**policy, "bindings": bindings}}
        answer = world.rest("POST", f"{SECRETS}/one:setIamPolicy", body, token=token)
        assert answer.status_code == status, answer.text


def test_a_cloud_that_ignores_its_deny_policies_lets_the_grant_through(
    world: World, token: str
) -> None:

    world.done("POST", f"{AT_PROJECT}?policyId=no-secrets", rule())
    world.rogue["gcp.authorize", "deny-policy"] = LayerAnswer(
        "deny-policy", Effect.NOT_APPLICABLE, "skipped"
    )
    assert not reads(world, token)
    bind(world, f"{SECRETS}/one", ACCESSOR)
    assert reads(world, token)
