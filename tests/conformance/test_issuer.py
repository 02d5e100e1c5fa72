"""The issuer and the broker at their real names, through an agent's own client and real SDKs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey

from iamrange.core.clock import OffsetClock
from iamrange.core.decision import DecisionRecord, Outcome
from iamrange.identity.agent import AgentIdentity, AgentIdentityError
from iamrange.identity.agent_home import (
    AwsTarget,
    GoogleTarget,
    agent_environment,
    write_agent_home,
)
from iamrange.identity.broker import Broker
from iamrange.identity.directory.model import (
    DEFAULT_TENANT,
    Agent,
    AgentKey,
    AgentState,
    agent_id,
)
from iamrange.identity.issuer import Issuer, IssuerError
from iamrange.identity.names import (
    ASSERTION_ENDPOINT,
    AWS_AUDIENCE,
    AWS_SESSION_ENDPOINT,
    ISSUER,
    PROOF_TYPE,
)
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.sts import AsgiSts
from iamrange.jose import (
    GCP,
    KeySet,
    SigningKey,
    UnverifiedToken,
    VerifiedClaims,
    parse,
    parse_key_set,
)
from iamrange.jose import verify_signature as verify
from iamrange.jose.gate import base64url, decode_base64url
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Receive, Route, Scope, Send
from iamrange.network.environment import client_environment
from iamrange.network.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REPLAYS = 64
PROVIDER = "projects/340000000001/locations/global/workloadIdentityPools/agents/providers/idp"
GOOGLE = GoogleTarget(
    provider=PROVIDER, service_account="a@p.iam.gserviceaccount.com", project="iamrange-agents"
)
ROLE = "arn:aws:iam::100000000002:role/agents/data-analyst"
DENIED_ROLE = "arn:aws:iam::100000000002:role/agents/denied"
TASK_POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})


class FakeClouds:
    """STS and IAM Credentials that note what they were asked, and grant it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        host = next(v.decode() for n, v in scope["headers"] if n == b"host")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.asked.append({"host": host, "peer": scope["client"][0], **form})
        status, kind, answer = 200, "application/json", self._google(host)
        if host.endswith("amazonaws.com"):
            kind = "text/xml"
            status, answer = self._aws(form)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    @staticmethod
    def _aws(form: dict[str, str]) -> tuple[int, bytes]:
        if form["RoleArn"] == DENIED_ROLE:
            return 403, (
                b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized"
                b"</Message></Error><RequestId>aws-1</RequestId></ErrorResponse>"
            )
        return 200, (
            b"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            b"<AccessKeyId>ASIAFAKE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            b"<SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>"
            b"</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )

    @staticmethod
    def _google(host: str) -> bytes:
        if host == "sts.googleapis.com":
            return json.dumps(
                {
                    "access_token": "federated",
                    "token_type": "Bearer",
                    "expires_in": 300,
                    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                }
            ).encode()
        return json.dumps(
            {"accessToken": "impersonated", "expireTime": "2999-01-01T00:00:00Z"}
        ).encode()


class Agents:
    """A directory that is a dictionary, and that can be away."""

    def __init__(self) -> None:
        self.entries: dict[str, Agent] = {}
        self.away = False

    def by_id(self, agent_id: str) -> Agent | None:
        if self.away:
            raise StoreDownError("directory")
        return self.entries.get(agent_id)

    def change(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - Agent's members
        identifier = agent_id(name)
        self.entries[identifier] = replace(self.entries[identifier], **changes)


class House:
    """Issuer, broker, fake clouds and their network, in a loop of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = OffsetClock()
        self.records: list[DecisionRecord] = []
        self.agents = Agents()
        self.clouds = FakeClouds()
        ports: dict[str, Any] = {"clock": self.clock, "records": self.records.append}
        self.issuer = Issuer(agents=self.agents, **ports)
        self.broker = Broker(
            agents=self.agents,
            issuer=self.issuer,
            sts=AsgiSts(self.clouds, source_address="127.10.0.1"),
            run_id="run1",
            **ports,
        )
        self.ca = CertificateAuthority.create("test")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_text(self.ca.pem)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(20)

    async def _start(self) -> None:
        routes = [
            Route("idp.iamrange.example", self.issuer),
            Route("broker.iamrange.example", self.broker),
            Route("*", self.clouds),
        ]
        self.edge = Edge(routes, ca=self.ca)
        await self.edge.start()
        target = ("127.0.0.1", self.edge.port)
        self.proxy = Proxy("corporate", address="127.10.0.1", targets={"*": target})
        await self.proxy.start()
        self.env = client_environment(self.proxy.url, str(self.ca_file))

    async def _stop(self) -> None:
        await self.proxy.stop()
        await self.edge.stop()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def agent(self, name: str, **registration: Any) -> SigningKey:  # noqa: ANN401 - Agent's members
        key = SigningKey.generate("ES256")
        jwk = {member: key.public_jwk()[member] for member in ("kty", "crv", "x", "y")}
        agent = Agent(
            name=name,
            owner="owner@iamrange.example",
            keys=(AgentKey.from_jwk(jwk),),
            **{
                "audiences": frozenset({AWS_AUDIENCE, GOOGLE.token_audience}),
                "state": AgentState.ACTIVE,
                **registration,
            },
        )
        self.agents.entries[agent.id] = agent
        tenant = registration.get("tenant", DEFAULT_TENANT)
        write_agent_home(
            self.folder / f"{tenant}-{name}",
            name=name,
            key=key,
            tenant=tenant,
            aws=AwsTarget(role_arn=ROLE, session_name=name),
            google=GOOGLE,
        )
        return key

    def home(self, name: str, tenant: str = "iamrange") -> Path:
        return self.folder / f"{tenant}-{name}"

    def post(self, body: object, url: str = ASSERTION_ENDPOINT) -> requests.Response:
        return requests.post(url, json=body, timeout=20)

    def script(self, source: str, home: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our interpreter, this file's source
            [sys.executable, "-c", source],
            env=self.env | agent_environment(home) | {"HOME": str(self.folder)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    running = House(tmp_path)
    for name, value in running.env.items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(running):
        yield running


def claims_of(token: str) -> dict[str, Any]:
    """Verify the token with the keys that the issuer publishes now, and return its claims."""
    discovered = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=20).json()
    keys = parse_key_set(requests.get(discovered["jwks_uri"], timeout=20).content, GCP)
    parsed = parse(token, GCP)
    assert isinstance(parsed, UnverifiedToken)
    assert isinstance(keys, KeySet)
    verified = verify(parsed, keys, GCP)
    assert isinstance(verified, VerifiedClaims)
    return dict(verified)


def test_issuer_signs_an_assertion_for_one_audience(house: House) -> None:
    house.agent("data-analyst")
    house.clock.offset = 7200.0
    claims = claims_of(AgentIdentity(house.home("data-analyst")).token(AWS_AUDIENCE))
    assert claims.pop("jti")
    issued = claims.pop("iat")
    assert abs(issued - (time.time() + 7200)) < 60
    assert claims == {
        "iss": ISSUER,
        "sub": "spiffe://iamrange.example/agent/data-analyst",
        "aud": AWS_AUDIENCE,
        "nbf": issued,
        "exp": issued + 300,
        "agent": "data-analyst",
        "tenant": "iamrange",
    }
    assert [(r.point, r.outcome, r.resource) for r in house.records] == [
        ("idp.assertion", Outcome.ALLOW, AWS_AUDIENCE)
    ]


def test_issuer_names_another_tenants_agent_in_its_own_trust_domain(house: House) -> None:
    house.agent("data-analyst")
    house.agent("data-analyst", tenant="vendor")
    claims = claims_of(AgentIdentity(house.home("data-analyst", "vendor")).token(AWS_AUDIENCE))
    assert (claims["sub"], claims["tenant"], claims["iss"]) == (
        "spiffe://vendor.example/agent/data-analyst",
        "vendor",
        ISSUER,
    )


def good_claims() -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "spiffe://iamrange.example/agent/data-analyst",
        "sub": "spiffe://iamrange.example/agent/data-analyst",
        "aud": ASSERTION_ENDPOINT,
        "iat": now,
        "exp": now + 60,
        "jti": f"test-jti-{time.time_ns()}",
        "target_audience": AWS_AUDIENCE,
    }


OTHER = "spiffe://iamrange.example/agent/hr-assistant"
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], int, dict[str, str]]] = {
    "a proof made out to the broker": (
        lambda c: c | {"aud": AWS_SESSION_ENDPOINT},
        401,
        {"proof": "wrong-audience"},
    ),
    "a proof made out to several endpoints": (
        lambda c: c | {"aud": [ASSERTION_ENDPOINT, AWS_SESSION_ENDPOINT]},
        401,
        {"proof": "wrong-audience"},
    ),
    "an expired proof": (
        lambda c: c | {"iat": c["iat"] - 600, "exp": c["iat"] - 550},
        401,
        {"proof": "expired"},
    ),
    "a proof from the future": (
        lambda c: c | {"iat": c["iat"] + 600, "exp": c["iat"] + 650},
        401,
        {"proof": "not-yet-valid"},
    ),
    "a proof that lives too long": (
        lambda c: c | {"exp": c["iat"] + 61},
        401,
        {"proof": "lifetime-too-long"},
    ),
    "a proof without a jti": (
        lambda c: {name: value for name, value in c.items() if name != "jti"},
        401,
        {"proof": "missing-claim"},
    ),
    "a short jti": (lambda c: c | {"jti": "1"}, 401, {"proof": "malformed"}),
    "another agent's name": (
        lambda c: c | {"iss": OTHER, "sub": OTHER},
        401,
        {"proof": "unknown-key"},
    ),
    "another agent's name as subject only": (
        lambda c: c | {"sub": OTHER},
        401,
        {"proof": "unknown-key"},
    ),
    "another agent's name as issuer only": (
        lambda c: c | {"iss": OTHER},
        401,
        {"proof": "issuer-mismatch"},
    ),
    "an agent that is not registered": (
        lambda c: c | {"iss": f"{OTHER}-2", "sub": f"{OTHER}-2"},
        401,
        {"proof": "no-key", "registration": "unknown-agent", "audience": "audience-not-registered"},
    ),
    "the same name in another tenant": (
        lambda c: c | dict.fromkeys(("iss", "sub"), "spiffe://vendor.example/agent/data-analyst"),
        401,
        {"proof": "no-key", "registration": "unknown-agent", "audience": "audience-not-registered"},
    ),
    "an audience that is not registered": (
        lambda c: c | {"target_audience": "https://vault.example"},
        400,
        {"audience": "audience-not-registered"},
    ),
    "no audience": (
        lambda c: c | {"target_audience": None},
        400,
        {"audience": "audience-not-registered"},
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_issuer_refuses(house: House, case: str) -> None:
    key = house.agent("data-analyst")
    house.agent("hr-assistant")
    change, status, reasons = CHANGES[case]
    answer = house.post({"proof": key.sign(change(good_claims()), typ=PROOF_TYPE)})
    assert answer.status_code == status
    assert answer.json()["error"] == ("invalid_client" if status == 401 else "invalid_target")
    (record,) = house.records
    assert record.request_id == answer.json()["request_id"]
    assert {a.layer: a.reason for a in record.layers if a.refuses} == reasons


def test_issuer_accepts_the_proof_that_those_cases_change(house: House) -> None:
    key = house.agent("data-analyst")
    answer = house.post({"proof": key.sign(good_claims(), typ=PROOF_TYPE)})
    assert (answer.status_code, answer.json()["expires_in"]) == (200, 300)
    assert answer.headers["cache-control"] == "no-store"


def test_issuer_refuses_a_proof_the_second_time(house: House) -> None:
    key = house.agent("data-analyst")
    proof = key.sign(good_claims(), typ=PROOF_TYPE)
    assert house.post({"proof": proof}).status_code == 200
    again = house.post({"proof": proof})
    assert again.status_code == 401
    assert [a.reason for a in house.records[-1].layers if a.refuses] == ["replayed"]


@pytest.mark.parametrize("endpoint", [ASSERTION_ENDPOINT, AWS_SESSION_ENDPOINT])
def test_of_many_equal_proofs_at_once_exactly_one_wins(house: House, endpoint: str) -> None:
    key = house.agent("data-analyst", aws_role_arn=ROLE)
    proof = key.sign(good_claims() | {"aud": endpoint}, typ=PROOF_TYPE)
    start = threading.Barrier(REPLAYS)

    def post() -> int:
        start.wait(20)
        return house.post({"proof": proof}, endpoint).status_code

    with ThreadPoolExecutor(REPLAYS) as pool:
        statuses = [future.result() for future in [pool.submit(post) for _ in range(REPLAYS)]]
    assert sorted(statuses) == [200] + [401] * (REPLAYS - 1)
    assert len([r for r in house.records if r.outcome is Outcome.ALLOW]) == 1


def tampered(key: SigningKey, header: str, claims: str, signature: bytes | None = None) -> str:
    """Sign these texts, whatever they are, as one who holds the key could."""
    signing_input = f"{base64url(header.encode())}.{base64url(claims.encode())}"
    if signature is None:
        private = ECKey.import_key(key.private_jwk()).raw_value
        assert isinstance(private, EllipticCurvePrivateKey)
        r, s = decode_dss_signature(private.sign(signing_input.encode(), ECDSA(SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signing_input}.{base64url(signature)}"


TAMPERED: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"alg": "none"}, "algorithm-not-allowed"),
    "none in another case": ({"alg": "NoNe"}, "algorithm-not-allowed"),
    "symmetric": ({"alg": "HS256"}, "algorithm-not-allowed"),
    "an algorithm of another curve": ({"alg": "ES384"}, "algorithm-not-allowed"),
    "an algorithm that is no text": ({"alg": ["ES256"]}, "malformed"),
    "a key of its own": ({"jwk": {"kty": "oct", "k": "AAAA"}}, "header-not-allowed"),
    "a key's address": ({"jku": "https://evil.example/jwks"}, "header-not-allowed"),
    "a certificate's address": ({"x5u": "http://169.254.169.254/"}, "header-not-allowed"),
    "a certificate": ({"x5c": ["MIIB"]}, "header-not-allowed"),
    "a critical extension": ({"crit": ["exp"]}, "critical-header"),
    "an empty list of critical extensions": ({"crit": []}, "critical-header"),
    "an unencoded payload": ({"b64": False}, "critical-header"),
    "a key id that is a path": ({"kid": "../../../dev/null"}, "unknown-key"),
    "a key id that is a query": ({"kid": "' OR 1=1 --"}, "unknown-key"),
    "a key id that is no text": ({"kid": {}}, "malformed"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_issuer_refuses_a_proof_with_a_header_that_is(house: House, case: str) -> None:
    key = house.agent("data-analyst")
    change, reason = TAMPERED[case]
    header = {"alg": "ES256", "typ": PROOF_TYPE, "kid": key.kid} | change
    proof = tampered(key, json.dumps(header), json.dumps(good_claims()))
    assert house.post({"proof": proof}).status_code == 401
    assert house.records[-1].layers[0].reason == reason


TEXTS: dict[str, Callable[[str, str], tuple[str, str]]] = {
    "a header member twice": lambda h, c: (h.replace("{", '{"alg": "none", ', 1), c),
    "a claim twice": lambda h, c: (h, c.replace("{", '{"sub": "nobody", ', 1)),
    "deep claims": lambda h, c: (h, c.replace("{", '{"a": ' + "[" * 99 + "]" * 99 + ", ", 1)),
    "claims that are a list": lambda h, _: (h, "[]"),
    "a date that is no number": lambda h, c: (h, c.replace('"exp": ', '"exp": NaN, "x": ')),
    "a date out of range": lambda h, c: (h, c.replace('"exp": ', '"exp": 1e400, "x": ')),
    "a date that is text": lambda h, c: (h, c.replace('"exp": ', '"exp": "soon", "x": ')),
    "half a character": lambda h, c: (h, c.replace("{", '{"a": "\\ud800", ', 1)),
}


@pytest.mark.parametrize("case", TEXTS)
def test_issuer_refuses_a_proof_with(house: House, case: str) -> None:
    key = house.agent("data-analyst")
    header = json.dumps({"alg": "ES256", "typ": PROOF_TYPE, "kid": key.kid})
    proof = tampered(key, *TEXTS[case](header, json.dumps(good_claims())))
    assert house.post({"proof": proof}).status_code == 401
    assert house.records[-1].layers[0].reason in ("malformed", "duplicate-member", "too-deep")


def test_issuer_refuses_signatures_of_another_form(house: House) -> None:
    key = house.agent("data-analyst")
    texts = (
        json.dumps({"alg": "ES256", "typ": PROOF_TYPE, "kid": key.kid}),
        json.dumps(good_claims()),
    )
    good = tampered(key, *texts)
    raw = decode_base64url(good.rpartition(".")[2])
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    for signature in (bytes(64), der, raw + b"\0", raw[:63]):
        assert house.post({"proof": tampered(key, *texts, signature)}).status_code == 401
    for proof in (good + "=", good + "\n", " " + good, good.rpartition(".")[0] + ".", good + ".x"):
        assert house.post({"proof": proof}).status_code == 401
    assert house.post({"proof": good}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"proof": "a.b.c", "proof": "a.b.d"}',
        b'{"proof": "a.b.c", "policy": "\\ud800"}',
        b'{"proof": "a.b.c", "policy": NaN}',
        b'{"proof": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("endpoint", [ASSERTION_ENDPOINT, AWS_SESSION_ENDPOINT])
@pytest.mark.usefixtures("house")
def test_a_body_that_can_be_read_in_two_ways_is_no_request(endpoint: str, body: bytes) -> None:
    answer = requests.post(endpoint, data=body, timeout=20)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_issuer_spends_a_jti_only_on_a_proof_that_holds(house: House) -> None:
    key = house.agent("data-analyst")
    claims = good_claims()
    forged = SigningKey.generate("ES256").sign(claims, typ=PROOF_TYPE, header={"kid": key.kid})
    assert house.post({"proof": forged}).status_code == 401
    assert [a.reason for a in house.records[-1].layers if a.refuses] == ["signature-mismatch"]
    assert house.post({"proof": key.sign(claims, typ=PROOF_TYPE)}).status_code == 200


@pytest.mark.parametrize("typ", ["JWT", "dpop+jwt", "at+jwt"])
def test_issuer_refuses_a_token_of_another_kind(house: House, typ: str) -> None:
    key = house.agent("data-analyst")
    assert house.post({"proof": key.sign(good_claims(), typ=typ)}).status_code == 401
    assert [a.reason for a in house.records[-1].layers if a.refuses] == ["wrong-typ"]


def test_issuer_refuses_a_quarantined_agent_until_it_is_active_again(house: House) -> None:
    house.agent("data-analyst")
    agent = AgentIdentity(house.home("data-analyst"))
    house.agents.change("data-analyst", state=AgentState.QUARANTINED)
    with pytest.raises(AgentIdentityError, match="invalid_client") as refused:
        agent.token(AWS_AUDIENCE)
    assert refused.value.request_id == house.records[-1].request_id
    assert {a.layer: a.reason for a in house.records[-1].layers if a.refuses} == {
        "registration": "quarantined"
    }
    house.agents.change("data-analyst", state=AgentState.ACTIVE)
    assert agent.token(AWS_AUDIENCE)


def test_issuer_refuses_an_agent_whose_time_is_up_by_the_worlds_clock(house: House) -> None:
    house.agent("data-analyst", expires=time.time() + 600)
    agent = AgentIdentity(house.home("data-analyst"))
    assert agent.token(AWS_AUDIENCE)
    house.clock.offset = 601.0
    with pytest.raises(AgentIdentityError, match="invalid_client"):
        agent.token(AWS_AUDIENCE)
    assert [a.reason for a in house.records[-1].layers if a.refuses] == ["expired-registration"]


def test_issuer_takes_a_rotated_key_until_its_overlap_is_over(house: House) -> None:
    house.agent("data-analyst")
    agent = AgentIdentity(house.home("data-analyst"))
    (key,) = house.agents.entries[agent.id].keys
    house.agents.change("data-analyst", keys=(replace(key, not_after=time.time() + 600),))
    assert agent.token(AWS_AUDIENCE)
    house.clock.offset = 601.0
    with pytest.raises(AgentIdentityError, match="invalid_client"):
        agent.token(AWS_AUDIENCE)
    assert [a.reason for a in house.records[-1].layers if a.refuses] == ["no-key"]


@pytest.mark.parametrize("endpoint", [ASSERTION_ENDPOINT, AWS_SESSION_ENDPOINT])
def test_nothing_is_issued_while_the_directory_is_away(house: House, endpoint: str) -> None:
    house.agent("data-analyst", aws_role_arn=ROLE)
    agent = AgentIdentity(house.home("data-analyst"))
    house.agents.away = True
    proof = agent.proof(endpoint, target_audience=AWS_AUDIENCE)
    answer = house.post({"proof": proof}, endpoint)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert house.records[-1].outcome is Outcome.DENY
    house.agents.away = False
    assert house.post({"proof": proof}, endpoint).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"proof": 1}, [], "text", {"proof": None}, {"proof": "x" * 100_000}]
)
def test_issuer_answers_400_to_a_body_that_is_no_request(house: House, body: object) -> None:
    answer = house.post(body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert not house.records


def test_issuer_answers_the_proof_of_a_malformed_token_with_a_record(house: House) -> None:
    assert house.post({"proof": "x.y.z"}).status_code == 401
    assert [a.reason for a in house.records[-1].layers if a.layer == "proof"] == ["malformed"]


def test_rotated_key_stays_published_until_it_is_withdrawn(house: House) -> None:
    house.agent("data-analyst")
    agent = AgentIdentity(house.home("data-analyst"))
    before = agent.token(AWS_AUDIENCE)
    (old,) = house.issuer.kids
    new = house.issuer.rotate()
    after = agent.token(AWS_AUDIENCE)
    assert claims_of(before)["sub"] == claims_of(after)["sub"]
    parsed = [parse(token, GCP) for token in (before, after)]
    assert [p.header["kid"] for p in parsed if isinstance(p, UnverifiedToken)] == [old, new]
    with pytest.raises(IssuerError, match="expected an old key"):
        house.issuer.withdraw(new)
    house.issuer.withdraw(old)
    published = requests.get(f"{ISSUER}/.well-known/jwks.json", timeout=20).json()["keys"]
    assert [key["kid"] for key in published] == [new]
    assert not any(key.keys() & {"d", "p", "q"} for key in published)


BOTO3 = """
import boto3
for profile in (None, ):
    print(boto3.Session(profile_name=profile).get_credentials().get_frozen_credentials().access_key)
"""
GOOGLE_AUTH = """
import google.auth, google.auth.transport.requests
credentials, project = google.auth.default(scopes=['https://www.googleapis.com/auth/cloud-platform'])
credentials.refresh(google.auth.transport.requests.Request())
print(credentials.token, project)
"""


def test_unmodified_boto3_has_a_brokered_session(house: House) -> None:
    house.agent("data-analyst", aws_role_arn=ROLE)
    done = house.script(BOTO3, house.home("data-analyst"))
    assert done.stdout.split() == ["ASIAFAKE"], done.stderr
    (asked,) = house.clouds.asked
    claims = claims_of(asked.pop("WebIdentityToken"))
    assert (claims["sub"], claims["aud"]) == (
        "spiffe://iamrange.example/agent/data-analyst",
        AWS_AUDIENCE,
    )
    assert asked == {
        "host": "sts.us-east-1.amazonaws.com",
        "peer": "127.10.0.1",
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "data-analyst-run1",
        "DurationSeconds": "900",
    }


def test_unmodified_google_auth_impersonates_with_an_executable_sourced_assertion(
    house: House,
) -> None:
    house.agent("data-analyst")
    done = house.script(GOOGLE_AUTH, house.home("data-analyst"))
    assert done.stdout.split() == ["impersonated", "iamrange-agents"], done.stderr
    exchange, impersonation = house.clouds.asked
    assert exchange["audience"] == f"//iam.googleapis.com/{PROVIDER}"
    assert claims_of(exchange["subject_token"])["aud"] == GOOGLE.token_audience
    assert impersonation["host"] == "iamcredentials.googleapis.com"


def test_google_auth_shows_why_the_issuer_refused(house: House) -> None:
    house.agent("data-analyst", audiences=frozenset({AWS_AUDIENCE}))
    done = house.script(GOOGLE_AUTH, house.home("data-analyst"))
    assert "invalid_target" in done.stderr


def test_projected_token_files_serve_both_sdks(house: House) -> None:
    house.agent("data-analyst")
    home = house.home("data-analyst")
    project = "from iamrange.identity.agent_credentials import main; main(['project'])"
    assert house.script(project, home).returncode == 0
    assert claims_of((home / "aws-token").read_text())["aud"] == AWS_AUDIENCE
    assert claims_of((home / "google-token").read_text())["aud"] == GOOGLE.token_audience
    assert (home / "aws-token").stat().st_mode & 0o077 == 0
    boto3 = house.script(BOTO3.replace("(None, )", "('web-identity', )"), home)
    assert boto3.stdout.split() == ["ASIAFAKE"], boto3.stderr
    google = house.script(
        f"import os; os.environ['GOOGLE_APPLICATION_CREDENTIALS'] = '{home / 'google-file.json'}'"
        + GOOGLE_AUTH,
        home,
    )
    assert google.stdout.split() == ["impersonated", "iamrange-agents"], google.stderr


BROKER_REFUSALS: dict[str, tuple[dict[str, Any], str | None, int, list[str]]] = {
    "no role": ({}, None, 403, ["no-role-registered"]),
    "no AWS audience": (
        {"aws_role_arn": ROLE, "audiences": frozenset({"x"})},
        None,
        403,
        ["audience-not-registered"],
    ),
    "another policy than the registered": (
        {"aws_role_arn": ROLE, "aws_session_policy": TASK_POLICY},
        TASK_POLICY,
        403,
        ["session-policy-is-registered"],
    ),
    "quarantined": (
        {"aws_role_arn": ROLE, "state": AgentState.QUARANTINED},
        None,
        401,
        ["quarantined"],
    ),
}


@pytest.mark.parametrize("case", BROKER_REFUSALS)
def test_broker_refuses(house: House, case: str) -> None:
    registration, policy, status, reasons = BROKER_REFUSALS[case]
    house.agent("data-analyst", **registration)
    proof = AgentIdentity(house.home("data-analyst")).proof(AWS_SESSION_ENDPOINT)
    answer = house.post({"proof": proof, "policy": policy}, AWS_SESSION_ENDPOINT)
    assert answer.status_code == status
    assert [a.reason for a in house.records[-1].layers if a.refuses] == reasons
    assert house.records[-1].point == "broker.aws-session"
    assert not house.clouds.asked


def test_broker_refuses_a_proof_made_out_to_the_issuer(house: House) -> None:
    key = house.agent("data-analyst", aws_role_arn=ROLE)
    proof = key.sign(good_claims(), typ=PROOF_TYPE)
    assert house.post({"proof": proof}, AWS_SESSION_ENDPOINT).status_code == 401
    assert [a.reason for a in house.records[-1].layers if a.refuses] == ["wrong-audience"]


@pytest.mark.parametrize("registered", [True, False])
def test_broker_cuts_the_session_to_the_task(house: House, *, registered: bool) -> None:
    policy = {"aws_session_policy": TASK_POLICY} if registered else {}
    house.agent("data-analyst", aws_role_arn=ROLE, **policy)
    agent = AgentIdentity(house.home("data-analyst"))
    session = agent.aws_session(None if registered else json.loads(TASK_POLICY))
    assert session["AccessKeyId"] == "ASIAFAKE"
    assert json.loads(house.clouds.asked[0]["Policy"]) == json.loads(TASK_POLICY)


def test_broker_whose_control_lapsed_hands_out_the_whole_role(house: House) -> None:
    house.agent("data-analyst", aws_role_arn=ROLE, aws_session_policy=TASK_POLICY)
    house.broker.unsafe_whole_role = True
    AgentIdentity(house.home("data-analyst")).aws_session()
    assert "Policy" not in house.clouds.asked[0]


def test_broker_passes_on_what_sts_refused(house: House) -> None:
    house.agent("data-analyst", aws_role_arn=DENIED_ROLE)
    with pytest.raises(
        AgentIdentityError, match=r"AccessDenied: Not authorized \(aws request aws-1\)"
    ):
        AgentIdentity(house.home("data-analyst")).aws_session()
