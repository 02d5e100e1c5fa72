"""Keys of service accounts: key files in unpatched google-auth, ID tokens, signing, and the ban."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.api_core import exceptions as api_exceptions
from google.auth import crypt, exceptions, impersonated_credentials, jwt
from google.auth.transport.requests import Request
from google.cloud import secretmanager_v1
from google.oauth2 import _client as google_client
from google.oauth2 import credentials as user_credentials
from google.oauth2 import id_token, service_account

World = Any  # conftest's: tests are no packages, so that it cannot be imported
Info = dict[str, Any]

IAM = "https://iam.googleapis.com/v1/projects/acme-lab"
SECRETS = "https://secretmanager.googleapis.com/v1/projects/acme-lab/secrets"
ACCOUNT = "planner@acme-lab.iam.gserviceaccount.com"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_ENDPOINT = "https://oauth2.googleapis.com/token"
NAME = "projects/acme-lab/secrets/canary/versions/1"


@pytest.fixture
def info(world: World) -> Info:
    """Make an account that may read one secret, and a key of it."""
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "planner"})
    world.done("POST", f"{SECRETS}?secretId=canary", {"replication": {"automatic": {}}})
    world.done("POST", f"{SECRETS}/canary:addVersion", {"payload": {"data": "bm9uY2U="}})
    member = f"serviceAccount:{ACCOUNT}"
    bindings = [{"role": "roles/secretmanager.secretAccessor", "members": [member]}]
    world.done("POST", f"{SECRETS}/canary:setIamPolicy", {"policy": {"bindings": bindings}})
    key = world.done("POST", f"{IAM}/serviceAccounts/{ACCOUNT}/keys", {})
    made: Info = json.loads(base64.b64decode(key["privateKeyData"]))
    return made


def _read(credentials: Any) -> bytes:  # noqa: ANN401 - any JSON value
    client = secretmanager_v1.SecretManagerServiceClient(credentials=credentials, transport="rest")
    data: bytes = client.access_secret_version(name=NAME).payload.data
    return data


def test_a_key_file_is_exchanged_for_an_access_token(world: World, info: Info) -> None:
    credentials = service_account.Credentials.from_service_account_info(
        info, scopes=[CLOUD_PLATFORM]
    )
    credentials.refresh(Request())
    assert credentials.token.startswith("ya29.")
    assert _read(user_credentials.Credentials(credentials.token)) == b"nonce"
    assert world.last("gcp.service-account-key").principal == f"serviceAccount:{ACCOUNT}"


@pytest.mark.parametrize("scopes", [None, [CLOUD_PLATFORM]], ids=["audience", "scope"])
def test_a_key_file_reads_the_secret_with_a_self_signed_token(
    world: World, info: Info, scopes: list[str] | None
) -> None:
    credentials = service_account.Credentials.from_service_account_info(info, scopes=scopes)
    assert _read(credentials) == b"nonce"
    assert [r for r in world.records if r.point == "gcp.service-account-key"] == []


def _self_signed(info: Info, **changes: object) -> str:
    now = int(time.time())
    claims = {
        "iss": ACCOUNT,
        "sub": ACCOUNT,
        "aud": "https://secretmanager.googleapis.com/",
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    signer = service_account.Credentials.from_service_account_info(info).signer
    kept = {name: value for name, value in claims.items() if value is not None}
    return str(jwt.encode(signer, kept).decode())


@pytest.mark.parametrize(
    ("changes", "reason", "status"),
    [
        ({"aud": "https://iam.googleapis.com/"}, "wrong-audience", 401),
        ({"aud": None}, "wrong-audience", 401),
        ({"aud": None, "scope": "openid"}, "insufficient-scope", 403),
        ({"aud": None, "scope": ""}, "insufficient-scope", 403),
        ({"aud": "https://elsewhere.example/", "scope": "  "}, "insufficient-scope", 403),
        ({"aud": None, "scope": [CLOUD_PLATFORM]}, "insufficient-scope", 403),
        ({"sub": "somebody@else.example"}, "subject-not-issuer", 401),
        ({"iss": "x@acme-lab.iam.gserviceaccount.com"}, "unknown-account", 401),
        ({"exp": int(time.time()) - 10}, "expired", 401),
        ({"exp": int(time.time()) + 7200}, "lifetime-too-long", 401),
    ],
)
def test_a_self_signed_token_with_one_fault_is_refused(
    world: World, info: Info, changes: Info, reason: str, status: int
) -> None:
    url = f"https://secretmanager.googleapis.com/v1/{NAME}:access"
    assert world.rest("GET", url, token=_self_signed(info)).status_code == 200
    assert world.rest("GET", url, token=_self_signed(info, **changes)).status_code == status
    assert world.last("gcp.authenticate").reason == reason


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", "keys/{key}:disable", 401),
        ("DELETE", "keys/{key}", 401),
        ("POST", ":disable", 401),
    ],
)
def test_a_key_that_was_taken_away_opens_nothing(
    world: World, info: Info, verb: str, path: str, status: int
) -> None:
    token = _self_signed(info)
    key = path.format(key=info["private_key_id"])
    base = f"{IAM}/serviceAccounts/{ACCOUNT}"
    world.done(verb, f"{base}{key}" if key.startswith(":") else f"{base}/{key}")
    url = f"https://secretmanager.googleapis.com/v1/{NAME}:access"
    assert world.rest("GET", url, token=token).status_code == status
    credentials = service_account.Credentials.from_service_account_info(
        info, scopes=[CLOUD_PLATFORM]
    )
    with pytest.raises(exceptions.RefreshError, match="invalid_grant"):
        credentials.refresh(Request())


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("ahead", [5, 60, 600])
def test_an_assertion_signed_by_a_clock_that_runs_ahead_is_refused(info: Info, ahead: int) -> None:
    now = int(time.time()) + ahead
    claims = {
        "iss": ACCOUNT,
        "aud": "https://oauth2.googleapis.com/token",
        "scope": CLOUD_PLATFORM,
        "iat": now,
        "exp": now + 3600,
    }
    signer = service_account.Credentials.from_service_account_info(info).signer
    with pytest.raises(exceptions.RefreshError, match="cannot exceed 3600 seconds"):
        _grant(jwt.encode(signer, claims))
    assert _grant(jwt.encode(signer, {**claims, "iat": now - ahead, "exp": now - ahead + 3300}))


def _grant(assertion: bytes) -> Any:  # noqa: ANN401 - any JSON value

    return google_client.jwt_grant(Request(), "https://oauth2.googleapis.com/token", assertion)


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"aud": "https://elsewhere.example"}, "invalid_grant"),
        ({"aud": [TOKEN_ENDPOINT]}, "invalid_grant"),
        ({"aud": {"a": 1}}, "invalid_grant"),
        ({"aud": 5}, "invalid_grant"),
        ({"iss": 5}, "invalid_grant"),
        ({"iat": "now"}, "invalid_grant"),
        ({"exp": [1]}, "invalid_grant"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": [CLOUD_PLATFORM]}, "invalid_scope"),
        ({"target_audience": 5}, "invalid_scope"),
    ],
)
def test_an_assertion_with_one_fault_is_refused(info: Info, changes: Info, error: str) -> None:
    token_endpoint = {"aud": TOKEN_ENDPOINT, "scope": CLOUD_PLATFORM}
    sent = {"grant_type": google_client._JWT_GRANT_TYPE}  # noqa: SLF001 - the constant's only home
    url = token_endpoint["aud"]
    good = _self_signed(info, **token_endpoint)
    assert requests.post(url, {**sent, "assertion": good}, timeout=10).status_code == 200
    bad = _self_signed(info, **token_endpoint | changes)
    answer = requests.post(url, {**sent, "assertion": bad}, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_an_assertion_that_is_given_twice_is_refused(info: Info) -> None:
    assertion = _self_signed(info, aud=TOKEN_ENDPOINT, scope="openid")
    form = [("grant_type", google_client._JWT_GRANT_TYPE)]  # noqa: SLF001 - the constant's only home
    answer = requests.post(TOKEN_ENDPOINT, [*form, *[("assertion", assertion)] * 2], timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_delegation_of_a_whole_domain_is_not_granted(info: Info) -> None:
    credentials = service_account.Credentials.from_service_account_info(
        info, scopes=[CLOUD_PLATFORM], subject="ceo@iamrange.example"
    )
    with pytest.raises(exceptions.RefreshError, match="unauthorized_client"):
        credentials.refresh(Request())


@pytest.mark.usefixtures("world")
def test_an_id_token_for_a_key_verifies_against_googles_certificates(info: Info) -> None:
    credentials = service_account.IDTokenCredentials.from_service_account_info(
        info, target_audience="https://service.iamrange.example"
    )
    credentials.refresh(Request())
    claims = id_token.verify_oauth2_token(
        credentials.token, Request(), audience="https://service.iamrange.example"
    )
    assert (claims["email"], claims["iss"]) == (ACCOUNT, "https://accounts.google.com")


def _as_creator(world: World) -> Any:  # noqa: ANN401 - any JSON value
    administrator = "user:administrator@acme-lab.iamrange.example"
    binding = {"role": "roles/iam.serviceAccountTokenCreator", "members": [administrator]}
    url = f"{IAM}/serviceAccounts/{ACCOUNT}:setIamPolicy"
    world.done("POST", url, {"policy": {"bindings": [binding]}})
    source = user_credentials.Credentials(world.token)
    return impersonated_credentials.Credentials(source, ACCOUNT, [CLOUD_PLATFORM], lifetime=600)


@pytest.mark.usefixtures("info")
def test_impersonated_credentials_read_sign_and_identify(world: World) -> None:
    credentials = _as_creator(world)
    assert _read(credentials) == b"nonce"
    signature = credentials.sign_bytes(b"data")
    certificates = world.done("GET", f"https://www.googleapis.com/robot/v1/metadata/x509/{ACCOUNT}")

    assert crypt.verify_signature(b"data", signature, list(certificates.values()))
    token = impersonated_credentials.IDTokenCredentials(
        credentials, target_audience="aud", include_email=True
    )
    token.refresh(Request())
    assert id_token.verify_oauth2_token(token.token, Request(), audience="aud")["email"] == ACCOUNT


@pytest.mark.usefixtures("info")
def test_an_administrator_of_the_project_may_not_impersonate_by_that_alone(world: World) -> None:
    url = (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{ACCOUNT}:generateAccessToken"
    )
    assert world.rest("POST", url, {"scope": [CLOUD_PLATFORM]}).status_code == 403


@pytest.mark.usefixtures("info")
def test_what_sign_jwt_signed_is_a_bearer_token_of_the_account(world: World) -> None:
    _as_creator(world)
    now = int(time.time())
    claims = {
        "iss": ACCOUNT,
        "sub": ACCOUNT,
        "aud": "https://secretmanager.googleapis.com/",
        "iat": now,
        "exp": now + 600,
    }
    url = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:signJwt"
    signed = world.done("POST", url, {"payload": json.dumps(claims)})["signedJwt"]
    secret = f"https://secretmanager.googleapis.com/v1/{NAME}:access"
    assert world.rest("GET", secret, token=signed).status_code == 200
    late = {**claims, "exp": now + 50_000}
    assert world.rest("POST", url, {"payload": json.dumps(late)}).status_code == 400


def test_delegation_goes_link_by_link(world: World, info: Info) -> None:
    del info
    world.done("POST", f"{IAM}/serviceAccounts", {"accountId": "middle"})
    middle = "middle@acme-lab.iam.gserviceaccount.com"
    administrator = "user:administrator@acme-lab.iamrange.example"
    role = "roles/iam.serviceAccountTokenCreator"
    url = (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        f"{ACCOUNT}:generateAccessToken"
    )
    body = {
        "scope": [CLOUD_PLATFORM],
        "delegates": [f"projects/-/serviceAccounts/{middle}"],
    }
    for account, member in ((ACCOUNT, f"serviceAccount:{middle}"), (middle, administrator)):
        assert world.rest("POST", url, body).status_code == 403
        policy = {"bindings": [{"role": role, "members": [member]}]}
        world.done("POST", f"{IAM}/serviceAccounts/{account}:setIamPolicy", {"policy": policy})
    assert world.rest("POST", url, body).status_code == 200
    assert world.rest("POST", url, {"scope": [CLOUD_PLATFORM]}).status_code == 403


@pytest.mark.parametrize("owner", ["projects/acme-lab", "organizations/123456789012"])
@pytest.mark.parametrize(
    "constraint",
    ["iam.disableServiceAccountKeyCreation", "iam.managed.disableServiceAccountKeyCreation"],
)
@pytest.mark.usefixtures("info")
def test_no_key_is_made_where_the_organisation_forbids_it(
    world: World, owner: str, constraint: str
) -> None:
    world.done(
        "POST",
        f"https://orgpolicy.googleapis.com/v2/{owner}/policies",
        {"name": f"{owner}/policies/{constraint}", "spec": {"rules": [{"enforce": True}]}},
    )
    refused = world.rest("POST", f"{IAM}/serviceAccounts/{ACCOUNT}/keys", {})
    error = refused.json()["error"]
    assert (refused.status_code, error["status"]) == (400, "FAILED_PRECONDITION")
    assert error["details"][0]["violations"][0]["type"] == f"constraints/{constraint}"
    record = world.last("gcp.organization-policy")
    assert [layer.layer for layer in record.layers] == [f"constraints/{constraint}"]
    assert record.layers[0].decided_by.policy == f"{owner}/policies/{constraint}"


def _set_key_expiry(world: World, owner: str, hours: str) -> Any:  # noqa: ANN401 - a response
    name = f"{owner}/policies/iam.serviceAccountKeyExpiryHours"
    rules = [{"values": {"allowedValues": [hours]}}]
    url = f"https://orgpolicy.googleapis.com/v2/{owner}/policies"
    return world.rest("POST", url, {"name": name, "spec": {"rules": rules}})


@pytest.mark.parametrize("owner", ["projects/acme-lab", "organizations/123456789012"])
def test_a_key_expires_when_the_organisation_says_so(world: World, info: Info, owner: str) -> None:
    assert _set_key_expiry(world, owner, "8h").status_code == 200
    key = world.done("POST", f"{IAM}/serviceAccounts/{ACCOUNT}/keys", {})
    bounded = json.loads(base64.b64decode(key["privateKeyData"]))
    life = datetime.fromisoformat(key["validBeforeTime"]) - datetime.fromisoformat(
        key["validAfterTime"]
    )
    assert life.total_seconds() == 8 * 3600
    for made, answers in ((bounded, [200, 401]), (info, [200, 200])):
        assert [_statuses(world, made, offset) for offset in (0, 8 * 3600 + 1)] == answers
    world.clock.offset = 8 * 3600 + 1
    assertion = _self_signed(bounded, aud=TOKEN_ENDPOINT, scope=CLOUD_PLATFORM)
    with pytest.raises(exceptions.RefreshError, match="invalid_grant"):
        _grant(assertion.encode())
    assert world.last("gcp.service-account-key").reason == "key-expired"


def _statuses(world: World, made: Info, offset: float) -> int:
    world.clock.offset = offset
    url = f"https://secretmanager.googleapis.com/v1/{NAME}:access"
    return int(world.rest("GET", url, token=_self_signed(made)).status_code)


@pytest.mark.parametrize("hours", ["2h", "8", "0h", "in:8h"])
def test_a_key_expiry_that_does_not_exist_is_refused(world: World, hours: str) -> None:
    assert _set_key_expiry(world, "projects/acme-lab", hours).status_code == 400


def _certificate(key: Any, days: float) -> bytes:  # noqa: ANN401 - a private key of any kind
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "planner")])
    start = datetime.now(UTC) - timedelta(days=2)
    return bytes(
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=2 + days))
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )


def _upload(world: World, pem: bytes) -> Any:  # noqa: ANN401 - a response
    body = {"publicKeyData": base64.b64encode(pem).decode()}
    return world.rest("POST", f"{IAM}/serviceAccounts/{ACCOUNT}/keys:upload", body)


@pytest.mark.parametrize(("days", "status"), [(1, 200), (-1, 401)])
def test_an_uploaded_key_works_while_its_certificate_is_valid(
    world: World, info: Info, days: int, status: int
) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = _upload(world, _certificate(private, days)).json()
    assert (key["keyOrigin"], key["keyType"]) == ("USER_PROVIDED", "USER_MANAGED")
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    own = {**info, "private_key": pem, "private_key_id": key["name"].rpartition("/")[2]}
    assert _statuses(world, own, 0) == status


def test_what_is_no_certificate_of_a_good_key_is_not_taken(world: World, info: Info) -> None:
    del info
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - what is refused
    curve = ec.generate_private_key(ec.SECP256R1())
    for pem in (b"", b"junk", _certificate(short, 1), _certificate(curve, 1)):
        assert _upload(world, pem).status_code == 400


@pytest.mark.parametrize(
    "constraint",
    ["iam.disableServiceAccountKeyUpload", "iam.managed.disableServiceAccountKeyUpload"],
)
def test_no_key_is_uploaded_where_the_organisation_forbids_it(
    world: World, info: Info, constraint: str
) -> None:
    del info
    owner = "organizations/123456789012"
    policy = {"name": f"{owner}/policies/{constraint}", "spec": {"rules": [{"enforce": True}]}}
    world.done("POST", f"https://orgpolicy.googleapis.com/v2/{owner}/policies", policy)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    answer = _upload(world, _certificate(private, 1))
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")
    assert world.done("POST", f"{IAM}/serviceAccounts/{ACCOUNT}/keys", {})


def test_a_client_sees_a_refusal_as_forbidden(world: World, info: Info) -> None:
    world.done("POST", f"{SECRETS}/canary:setIamPolicy", {"policy": {"bindings": []}})
    credentials = service_account.Credentials.from_service_account_info(info)
    with pytest.raises(api_exceptions.Forbidden):
        _read(credentials)
