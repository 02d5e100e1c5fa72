"""AssumeRoleWithWebIdentity and trusts on issuers, case by case, at the real endpoint.

The rows of `data/aws_web_identity.jsonl` carry facts found in public (their times are offsets from
now); the neighbours are of the same kinds. A row marked `vuln` asserts the platform's own laxness.
"""

# ruff: noqa: ANN401 - boto3 makes its clients at run time, ASGI messages are open
from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import itertools
import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import Fetched, HttpFetcher
from iamrange.core.clock import FixedClock
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, honest
from iamrange.jose import SigningKey
from iamrange.network.ca import CertificateAuthority
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

GITHUB = "https://token.actions.githubusercontent.com"
ISSUER = "https://idp.agents.example"
SUBJECT = {"StringEquals": {"idp.agents.example:sub": "agent:planner"}}
HOSTS = (
    "idp.agents.example",
    "token.actions.githubusercontent.com",
    "accounts.google.com",
    "cognito-identity.amazonaws.com",
    "tenant.example",
    "acme.example",
    "api.pulumi.com",
    "keys.example",
)
TENANCY = ("sub", "aud")
STAGES = {
    "client_id_list": "client-id-not-registered",
    "required_claims": "missing-claim",
    "provider_lookup": "no-provider",
    "signature": "signature-mismatch",
}


