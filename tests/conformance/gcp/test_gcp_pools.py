"""Pools and providers as resources: what the Pulumi provider relies on."""

from __future__ import annotations

from typing import Any

import pytest

from iamrange.core.decision import Effect, LayerAnswer

World = Any  # conftest's: tests are no packages, so that it cannot be imported

POOLS = "https://iam.googleapis.com/v1/projects/acme-lab/locations/global/workloadIdentityPools"
ACCOUNTS = "https://iam.googleapis.com/v1/projects/acme-lab/serviceAccounts"
BY_NUMBER = POOLS.replace("acme-lab", "1234567890")
NAME = "projects/1234567890/locations/global/workloadIdentityPools/agents"
DAY = 86_400
PROVIDER = {
    "displayName": "idp",
    "attributeMapping": {"google.subject": "assertion.sub", "attribute.org": "assertion.org"},
    "attributeCondition": "assertion.org == 'acme'",
    "oidc": {"issuerUri": "https://idp.agents.example", "allowedAudiences": ["a"]},
}


@pytest.fixture
def pool(world: World) -> World:
    url = f"{POOLS}?workloadIdentityPoolId=agents"
    operation = world.done("POST", url, {"displayName": "Agents"})
    assert (operation["done"], operation["response"]["name"]) == (True, NAME)
    world.done("POST", f"{POOLS}/agents/providers?workloadIdentityPoolProviderId=idp1", PROVIDER)
    return world


def test_a_pool_and_a_provider_read_back_as_written_by_id_and_by_number(pool: World) -> None:
    expected = {"name": NAME, "displayName": "Agents", "state": "ACTIVE"}
    assert pool.done("GET", f"{POOLS}/agents") == expected
    assert pool.done("GET", f"{BY_NUMBER}/agents") == expected
    assert pool.done("GET", POOLS) == {"workloadIdentityPools": [expected]}
    found = pool.done("GET", f"{POOLS}/agents/providers/idp1")
    assert found == {"name": f"{NAME}/providers/idp1", "state": "ACTIVE", **PROVIDER}
    assert pool.done("GET", f"{POOLS}/agents/providers") == {
        "workloadIdentityPoolProviders": [found]
    }


@pytest.mark.parametrize(
    ("mask", "body", "changed"),
    [
        ("displayName", {"displayName": "new"}, {"displayName": "new"}),
        ("display_name", {"displayName": "new"}, {"displayName": "new"}),
        ("disabled", {"disabled": True}, {"disabled": True}),
        ("attributeCondition", {}, {"attributeCondition": None}),
        (
            "oidc.allowedAudiences",
            {"oidc": {"allowedAudiences": ["b"]}},
            {"oidc": {"issuerUri": "https://idp.agents.example", "allowedAudiences": ["b"]}},
        ),
        (
            "attributeMapping,attributeCondition",
            {"attributeMapping": {"google.subject": "assertion.sub"}, "attributeCondition": ""},
            {
                "attributeMapping": {"google.subject": "assertion.sub"},
                "attributeCondition": None,
            },
        ),
    ],
)
def test_a_patch_changes_what_its_mask_names_and_nothing_else(
    pool: World, mask: str, body: dict[str, Any], changed: dict[str, Any]
) -> None:
    url = f"{POOLS}/agents/providers/idp1"
    before = pool.done("GET", url)
    operation = pool.done("PATCH", f"{url}?updateMask={mask}", body)
    expected = {k: v for k, v in {**before, **changed}.items() if v is not None}
    assert pool.done("GET", url) == expected
    assert pool.done("GET", f"https://iam.googleapis.com/v1/{operation['name']}")["done"]


@pytest.mark.parametrize(
    "body",
    [
        {"attributeCondition": "assertion.org =="},
        {"attributeMapping": {"google.subject": ""}},
        {"oidc": {"issuerUri": "http://idp.agents.example"}},
        {"displayName": "x" * 33},
    ],
)
def test_a_patch_is_checked_as_a_creation_is(pool: World, body: dict[str, Any]) -> None:
    url = f"{POOLS}/agents/providers/idp1"
    before = pool.done("GET", url)
    assert pool.rest("PATCH", f"{url}?updateMask={min(body)}", body).status_code == 400
    assert pool.done("GET", url) == before


