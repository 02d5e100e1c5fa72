"""Credentials and actors that a running range should not have: planted, named, cut off."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from iamrange.range.running import state_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    class Said(Protocol):
        status: int
        out: str
        err: str

    class CommandLine(Protocol):
        def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


PATIENCE = 20.0
LEAVER = "ines.moreau@iamrange.example"
COPIED = "a password that somebody copied"
GOOGLE_USE = """
import json, sys
import google.auth.transport.requests
import requests
from google.oauth2 import service_account
info = json.load(sys.stdin)
scopes = ["https://www.googleapis.com/auth/cloud-platform"]
made = service_account.Credentials.from_service_account_info(info, scopes=scopes)
made.refresh(google.auth.transport.requests.Request())
print(made.token)
"""
AGENT_WORKS = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


class Range:
    """The administrators' clients of a running range."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = state
        self.project = next(iter(state["gcp"]["projects"]))
        self.token = state["gcp"]["projects"][self.project]["access_token"]
        accounts = sorted(state["aws"]["accounts"])
        self.management, self.workloads = accounts[0], accounts[1]

    def aws(self, service: str, **key: str) -> Any:  # noqa: ANN401 - boto3 clients are untyped
        session: Any = boto3.Session()
        return session.client(
            service, endpoint_url=self.state["aws"]["endpoint"], region_name="us-east-1", **key
        )

    def admin(self, service: str, account: str) -> Any:  # noqa: ANN401 - same
        key = self.state["aws"]["accounts"][account]
        return self.aws(
            service,
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
        )

    def bao(
        self, method: str, path: str, body: object = None, token: str = ""
    ) -> requests.Response:
        facts = self.state["vault"]
        return requests.request(
            method,
            f"{facts['endpoint']}/v1/{path}",
            json=body,
            headers={"x-vault-token": token or facts["token"]},
            timeout=20,
        )

    def google(self, method: str, path: str, token: str = "", **body: object) -> requests.Response:
        return requests.request(
            method,
            self.state["gcp"]["endpoint"] + path,
            json=body or None,
            headers={"authorization": f"Bearer {token or self.token}"},
            timeout=20,
        )


@pytest.fixture(scope="module")
def running(iamrange: CommandLine, state_home: Path) -> Iterator[Range]:
    assert state_home.is_dir()
    assert iamrange("up").status == 0
    try:
        yield Range(json.loads(state_file().read_text()))
    finally:
        iamrange("down")


def test_what_was_planted_is_named_and_cut_off_while_legitimate_work_goes_on(
    running: Range, iamrange: CommandLine
) -> None:
    """One life: a leaver's key, a copied secret, a role and an account that nobody registered."""
    key_id = _leavers_key(running, iamrange)
    _copied_secret(running)
    session, secret = _ghost_role(running)
    stray = _vaults_own(running)
    token = _moonlighting_account(running, iamrange)

    said = iamrange("scan", "sprawl", "--json")
    assert said.status == 1, said.err
    assert COPIED not in said.out
    report = json.loads(said.out)
    found = {(one["rule"], one["place"]) for one in report["findings"]}
    leaver = f"aws iam {running.management}: user/left-over/{key_id}"
    assert ("owner-left", leaver) in found
    assert ("long-lived-key", leaver) in found
    copies = {place for rule, place in found if rule == "same-value-twice"}
    assert copies == {
        f"aws secretsmanager {running.workloads} us-east-1: shadow/copy",
        f"gcp secretmanager {running.project}: shadow-copy",
        "bao kv vault.iamrange.example: agents/shadow/copy",
    }
    _vault_is_told(running, report, found)
    used = {one["name"]: one["last_used"] for one in report["credentials"]}
    assert used["platform/backup-key"] is not None  # by the ghost
    assert used[f"user/left-over/{key_id}"] is not None
    assert used["platform/signing-key"] is None  # the inventory's own reading is no use
    # a resource policy lets nobody but the agent read these: said, not passed over
    gaps = {one["place"].rpartition(": ")[2] for one in report["unevaluated"]}
    assert "agents/payments-agent/credentials" in gaps

    named = _until_named(
        iamrange, "user/left-over", "assumed-role/ghost/work", "moonlighter@", "token-pipeline"
    )
    _actors_are_told(running, named, secret)

    dry = iamrange("scan", "actors", "--quarantine", "--json")
    assert dry.status == 1
    assert json.loads(dry.out)["done"] == []
    assert session.get_secret_value(SecretId=secret)["ARN"] == secret
    applied = iamrange("scan", "actors", "--quarantine", "--apply", "--json")
    done = json.loads(applied.out)["done"]
    assert {one["error"] for one in done} == {None}
    assert len(done) == 4
    assert running.bao("GET", "auth/token/lookup-self", token=stray).status_code == 403
    with pytest.raises(ClientError, match="explicit deny in an identity-based policy"):
        session.get_secret_value(SecretId=secret)
    keys = running.admin("iam", running.management).list_access_keys(UserName="left-over")
    assert [key["Status"] for key in keys["AccessKeyMetadata"]] == ["Inactive"]
    answer = running.google("GET", f"/v1/projects/{running.project}/secrets", token)
    assert answer.status_code in {401, 403}
    environment = json.loads(iamrange("env", "--agent", "data-analyst", "--json").out)
    assert "data-analyst-role" in _python(AGENT_WORKS, environment)


