"""Our decider and our parser of vault policies, against the real OpenBao."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from iamrange.credentials.vault.access import VaultRefusedError
from iamrange.credentials.vault.acl import Acl
from iamrange.credentials.vault.policy import Policy, PolicyError, parse_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.credentials.vault.access import VaultAccess

OverHttp = Any  # the fixture of conftest.py

_SEGMENT = st.sampled_from(["a", "ab", "b", "+", "+a", "a+"])
_NAMED = st.sampled_from(["a", "ab", "b", "c", ""])
PATTERNS = st.builds(
    lambda parts, end: "/".join(parts) + end,
    st.lists(_SEGMENT, min_size=1, max_size=4),
    st.sampled_from(["", "", "*", "/*", "/", "a*"]),
).filter(lambda pattern: "+*" not in pattern)
PATHS = st.builds("k/{}".format, st.lists(_NAMED, max_size=4).map("/".join))
CAPABILITIES = st.lists(
    st.sampled_from(
        ["read", "list", "create", "update", "delete", "patch", "sudo", "scan", "deny"]
    ),
    max_size=3,
)
POLICIES = st.lists(
    st.dictionaries(st.one_of(PATTERNS.map("k/{}".format), PATTERNS), CAPABILITIES, max_size=6),
    min_size=1,
    max_size=3,
)


def text_of(rules: dict[str, list[str]]) -> str:
    blocks = (
        f"path {json.dumps(p)} {{ capabilities = {json.dumps(c)} }}" for p, c in rules.items()
    )
    return "# rules\n" + "\n".join(blocks)


def oracle(access: VaultAccess, texts: Sequence[str], paths: Sequence[str]) -> dict[str, set[str]]:
    names = [f"p{number}" for number, _ in enumerate(texts)]
    for name, text in zip(names, texts, strict=True):
        access.call("PUT", f"sys/policies/acl/{name}", {"policy": text})
    asked = {"policies": names, "no_default_policy": True}
    token = (access.call("POST", "auth/token/create-orphan", asked) or {})["auth"]["client_token"]
    said = access.data("POST", "sys/capabilities", {"token": token, "paths": list(paths)}) or {}
    access.call("POST", "auth/token/revoke", {"token": token})
    return {path: set(said[path]) for path in paths}


def test_decider_agrees_with_the_vault_on_any_policies_and_paths(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        seen: set[bool] = set()

        @settings(
            max_examples=250,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )
        @example(policies=[{"k/+": ["list"], "+": ["read"]}], paths=["k/", "k", "k/a"])
        @example(policies=[{"k/*": ["deny"], "+": ["list"]}], paths=["k/", "k"])
        @example(policies=[{"k/+": ["read"], "k/+/*": []}], paths=["k/ab/"])
        @given(policies=POLICIES, paths=st.lists(PATHS, min_size=1, max_size=12, unique=True))
        def agree(policies: list[dict[str, list[str]]], paths: list[str]) -> None:
            texts = [text_of(rules) for rules in policies]
            acl = Acl(parse_policy(f"p{n}", text) for n, text in enumerate(texts))
            theirs = oracle(access, texts, paths)
            ours = {path: set(acl.capabilities(path)) for path in paths}
            assert ours == theirs
            seen.update(said != {"deny"} for said in theirs.values())

        agree()
        assert seen == {True, False}

    over_http(test)


TEXTS = [
    'path "a" { capabilities = ["read"] }',
    'path "a" { policy = "write" }',
    'path "/k/a" { policy = "sudo" capabilities = ["patch"] }',
    'path "k/a" { capabilities = ["deny", "read"] }',
    'path "k/a" { capabilities = ["boo"] }',
    'path "k/a" { capabilities = ["read"] foo = 1 }',
    'name = "q"\npath "k/a" { capabilities = ["read",] }',
    'path "k/+*" { capabilities = ["read"] }',
    'path "k/a" { capabilities = ["read"]; }',
    'path "k/a" = { capabilities = ["read"] }',
    'path "k/a" { capabilities = ["read" "list"] }',
    "path \"k/a\" { capabilities = 'read' }",
    'path "k/a" { capabilities = "read" }',
    '{"path": {"k/a": {"capabilities": ["read"]}, "k/b": {"policy": "deny"}}}',
    '{"path": [{"k/+/b": {"capabilities": ["list"]}}]}',
    '// c\n/* x\n */ # y\npath "k/*" { capabilities = [\n# d\n"read" # e\n, "list"] }',
    'path "k/a" { capabilities = ["update"] allowed_parameters = { "x" = ["1", 2] "*" = [] } }',
    'path "k/a" { capabilities = ["read"] min_wrapping_ttl = "1s" max_wrapping_ttl = 120 }',
    'path "k/a" { capabilities = ["read"] expiration = "2020-01-01T00:00:00Z" }',
    'path "k/a" { capabilities = ["read"] expiration = "2120-01-01T00:00:00Z" }',
    'path "k/a" { capabilities = ["read"] expiration = "soon" }',
    'path "k/a" {}',
]


def test_parser_reads_what_the_vault_takes_and_refuses_what_it_refuses(
    over_http: OverHttp,
) -> None:
    """Read is read alike: what the vault grants by a text, our decider grants by it."""

    def test(access: VaultAccess) -> None:
        refused = 0
        paths = ["k/a", "k/b", "k/a/b", "a"]
        for text in TEXTS:
            try:
                policy: Policy | None = parse_policy("p0", text)
            except PolicyError:
                policy = None
            try:
                theirs = oracle(access, [text], paths)
            except VaultRefusedError:
                assert policy is None, text
                refused += 1
                continue
            assert policy is not None, text
            acl = Acl([policy], now=1.8e9)
            assert {path: set(acl.capabilities(path)) for path in paths} == theirs, text
        assert 0 < refused < len(TEXTS)

    over_http(test)
