"""Each kind of file and document that holds a credential in a way of its own is read."""

from __future__ import annotations

import base64
import json

import pytest

from iamrange.credentials.scan.document import Origin, scan_bytes
from iamrange.credentials.scan.finding import Hasher
from iamrange.credentials.scan.samples import invented

HASHER = Hasher(b"a key for these tests")
SECRET = "k1-Xw93hsSd72hQzT"
SECRET_ID = "6f1c1d3e-8a1b-4c59-9c3e-0d7a2f5b8e11"
PULUMI = "4dabf18193072939515e22adb298388d"


def found(path: str, content: str) -> list[tuple[str, str, str]]:
    scan = scan_bytes(content.encode(), Origin(path=path), HASHER, keep=True)
    return [(f.rule, f.place.member, scan.secrets[f.value][0]) for f in scan.findings]


def secrets(path: str, content: str) -> set[str]:
    return {secret for _, _, secret in found(path, content)}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


UNQUOTED = [
    ".env", ".env.production", "env.production", "prod.env", "app.env.j2", ".envrc", ".bashrc",
    ".zshrc", ".profile", ".bash_profile", ".bash_history", ".zsh_history", "zsh_history",
    ".ash_history", "Dockerfile", "Dockerfile.dev", "app.Dockerfile", "Containerfile", "Makefile",
    "Procfile", "crontab", "app.service", "set.bat", "set.ps1", "notes.rst", "CLAUDE.md",
    ".cursorrules", ".windsurfrules", "rule.mdc", "run.zsh", "my.cnf", "environ", "api.http",
]  # fmt: skip


@pytest.mark.parametrize("path", UNQUOTED)
def test_an_unquoted_word_is_a_value_where_people_write_settings(path: str) -> None:
    assert SECRET in secrets(path, f"A=1\nexport ACME_TOKEN={SECRET}\n".replace("A=1", ""))


@pytest.mark.parametrize("first", ["#!/bin/sh", "#!/usr/bin/env bash", "#!/bin/zsh -e"])
def test_a_shells_script_is_known_by_its_first_line(first: str) -> None:
    assert secrets("bin/start", f"{first}\nexport ACME_TOKEN={SECRET}\n") == {SECRET}


@pytest.mark.parametrize("path", ["agent.py", "a.ts", "A.java", "main.tf", "a.go", "bin/start"])
def test_an_unquoted_word_is_a_name_in_code(path: str) -> None:
    assert secrets(path, f"token = {SECRET.replace('-', '_')}\n") == set()


def state(**members: object) -> str:
    return json.dumps({"version": 4, **members}, indent=1)