def _actors_are_told(running: Range, named: Mapping[str, Any], secret: str) -> None:
    by_name = {one["principal"]: one for one in named["unmanaged"]}
    ghost = by_name[f"arn:aws:sts::{running.workloads}:assumed-role/ghost/work"]
    assert ghost["reason"] == "unknown"
    assert secret in ghost["touched"]
    assert [made["operation"] for made in ghost["made"]] == ["iam:CreateRole", "sts:AssumeRole"]
    assert ghost["made"][0]["by"] == f"arn:aws:iam::{running.workloads}:user/admin"
    pipeline = by_name["token-pipeline"]
    assert (pipeline["reason"], list(pipeline["touched"])) == (
        "unknown",
        ["auth/token/lookup-self"],
    )
    assert [made["by"] for made in pipeline["made"]] == ["token-administrator"]
    moon = next(one for name, one in by_name.items() if "moonlighter@" in name)
    assert {made["operation"] for made in moon["made"]} == {
        "iam.serviceAccounts.create",
        "iam.serviceAccountKeys.create",
    }
    assert not any("data-analyst" in name for name in by_name)


def _vault_is_told(running: Range, report: Mapping[str, Any], found: set[tuple[str, str]]) -> None:
    everlasting = "bao tokens vault.iamrange.example: token-pipeline "
    assert "no-expiry" in {rule for rule, place in found if place.startswith(everlasting)}
    assert ("login-too-long", "bao logins vault.iamrange.example: jwt/anybody") in found
    roles = [one for one in report["credentials"] if one["kind"] == "vault-login-role"]
    assert {one["agent"] for one in roles} == {*running.state["names"].values(), None}
    kept = {one["name"]: one for one in report["credentials"] if one["kind"] == "vault-secret"}
    analyst = kept["agents/data-analyst/credentials"]
    assert (analyst["agent"], analyst["owner_is"]) == ("data-analyst", "present")
    assert kept["agents/shadow/copy"]["last_used"] is None  # the inventory's own reading is no use
    assert {one["source"] for one in report["unread"]} == set()


def _leavers_key(running: Range, iamrange: CommandLine) -> str:
    person = ("ines-moreau", "--person", "--owner", LEAVER)
    assert iamrange("agents", "register", *person).status == 0
    assert iamrange("agents", "retire", "spiffe://iamrange.example/person/ines-moreau").status == 0
    iam = running.admin("iam", running.management)
    iam.create_user(UserName="left-over", Tags=[{"Key": "owner", "Value": LEAVER}])
    may = {"Effect": "Allow", "Action": "secretsmanager:ListSecrets", "Resource": "*"}
    iam.put_user_policy(UserName="left-over", PolicyName="may", PolicyDocument=_document(may))
    key = iam.create_access_key(UserName="left-over")["AccessKey"]
    caller = running.aws(
        "secretsmanager",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    caller.list_secrets()
    return str(key["AccessKeyId"])


def _copied_secret(running: Range) -> None:
    secrets = running.admin("secretsmanager", running.workloads)
    value = json.dumps({"username": "reports", "password": COPIED})
    secrets.create_secret(Name="shadow/copy", SecretString=value)
    path = f"/v1/projects/{running.project}/secrets"
    made = running.google("POST", f"{path}?secretId=shadow-copy", replication={"automatic": {}})
    assert made.status_code == 200, made.text
    data = base64.b64encode(COPIED.encode()).decode()
    added = running.google("POST", f"{path}/shadow-copy:addVersion", payload={"data": data})
    assert added.status_code == 200, added.text


def _vaults_own(running: Range) -> str:
    """Plant a copy, a role that keeps the vault's default, a token without an end; return that."""
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["x"]}
    for path, body in (
        ("agents/data/shadow/copy", {"data": {"password": COPIED}}),
        ("auth/jwt/role/anybody", role),
    ):
        made = running.bao("POST", path, body)
        assert made.status_code in {200, 204}, made.text
    asked = {"policies": ["default"], "period": "24h", "display_name": "pipeline"}
    given = running.bao("POST", "auth/token/create-orphan", asked).json()
    token = str(given["auth"]["client_token"])
    assert running.bao("GET", "auth/token/lookup-self", token=token).status_code == 200
    return token


