"""The application without a socket: bodies of any shape, forks, and what it keeps."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.clouds.fetch import Fetched, FetchError
from iamrange.clouds.gcp.cloud import GcpCloud
from iamrange.core.clock import FixedClock
from iamrange.jose.gate import base64url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.core.decision import DecisionRecord

PROJECT = "/v1/projects/acme-lab"
POOLS = f"{PROJECT}/locations/global/workloadIdentityPools"
DENY = "/v2/policies/cloudresourcemanager.googleapis.com/projects/acme-lab/denypolicies"
AGENTS = "projects/1/locations/global/workloadIdentityPools/agents"
CREDENTIALS = "/v1/projects/-/serviceAccounts/planner@acme-lab.iam.gserviceaccount.com"


class NoIssuer:
    """A fetcher to which every host is unreachable."""

    async def fetch(self, url: str) -> Fetched:
        raise FetchError(url)


@dataclass
class Application:
    """A cloud with one of everything."""

    cloud: GcpCloud
    token: str
    records: list[DecisionRecord] = field(default_factory=list)

    def call(  # noqa: PLR0913 - each names one part
        self,
        method: str,
        path: str,
        body: object = None,
        query: str = "",
        *,
        raw: bytes | None = None,
        extra: Sequence[tuple[bytes, bytes]] = (),
    ) -> tuple[int, Any]:
        """Make one request and return its status and JSON."""
        content = raw if raw is not None else json.dumps(body or {}).encode()
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:  # noqa: ANN401 - any JSON value
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(b"authorization", f"Bearer {self.token}".encode()), *extra],
            "client": ("127.0.0.1", 1),
        }
        request = self.cloud(scope, receive, send)
        # nothing here waits for I/O, so that no event loop, and no socket, is needed
        with pytest.raises(StopIteration):
            request.send(None)
        return sent[0]["status"], json.loads(sent[1]["body"])


def _application() -> Application:
    records: list[DecisionRecord] = []
    cloud = GcpCloud(clock=FixedClock(1_800_000_000), records=records.append, fetcher=NoIssuer())
    made = Application(cloud, cloud.create_project("acme-lab", "1"), records)
    provider = {
        "attributeMapping": {"google.subject": "assertion.sub"},
        "oidc": {"issuerUri": "https://idp.agents.example"},
    }
    for path, body, query in (
        (POOLS, {}, "workloadIdentityPoolId=agents"),
        (f"{POOLS}/agents/providers", provider, "workloadIdentityPoolProviderId=idp1"),
        (f"{PROJECT}/serviceAccounts", {"accountId": "planner"}, ""),
        (f"{PROJECT}/secrets", {"replication": {"automatic": {}}}, "secretId=s"),
    ):
        status, answer = made.call("POST", path, body, query)
        assert status == 200, answer
    return made


@pytest.fixture(scope="module")
def application() -> Application:
    return _application()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["bindings", "role", "members", "condition", "expression", "denyRule", "rules",
             "values", "allowedValues", "replicas", "issuerUri", "google.subject", "etag", "data"]
        ),
        inner,
        max_size=3,
    ),
    max_leaves=6,
)  # fmt: skip
_NAMES = st.sampled_from(
    ["policy", "options", "permissions", "accountId", "serviceAccount", "updateMask", "oidc",
     "attributeMapping", "attributeCondition", "displayName", "payload", "replication", "labels",
     "role", "roleId", "rules", "spec", "name", "scope", "lifetime", "delegates", "audience",
     "disabled", "versionAliases", "ttl", "constraint"]
)  # fmt: skip
_PATHS = (
    ("POST", POOLS, "workloadIdentityPoolId=other"),
    ("PATCH", f"{POOLS}/agents", "updateMask=displayName,disabled"),
    ("POST", f"{POOLS}/agents/providers", "workloadIdentityPoolProviderId=other"),
    ("PATCH", f"{POOLS}/agents/providers/idp1", "updateMask=oidc.issuerUri,attributeMapping"),
    ("POST", f"{PROJECT}/serviceAccounts", ""),
    ("PATCH", f"{PROJECT}/serviceAccounts/planner@acme-lab.iam.gserviceaccount.com", ""),
    ("POST", f"{PROJECT}:setIamPolicy", ""),
    ("POST", f"{PROJECT}:getIamPolicy", ""),
    ("POST", f"{PROJECT}:testIamPermissions", ""),
    ("POST", f"{PROJECT}:setOrgPolicy", ""),
    ("POST", f"{PROJECT}/secrets", "secretId=other"),
    ("PATCH", f"{PROJECT}/secrets/s", "updateMask=labels,versionAliases,ttl"),
    ("POST", f"{PROJECT}/secrets/s:addVersion", ""),
    ("POST", f"{PROJECT}/secrets/s:setIamPolicy", ""),
    ("POST", f"{PROJECT}/roles", ""),
    ("POST", DENY, "policyId=some"),
    ("POST", "/v2/projects/acme-lab/policies", ""),
    ("POST", f"{CREDENTIALS}:generateAccessToken", ""),
    ("POST", f"{CREDENTIALS}:signJwt", ""),
    ("POST", f"{PROJECT}/serviceAccounts/planner@acme-lab.iam.gserviceaccount.com/keys:upload", ""),
    ("POST", f"{PROJECT}:getEffectiveOrgPolicy", ""),
    ("POST", f"{PROJECT}:listOrgPolicies", ""),
    ("POST", f"{PROJECT}/services:batchEnable", ""),
    ("GET", f"{PROJECT}/secrets", "filter=labels.a:b&pageSize=1"),
    ("POST", "/v1/token", ""),
    ("POST", "/token", ""),
)


@given(path=st.sampled_from(_PATHS), body=st.dictionaries(_NAMES, _VALUES, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_body_of_any_shape_gets_an_answer(
    application: Application, path: tuple[str, str, str], body: dict[str, object]
) -> None:
    status, answer = application.call(path[0], path[1], body, path[2])
    assert status in (200, 400, 403, 404, 409, 501)
    assert ("error" in answer) == (status != 200)


_CLAIMS = st.dictionaries(
    st.sampled_from(
        ["iss", "sub", "aud", "iat", "exp", "nbf", "jti", "azp", "scope", "target_audience", "x"]
    ),
    _VALUES | st.sampled_from(["https://idp.agents.example", 1_800_000_000, 1_800_000_240]),
)
_HEADER = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "cty", "crit", "b64", "jwk", "x5c"]),
    _VALUES | st.sampled_from(["RS256", "ES256", "none", "JWT"]),
)


@given(header=_HEADER, claims=_CLAIMS, signature=st.binary(max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_token_of_any_shape_is_refused_in_the_services_own_form(
    application: Application,
    header: dict[str, object],
    claims: dict[str, object],
    signature: bytes,
) -> None:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    token = ".".join(base64url(part) for part in parts)
    exchange = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": f"//iam.googleapis.com/{AGENTS}/providers/idp1",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": token,
    }
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": token}
    for path, form, errors in (
        ("/v1/token", exchange, {"invalid_grant", "invalid_request", "unauthorized_client"}),
        ("/token", grant, {"invalid_grant"}),
    ):
        status, answer = application.call("POST", path, raw=urlencode(form).encode())
        assert (status, answer["error"] in errors) == (400, True)
    assert token not in repr(application.records)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 5000,
        b'{"displayName": "\\ud800"}',
        b'{"displayName": "a", "displayName": "b"}',
        b'{"disabled": NaN}',
        b"\xff\xfe",
        b"[]",
        b"not json",
    ],
)
def test_a_body_that_is_no_plain_json_object_is_refused(
    application: Application, raw: bytes
) -> None:
    status, answer = application.call("POST", POOLS, query="workloadIdentityPoolId=other", raw=raw)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


@given(body=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_a_form_of_any_bytes_gets_an_oauth_answer(application: Application, body: bytes) -> None:
    for path in ("/v1/token", "/token"):
        status, answer = application.call("POST", path, raw=body)
        assert status == 400
        assert set(answer) == {"error", "error_description"}


def test_a_forked_cloud_answers_and_changes_alone() -> None:
    application = _application()
    condition = {"title": "c", "expression": "resource.name.extract('secrets/{n}') == 's'"}
    binding = {"role": "roles/secretmanager.viewer", "members": ["allUsers"]}
    policy = {"version": 3, "bindings": [{**binding, "role": "roles/viewer"}]}
    child = os.fork()
    if child == 0:
        conditional = {"version": 3, "bindings": [{"role": "roles/secretmanager.viewer",
                       "members": ["user:a@b.example"], "condition": condition}]}  # fmt: skip
        statuses = [
            application.call("POST", f"{PROJECT}/secrets/s:setIamPolicy", {"policy": p})[0]
            for p in (policy, conditional)
        ]
        statuses.append(application.call("GET", f"{PROJECT}/secrets/s")[0])
        os._exit(0 if statuses == [200, 200, 200] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    _, kept = application.call("GET", f"{PROJECT}/secrets/s:getIamPolicy")
    assert "bindings" not in kept


def test_a_request_has_an_id_of_its_own_that_no_client_chooses(application: Application) -> None:
    before = len(application.records)
    application.call("GET", f"{PROJECT}/secrets/s")
    application.call("GET", f"{PROJECT}/secrets/s")
    ids = [record.request_id for record in application.records[before:]]
    assert len(ids) == 4
    assert (ids[0], ids[2]) == (ids[1], ids[3])
    assert ids[0] != ids[2]


@pytest.mark.parametrize(("project", "number"), [("acme-lab", "2"), ("other", "1")])
def test_a_project_is_made_once(application: Application, project: str, number: str) -> None:
    with pytest.raises(ValueError, match="exists already"):
        application.cloud.create_project(project, number)


def test_two_credentials_in_one_request_are_none(application: Application) -> None:
    one = (b"authorization", f"Bearer {application.token}".encode())
    assert application.call("GET", f"{PROJECT}/secrets/s")[0] == 200
    status, answer = application.call("GET", f"{PROJECT}/secrets/s", extra=[one])
    assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")
