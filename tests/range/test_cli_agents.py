"""`iamrange agents` and `iamrange tokens`, on directories of their own and on a running range."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 1_000
CLIENT = """
import json, sys
import requests
from requests_oauth2client import OAuth2Client, PrivateKeyJwt
from scenarios import oauth
client_id, key, url = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3]
issuer = "https://auth.iamrange.example"
client = OAuth2Client.from_discovery_endpoint(
    issuer + "/.well-known/oauth-authorization-server", issuer=issuer,
    auth=PrivateKeyJwt(client_id, key, alg="ES256", aud=issuer), dpop_bound_access_tokens=True,
)
token = client.client_credentials(resource=url)
print(requests.get(url + "/records/latest", auth=token, timeout=20).status_code)
"""
SVID = """
import sys
import requests
client_id, certificate, assertion = sys.argv[1], sys.argv[2], sys.argv[3]
endpoint = "https://auth.iamrange.example/oauth/token"
asked = {"grant_type": "client_credentials", "client_id": client_id}
over_tls = requests.post(endpoint, data=asked, cert=certificate, timeout=20)
print(over_tls.status_code, over_tls.json().get("token_type"))
from requests_oauth2client import DPoPKey
key = DPoPKey.generate("ES256")
nonce = requests.post(endpoint, data=asked, headers={"DPoP": str(key.proof("POST", endpoint))},
    cert=certificate, timeout=20).headers["DPoP-Nonce"]