def _ghost_role(running: Range) -> tuple[Any, str]:
    """Make a role that nobody registered, and have it read a secret; return its session."""
    iam = running.admin("iam", running.workloads)
    admin = f"arn:aws:iam::{running.workloads}:user/admin"
    trust = {"Effect": "Allow", "Principal": {"AWS": admin}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    role = iam.create_role(RoleName="ghost", AssumeRolePolicyDocument=_document(trust))["Role"]
    iam.put_role_policy(RoleName="ghost", PolicyName="may", PolicyDocument=_document(may))
    taken = running.admin("sts", running.workloads).assume_role(
        RoleArn=role["Arn"], RoleSessionName="work"
    )["Credentials"]
    session = running.aws(
        "secretsmanager",
        aws_access_key_id=taken["AccessKeyId"],
        aws_secret_access_key=taken["SecretAccessKey"],
        aws_session_token=taken["SessionToken"],
    )
    return session, str(session.get_secret_value(SecretId="platform/backup-key")["ARN"])


def _moonlighting_account(running: Range, iamrange: CommandLine) -> str:
    """Make a service account and a key of it that nobody registered; return a token by it."""
    assert iamrange("controls", "off", "gcp.no-service-account-keys").status == 0
    path = f"/v1/projects/{running.project}/serviceAccounts"
    email = running.google("POST", path, accountId="moonlighter").json()["email"]
    key = running.google(
        "POST", f"{path}/{email}/keys", privateKeyType="TYPE_GOOGLE_CREDENTIALS_FILE"
    )
    info = base64.b64decode(key.json()["privateKeyData"]).decode()
    return _python(GOOGLE_USE, next(iter(running.state["networks"].values())), info).strip()


def _document(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _python(program: str, environment: Mapping[str, str], text: str = "") -> str:
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _until_named(iamrange: CommandLine, *names: str) -> dict[str, Any]:
    """Wait until the log has what was done: it is collected a moment later."""
    deadline = time.monotonic() + PATIENCE
    while True:
        said = iamrange("scan", "actors", "--json")
        assert said.status == 1, said.err
        found: dict[str, Any] = json.loads(said.out)
        if all(any(name in one["principal"] for one in found["unmanaged"]) for name in names):
            return found
        assert time.monotonic() < deadline, found["unmanaged"]
        time.sleep(0.2)


def test_source_or_log_that_cannot_be_read_is_exit_status_three(
    running: Range, iamrange: CommandLine, tmp_path: Path
) -> None:
    clouds = tmp_path / "clouds.json"
    gone = {**running.state["aws"], "endpoint": "http://127.0.0.1:1"}
    vault = {"address": "http://127.0.0.1:1", "token": "x"}
    told = {"aws": gone, "gcp": running.state["gcp"], "vault": vault}
    clouds.write_text(json.dumps(told))
    said = iamrange("scan", "sprawl", "--clouds", str(clouds), "--json")
    assert said.status == 3
    report = json.loads(said.out)
    assert any(one["source"].startswith("aws iam") for one in report["unread"])
    assert any(one["source"].startswith("bao kv") for one in report["unread"])
    assert any(one["kind"] == "gcp-secret" for one in report["credentials"])
    log = Path(running.state["audit"]["log"]) / "audit.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b'"action_id":1', b'"action_id":2', 1))
    try:
        actors = iamrange("scan", "actors")
        assert actors.status == 3
        assert "record 0: changed" in actors.err
    finally:
        log.write_bytes(whole)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sprawl", "--set", "max_age=3"), "expected one of max_age_days"),
        (("sprawl", "--set", "max_age_days"), "expected NAME=NUMBER"),
        (("sprawl", "--roster", "nowhere.txt"), "nowhere.txt"),
        (("actors", "--apply"), "expected --quarantine"),
    ],
)
def test_misuse_is_told_with_the_way_out(
    iamrange: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    answer = iamrange("scan", *arguments)
    assert answer.status == 2
    assert said in answer.err