@dataclass
class Issuer:
    """What the served issuer answers; starts valid, a test changes one thing."""

    keys: dict[str, SigningKey]
    alg: str = "RS256"
    published: SigningKey | None = None
    jwks_status: int | str = 200
    missing: tuple[str, ...] = ()
    replaced: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> SigningKey:
        if self.alg not in self.keys:
            self.keys[self.alg] = SigningKey.generate(self.alg)
        return self.keys[self.alg]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        host = dict(scope["headers"])[b"host"].decode()
        path, status = scope["path"], 200
        if path.endswith("/.well-known/openid-configuration"):
            prefix = path.removesuffix(".well-known/openid-configuration")
            body = self._discovery(f"https://{host}{prefix}")
        else:
            if self.jwks_status == "timeout_6s":
                await receive()  # answers only when the caller hangs up
            status = self.jwks_status if isinstance(self.jwks_status, int) else 200
            jwk = {**self.key.public_jwk(), **self._other_key()}
            body = {"keys": [jwk]} if status == 200 else {}
        data = json.dumps(body).encode()
        headers = [(b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    def _other_key(self) -> dict[str, Any]:
        """Publish another key under the kid that the token names, if the case asks for it."""
        if self.published is None:
            return {}
        return {**self.published.public_jwk(), "kid": self.key.kid}

    def _discovery(self, base: str) -> dict[str, Any]:
        slashed = base == "https://tenant.example/"
        document = {
            "issuer": base if slashed else base.rstrip("/"),
            "jwks_uri": f"{base}keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.alg],
        }
        document |= self.replaced
        return {name: value for name, value in document.items() if name not in self.missing}


class World:
    """The cloud, two TLS edges for issuers (a public and a private authority), a clock."""

    def __init__(self) -> None:
        self.clock = FixedClock(float(int(time.time())))
        self.records: list[DecisionRecord] = []
        self.tamper: Any = honest
        self.keys: dict[str, SigningKey] = {}
        self.issuer = Issuer(self.keys)
        self.public = CertificateAuthority.create("public")
        self.private = CertificateAuthority.create("private")
        self.loop = asyncio.new_event_loop()
        self.cloud = AwsCloud(
            clock=self.clock,
            records=self.records.append,
            fetcher=self,
            tamper=self._tampered,
        )
        self._accounts = itertools.count(700_000_000_001)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.edges = [
            Edge([Route("*", self.serve)], ca=self.public),
            Edge([Route("*", self.serve)], ca=self.private),
            Edge([Route("*", self.cloud)], ca=None),
        ]
        for edge in self.edges:
            self.wait(edge.start())
        self.endpoint = f"http://127.0.0.1:{self.edges[2].port}"
        self.reset()

    def reset(self) -> None:
        self.issuer = Issuer(self.keys)
        self.tamper = honest
        self.on_fetch: Any = lambda: None
        self.records.clear()
        self.fetched: list[str] = []
        self.resolve("public_ca")

    def resolve(self, tls: str, *, timeout: float = 5.0, hosts: tuple[str, ...] = HOSTS) -> None:
        port = self.edges[0 if tls == "public_ca" else 1].port
        self.fetcher = HttpFetcher(
            resolve=dict.fromkeys(hosts, f"https://127.0.0.1:{port}"),
            authorities=(self.public.pem,),
            timeout=timeout,
        )

    async def fetch(self, url: str) -> Fetched:
        self.fetched.append(url)
        self.on_fetch()
        return await self.fetcher.fetch(url)

    def _tampered(self, point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        return tuple(self.tamper(point, layers))

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        await self.issuer(scope, receive, send)

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> None:
        for edge in self.edges:
            self.wait(edge.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def client(self, service: str, **credentials: Any) -> Any:
        config = Config(
            retries={"total_max_attempts": 1},
            signature_version=None if credentials else UNSIGNED,
        )
        make: Any = boto3.client
        return make(
            service,
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            config=config,
            **credentials,
        )

    def account(self) -> tuple[str, dict[str, str]]:
        account = str(next(self._accounts))
        key = self.cloud.create_account(account)
        return account, {
            "aws_access_key_id": key.access_key_id,
            "aws_secret_access_key": key.secret_access_key,
        }

    def thumbprint(self) -> str:
        der = ssl.PEM_cert_to_DER_cert(self.private.pem)
        return hashlib.sha1(der, usedforsecurity=False).hexdigest()

    def token(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        token = self.issuer.key.sign(claims, header={"kid": self.issuer.key.kid})
        if not header:
            return token
        merged = {"alg": self.issuer.alg, "kid": self.issuer.key.kid, **header}
        if merged["alg"] == self.issuer.alg and "crit" not in merged:
            return self.issuer.key.sign(claims, header=merged)
        _, payload, signature = token.split(".")
        encoded = base64.urlsafe_b64encode(json.dumps(merged).encode()).rstrip(b"=").decode()
        unsigned = str(merged["alg"]).lower() == "none"
        return f"{encoded}.{payload}.{'' if unsigned else signature}"

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.clock.now())
        claims = {
            "iss": ISSUER,
            "sub": "agent:planner",
            "aud": "sts.amazonaws.com",
            "iat": now - 60,
            "exp": now + 240,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    world = World()
    yield world
    world.stop()


@pytest.fixture
def world(running: World) -> World:
    running.reset()
    return running


def read(name: str) -> list[dict[str, Any]]:
    text = (Path(__file__).parent / "data" / name).read_text()
    return [json.loads(line) for line in text.replace('"GH"', f'"{GITHUB}"').splitlines()]


ROWS = read("aws_web_identity.jsonl") + read("aws_web_identity_neighbours.jsonl")
TOKENS = [row for row in ROWS if not row.keys() & {"op", "steps", "chain"}]
WRITES = [row for row in ROWS if row.get("op") == "CreateRole"]


def named(row: dict[str, Any]) -> str:
    return str(row["id"])


def trust(principal: str, row: Mapping[str, Any]) -> str:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Federated": principal},
        "Action": row.get("actions", ["sts:AssumeRoleWithWebIdentity"]),
    }
    if "cond" in row:
        statement["Condition"] = row["cond"]
    statement |= row.get("statement", {})
    document = {"Version": "2012-10-17", "Statement": [statement, *row.get("extra", [])]}
    return json.dumps(document)


def keys_of(credentials: Mapping[str, str]) -> dict[str, str]:
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }


def web_role(world: World, **role: Any) -> tuple[str, Any]:
    """Make a role that trusts the usual agent; return its ARN and an administrator's IAM client."""
    account, administrator = world.account()
    iam = world.client("iam", **administrator)
    document = trust(provide(world, iam, {}), {"cond": SUBJECT})
    iam.create_role(RoleName="agent", AssumeRolePolicyDocument=document, **role)
    return f"arn:aws:iam::{account}:role/agent", iam


def exchange(world: World, role: str, token: str, **asked: Any) -> Any:
    return world.client("sts").assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="planner", WebIdentityToken=token, **asked
    )


def fresh_credentials() -> Any:
    """Let botocore's own provider read the token file and exchange it."""
    credentials = botocore.session.get_session().get_credentials()
    return credentials.get_frozen_credentials() if credentials else None


def refused(call: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return {
        "code": answer["Error"]["Code"],
        "http": answer["ResponseMetadata"]["HTTPStatusCode"],
        "message": answer["Error"]["Message"],
    }


def provide(world: World, iam: Any, row: Mapping[str, Any]) -> str:
    """Register the row's provider; return what a trust policy calls it."""
    provider = row.get("provider", {})
    if "builtin" in provider:
        return str(provider["builtin"])
    thumbprints = [
        world.thumbprint() if thumbprint == "PRIVATE" else thumbprint
        for thumbprint in provider.get("thumbprints", [])
    ]
    answer = iam.create_open_id_connect_provider(
        Url=provider.get("url", ISSUER),
        ClientIDList=provider.get("client_ids", ["sts.amazonaws.com"]),
        ThumbprintList=thumbprints,
    )
    return str(answer["OpenIDConnectProviderArn"])


def arrange(world: World, row: Mapping[str, Any]) -> None:
    """Make the issuer as the row says."""
    jwks, discovery = row.get("jwks", {}), row.get("discovery", {})
    world.issuer.alg = row.get("alg", "RS256")
    status = jwks.get("status", 200)
    world.issuer.jwks_status = status
    world.issuer.missing = tuple(discovery.get("missing", ()))
    world.issuer.replaced = discovery.get("replace", {})
    if jwks.get("forged"):
        world.issuer.published = SigningKey.generate("RS256")
    hosts = () if status == "unreachable" else HOSTS
    slow = status == "timeout_6s"
    world.resolve(jwks.get("tls", "public_ca"), timeout=0.5 if slow else 5.0, hosts=hosts)


@pytest.mark.parametrize("row", TOKENS, ids=named)
def test_token_is_judged_as_aws_judges_it(row: dict[str, Any], world: World) -> None:
    arrange(world, row)
    account, administrator = world.account()
    iam = world.client("iam", **administrator)
    principal = provide(world, iam, row)
    iam.create_role(
        RoleName="agent",
        AssumeRolePolicyDocument=trust(principal, row),
        MaxSessionDuration=row.get("role_max", 3600),
    )
    now = int(world.clock.now())
    offsets = {n: None if o is None else now + o for n, o in row.get("offsets", {}).items()}
    token = world.token(world.claims(**{**offsets, **row.get("claims", {})}), row.get("header"))
    asked = {
        "RoleArn": f"arn:aws:iam::{account}:role/agent",
        "RoleSessionName": "planner",
        "WebIdentityToken": token,
        "DurationSeconds": 3600,
        **row.get("request", {}),
    }
    sts = world.client("sts")
    expected = row["expect"]
    if expected["verdict"] == "DENY":
        answer = refused(lambda: sts.assume_role_with_web_identity(**asked))
        assert (answer["code"], answer["http"]) == (expected["code"], expected["http"]), answer
        assert token not in json.dumps(answer)
        if reason := STAGES.get(expected.get("stage", "")):
            assert world.records[-1].reason == reason
        return
    answer = sts.assume_role_with_web_identity(**asked)
    credentials = answer["Credentials"]
    assert answer["SubjectFromWebIdentityToken"] == world.claims(**row.get("claims", {}))["sub"]
    assert principal == answer["Provider"]
    who = world.client("sts", **keys_of(credentials)).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{account}:assumed-role/agent/planner"
    for key, value in expected.get("principal_tags", {}).items():
        tagged = {"StringEquals": {f"aws:PrincipalTag/{key}": value}}
        allowed = {"Effect": "Allow", "Action": "iam:GetRole", "Resource": "*", "Condition": tagged}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_role_policy(RoleName="agent", PolicyName="tagged", PolicyDocument=policy)
        assert world.client("iam", **keys_of(credentials)).get_role(RoleName="agent")


@pytest.mark.parametrize("row", WRITES, ids=named)
def test_trust_on_an_issuer_is_written_as_iam_writes_it(row: dict[str, Any], world: World) -> None:
    account, administrator = world.account()
    iam = world.client("iam", **administrator)
    host = str(row["principal"]).removeprefix("https://")
    shared = host == "cognito-identity.amazonaws.com"
    principal = host if shared else f"arn:aws:iam::{account}:oidc-provider/{host}"
    document, expected = trust(principal, row), row["expect"]
    asked = {"RoleName": "agent", "MaxSessionDuration": row.get("role_max", 3600)}

    def create() -> Any:
        return iam.create_role(**asked, AssumeRolePolicyDocument=document)

    if expected["verdict"] == "ALLOW":
        assert create()["Role"]["RoleName"] == "agent"
        return
    answer = refused(create)
    assert (answer["code"], answer["http"]) == (expected["code"], expected["http"]), answer
    if expected["code"] != "MalformedPolicyDocument":
        return
    harmless = trust(principal, {"cond": {"StringEquals": {f"{host}:{c}": "x" for c in TENANCY}}})
    iam.create_role(RoleName="agent", AssumeRolePolicyDocument=harmless)
    again = refused(
        lambda: iam.update_assume_role_policy(RoleName="agent", PolicyDocument=document)
    )
    assert again["code"] == expected["code"]


def test_older_role_on_a_shared_issuer_without_tenant_is_refused_at_assume(world: World) -> None:
    account, administrator = world.account()
    iam = world.client("iam", **administrator)
    principal = "cognito-identity.amazonaws.com"
    harmless = {"cond": {"StringEquals": {f"{principal}:aud": "us-east-1:pool"}}}
    iam.create_role(RoleName="agent", AssumeRolePolicyDocument=trust(principal, harmless))
    amr = {"ForAnyValue:StringLike": {f"{principal}:amr": "unauthenticated"}}
    stored = iam_backends[account]["aws"].get_role("agent")
    stored.assume_role_policy_document = trust(principal, {"cond": amr})
    claims = world.claims(
        iss=f"https://{principal}", aud="us-east-1:attacker", amr=["unauthenticated"]
    )
    answer = refused(
        lambda: world.client("sts").assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::{account}:role/agent",
            RoleSessionName="planner",
            WebIdentityToken=world.token(claims),
        )
    )
    assert answer["code"] == "AccessDenied"
    assert world.records[-1].reason == "shared-issuer-unscoped"


@pytest.mark.parametrize(("duration", "allowed"), [(900, True), (3600, True), (3601, False)])
def test_chained_session_lasts_an_hour_whatever_the_role_allows(
    world: World, duration: int, *, allowed: bool
) -> None:
    first, iam = web_role(world)
    second = first.replace("role/agent", "role/second")
    statement = {"Effect": "Allow", "Principal": {"AWS": first}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_role(RoleName="second", AssumeRolePolicyDocument=document, MaxSessionDuration=43200)
    credentials = exchange(world, first, world.token(world.claims()))["Credentials"]
    chained = world.client("sts", **keys_of(credentials))
    asked = {"RoleArn": second, "RoleSessionName": "next", "DurationSeconds": duration}
    if allowed:
        assert chained.assume_role(**asked)["AssumedRoleUser"]["Arn"].endswith("/second/next")
        return
    answer = refused(lambda: chained.assume_role(**asked))
    assert (answer["code"], answer["http"]) == ("ValidationError", 400)
    assert "role chaining" in answer["message"]
    assert world.records[-1].reason == "exceeds-chained-limit"


def test_client_that_reads_its_token_anew_is_served_after_the_first_one_expired(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, _ = web_role(world)
    file = tmp_path / "token"
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", world.endpoint)
    monkeypatch.setenv("AWS_ROLE_ARN", role)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    now = int(world.clock.now())
    first = world.token(world.claims(jti="t1", iat=now - 600, exp=now - 200))
    file.write_text(first)
    assert fresh_credentials()
    start = world.clock.moment
    world.clock.moment = start + 200
    try:
        answer = refused(lambda: exchange(world, role, first))
        assert answer["code"] == "ExpiredTokenException"
        file.write_text(world.token(world.claims(jti="t2")))
        assert fresh_credentials()
    finally:
        world.clock.moment = start
    seen = [r.facts["jti"] for r in world.records if r.point == "aws.web-identity" and r.facts]
    assert (seen[0], seen[-1]) == ("t1", "t2")


@pytest.mark.parametrize(
    ("layer", "changes", "header", "forge"),
    [
        ("signature", {}, {}, True),
        ("time", {"iat": -2000, "exp": -1000}, {}, False),
        ("audience", {"aud": "sts.amazon.com"}, {}, False),
        ("token", {}, {"alg": "none"}, False),
        ("keys", {}, {"kid": "another"}, False),
        ("provider", {"iss": "https://nobody.example"}, {}, False),
    ],
)
def test_rogue_that_skips_one_gate_lets_exactly_its_attack_past_that_gate(
    world: World, layer: str, changes: dict[str, Any], header: dict[str, Any], *, forge: bool
) -> None:
    def skip(point: str, layers: tuple[LayerAnswer, ...]) -> tuple[LayerAnswer, ...]:
        if point != "aws.web-identity":
            return layers
        flipped = LayerAnswer(layer, Effect.ALLOW, "skipped")
        return tuple(flipped if answer.layer == layer else answer for answer in layers)

    role, iam = web_role(world)
    if layer == "provider":
        account = role.split(":")[4]
        principal = f"arn:aws:iam::{account}:oidc-provider/nobody.example"
        cond = {"cond": {"StringEquals": {"nobody.example:sub": "agent:planner"}}}
        iam.update_assume_role_policy(RoleName="agent", PolicyDocument=trust(principal, cond))
    if forge:
        world.issuer.published = SigningKey.generate("RS256")
    now = int(world.clock.now())
    dated = {n: now + v if isinstance(v, int) else v for n, v in changes.items()}
    token = world.token(world.claims(**dated), header)
    refused(lambda: exchange(world, role, token))
    assert [a.layer for a in world.records[-1].layers if a.refuses] == [layer]
    world.tamper = skip
    assert exchange(world, role, token)["Credentials"]


def test_keys_are_never_fetched_from_an_issuer_that_the_account_does_not_trust(
    world: World,
) -> None:
    role, _ = web_role(world)
    header = {"jku": "https://keys.example/keys", "x5u": "https://keys.example/x5u"}
    world.fetched.clear()
    refused(lambda: exchange(world, role, world.token(world.claims(iss="https://keys.example"))))
    assert world.fetched == []
    assert exchange(world, role, world.token(world.claims(), header))
    assert world.fetched == [
        f"{ISSUER}/.well-known/openid-configuration",
        f"{ISSUER}/keys",
    ]


def test_provider_without_thumbprint_keeps_to_the_certificate_that_it_found(world: World) -> None:
    world.resolve("private_ca")
    role, _ = web_role(world)
    assert exchange(world, role, world.token(world.claims()))
    moved = CertificateAuthority.create("another")
    edge = Edge([Route("*", world.serve)], ca=moved)
    world.wait(edge.start())
    base = f"https://127.0.0.1:{edge.port}"
    world.fetcher = HttpFetcher(resolve=dict.fromkeys(HOSTS, base), authorities=())
    answer = refused(lambda: exchange(world, role, world.token(world.claims())))
    world.wait(edge.stop())
    assert "thumbprint" in answer["message"]


def test_provider_made_anew_takes_the_certificate_of_that_day(world: World) -> None:
    world.resolve("private_ca")
    role, iam = web_role(world)
    arn = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"][0]["Arn"]
    world.resolve("public_ca")
    base = f"https://127.0.0.1:{world.edges[0].port}"
    world.fetcher = HttpFetcher(resolve=dict.fromkeys(HOSTS, base), authorities=())
    answer = refused(lambda: exchange(world, role, world.token(world.claims())))
    assert "thumbprint" in answer["message"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["sts.amazonaws.com"])
    assert (
        len(iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)["ThumbprintList"]) == 1
    )
    assert exchange(world, role, world.token(world.claims()))


def test_provider_without_thumbprint_needs_an_issuer_that_answers(world: World) -> None:
    _, administrator = world.account()
    iam = world.client("iam", **administrator)
    make = functools.partial(
        iam.create_open_id_connect_provider, Url="https://nobody.example", ClientIDList=["a"]
    )
    answer = refused(make)
    assert (answer["code"], answer["http"]) == ("OpenIdIdpCommunicationError", 400)
    assert make(ThumbprintList=["a" * 40])


@pytest.mark.parametrize("uri", [None, 5, "", "https://[", "file:///etc/passwd", "//x"])
def test_odd_place_of_keys_is_an_issuer_without_keys(uri: Any, world: World) -> None:
    role, _ = web_role(world)
    world.issuer.replaced = {"jwks_uri": uri}
    answer = refused(lambda: exchange(world, role, world.token(world.claims())))
    assert (answer["code"], answer["http"]) == ("InvalidIdentityToken", 400)
    _, administrator = world.account()
    iam = world.client("iam", **administrator)
    assert iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["a"])


@pytest.mark.parametrize(
    ("audiences", "allowed"),
    [
        (["sts.amazonaws.com"], True),
        (["other", "sts.amazonaws.com"], True),
        (["other"], False),
        ([], False),
    ],
)
def test_of_several_audiences_the_registered_one_counts(
    audiences: list[str],
    allowed: bool,  # noqa: FBT001 - a table's column
    world: World,
) -> None:
    key = f"{ISSUER.removeprefix('https://')}:aud"
    account, administrator = world.account()
    iam = world.client("iam", **administrator)
    row = {"cond": {"StringEquals": {key: "sts.amazonaws.com"}}}
    document = trust(provide(world, iam, {}), row)
    iam.create_role(RoleName="agent", AssumeRolePolicyDocument=document)
    role = f"arn:aws:iam::{account}:role/agent"
    token = world.token(world.claims(aud=audiences))
    if allowed:
        assert exchange(world, role, token)["Audience"] == "sts.amazonaws.com"
    else:
        assert refused(lambda: exchange(world, role, token))["code"] == "InvalidIdentityToken"


def test_provider_of_another_account_does_not_count(world: World) -> None:
    web_role(world)
    account, administrator = world.account()
    iam = world.client("iam", **administrator)
    principal = f"arn:aws:iam::{account}:oidc-provider/idp.agents.example"
    document = trust(principal, {"cond": SUBJECT})
    iam.create_role(RoleName="agent", AssumeRolePolicyDocument=document)
    token = world.token(world.claims())
    answer = refused(lambda: exchange(world, f"arn:aws:iam::{account}:role/agent", token))
    assert answer["code"] == "InvalidIdentityToken"
    assert "No OpenIDConnect provider found" in answer["message"]


def test_resource_control_policy_pins_what_a_careless_trust_leaves_open(world: World) -> None:
    management, administrator = world.account()
    role, iam = web_role(world)
    account = role.split(":")[4]
    open_to_all = trust(f"arn:aws:iam::{account}:oidc-provider/idp.agents.example", {})
    iam.update_assume_role_policy(RoleName="agent", PolicyDocument=open_to_all)
    world.cloud.create_organization(management, [account])
    api = world.client("organizations", **administrator)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Resource": "*",
        "Condition": {"StringNotLike": {"idp.agents.example:sub": "agent:*"}},
    }
    content = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    policy = api.create_policy(
        Name="pin", Description="", Content=content, Type="RESOURCE_CONTROL_POLICY"
    )["Policy"]["PolicySummary"]["Id"]
    stranger = world.token(world.claims(sub="someone"))
    assert exchange(world, role, stranger)
    api.attach_policy(PolicyId=policy, TargetId=account)
    assert refused(lambda: exchange(world, role, stranger))["code"] == "AccessDenied"
    assert exchange(world, role, world.token(world.claims()))


def test_role_that_is_not_there_is_refused_like_one_that_does_not_trust(world: World) -> None:
    role, _ = web_role(world)
    missing = role.replace("role/agent", "role/nobody")
    answer = refused(lambda: exchange(world, missing, world.token(world.claims())))
    assert answer["message"] == "Not authorized to perform sts:AssumeRoleWithWebIdentity"
    assert (answer["code"], answer["http"]) == ("AccessDenied", 403)


def test_trust_that_is_withdrawn_while_keys_are_fetched_counts_as_withdrawn(world: World) -> None:
    role, _ = web_role(world)
    arn = f"arn:aws:iam::{role.split(':')[4]}:oidc-provider/idp.agents.example"
    nobody = trust(arn, {"cond": {"StringEquals": {"idp.agents.example:sub": "nobody"}}})
    stored = iam_backends[role.split(":")[4]]["aws"].get_role("agent")
    world.on_fetch = lambda: setattr(stored, "assume_role_policy_document", nobody)
    answer = refused(lambda: exchange(world, role, world.token(world.claims())))
    assert answer["code"] == "AccessDenied"


def test_session_policy_narrows_a_web_identity_session(world: World) -> None:
    role, iam = web_role(world)
    allow = {"Effect": "Allow", "Action": "iam:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName="agent", PolicyName="all", PolicyDocument=document)
    narrow = {**allow, "Action": "iam:GetRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [narrow]})
    answer = exchange(world, role, world.token(world.claims()), Policy=policy)
    assert 0 < answer["PackedPolicySize"] <= 100
    session = world.client("iam", **keys_of(answer["Credentials"]))
    assert session.get_role(RoleName="agent")
    assert refused(lambda: session.list_role_policies(RoleName="agent"))["code"] == "AccessDenied"


@pytest.mark.parametrize(
    ("asked", "code", "http"),
    [
        ({"Url": "http://a.example"}, "ValidationError", 400),
        ({"Url": "https://a.example:8443"}, "ValidationError", 400),
        ({"Url": "https://a.example?x=1"}, "ValidationError", 400),
        ({"Url": "https://a.example/#x"}, "ValidationError", 400),
        ({"Url": "https://user@a.example"}, "ValidationError", 400),
        ({"Url": "https://a.example/" + "p" * 240}, "ValidationError", 400),
        ({"ClientIDList": [str(n) for n in range(101)]}, "LimitExceeded", 409),
        ({"ClientIDList": ["x" * 256]}, "ValidationError", 400),
        ({"ThumbprintList": ["a" * 40] * 6}, "InvalidInput", 400),
        ({"ThumbprintList": ["a" * 41]}, "ValidationError", 400),
        ({"ThumbprintList": ["z" * 40]}, "ValidationError", 400),
        ({"Url": ISSUER}, "EntityAlreadyExists", 409),
        ({"Url": ISSUER + "/"}, None, 200),
        ({"ClientIDList": [str(n) for n in range(100)]}, None, 200),
        ({"ThumbprintList": ["a" * 40] * 5}, None, 200),
    ],
)
def test_provider_is_registered_as_iam_registers_it(
    world: World, asked: dict[str, Any], code: str | None, http: int
) -> None:
    _, administrator = world.account()
    iam = world.client("iam", **administrator)
    iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["a"], ThumbprintList=["b" * 40])
    whole = {"Url": "https://a.example", "ClientIDList": ["a"], "ThumbprintList": [], **asked}
    if code is None:
        arn = iam.create_open_id_connect_provider(**whole)["OpenIDConnectProviderArn"]
        kept = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        assert kept["Url"] == whole["Url"].removeprefix("https://")
        return
    answer = refused(lambda: iam.create_open_id_connect_provider(**whole))
    assert (answer["code"], answer["http"]) == (code, http), answer
    assert "Unknown" not in answer["message"]