proof = key.proof("POST", endpoint, nonce=nonce)
kind = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
by_svid = requests.post(
    endpoint,
    data={**asked, "client_assertion_type": kind, "client_assertion": assertion},
    headers={"DPoP": str(proof)},
    timeout=20,
)
print(by_svid.status_code, by_svid.json().get("token_type"))
"""


class Shell:
    """Runs `iamrange` in a folder of its own."""

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.options = options
        self.env = {**os.environ, **(env or {})}

    def run(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "iamrange.cli", *arguments, *self.options],
            cwd=self.folder,
            env=self.env,
            input=text,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "iamrange.cli", *arguments, *self.options],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ok(self, *arguments: str, text: str | None = None) -> str:
        done = self.run(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str, text: str | None = None) -> Any:  # noqa: ANN401 - any JSON value
        return json.loads(self.ok(*arguments, "--json", text=text))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, "--database", f"sqlite:///{tmp_path}/agents.db")


def public_key(path: Path) -> Path:
    jwk = SigningKey.generate("ES256").public_jwk()
    path.write_text(json.dumps(jwk))
    return path


def specs(count: int) -> str:
    keys = (SigningKey.generate("ES256").public_jwk() for _ in range(count))
    return "".join(
        json.dumps({"name": f"agent-{number}", "owner": "o@example.com", "key": key}) + "\n"
        for number, key in enumerate(keys)
    )


def test_agent_is_registered_with_its_own_key_and_shown(shell: Shell) -> None:
    key = public_key(shell.folder / "key.jwk")
    made = shell.json(
        "agents", "register", "night", "--owner", "o@example.com", "--scope", "read:logs",
        "--public-key", str(key),
    )  # fmt: skip
    assert made["id"] == made["client_id"] == "spiffe://iamrange.example/agent/night"
    assert (made["state"], made["scopes"], made["private_key_file"]) == (
        "active",
        ["read:logs"],
        None,
    )
    shown = shell.json("agents", "show", "night")
    assert shown == {name: value for name, value in made.items() if name != "private_key_file"}
    assert "night" in shell.ok("agents", "list")


def test_registering_the_same_again_changes_nothing_and_another_is_refused(shell: Shell) -> None:
    key = str(public_key(shell.folder / "key.jwk"))
    first = shell.json("agents", "register", "a", "--owner", "o", "--public-key", key)
    again = shell.json("agents", "register", "a", "--owner", "o", "--public-key", key)
    assert again == first
    other = shell.run("agents", "register", "a", "--owner", "somebody-else", "--public-key", key)
    assert (other.returncode, other.stdout) == (1, "")
    assert "name-taken" in other.stderr


def test_key_that_is_made_is_its_owners_alone_and_goes_with_a_refusal(shell: Shell) -> None:
    shell.ok("agents", "register", "a", "--owner", "o")
    file = shell.folder / "a.jwk"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "d" in json.loads(file.read_text())
    refused = shell.run("agents", "register", "a", "--owner", "p", "--key-out", "other.jwk")
    assert refused.returncode == 1
    assert not (shell.folder / "other.jwk").exists()
    assert json.loads(file.read_text())["d"] not in refused.stderr + refused.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["register", "A", "--owner", "o"], "name"),
        (["register", "a"], "--owner"),
        (["register", "a", "--owner", "o", "--public-key", "missing.jwk"], "missing.jwk"),
        (["register", "a", "--owner", "o", "--classification", "secret"], "classification"),
        (["register", "a", "--owner", "o", "--expires", "soon"], "2027-06-30"),
        (["list", "--state", "asleep"], "--state"),
        (["rotate"], "NAME"),
        (["revoke"], "--owner"),
    ],
)
def test_misuse_is_named_with_what_was_expected(
    shell: Shell, arguments: list[str], said: str
) -> None:
    done = shell.run("agents", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_private_key_is_not_taken_in(shell: Shell) -> None:
    key = SigningKey.generate("ES256").private_jwk()
    (shell.folder / "private.jwk").write_text(json.dumps(key))
    done = shell.run("agents", "register", "a", "--owner", "o", "--public-key", "private.jwk")
    assert done.returncode == 2
    assert key["d"] not in done.stderr


def test_life_of_an_agent_leads_from_command_to_command(shell: Shell) -> None:
    shell.ok("agents", "register", "a", "--owner", "o", "--inactive")
    assert shell.json("agents", "show", "a")["state"] == "registered"
    old = shell.json("agents", "show", "a")["keys"][0]["kid"]
    assert shell.json("agents", "activate", "a")["state"] == "active"
    rotated = shell.json("agents", "rotate", "a", "--overlap", "600", "--key-out", "new.jwk")
    assert [key["not_after"] is None for key in rotated["keys"]] == [True, False]
    assert len(shell.json("agents", "withdraw", "a", old)["keys"]) == 1
    assert shell.json("agents", "quarantine", "a")["state"] == "quarantined"
    assert shell.json("agents", "release", "a")["state"] == "active"
    before = shell.json("agents", "show", "a")["epoch"]
    assert shell.json("agents", "revoke", "a")["epoch"] == before + 1
    assert shell.json("agents", "recertify", "a", "--expires", "2099-01-01")["expires"]
    assert shell.json("agents", "retire", "a")["state"] == "retired"
    assert shell.run("agents", "activate", "a").returncode == 1
    actions = [json.loads(line)["action"] for line in shell.ok("agents", "events").splitlines()]
    assert actions == [
        "register",
        "activate",
        "rotate",
        "withdraw",
        "quarantine",
        "release",
        "revoke",
        "recertify",
        "retire",
    ]


@pytest.mark.parametrize("kid", ["-74Yma2sM", "--json-2sM", "-h4Yma"])
def test_a_keys_id_may_begin_with_a_dash(shell: Shell, kid: str) -> None:
    shell.ok("agents", "register", "a", "--owner", "o")
    said = shell.run("agents", "withdraw", "a", kid)
    assert said.returncode == 1
    assert f"'{kid}'" in said.stderr


def test_of_two_rotations_at_once_exactly_one_wins(shell: Shell) -> None:
    shell.ok("agents", "register", "a", "--owner", "o")
    racers = [
        shell.start("agents", "rotate", "a", "--key-out", f"{n}.jwk", "--json") for n in range(3)
    ]
    said = [racer.communicate(timeout=300)[1] for racer in racers]
    assert sorted(racer.returncode for racer in racers) == [0, 1, 1], said
    assert sum("conflict" in each for each in said) == 2, said
    version = shell.json("agents", "show", "a")["version"]
    shell.ok("agents", "rotate", "a", "--expected-version", str(version), "--key-out", "next.jwk")


def test_many_are_registered_rotated_and_revoked_at_once(shell: Shell) -> None:
    lines = specs(MANY)
    done = shell.json("agents", "register", "--file", "-", text=lines)
    assert (done["changed"], done["refused"]) == (MANY, 0)
    assert shell.json("agents", "register", "--file", "-", text=lines)["unchanged"] == MANY
    keys = "".join(
        json.dumps({"name": f"agent-{number}", "key": SigningKey.generate("ES256").public_jwk()})
        + "\n"
        for number in range(10)
    )
    assert shell.json("agents", "rotate", "--file", "-", text=keys)["changed"] == 10
    assert shell.json("agents", "revoke", "--owner", "o@example.com")["changed"] == MANY
    assert len(shell.ok("agents", "list", "--limit", str(MANY), "--json").splitlines()) == MANY
    assert shell.json("agents", "verify")["agents"] == MANY


def test_tampering_is_named_and_fails(shell: Shell) -> None:
    import sqlite3  # noqa: PLC0415 - the tamperer's own

    shell.ok("agents", "register", "a", "--owner", "o")
    with sqlite3.connect(shell.folder / "agents.db") as database:
        tables = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        (entries,) = [name for name in tables if "entries" in name]
        database.execute(f"UPDATE {entries} SET owner = 'mallory'")  # noqa: S608 - the schema's own name
    database.close()
    done = shell.run("agents", "verify")
    assert done.returncode == 1
    assert "agent/a" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("running")
    shell = Shell(folder, env={"XDG_STATE_HOME": str(folder / "state")})
    try:
        shell.ok("up")
        yield shell
    finally:
        shell.run("down")


def script(shell: Shell, source: str, *arguments: str) -> str:
    """Run a script as a shell in the range's network would."""
    env = json.loads(shell.ok("env", "--json"))
    done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
        [sys.executable, "-c", source, *arguments],
        cwd=shell.folder,
        env={**env, "HOME": str(shell.folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_agent_that_the_shell_registers_works_at_once_and_no_more_when_it_is_quarantined(
    running: Shell,
) -> None:
    made = running.json(
        *("agents", "register", "shell-made", "--owner", "o"),
        *("--role", "data-analyst", "--scope", "read:customers"),
    )
    arguments = (made["id"], "shell-made.jwk", "https://customers.iamrange.example")
    assert script(running, CLIENT, *arguments) == "200\n"
    running.ok("agents", "quarantine", "shell-made")
    with pytest.raises(AssertionError, match="InvalidClient"):
        script(running, CLIENT, *arguments)


def test_agent_proves_itself_by_certificate_and_by_jwt_svid(running: Shell) -> None:
    made = running.json(
        "agents", "register", "meshed", "--owner", "o", "--scope", "read:logs", "--tls-client-auth"
    )
    running.ok("agents", "svid", "meshed")
    assertion = running.ok("agents", "svid", "meshed", "--jwt").strip()
    said = script(running, SVID, made["id"], "meshed-svid.pem", assertion)
    assert said.splitlines() == ["200 Bearer", "200 DPoP"]
    assert running.run("agents", "svid", "nobody").returncode == 1
    assert not (running.folder / "nobody-svid.pem").exists()


BY_CERTIFICATE = """
import sys
import requests
endpoint = "https://auth.iamrange.example/oauth/token"
asked = {"grant_type": "client_credentials", "client_id": sys.argv[1]}
for certificate in sys.argv[2:]:
    print(requests.post(endpoint, data=asked, cert=certificate, timeout=20).status_code)
"""


def test_a_quarantined_agents_certificate_stays_refused_after_its_release(running: Shell) -> None:
    made = running.json(
        "agents", "register", "accused", "--owner", "o", "--scope", "read:logs", "--tls-client-auth"
    )
    running.ok("agents", "svid", "accused", "--key-out", "stolen.pem")
    assert script(running, BY_CERTIFICATE, made["id"], "stolen.pem") == "200\n"
    # operators' own tool writes into the directory, and tells the range nothing
    running.ok("agents", "quarantine", "accused")
    assert script(running, BY_CERTIFICATE, made["id"], "stolen.pem") == "401\n"
    running.ok("agents", "release", "accused")
    running.ok("agents", "svid", "accused", "--key-out", "new.pem")
    both = ("stolen.pem", "new.pem")
    assert script(running, BY_CERTIFICATE, made["id"], *both) == "401\n200\n"
    withdrawn = running.json("agents", "withdraw-certificates", "accused")
    assert withdrawn == {"agent_id": made["id"], "withdrawn": 1}
    assert script(running, BY_CERTIFICATE, made["id"], *both) == "401\n401\n"
    (running.folder / "bundle.pem").write_text(running.ok("agents", "bundle"))
    (running.folder / "crl.pem").write_text(running.ok("agents", "bundle", "--crl"))
    files = ("-CAfile", "bundle.pem", "-CRLfile", "crl.pem")
    judged = subprocess.run(  # noqa: S603 - the client under test
        ["openssl", "verify", "-crl_check", *files, "new.pem"],  # noqa: S607 - as everywhere
        cwd=running.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "certificate revoked" in judged.stderr


IN_THE_VAULT = """
import base64, json, os, sys
import hvac, hvac.exceptions
from cryptography import x509
from iamrange.identity.certificates.svid import new_key_and_request
administrator = hvac.Client(token=sys.argv[1])
policies = ["agent-log-writer"]
login = administrator.auth.token.create_orphan(policies=policies, no_default_policy=True)
agent = hvac.Client(token=login["auth"]["client_token"])

def certified(name, **more):
    spiffe_id = "spiffe://iamrange.example/agent/" + name
    body = {"csr": new_key_and_request(spiffe_id).request_pem, "uri_sans": spiffe_id, **more}
    return agent.write_data("certificates/sign/" + name, data=body)["data"]["certificate"]

def refused(act):
    try:
        act()
    except hvac.exceptions.Forbidden:
        return True
    return False

names = x509.load_pem_x509_certificate(certified("log-writer").encode()).extensions
print(names.get_extension_for_class(x509.SubjectAlternativeName).value[0].value)
print(refused(lambda: certified("hr-assistant")))
print(refused(lambda: certified("log-writer", not_after="2099-01-01T00:00:00Z")))
transit = agent.secrets.transit
text = base64.b64encode(b"a nonce").decode()
sealed = transit.encrypt_data("log-writer", text, mount_point="keys")["data"]["ciphertext"]
opened = transit.decrypt_data("log-writer", sealed, mount_point="keys")["data"]["plaintext"]
print(base64.b64decode(opened).decode())
print(refused(lambda: transit.decrypt_data("hr-assistant", sealed, mount_point="keys")))
print(refused(lambda: transit.read_key("log-writer", mount_point="keys")))
print(refused(lambda: transit.rotate_key("log-writer", mount_point="keys")))
print(refused(lambda: transit.export_key("log-writer", "encryption-key", mount_point="keys")))
"""


def test_an_agents_policy_in_the_vault_gives_its_own_certificate_and_key_and_no_others(
    running: Shell,
) -> None:
    token = running.json("status")["vault"]["token"]
    said = script(running, IN_THE_VAULT, token).splitlines()
    assert said[0] == "spiffe://iamrange.example/agent/log-writer"
    assert said[3] == "a nonce"
    assert [*said[1:3], *said[4:]] == ["True"] * 6


def test_status_tells_where_tokens_and_the_directory_are(running: Shell) -> None:
    status = running.json("status")
    assert status["token_endpoint"] == "https://auth.iamrange.example/oauth/token"
    assert status["directory"] == "https://directory.iamrange.example"


def test_token_keys_rotate_and_a_withdrawn_one_is_gone(running: Shell) -> None:
    before = running.json("tokens", "keys")["keys"]
    after = running.json("tokens", "rotate-keys")["keys"]
    assert after[0] == before[1]
    assert before[0] in after
    assert before[0] not in running.json("tokens", "withdraw-key", before[0])["keys"]
    for nobodys in ("nobodys", "-nobodys", "--nobodys"):
        unknown = running.run("tokens", "withdraw-key", nobodys)
        assert unknown.returncode == 1
        assert f"'{nobodys}': expected one of" in unknown.stderr


def test_worlds_control_goes_off_and_on_from_the_shell(running: Shell) -> None:
    assert "is off" in running.ok("controls", "off", "identity.private-key-jwt")
    assert "is on" in running.ok("controls", "on", "identity.private-key-jwt")
