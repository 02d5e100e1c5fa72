"""What is planted is found, in each kind of file; what only looks like it is not."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.credentials.scan.document import Origin, scan_bytes
from iamrange.credentials.scan.finding import Hasher, Scan, Suppressed, document
from iamrange.credentials.scan.rules import RULES
from iamrange.credentials.scan.rules_types import SecretRule, by_pattern
from iamrange.credentials.scan.samples import SAMPLES, invented
from iamrange.credentials.scan.sarif import log

if TYPE_CHECKING:
    from collections.abc import Callable

HASHER = Hasher(b"a key for these tests")


def scanned(path: str, content: str | bytes) -> Scan:
    data = content.encode() if isinstance(content, str) else content
    return scan_bytes(data, Origin(path=path), HASHER, keep=True)


def rules_in(path: str, content: str | bytes) -> list[str]:
    return [finding.rule for finding in scanned(path, content).findings]


def cell(source: list[str], output: list[str]) -> str:
    outputs = [{"output_type": "stream", "name": "stdout", "text": output}]
    code = {"cell_type": "code", "metadata": {}, "source": source, "outputs": outputs}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [code]})


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def server(**settings: object) -> str:
    return json.dumps({"mcpServers": {"tickets": {"command": "tickets", **settings}}}, indent=2)


KINDS: dict[str, tuple[str, Callable[[str], str | bytes]]] = {
    "code": ("agent.py", lambda t: f'SETTINGS = """\n{t}\n"""\n'),
    "prompt": ("prompts/system.md", lambda t: f"You are helpful.\n\n{t}\n\nBe kind.\n"),
    "text": ("notes.txt", lambda t: f"{t}\n"),
    "no suffix": ("Dockerfile", lambda t: f"# build\n{t}\n"),
    "json": ("config.json", lambda t: json.dumps({"agent": {"value": t}}, indent=1)),
    "json with comments": ("settings.jsonc", lambda t: f'// x\n{{"a": {json.dumps(t)},}}'),
    "json in json": ("event.json", lambda t: json.dumps({"body": json.dumps({"value": t})})),
    "notebook source": ("a.ipynb", lambda t: cell(lines(t), [])),
    "notebook output": ("a.ipynb", lambda t: cell([], lines(t))),
    "yaml": ("values.yaml", lambda t: f"a:\n  b: |\n{indented(t)}  c: 1\n"),
    "yaml quoted": ("values.yml", lambda t: f"a:\n  b: {json.dumps(t)}\n"),
    "toml": ("agent.toml", lambda t: f"[a]\nvalue = {json.dumps(t)}\n"),
    "dotenv": (".env", lambda t: f"A=1\n{t}\nB=2\n"),
    "ini": ("agent.ini", lambda t: f"[agent]\na = 1\n{t}\n"),
    "mcp env": (".vscode/mcp.json", lambda t: server(env={"VALUE": t})),
    "mcp header": ("mcp.json", lambda t: server(headers={"X-Value": t})),
    "mcp args": ("claude_desktop_config.json", lambda t: server(args=["--value", t])),
    "kubernetes": (
        "secret.yaml",
        lambda t: f"kind: Secret\ndata:\n  v: {base64.b64encode(t.encode()).decode()}\n",
    ),
    "base64 in text": ("notes.md", lambda t: f"blob {base64.b64encode(t.encode()).decode()} end"),
    "utf-16": ("a.txt", lambda t: f"{t}\n".encode("utf-16")),
    "utf-16 without a mark": ("a.txt", lambda t: f"a note\n{t}\n".encode("utf-16-le")),
    "utf-32": ("a.txt", lambda t: f"{t}\n".encode("utf-32")),
    "latin-1": ("a.txt", lambda t: f"déjà vu\n{t}\n".encode("latin-1")),
    "crlf": ("a.txt", lambda t: f"a\n{t}\n".replace("\n", "\r\n")),
}


def test_each_rule_has_a_sample_and_each_sample_a_rule() -> None:
    assert set(SAMPLES) == {rule.id for rule in RULES}


# Not a case for each kind too: Hypothesis bears with no more than some 900 of one property.
@pytest.mark.parametrize("rule", SAMPLES)
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32))
def test_what_is_planted_in_a_file_is_found_in_every_kind_of_file(rule: str, seed: int) -> None:
    sample = invented(rule, seed)
    missed = [
        kind for kind, (path, plant) in KINDS.items() if rule not in rules_in(path, plant(sample))
    ]
    assert missed == [], sample


@pytest.mark.parametrize("rule", SAMPLES)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_a_finding_says_where_and_never_what(rule: str, seed: int) -> None:
    sample = invented(rule, seed)
    scan = scanned("a.txt", f"first\nsecond\n{sample}\n")
    (finding,) = [found for found in scan.findings if found.rule == rule]
    secret, _ = scan.secrets[finding.value]
    told = repr(scan.findings) + json.dumps([document(scan), log(scan)])
    # neither whole nor so much of it that the rest could be tried
    pieces = {secret[at : at + 8] for at in range(4, len(secret) - 8)}
    assert pieces
    assert not [piece for piece in pieces if piece in told and piece not in rule]
    assert finding.place.line >= 3
    assert len(finding.hint) <= 4


@pytest.mark.parametrize("rule", SAMPLES)
def test_a_comment_with_a_reason_allows_what_is_below_or_beside_it_and_is_counted(
    rule: str,
) -> None:
    sample = invented(rule, 7).rstrip("\n")
    first, _, rest = sample.partition("\n")
    allowed = f"# iamrange:allow-secret a vector of a test\n{first}\n{rest}"
    scan = scanned("a.txt", allowed)
    assert rule not in [finding.rule for finding in scan.findings]
    assert scan.suppressed[Suppressed.ALLOWED] >= 1
    for other in (f"# iamrange:allow-secret\n{sample}", f"# iamrange:allow-secret x\n\n\n{sample}"):
        assert rule in rules_in("a.txt", other), "no reason, or too far away"


B = "b7f3c9d2e1a8405f96d3"  # hex, as a digest has it

NOT_SECRETS = {
    "a commit's id": f"commit {B}{B}",
    "a digest": f"sha256:{B}{B}{B}f00d",
    "an integrity": f'"integrity": "sha512-{"Qk1" * 28}Q=="',
    "a UUID as a token's id": 'token_id = "6f1c1d3e-8a1b-4c59-9c3e-0d7a2f5b8e11"',
    "a public key": "-----BEGIN PUBLIC KEY-----\n" + "Mfk3" * 40 + "\n-----END PUBLIC KEY-----",
    "a private key that is none": "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "a public JWK": '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9",'
    ' "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
    "a member d of something else": '{"d": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9", "name": "x"}',
    "three parts that are no JWT": "eyJub3QiOiJhIGp3dCJ9.eyJub3QiOiJhIGp3dCJ9." + "aB3_" * 12,
    "AWS's own example": "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "an id that is too short": "AKIAABCDEFGHIJ",
    "a variable": 'password = "${DB_PASSWORD_2024}"',
    "another variable": "API_TOKEN=$(cat /run/secrets/token1)",
    "a place for one": "api_key: <your-api-key-1234>",
    "a change to make": 'password = "changeme-1234"',
    "a lookup": 'password = os.environ["DB_PASSWORD_1"]',
    "a call": "token = read_token(session1, 42)",
    "a name of a member": 'client_secret_name = "prod/db-credential-1"',
    "a URL under a telling name": 'token_url = "https://auth.internal/v1/oauth2/token"',
    "a URL without a password": "https://robot@git.internal/x.git",
    "a URL with a variable": "postgresql://app:${PASSWORD}@db/main",
    "a URL with a format": "postgresql://app:{password}@db/main and https://u:%s@host/",
    "a port": "http://localhost:8080/@scope/package",
    "a method": "words.sort; this.Handler1234567890abcdefgh()",
    "a header's scheme": "Authorization: Bearer <token>",
    "words": "the password should be long, the secret kept and the token short: 15 minutes",
    "a type": "password: SecretStr = Field(min_length=12)",
    "a resource's type": 'token="aws:s3/bucketObjectv2:BucketObjectv2"',
}


@pytest.mark.parametrize("path", ["a.py", "a.txt", "a.env"])
@pytest.mark.parametrize("note", NOT_SECRETS)
def test_what_only_looks_like_a_secret_is_no_finding(note: str, path: str) -> None:
    assert rules_in(path, NOT_SECRETS[note]) == []


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.hint == 4], ids=lambda r: r.id)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_a_format_without_its_public_prefix_is_not_that_format(rule: SecretRule, seed: int) -> None:
    sample = invented(rule.id, seed)
    assert rule.id not in rules_in("a.txt", f"- Z{sample[1:]}" if sample[1] != "." else "- z")


def test_copies_of_a_value_have_one_hash_and_another_key_gives_another() -> None:
    sample = invented("private-key", 1)
    places = {
        finding.value
        for kind in ("code", "json", "notebook output", "kubernetes", "yaml", "crlf")
        for finding in scanned(KINDS[kind][0], KINDS[kind][1](sample)).findings
    }
    assert len(places) == 1
    other = scan_bytes(sample.encode(), Origin(path="a"), Hasher(b"another key for the tests"))
    assert {finding.value for finding in other.findings}.isdisjoint(places)


@pytest.mark.parametrize(
    ("path", "content", "member", "line"),
    [
        ("mcp.json", server(args=["--api-key", "k1-Xw93hsSd72hQ"]), "args[1]", 7),
        ("mcp.json", server(env={"TICKETS_TOKEN": "k1-Xw93hsSd72hQ"}), "env.TICKETS_TOKEN", 6),
        ("a.yaml", "a:\n- b\n- password: k1-Xw93hsSd72hQ\n", "a[1].password", 3),
        ("a.yaml", "run: [x, --token, k1-Xw93hsSd72hQ]\n", "run[2]", 1),
        ("a.toml", "[db.main]\npassword = 'k1-Xw93hsSd72hQ'\n", "db.main.password", 2),
        (".env", "# x\nexport A_TOKEN='k1-Xw93hsSd72hQ'\n", "A_TOKEN", 2),
        ("a.ini", "[db]\npassword: k1-Xw93hsSd72hQ\n", "db.password", 2),
        ("a.ipynb", cell(["x\n", "token = 'k1-Xw93hsSd72hQ'"], []), "cells[0].source", 1),
        ("a.ipynb", cell([], ["token = 'k1-Xw93hsSd72hQ'"]), "cells[0].outputs[0].text", 1),
    ],
)
def test_a_finding_in_a_document_names_the_member(
    path: str, content: str, member: str, line: int
) -> None:
    (finding,) = scanned(path, content).findings
    assert (finding.place.member.endswith(member), finding.place.line) == (True, line), finding


def test_a_short_password_in_a_kubernetes_secret_is_read() -> None:
    (finding,) = scanned(
        "s.yaml", f"kind: Secret\ndata:\n  password: {base64.b64encode(b'k1-Xw93hs').decode()}\n"
    ).findings
    assert (finding.rule, finding.encoded) == ("named-secret", True)


def test_a_rule_that_could_find_nothing_is_refused() -> None:
    for keywords in ((), ("",), ("AKIA",)):
        with pytest.raises(ValueError, match="keywords"):
            SecretRule(
                id="x", summary="x", keywords=keywords, find=by_pattern("(?P<secret>x)"), source="x"
            )
