"""The REST API: its document, its operations, and whatever anybody throws at it."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.responses import JSONResponse, PlainTextResponse, Response

from iamrange.core.clock import FixedClock
from iamrange.identity.directory import AgentSpec, Directory, DirectoryKey
from iamrange.identity.directory.api import DirectoryApi
from iamrange.identity.directory.bulk import BULK_ACTIONS
from iamrange.identity.directory.openapi import document
from iamrange.identity.directory.operations import OPERATIONS, READ, WRITE, Operation
from tests.conformance.directory.asgi_client import AsgiClient
from tests.conformance.directory.lab import NOW, agent_of, new_jwk, spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send


class Doorkeeper:
    """Lets everybody in who names the scope that is needed, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, request: Request, scope: str) -> str | Response:
        self.asked.append(scope)
        if scope not in request.headers.get("x-test-scopes", f"{READ} {WRITE}").split():
            return PlainTextResponse("no", 403)
        return "api-tester"


@pytest.fixture
def keeper() -> Doorkeeper:
    return Doorkeeper()


@pytest.fixture
def client(directory: Directory, keeper: Doorkeeper) -> AsgiClient:
    return AsgiClient(DirectoryApi(directory, guard=keeper))


def registration(name: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    return {
        "name": name,
        "owner": "team-a",
        "scopes": ["read:database"],
        "keys": [new_jwk()],
        **fields,
    }


def test_the_life_of_an_agent_over_http(client: AsgiClient) -> None:
    asked = registration("walker", activate=True, secret_hash="scrypt$c2FsdHNhbHQ$aGFzaA")
    made = client.post("/agents", json=asked)
    assert made.status_code == 200, made.text
    agent = made.json()
    assert agent["id"] == agent["client_id"] == "spiffe://iamrange.example/agent/walker"
    assert (agent["state"], agent["version"]) == ("active", 1)
    assert "scrypt" not in made.text
    assert client.post("/agents", json=asked).json() == agent
    kid = agent["keys"][0]["kid"]
    steps: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("rotate", {"jwk": new_jwk(), "overlap": 60, "expected_version": 1}, {"version": 2}),
        ("withdraw", {"kid": kid}, {"version": 3}),
        ("recertify", {"expires": NOW + 60}, {"expires": NOW + 60}),
        ("revoke", {}, {"epoch": 1}),
        ("quarantine", {}, {"state": "quarantined", "epoch": 2}),
        ("release", {}, {"state": "active"}),
        ("activate", {}, {"state": "active"}),
        ("retire", {}, {"state": "retired", "keys": []}),
    ]
    answer = made
    for action, body, expected in steps:
        answer = client.post(f"/agents/walker/{action}", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json().items() >= expected.items()
    assert client.get("/agents/walker").json() == answer.json()
    assert client.get("/head").json()["version"] == 8
    told = client.get("/events", params={"after": 6}).json()["events"]
    assert [(e["version"], e["actor"], e["action"]) for e in told] == [
        (7, "api-tester", "release"),
        (8, "api-tester", "retire"),
    ]


def test_a_person_is_another_than_the_agent_of_the_same_name(client: AsgiClient) -> None:
    agent = client.post("/agents", json=registration("kim")).json()
    person = client.post("/agents", json=registration("kim", kind="person", roles=["manager"]))
    assert person.json()["id"] == "spiffe://iamrange.example/person/kim"
    assert person.json()["roles"] == ["manager"]
    assert client.post("/agents/kim/activate?kind=person", json={}).json()["state"] == "active"
    assert client.get("/agents/kim").json() == agent
    assert client.post("/agents/kim/activate?kind=robot", json={}).status_code == 400


def test_of_two_rotations_over_http_at_once_one_wins(client: AsgiClient) -> None:
    client.post("/agents", json=registration("raced", activate=True))
    first = {"jwk": new_jwk(), "overlap": 60}
    answers = [
        client.post("/agents/raced/rotate", json=body)
        for body in (first, {"jwk": new_jwk(), "overlap": 60}, first)
    ]
    assert [answer.status_code for answer in answers] == [200, 409, 200]
    assert answers[2].json() == answers[0].json()  # the same again is no second rotation
    knowing = {"jwk": new_jwk(), "overlap": 60, "expected_version": answers[0].json()["version"]}
    assert client.post("/agents/raced/rotate", json=knowing).status_code == 200


NARROWING: list[tuple[dict[str, Any], bool]] = [
    ({"scopes": ["read:database"]}, True),
    ({"scopes": ["read:database", "read:hr"]}, True),
    ({"scopes": ["read:database", "read:hr", "write:logs"]}, False),
    ({"resources": ["https://logs.iamrange.example"]}, True),
    ({"resources": None}, False),
    ({"classification": "public"}, True),
    ({"classification": "restricted"}, False),
    ({"may_act": []}, True),
    ({"audiences": []}, True),
    ({"certificates": []}, True),
    ({"tls_subject": False}, True),
    ({"roles": []}, True),
    ({"roles": ["data-analyst", "reader"]}, False),
    ({"secret_hash": None}, True),
    ({"owner": "team-b", "project": "", "purpose": "other"}, False),
    ({"aws_role_arn": None, "aws_session_policy": None}, False),
]


@pytest.mark.parametrize(("body", "kills"), NARROWING, ids=lambda value: str(value)[:60])
def test_an_update_changes_what_it_names_and_kills_tokens_when_it_narrows(
    directory: Directory, client: AsgiClient, body: dict[str, Any], *, kills: bool
) -> None:
    whole = spec(
        "updated",
        resources=frozenset({"https://hr.iamrange.example", "https://logs.iamrange.example"}),
        may_act=frozenset({"spiffe://iamrange.example/agent/other"}),
        roles=frozenset({"data-analyst"}),
        audiences=frozenset({"sts.amazonaws.com"}),
        certificates=("A" * 43,),
        tls_subject=True,
        secret_hash="scrypt$c2FsdHNhbHQ$aGFzaA",
        aws_role_arn="arn:aws:iam::123456789012:role/reader",
        aws_session_policy="{}",
    )
    before = agent_of(directory.register(whole, actor="tester"))
    answer = client.request("PATCH", "/agents/updated", json={**body, "expected_version": 1})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert all(told[name] == value for name, value in body.items() if name != "secret_hash")
    assert (told["epoch"], told["version"]) == (int(kills), 2)
    assert "scrypt" not in answer.text
    after = agent_of(directory.get("updated"))
    unnamed = {each.name for each in fields(AgentSpec)} - body.keys()
    assert {name: getattr(after, name) for name in unnamed} == {
        name: getattr(before, name) for name in unnamed
    }
    assert (after.secret_hash is None) == ("secret_hash" in body)
    # the same once more is no change, and kills nothing
    assert client.request("PATCH", "/agents/updated", json=body).json() == told
    [*_, event] = directory.events()
    assert (event.version, event.action, event.detail) == (2, "update", " ".join(sorted(body)))


def test_an_update_gives_back_no_token_that_a_narrower_one_has_killed(
    directory: Directory, client: AsgiClient
) -> None:
    agent_of(directory.register(spec("updated"), actor="tester"))
    for scopes in (["read:database"], ["read:database", "write:logs"]):
        answer = client.request("PATCH", "/agents/updated", json={"scopes": scopes})
        assert (answer.json()["scopes"], answer.json()["epoch"]) == (scopes, 1)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/agents/nobody", None, 404, "unknown-agent"),
        ("GET", "/agents/there?tenant=other", None, 404, "unknown-agent"),
        ("GET", "/agents/there?tenant=..", None, 400, "malformed"),
        ("GET", "/agents?limit=0", None, 400, "malformed"),
        ("GET", "/agents?limit=1&limit=1", None, 400, "malformed"),
        ("GET", "/agents?after=99999999999999999999", None, 400, "malformed"),
        ("GET", "/agents?after=-1", None, 400, "malformed"),
        ("GET", "/agents?other=1", None, 400, "malformed"),
        ("GET", "/agents?state=dead", None, 400, "malformed"),
        ("GET", "/agents?expired=yes", None, 400, "malformed"),
        ("POST", "/agents", {"name": "x"}, 400, "malformed"),
        ("POST", "/agents", [], 400, "malformed"),
        ("POST", "/agents", {"name": "x", "owner": "o", "epoch": 5}, 400, "malformed"),
        ("POST", "/agents", {"name": "x", "owner": "o\u202e"}, 400, "malformed"),
        ("POST", "/agents", {"name": "there", "owner": "other"}, 409, "name-taken"),
        ("POST", "/agents/nobody/revoke", {}, 404, "unknown-agent"),
        ("POST", "/agents/there/revoke", {"expected_version": 9}, 409, "conflict"),
        ("POST", "/agents/there/withdraw", {"kid": "A" * 43}, 404, "no-such-key"),
        ("POST", "/agents/there/recertify", {"expires": 1}, 400, "bad-expiry"),
        ("POST", "/agents/there/explode", {}, 404, "not-found"),
        ("DELETE", "/agents/there", None, 405, "not-found"),
        ("PATCH", "/agents/nobody", {"owner": "o"}, 404, "unknown-agent"),
        ("PATCH", "/agents/there?tenant=other", {"owner": "o"}, 404, "unknown-agent"),
        ("PATCH", "/agents/there", {"owner": "o", "expected_version": 9}, 409, "conflict"),
        ("PATCH", "/agents/there", {"owner": " o"}, 400, "bad-field"),
        ("PATCH", "/agents/there", {"aws_session_policy": "[]"}, 400, "bad-field"),
        ("PATCH", "/agents/there", {"owner": None}, 400, "malformed"),
        ("PATCH", "/agents/there", {"scopes": ["*"]}, 400, "malformed"),
        ("PATCH", "/agents/there", {"scopes": ["a:b", "a:b"]}, 400, "malformed"),
        ("PATCH", "/agents/there", {"name": "other"}, 400, "malformed"),
        ("PATCH", "/agents/there", {"tenant": "other"}, 400, "malformed"),
        ("PATCH", "/agents/there", {"state": "active"}, 400, "malformed"),
        ("PATCH", "/agents/there", {"epoch": 0}, 400, "malformed"),
        ("PATCH", "/agents/there", {"keys": []}, 400, "malformed"),
        ("PATCH", "/agents/there", {"expires": None}, 400, "malformed"),
        ("PATCH", "/agents/there", [], 400, "malformed"),
        ("GET", "/", None, 404, "not-found"),
    ],
)
def test_a_request_is_refused(  # noqa: PLR0913, PLR0917 - a table's columns
    directory: Directory,
    client: AsgiClient,
    method: str,
    path: str,
    body: object,
    status: int,
    error: str,
) -> None:
    agent_of(directory.register(spec("there"), actor="tester"))
    answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert directory.head().version == 1