KINDS = {
    "netrc": (
        ".netrc",
        f"machine git.internal\n login ana\n password {SECRET}\n",
        "git.internal.password",
    ),
    "netrc on one line": ("_netrc", f"machine h login ana password {SECRET}", "h.password"),
    "pgpass": (".pgpass", f"# x\ndb.internal:5432:main:app:{SECRET}\n", "db.internal.password"),
    "a registry's auth": (
        ".docker/config.json",
        json.dumps({"auths": {"r.internal": {"auth": b64(f"robot:{SECRET}")}}}),
        "auths.r.internal.auth",
    ),
    "npm's auth": (".npmrc", f"//r.internal/:_auth={b64(f'robot:{SECRET}')}\n", "_auth"),
    "a container's list": (
        "deploy.yaml",
        f"env:\n- name: LOG\n  value: debug\n- name: DB_PASSWORD\n  value: {SECRET}\n",
        "env[1].value",
    ),
    "a task's list": (
        "task.json",
        json.dumps({"environment": [{"name": "DB_PASSWORD", "value": SECRET}]}),
        "environment[0].value",
    ),
    "a recorded header": (
        "a.har",
        json.dumps({"headers": [{"name": "X-Api-Key", "value": SECRET}]}),
        "headers[0].value",
    ),
    "a collection's list": (
        "c.json",
        json.dumps({"bearer": [{"key": "token", "value": SECRET}]}),
        "bearer[0].value",
    ),
    "Terraform's output": (
        "terraform.tfstate",
        state(outputs={"db": {"value": SECRET, "type": "string", "sensitive": True}}),
        "outputs.db.value",
    ),
    "Terraform's random password": (
        "terraform.tfstate.backup",
        state(
            resources=[
                {"type": "random_password", "instances": [{"attributes": {"result": SECRET}}]}
            ]
        ),
        "resources[0].instances[0].attributes.result",
    ),
    "Pulumi's secret": (
        ".pulumi/stacks/dev.json",
        state(
            inputs={
                "dsn": {PULUMI: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(SECRET)}
            }
        ),
        "inputs.dsn.plaintext",
    ),
    "a Secret's member of any name": (
        "s.yaml",
        f"kind: Secret\ndata:\n  app.cfg: {b64(SECRET)}\n",
        "data.app.cfg",
    ),
    "a Secret's plain member": (
        "s.yaml",
        f"kind: Secret\nstringData:\n  app: {SECRET}\n",
        "stringData.app",
    ),
    "JSON in a string": (
        "a.json",
        json.dumps({"body": json.dumps({"password": SECRET})}),
        "body",
    ),
    "JSON in a Secret's annotation": (
        "s.yaml",
        f"kind: Secret\na:\n  last: |\n    {json.dumps({'data': {'password': b64(SECRET)}})}\n",
        "a.last.data.password",
    ),
    "JSON in a variable": (".env", f"SETTINGS='{json.dumps({'password': SECRET})}'\n", "SETTINGS"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_file_gives_the_secret_and_its_member(kind: str) -> None:
    path, content, member = KINDS[kind]
    assert ("named-secret", member, SECRET) in found(path, content)


def test_a_key_in_yaml_is_known_by_its_members_together() -> None:
    jwk = json.loads(invented("private-jwk", 3))
    text = "agent:\n" + "".join(f"  {name}: {value}\n" for name, value in jwk.items())
    assert found("agent.yaml", text) == [("private-jwk", "agent", jwk["d"])]


@pytest.mark.parametrize("tag", ["!Ref", "!vault", "!ENV", "!reference", "!Sub"])
def test_a_value_with_a_tag_of_its_own_names_what_will_stand_there(tag: str) -> None:
    assert secrets("stack.yaml", f"a:\n  MasterUserPassword: {tag} DbPassword1x\n") == set()


V = "Xw93hsSd72hQzTk1Lm"  # looks random
WAYS = {
    "a type": ("a.py", f'api_key: str | None = "{V}"'),
    "a generic type": ("a.py", f'API_KEY: Final[str] = "{V}"'),
    "a reference's type": ("a.rs", f'const API_KEY: &str = "{V}";'),
    "a call": ("a.py", f'api_key: SecretStr = SecretStr("{V}")'),
    "a field's default": ("a.py", f'api_key: str = Field(default="{V}")'),
    "a variable set": ("a.py", f'os.environ.setdefault("ACME_API_KEY", "{V}")'),
    "a variable's default": ("a.py", f'key = os.getenv("ACME_API_KEY", "{V}")'),
    "a default after or": ("a.py", f'key = os.environ.get("ACME_API_KEY") or "{V}"'),
    "a default after bars": ("a.ts", f'const apiKey = process.env.ACME_API_KEY || "{V}";'),
    "a constant of PHP": ("a.php", f"define('DB_PASSWORD', '{V}');"),
    "a definition of C": ("a.h", f'#define API_KEY "{V}"'),
    "a Dockerfile's ENV": ("Dockerfile", f"ENV ACME_TOKEN {V}"),
    "fish": ("config.fish", f"set -x ACME_TOKEN {V}"),
    "a notebook's magic": ("a.txt", f"%env ACME_API_KEY {V}"),
    "a flag": (".bash_history", f"app login --password {V}"),
    "a flag in a workflow": (".github/workflows/a.yml", f"run: ./deploy --token {V} x"),
    "a flag with a sign": (".bash_history", f"app login --token={V}"),
    "a header in a string": ("a.py", f'curl("X-Auth-Token: {V}")'),
    "a header of curl": ("a.sh", f'curl -H "X-Auth-Token: {V}" https://x'),
    "a DSN in a string": ("a.py", f'connect("host=db user=a password={V} dbname=x")'),
    "a connection string": ("a.cs", f'var s = "Server=db;User Id=sa;Password={V};";'),
    "a unit's environment": ("a.service", f'[Service]\nEnvironment="ACME_TOKEN={V}"'),
    "SQL": ("a.sql", f"CREATE ROLE app LOGIN PASSWORD '{V}';"),
    "SQL of MySQL": ("a.sql", f"CREATE USER app IDENTIFIED BY '{V}';"),
    "XML": ("settings.xml", f"<server><password>{V}</password></server>"),
    "XML with attributes": ("web.config", f'<add key="ApiSecret" value="{V}"/>'),
    "redis": ("redis.conf", f"requirepass {V}"),
    "a URL's query": (".mcp.json", json.dumps({"url": f"https://x/mcp?apiKey={V}&y=1"})),
    "a short name": (".env", f"DB_PASS={V}"),
    "any key of the environment": (".env", f"STRIPE_KEY={V}"),
    "base64 with a slash in front": (".env", f"DB_PASSWORD=/{V}Qq+7/Zw=="),
    "a value that begins like a prefix": (".env", f"DB_PASSWORD=b{V}"),
    "an AppRole's secret": (".env", f"VAULT_SECRET_ID={SECRET_ID}"),
    "an API key that is a UUID": ("a.json", json.dumps({"api_key": SECRET_ID})),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_named_value_is_found_whole_and_once_however_it_is_written(way: str) -> None:
    path, line = WAYS[way]
    (seen,) = secrets(path, f"{line}\n")
    assert seen in line
    assert seen.strip("b/Qq+7Zw=").strip("/") in (V, SECRET_ID)


NOT_VALUES = {
    "a reference of 1Password": "DB_PASSWORD=op://vault/item1/password",
    "a reference of vals": "API_KEY=ref+awsssm://prod/key1",
    "a name of a secret": '{"secret": "prod/db-AbC123"}',
    "a URN": "secret: urn:uuid:28fafce6-a2d7-6613-5494-17d4323d5e27",
    "a token's id": f"session_token_id: {SECRET_ID}",
    "a header's name": 'API_KEY_HEADER = "X-API-Key-2"',
    "a tokenizer": "tokenizer: cl100k_base",
    "a default that is a word": 'def f(token: str | None = "default1"): ...',
    "a member's name": 'PASSWORD_FIELD = get("PASSWORD", "pkcs12_password")',
    "a public key's name": "SSH_PUBLIC_KEY=AAAAB3NzaC1yc2EAAAADAQABAAABgQ",
    "prose": "the secret consists1of words, the token identifies2them, the password protects3all",
    "a flag's place": "use --password <password1> or --token TOKEN1 --api-key-file /etc/key12345",
    "SQL's place": "ALTER USER a WITH PASSWORD :'new_password1';",
    "a documented password": "postgres://user:password@localhost/db amqp://guest:guest@localhost",
    "jwt.io's example": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6I"
    "kpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "a sealed secret": f"kind: SealedSecret\nspec:\n  password: AgB{V * 20}==",
}


@pytest.mark.parametrize("path", ["a.py", "a.yaml", "a.md", ".env"])
@pytest.mark.parametrize("note", NOT_VALUES)
def test_a_name_with_something_else_behind_it_is_no_finding(note: str, path: str) -> None:
    assert secrets(path, NOT_VALUES[note]) == set()


PEM = invented("private-key", 6)
MARGINS = {
    "a diff": lambda line: f"+{line}",
    "a quotation": lambda line: f"> {line}",
    "a comment of shells": lambda line: f"# {line}",
    "a comment of C": lambda line: f"    // {line}",
    "a comment of Java": lambda line: f" * {line}",
    "strings of Java": lambda line: f'    "{line}\\n" +',
    "strings of Python": lambda line: f"    '{line}\\n'",
    "a list of JavaScript": lambda line: f"  '{line}',",
    "XML": lambda line: f"{line}&#10;",
}


@pytest.mark.parametrize("margin", MARGINS)
def test_a_private_key_is_one_value_whatever_stands_before_its_lines(margin: str) -> None:
    hasher = Hasher(b"a key for these tests")
    text = "\n".join(MARGINS[margin](line) for line in PEM.splitlines())
    for path in ("a.diff", "a.py", "a.conf"):
        values = {
            finding.value
            for content in (PEM, f"before\n{text}\nafter\n")
            for finding in scan_bytes(content.encode(), Origin(path=path), hasher).findings
        }
        assert len(values) == 1, path
        assert len(scan_bytes(text.encode(), Origin(path=path), hasher).findings) == 1
