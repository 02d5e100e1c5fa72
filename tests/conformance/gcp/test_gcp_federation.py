"""Workload identity federation at the real endpoints, through unpatched google-auth.

The facts are in ../data/gcp_federation.json: the G rows of oracle/wif-cases.jsonl and neighbours
of each kind. A refusal is asserted by its code on the wire *and* by the layer that gave it.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth import exceptions, identity_pool
from google.auth.transport.requests import Request
from google.oauth2 import sts

from iamrange.core.decision import Effect, LayerAnswer
from iamrange.jose import SigningKey

World = Any  # conftest's: tests are no packages, so that it cannot be imported
Case = dict[str, Any]

TABLES = json.loads(
    (Path(__file__).parent.parent / "data" / "gcp_federation.json").read_text("utf-8")
)
IAM = "https://iam.googleapis.com/v1/projects/acme-lab"
POOLS = f"{IAM}/locations/global/workloadIdentityPools"
ISSUER = "https://idp.agents.example"
POOL = "projects/1234567890/locations/global/workloadIdentityPools/agents"
PROVIDER = f"{POOL}/providers/idp"
ACCOUNT = "planner@acme-lab.iam.gserviceaccount.com"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
OTHER_KEY = SigningKey.generate("RS256")


def _ids(table: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in TABLES[table]]


def _named(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_named(item) for item in value]
    return value.replace("R", PROVIDER) if isinstance(value, str) else value


def _document(world: World, provider: Case) -> Case:
    oidc: Case = {"issuerUri": provider.get("issuer", ISSUER)}
    if provider.get("allowed_audiences"):
        oidc["allowedAudiences"] = provider["allowed_audiences"]
    if "jwks_fields" in provider:
        jwk = {**world.issuer.key.public_jwk(), "x5c": ["MIIB"], "x5t": "AAAA"}
        chosen = {name: jwk[name] for name in provider["jwks_fields"]}
        oidc["jwksJson"] = json.dumps({"keys": [chosen]})
    if "jwks" in provider:
        oidc["jwksJson"] = json.dumps({"keys": provider["jwks"]})
    oidc |= provider.get("oidc", {})
    return {
        "attributeMapping": provider.get("mapping", {"google.subject": "assertion.sub"}),
        "attributeCondition": provider.get("condition", ""),
        "displayName": provider.get("display_name", ""),
        "disabled": provider.get("disabled", False),
        "oidc": oidc,
    }


def _make_provider(world: World, provider: Case, pool: Case | None = None) -> None:
    world.done("POST", f"{POOLS}?workloadIdentityPoolId=agents", pool or {})
    url = f"{POOLS}/agents/providers?workloadIdentityPoolProviderId=idp"
    world.done("POST", url, _document(world, provider))


def _claims(case: Case) -> Case:
    now = int(time.time())
    given = dict(case.get("claims", {}))
    if size := given.pop("sub_bytes", None):
        given["sub"] = "repo:acme/agent-runner:ref:refs/heads/".ljust(size, "x")
    for name in ("iat", "exp", "nbf"):
        if isinstance(given.get(name), int):
            given[name] += now
    claims = {
        "iss": ISSUER,
        "sub": "agent:planner",
        "aud": f"https://iam.googleapis.com/{PROVIDER}",
        "iat": now - 60,
        "exp": now + 240,
    }
    if "aud" in given:
        given["aud"] = _named(given["aud"])
    return {name: value for name, value in (claims | given).items() if value is not None}


def _subject_token(world: World, case: Case) -> str:
    claims = _claims(case)
    how = case.get("sign")
    if how == "none":
        parts = ({"alg": "none", "typ": "JWT"}, claims)
        encoded = [
            base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts
        ]
        return ".".join([*encoded, ""])
    key = world.issuer.key
    if how == "other":
        return str(OTHER_KEY.sign(claims))
    if how == "other-same-kid":
        return str(OTHER_KEY.sign(claims, header={"kid": key.kid}))
    return str(key.sign(claims))


def _exchange(world: World, case: Case) -> Case:
    request = case.get("request", {})
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": f"//iam.googleapis.com/{PROVIDER}",
        "scope": CLOUD_PLATFORM,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        **{k: _named(v) if k == "audience" else v for k, v in request.items()},
    }
    client = sts.Client("https://sts.googleapis.com/v1/token")
    if "options" in form or form["scope"] is None:
        # google-auth builds these itself; a raw form says exactly what is sent
        body = {**form, "subject_token": _subject_token(world, case)}
        answer = requests.post(
            "https://sts.googleapis.com/v1/token",
            data={k: v for k, v in body.items() if v is not None},
            timeout=10,
        )
        if answer.status_code != 200:
            error = answer.json()
            text = f"Error code {error['error']}: {error['error_description']}"
            raise exceptions.OAuthError(text, answer.text)
        document: Case = answer.json()
        return document
    exchanged: Case = client.exchange_token(
        Request(),
        form["grant_type"],
        _subject_token(world, case),
        form["subject_token_type"],
        audience=form["audience"],
        scopes=form["scope"].split(),
        requested_token_type=form["requested_token_type"],
    )
    return exchanged


@pytest.mark.parametrize("case", _ids("exchange"))
def test_the_exchange_answers_as_the_service_was_seen_to(world: World, case: Case) -> None:
    _make_provider(world, case.get("provider", {}), case.get("pool"))
    if case.get("after") == "delete-provider":
        world.done("DELETE", f"{POOLS}/agents/providers/idp")
    if case.get("after") == "delete-pool":
        world.done("DELETE", f"{POOLS}/agents")
    if case.get("jwks") == "unreachable":
        world.issuer.down.add(ISSUER)
    expect = case["expect"]
    if expect.get("allow"):
        answer = _exchange(world, case)
        assert answer["expires_in"] <= expect.get("max_expires_in", 3600)
        assert answer["token_type"] == "Bearer"
        assert world.last("gcp.sts").outcome == "allow"
        return
    with pytest.raises(exceptions.OAuthError, match=expect.get("match")) as refused:
        _exchange(world, case)
    assert refused.value.args[0].startswith(f"Error code {expect['error']}:")
    refusing = [layer.layer for layer in world.last("gcp.sts").layers if layer.refuses]
    assert refusing[0] == expect["layer"]


def _member(text: str) -> str:
    kind, separator, rest = text.partition(":")
    return f"{kind}://iam.googleapis.com/{POOL}/{rest}" if separator else text


def _bind(world: World, members: list[str]) -> None:
    binding = {"role": "roles/iam.workloadIdentityUser", "members": members}
    policy = {"bindings": [binding] if members else []}
    world.done("POST", f"{IAM}/serviceAccounts/{ACCOUNT}:setIamPolicy", {"policy": policy})


@pytest.mark.parametrize("case", _ids("impersonation"))
def test_impersonation_answers_as_the_service_was_seen_to(world: World, case: Case) -> None:
    mapping = {"google.subject": "assertion.sub", **case.get("mapping", {})}
    _make_provider(world, {"mapping": mapping})
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "planner"})
    _bind(world, [_member(text) for text in case["bindings"]])
    if case.get("extend"):
        name = "projects/1234567890/policies/iam.allowServiceAccountCredentialLifetimeExtension"
        rules = [{"values": {"allowedValues": [ACCOUNT]}}]
        url = "https://orgpolicy.googleapis.com/v2/projects/1234567890/policies"
        world.done("POST", url, {"name": name, "spec": {"rules": rules}})
    token = _exchange(world, case)["access_token"]
    body = {"scope": [CLOUD_PLATFORM], "lifetime": case.get("lifetime", "3600s")}
    if "scope" in case:
        body["scope"] = case["scope"]
    url = (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{ACCOUNT}:generateAccessToken"
    )
    answer = world.rest("POST", url, body, token=token)
    expect = case["expect"]
    if expect.get("allow"):
        assert answer.status_code == 200, answer.text
        return
    assert answer.status_code == expect["status"], answer.text
    assert expect.get("match", "") in answer.json()["error"]["message"]
    if expect["status"] == 403:
        error = answer.json()["error"]
        assert error["status"] == "PERMISSION_DENIED"
        assert error["details"][0]["reason"] == "IAM_PERMISSION_DENIED"
        assert error["details"][0]["metadata"]["permission"] == "iam.serviceAccounts.getAccessToken"


@pytest.mark.parametrize("case", _ids("create"))
def test_creation_of_a_provider_is_checked_as_the_service_checks_it(
    world: World, case: Case
) -> None:
    world.done("POST", f"{POOLS}?workloadIdentityPoolId=agents", {})
    provider_id = case.get("provider_id", "made")
    url = f"{POOLS}/agents/providers?workloadIdentityPoolProviderId={provider_id}"
    answer = world.rest("POST", url, _document(world, case["provider"]))
    assert answer.status_code == case["expect"]["status"], answer.text
    assert case["expect"].get("match", "") in answer.text
    known = world.rest("GET", f"{POOLS}/agents/providers/{provider_id}").status_code
    assert known == (200 if answer.status_code == 200 else 404)


def test_a_token_is_exchanged_under_an_uploaded_key_without_any_fetch(world: World) -> None:
    _make_provider(world, {"jwks_fields": ["kty", "kid", "n", "e"]})
    assert _exchange(world, {})["access_token"]
    assert world.issuer.fetched == []


def test_a_federated_token_dies_with_its_subject_token(world: World) -> None:
    _make_provider(world, {})
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "planner"})
    _bind(world, [_member("principal:subject/agent:planner")])
    token = _exchange(world, {"claims": {"iat": 0, "exp": 300}})["access_token"]
    url = f"{IAM}/serviceAccounts/{ACCOUNT}"
    assert world.rest("GET", url, token=token).status_code == 200
    world.clock.offset = 301
    answer = world.rest("GET", url, token=token)
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert world.last("gcp.authenticate").reason == "expired"


@pytest.mark.parametrize(
    ("where", "status"), [("providers/idp", 200), ("", 401)], ids=["provider", "pool"]
)
def test_disabling_ends_live_tokens_only_when_it_is_the_pool(
    world: World, where: str, status: int
) -> None:
    _make_provider(world, {})
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "planner"})
    _bind(world, [_member("principal:subject/agent:planner")])
    token = _exchange(world, {})["access_token"]
    target = f"{POOLS}/agents/{where}".rstrip("/")
    world.done("PATCH", f"{target}?updateMask=disabled", {"disabled": True})
    answer = world.rest("GET", f"{IAM}/serviceAccounts/{ACCOUNT}", token=token)
    assert answer.status_code == status


def test_a_federated_token_is_refused_by_an_api_that_takes_none(world: World) -> None:
    _make_provider(world, {})
    token = _exchange(world, {})["access_token"]
    for url in (
        "https://openidconnect.googleapis.com/v1/userinfo",
        "https://www.googleapis.com/oauth2/v3/userinfo",
        "https://drive.googleapis.com/v3/files",
    ):
        answer = world.rest("GET", url, token=token)
        assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def _credentials(source: Case) -> Any:  # noqa: ANN401 - any JSON value
    return identity_pool.Credentials.from_info(
        {
            "type": "external_account",
            "audience": f"//iam.googleapis.com/{PROVIDER}",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": source,
        },
        scopes=[CLOUD_PLATFORM],
    )


def test_a_missing_token_file_fails_before_any_request(world: World, tmp_path: Path) -> None:
    with pytest.raises(exceptions.RefreshError):
        _credentials({"file": str(tmp_path / "missing")}).refresh(Request())
    assert world.records == []


def test_a_token_url_that_refuses_fails_before_the_exchange(world: World) -> None:
    source = {"url": "https://idp.googleapis.com/no-such-token"}
    with pytest.raises(exceptions.RefreshError, match="Unable to retrieve Identity Pool subject"):
        _credentials(source).refresh(Request())
    assert [r for r in world.records if r.point == "gcp.sts"] == []


@pytest.mark.parametrize(
    ("sign", "layers"),
    [
        ("other-same-kid", ["signature"]),
        ("other", ["keys", "signature"]),
        ("none", ["token", "signature", "keys"]),
    ],
)
def test_a_cloud_that_skips_signatures_really_lets_a_forged_token_through(
    world: World, sign: str, layers: list[str]
) -> None:
    _make_provider(world, {})
    with pytest.raises(exceptions.OAuthError):
        _exchange(world, {"sign": sign})
    for layer in layers:
        world.rogue["gcp.sts", layer] = LayerAnswer(layer, Effect.ALLOW, "skipped")
    assert _exchange(world, {"sign": sign})["access_token"]
    assert world.last("gcp.sts").principal.endswith("/subject/agent:planner")


def test_a_cloud_that_ignores_its_condition_lets_that_token_through_and_no_other(
    world: World,
) -> None:
    _make_provider(world, {"condition": "assertion.org == 'acme'"})
    world.rogue["gcp.sts", "attribute-condition"] = LayerAnswer(
        "attribute-condition", Effect.ALLOW, "skipped"
    )
    assert _exchange(world, {})["access_token"]
    with pytest.raises(exceptions.OAuthError, match="expected audience"):
        _exchange(world, {"claims": {"aud": "elsewhere"}})


def test_every_record_of_a_refused_exchange_answers_all_layers(world: World) -> None:
    _make_provider(world, {"condition": "assertion.org == 'acme'"})
    with pytest.raises(exceptions.OAuthError):
        _exchange(world, {"claims": {"aud": "elsewhere", "iat": -900, "exp": -600}})
    record = world.last("gcp.sts")
    assert [layer.layer for layer in record.layers] == [
        "request", "provider", "token", "issuer", "audience", "keys", "signature", "time",
        "mapping", "attribute-condition",
    ]  # fmt: skip
    assert [layer.layer for layer in record.layers if layer.refuses] == [
        "audience", "time", "attribute-condition",
    ]  # fmt: skip
    assert record.layers[-1].decided_by.condition_keys == ("assertion.org",)
    assert replace(record, layers=()).reason == "audience-mismatch"


def test_the_default_world_is_valid_and_the_tables_are_not_empty() -> None:
    assert all(len(TABLES[name]) > 10 for name in ("exchange", "impersonation", "create"))