def test_a_private_key_is_refused_and_never_shown(client: AsgiClient) -> None:
    secret = {**new_jwk(), "d": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"}
    for path, body in (
        ("/agents", registration("leaky", keys=[secret])),
        ("/agents/leaky/rotate", {"jwk": secret, "overlap": 0}),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code == 400
        assert "c2Vj" not in answer.text
    answer = client.post(
        "/agents:bulk", content=json.dumps({"register": registration("leaky", keys=[secret])})
    )
    assert answer.json()["refused"] == 1
    assert "c2Vj" not in answer.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"name":"a","name":"b","owner":"o"}',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"name":"a","owner":"\\ud800"}',
        b'{"name":"a","owner":"o","expires":1e999}',
        b'{"name":"a","owner":"o","expires":NaN}',
        b'{"name":"a","owner":"' + b"x" * 70_000 + b'"}',
        b'{"name":"a","owner":"o","expires":' + b"9" * 4000 + b"}",
        b'{"name":{},"owner":[]}',
        b"null",
    ],
    ids=lambda content: f"{content[:20]!r}..{content[-9:]!r}",
)
@pytest.mark.parametrize("path", ["/agents", "/agents/a", "/agents/a/rotate", "/agents:bulk"])
def test_a_hostile_body_is_no_500(client: AsgiClient, path: str, content: bytes) -> None:
    method = "PATCH" if path == "/agents/a" else "POST"
    answer = client.request(method, path, content=content)
    if path == "/agents:bulk" and answer.status_code == 200:
        assert answer.json()["changed"] == 0
    else:
        assert answer.status_code == 400, answer.text


