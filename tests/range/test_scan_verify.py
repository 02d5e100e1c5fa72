"""Every kind of credential that `scan secrets --verify` tries: live while it is good, then dead."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import pytest
import requests

from iamrange.range.running import state_file
from scenarios import oauth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    class Said(Protocol):
        status: int
        out: str
        err: str

    class CommandLine(Protocol):
        def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


AGENT = "data-analyst"
OWN_TOKEN = """
import sys
from scenarios import oauth
own = oauth.Own.from_home()
client = oauth.client_with_key(
    own.client_id, own.issuer, own.key(), dpop_bound_access_tokens=True,
    revocation_endpoint=own.issuer + "/oauth/revoke",
)
if len(sys.argv) == 1:
    print(client.client_credentials(resource="https://customers.iamrange.example").access_token)
else:
    assert client.revoke_access_token(sys.argv[1])
"""
SESSION = """
import boto3, json
taken = boto3.Session().get_credentials().get_frozen_credentials()
print(json.dumps({"aws_access_key_id": taken.access_key, "aws_secret_access_key": taken.secret_key,
                  "aws_session_token": taken.token}))
"""
GOOGLE_TOKEN = """
import google.auth, google.auth.transport.requests
found, _ = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"])
found.refresh(google.auth.transport.requests.Request())
print(found.token)
"""


class Range:
    """What the administrators of a running range can do; what its agent can."""

    def __init__(self, state: Mapping[str, Any], agent: Mapping[str, str]) -> None:
        self.state, self._agent = state, agent

    def as_agent(self, program: str, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, **self._agent},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def vault(self, method: str, path: str, token: str = "", **body: object) -> dict[str, Any]:
        wrapped = {"X-Vault-Wrap-TTL": "600s"} if body.pop("wrapped", False) else {}
        answer = requests.request(
            method,
            f"{self.state['vault']['endpoint']}/v1/{path}",
            json=body or None,
            headers={"X-Vault-Token": token or self.state["vault"]["token"], **wrapped},
            timeout=20,
        )
        assert answer.ok, answer.text
        return dict(answer.json()) if answer.content else {}

    def google(self, method: str, path: str, **body: object) -> dict[str, Any]:
        project = next(iter(self.state["gcp"]["projects"]))
        token = self.state["gcp"]["projects"][project]["access_token"]
        answer = requests.request(
            method,
            f"{self.state['gcp']['endpoint']}/v1/projects/{project}/{path}",
            json=body or None,
            headers={"authorization": f"Bearer {token}"},
            timeout=20,
        )
        assert answer.ok, answer.text
        return dict(answer.json())

    def iam(self) -> Any:  # noqa: ANN401 - boto3 clients are untyped
        account, admin = min(self.state["aws"]["accounts"].items())
        assert account
        return boto3.client(
            "iam",
            region_name="us-east-1",
            endpoint_url=self.state["aws"]["endpoint"],
            aws_access_key_id=admin["access_key_id"],
            aws_secret_access_key=admin["secret_access_key"],
        )


@pytest.fixture(scope="module")
def running(iamrange: CommandLine, state_home: Path) -> Iterator[Range]:
    assert state_home.is_dir()
    assert iamrange("up").status == 0
    try:
        agent = json.loads(iamrange("env", "--agent", AGENT, "--json").out)
        yield Range(json.loads(state_file().read_text()), agent)
    finally:
        iamrange("down")


@pytest.fixture
def states(iamrange: CommandLine, tmp_path: Path) -> Any:  # noqa: ANN401 - a function
    """Return a function that scans files with these contents: file -> (rule, state) of each."""

    def scan(files: Mapping[str, str]) -> dict[str, set[tuple[str, str]]]:
        folder = tmp_path / "tree"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        said = iamrange("scan", "secrets", str(folder), "--verify", "--json")
        assert said.status == 1, said.err
        found: dict[str, set[tuple[str, str]]] = {name: set() for name in files}
        for one in json.loads(said.out)["findings"]:
            name = Path(one["path"]).name
            found[name].add((one["rule"], one["live"]["state"]))
        for text in files.values():
            assert text not in said.out
        return found

    return scan


def other(secret: str) -> str:
    """Return the same with one character in its middle changed, as nobody ever issued it."""
    at = len(secret) // 2
    while not secret[at].isalnum():
        at += 1
    return secret[:at] + ("x" if secret[at] != "x" else "y") + secret[at + 1 :]


def test_what_is_good_is_live_and_is_dead_once_it_was_ended_or_was_never_given_out(
    running: Range,
    iamrange: CommandLine,
    states: Any,  # noqa: ANN401 - a function
) -> None:
    once = running.vault("POST", "auth/token/create", num_uses=1, ttl="600s", display_name="x")
    vault_token = once["auth"]["client_token"]
    wrapped = running.vault("POST", "auth/token/create", ttl="600s", wrapped=True)
    wrapping = wrapped["wrap_info"]["token"]
    own_token = running.as_agent(OWN_TOKEN)
    session = json.loads(running.as_agent(SESSION))
    google = running.as_agent(GOOGLE_TOKEN)
    home = Path(running.state["homes"][AGENT])
    iam = running.iam()
    iam.create_user(UserName="nightly")
    key = iam.create_access_key(UserName="nightly")["AccessKey"]
    long_lived = f"aws_access_key_id = {key['AccessKeyId']}\n"
    assert iamrange("controls", "off", "gcp.no-service-account-keys").status == 0
    email = running.google("POST", "serviceAccounts", accountId="nightly")["email"]
    key_file = base64.b64decode(
        running.google("POST", f"serviceAccounts/{email}/keys")["privateKeyData"]
    ).decode()
    files = {
        "vault.txt": f"VAULT_TOKEN={vault_token}\n",
        "wrapped.txt": f"token: {wrapping}\n",
        "own.txt": f"Authorization: DPoP {own_token}\n",
        "session.json": json.dumps(session, indent=1),
        "google.txt": f"token = '{google}'\n",
        "key.jwk": (home / "key.jwk").read_text(),
        "long.ini": f"{long_lived}aws_secret_access_key = {key['SecretAccessKey']}\n",
        "account.json": key_file,
    }
    kinds = {
        "vault.txt": "vault-token",
        "wrapped.txt": "vault-token",
        "own.txt": "iamrange-token",
        "session.json": "aws-secret-access-key",
        "google.txt": "gcp-oauth-token",
        "key.jwk": "private-jwk",
        "long.ini": "aws-secret-access-key",
        "account.json": "gcp-service-account-key",
    }
    found = states(files)
    assert {name: (kinds[name], "live") in found[name] for name in kinds} == dict.fromkeys(
        kinds, True
    ), found

    # none was used up by being tried
    told = running.vault("POST", "sys/wrapping/unwrap", wrapping)
    assert told["auth"]["client_token"]
    running.vault("GET", "auth/token/lookup-self", vault_token)  # its one use

    running.as_agent(OWN_TOKEN, own_token)
    iam.update_access_key(UserName="nightly", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    running.google("POST", f"serviceAccounts/{email}:disable")
    stranger = {**session, "aws_secret_access_key": other(session["aws_secret_access_key"])}
    found = states(
        {
            **files,
            "session.json": json.dumps(stranger, indent=1),
            "google.txt": f"token = '{other(google)}'\n",
            "key.jwk": json.dumps(oauth.new_key()),
        }
    )
    assert {name: (kinds[name], "dead") in found[name] for name in kinds} == dict.fromkeys(
        kinds, True
    ), found


def test_a_vault_that_is_away_leaves_its_tokens_unknown_and_never_dead(
    running: Range,
    states: Any,  # noqa: ANN401 - a function
) -> None:
    made = running.vault("POST", "auth/token/create", ttl="600s")["auth"]["client_token"]
    running.vault("PUT", "sys/seal")
    found = states({"vault.txt": f"VAULT_TOKEN={made}\n"})
    assert found["vault.txt"] == {("vault-token", "unknown")}