@pytest.mark.parametrize(
    ("one", "make"),
    [
        (f"{POOLS}/agents", f"{POOLS}?workloadIdentityPoolId=agents"),
        (
            f"{POOLS}/agents/providers/idp1",
            f"{POOLS}/agents/providers?workloadIdentityPoolProviderId=idp1",
        ),
    ],
    ids=["pool", "provider"],
)
def test_a_deleted_name_stays_taken_for_thirty_days(pool: World, one: str, make: str) -> None:
    body = PROVIDER if "providers" in one else {}
    assert pool.rest("POST", make, body).status_code == 409
    pool.done("DELETE", one)
    found = pool.done("GET", one)
    assert found["state"] == "DELETED"
    assert "expireTime" in found
    assert pool.rest("DELETE", one).status_code == 400
    answer = pool.rest("POST", make, body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
    pool.done("POST", f"{one}:undelete", {})
    assert pool.done("GET", one)["state"] == "ACTIVE"
    pool.done("DELETE", one)
    pool.clock.offset = 29 * DAY
    assert pool.rest("POST", make, body).status_code == 409
    pool.clock.offset = 31 * DAY
    assert pool.rest("GET", one).status_code == 404
    assert pool.rest("POST", make, body).status_code == 200


@pytest.mark.parametrize(
    ("pool_id", "body", "match"),
    [
        ("abc", {}, "4 to 32"),
        ("a" * 33, {}, "4 to 32"),
        ("Agents", {}, "characters"),
        ("gcp-agents", {}, "reserved"),
        ("agents2", {"displayName": "x" * 33}, "displayName"),
        ("agents2", {"description": "x" * 257}, "description"),
        ("agents2", {"colour": "red"}, "Unknown name"),
    ],
)
def test_a_pool_that_the_api_does_not_take_is_refused(
    world: World, pool_id: str, body: dict[str, Any], match: str
) -> None:
    answer = world.rest("POST", f"{POOLS}?workloadIdentityPoolId={pool_id}", body)
    assert answer.status_code == 400
    assert match in answer.text


def test_fifty_custom_attributes_are_the_most(world: World, pool: World) -> None:
    mapping = {f"attribute.a{n}": "assertion.sub" for n in range(51)}
    body = {**PROVIDER, "attributeMapping": {"google.subject": "assertion.sub", **mapping}}
    url = f"{POOLS}/agents/providers?workloadIdentityPoolProviderId=many"
    assert pool.rest("POST", url, body).status_code == 400
    del mapping["attribute.a0"]
    body = {**PROVIDER, "attributeMapping": {"google.subject": "assertion.sub", **mapping}}
    assert world.rest("POST", url, body).status_code == 200


def test_the_write_guard_tells_what_it_refused_and_a_rogue_lets_that_alone_through(
    pool: World,
) -> None:
    url = f"{POOLS}/agents/providers?workloadIdentityPoolProviderId=shared"
    shared = {**PROVIDER, "attributeCondition": "", "oidc": {"issuerUri": "https://gitlab.com"}}
    assert pool.rest("POST", url, shared).status_code == 400
    record = pool.last("gcp.write-guard")
    assert [layer.layer for layer in record.layers if layer.refuses] == ["shared-issuer"]
    pool.rogue["gcp.write-guard", "shared-issuer"] = LayerAnswer(
        "shared-issuer", Effect.ALLOW, "skipped"
    )
    broken = {**shared, "attributeMapping": {"google.subject": "assertion."}}
    assert pool.rest("POST", url, broken).status_code == 400
    assert pool.rest("POST", url, shared).status_code == 200


def test_a_cloud_that_denies_all_refuses_providers_in_googles_words(pool: World) -> None:
    url = f"{POOLS}/agents/providers?workloadIdentityPoolProviderId=fine"
    pool.rogue["gcp.write-guard", "mapping"] = LayerAnswer("mapping", Effect.DENY, "refused")
    answer = pool.rest("POST", url, PROVIDER)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_provider_of_aws_is_refused_and_not_stored(pool: World) -> None:
    url = f"{POOLS}/agents/providers?workloadIdentityPoolProviderId=aws1"
    body = {"aws": {"accountId": "111122223333"}}
    assert pool.rest("POST", url, body).status_code == 501
    assert pool.rest("GET", f"{POOLS}/agents/providers/aws1").status_code == 404


def test_the_hierarchy_tells_number_id_and_parent(world: World) -> None:
    base = "https://cloudresourcemanager.googleapis.com"
    for name in ("acme-lab", "1234567890"):
        v1 = world.done("GET", f"{base}/v1/projects/{name}")
        assert (v1["projectId"], v1["projectNumber"]) == ("acme-lab", "1234567890")
        assert v1["parent"] == {"type": "organization", "id": "123456789012"}
        v3 = world.done("GET", f"{base}/v3/projects/{name}")
        assert (v3["name"], v3["parent"]) == ("projects/1234567890", "organizations/123456789012")
    assert world.rest("GET", f"{base}/v1/projects/nowhere").status_code == 403


def test_pools_and_accounts_come_in_pages(world: World) -> None:
    names = [f"pool-{number}" for number in range(3)]
    for name in names:
        world.done("POST", f"{POOLS}?workloadIdentityPoolId={name}", {})
        world.done("POST", ACCOUNTS, {"accountId": f"account-{name}"})
    for url, member in ((POOLS, "workloadIdentityPools"), (ACCOUNTS, "accounts")):
        first = world.done("GET", f"{url}?pageSize=2")
        rest = world.done("GET", f"{url}?pageSize=2&pageToken={first['nextPageToken']}")
        assert "nextPageToken" not in rest
        assert [len(first[member]), len(rest[member])] == [2, 1]
        assert len({one["name"] for one in first[member] + rest[member]}) == 3
        assert world.rest("GET", f"{url}?pageSize=x").status_code == 400