def test_bulk_lines_stand_each_by_itself_and_keep_their_order(
    directory: Directory, client: AsgiClient
) -> None:
    lines: list[Any] = [
        *({"register": registration(f"many-{n}", activate=True)} for n in range(50)),
        {"rotate": {"name": "many-1", "jwk": new_jwk(), "overlap": 10}},
        {"rotate": {"name": "nobody", "jwk": new_jwk(), "overlap": 10}},
        "nonsense",
        {"revoke": "many-2"},
        {"revoke": "many-2"},
        {"quarantine": "many-3"},
        {"release": "many-3"},
        {"retire": "many-4"},
        {"activate": "many-4"},
    ]
    answer = client.post("/agents:bulk", content="\n".join(map(json.dumps, lines)))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["changed"], told["refused"], told["position"]) == (56, 3, 59)
    assert {(r["agent"], r["error"]) for r in told["refusals"]} == {
        ("nobody", "unknown-agent"),
        ("line 53", "malformed"),
        ("spiffe://iamrange.example/agent/many-4", "retired"),
    }
    assert agent_of(directory.get("many-2")).epoch == 2
    assert agent_of(directory.get("many-3")).state.value == "active"
    again = client.post("/agents:bulk", content="\n".join(map(json.dumps, lines[:50])))
    assert (again.json()["changed"], again.json()["unchanged"]) == (0, 49)


def test_the_guard_is_asked_first_and_its_refusal_stands(
    client: AsgiClient, keeper: Doorkeeper
) -> None:
    for operation in OPERATIONS:
        path = operation.path.replace("{name}", "x")
        other = WRITE if operation.scope == READ else READ
        answer = client.request(
            operation.method, path, content=b"{", headers={"x-test-scopes": other}
        )
        assert (answer.status_code, answer.text) == (403, "no"), operation
        assert keeper.asked[-1] == operation.scope


def test_without_a_guard_everybody_is_refused(directory: Directory) -> None:
    client = AsgiClient(DirectoryApi(directory))
    for operation in OPERATIONS:
        answer = client.request(operation.method, operation.path.replace("{name}", "x"))
        assert answer.status_code == 401
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_the_document_has_every_operation_and_every_bulk_action(client: AsgiClient) -> None:
    told = client.get("/openapi.json").json()
    found = {
        (method.upper(), path) for path, methods in told["paths"].items() for method in methods
    }
    assert found == {(operation.method, operation.path) for operation in OPERATIONS}
    lines = told["components"]["schemas"]["BulkLine"]["oneOf"]
    assert {name for line in lines for name in line["required"]} >= set(BULK_ACTIONS)


@pytest.fixture
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("api")
    directory = Directory.open(f"sqlite:///{folder}/d.db", folder, clock=FixedClock(NOW))
    agent_of(directory.register(spec("a"), actor="tester", activate=True))
    app = DirectoryApi(directory, guard=Doorkeeper())
    # who may is the guard's own table, above: here everybody may, and the document says so
    told = document()
    for operations in told["paths"].values():
        for operation in operations.values():
            del operation["security"]

    async def without_security(scope: Scope, receive: Receive, send: Send) -> None:
        answer = JSONResponse(told) if scope.get("path") == "/openapi.json" else app
        await answer(scope, receive, send)

    yield schemathesis.openapi.from_asgi("/openapi.json", without_security)
    directory.close()


@schemathesis.serializer("application/jsonl")
def json_lines(context: object, value: object) -> bytes:
    del context
    return json.dumps(value).encode()


CASES = [
    pytest.param(operation, mode, id=f"{operation.id}-{mode.value}")
    for operation in OPERATIONS
    for mode in GenerationMode
    # without any input there is nothing to get wrong
    if mode is GenerationMode.POSITIVE or operation.body or operation.query
]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_schemathesis_finds_no_500_and_no_answer_that_is_not_declared(
    described: Any,  # noqa: ANN401 - a schema, whose type is the plugin's
    operation: Operation,
    mode: GenerationMode,
) -> None:
    found = described[operation.path][operation.method]
    # no schema can say which points are on the curve, or which text is printable; and each line
    # of a bulk is refused by itself
    takes_more = operation.id in ("register", "rotate", "recertify", "bulk", "listAgents")
    excluded: list[Any] = [positive_data_acceptance] if takes_more else []
    if operation.id == "bulk":
        excluded.append(negative_data_rejection)
    seen: list[int] = []

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=found.as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case[Any]) -> None:
        seen.append(case.call_and_validate(excluded_checks=excluded).status_code)

    call()
    assert seen


def test_the_key_of_the_directory_is_in_no_answer(client: AsgiClient, tmp_path: Path) -> None:
    key = DirectoryKey.load(tmp_path / "home" / "directory.key")
    assert client.get("/head").json()["kid"] == key.kid
    assert (tmp_path / "home" / "directory.key").read_bytes().hex() not in client.get("/head").text
