"""What an agent may be: every field, by tables of what is accepted and refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from iamrange.identity.directory.encoding import (
    Head,
    entry_body,
    head_document,
    read_entry,
    read_head,
    registration_digest,
    spec_text,
)
from iamrange.identity.directory.field_rules import AgentFieldError, is_agent_id
from iamrange.identity.directory.lifecycle import provision
from iamrange.identity.directory.model import (
    Agent,
    AgentKey,
    AgentSpec,
    Classification,
    Kind,
    agent_id,
    identifier_of,
)

# RFC 7517 appendix A.1, the EC key
EXAMPLE = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}
KEY = AgentKey.from_jwk(EXAMPLE)
VALID = AgentSpec(name="reader", owner="team-a", keys=(KEY,))
LONGEST = "a" * 40


def with_field(field: str, value: object) -> AgentSpec:
    given: dict[str, Any] = {field: value}
    return replace(VALID, **given)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a"),
        ("name", LONGEST),
        ("name", "0-9"),
        ("tenant", "other"),
        ("owner", "Zoë O'Neil"),
        ("purpose", ""),
        ("purpose", "reads 客户 <b>bold</b> & 'quoted'"),
        ("classification", Classification.RESTRICTED),
        ("scopes", frozenset({"read:database", "write:logs", "execute:hr/payroll.run_now"})),
        ("resources", None),
        ("resources", frozenset({"https://hr.iamrange.example", "https://h.example:8443/a/b"})),
        ("certificates", ("A" * 43, "B" * 42 + "w")),
        ("secret_hash", "scrypt$16384$8$1$c2FsdA==$aGFzaA=="),
        ("may_act", frozenset({agent_id("a"), agent_id("b", "tenant")})),
        ("audiences", frozenset({"sts.amazonaws.com", "//iam.googleapis.com/projects/1"})),
        ("aws_role_arn", "arn:aws-us-gov:iam::123456789012:role/path/Role+=,.@-_"),
        ("aws_session_policy", "{}"),
        ("expires", 0),
        ("expires", 1e10),
        ("keys", ()),
    ],
)
def test_a_field_accepts(field: str, value: object) -> None:
    assert getattr(with_field(field, value), field) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a" * 41),
        ("name", "-a"),
        ("name", "a-"),
        ("name", "A"),
        ("name", "a_b"),
        ("name", "a/b"),
        ("name", "a\n"),
        ("name", "ä"),
        ("name", 7),
        ("tenant", "two.words"),
        ("owner", ""),
        ("owner", " padded"),
        ("owner", "a\nb"),
        ("owner", "a\u202eb"),
        ("owner", "\ud800"),
        ("owner", "x" * 101),
        ("owner", None),
        ("purpose", "x" * 301),
        ("project", "tab\there"),
        ("classification", "internal"),
        ("scopes", frozenset({"read"})),
        ("scopes", frozenset({"read: database"})),
        ("scopes", frozenset({"read:database write:logs"})),
        ("scopes", frozenset({"Read:database"})),
        ("scopes", frozenset({"*:*"})),
        ("scopes", {"read:database": 1}),
        ("scopes", frozenset({f"read:t{number}" for number in range(65)})),
        ("resources", frozenset({"http://hr.iamrange.example"})),
        ("resources", frozenset({"https://hr.iamrange.example#part"})),
        ("resources", frozenset({"https://hr.iamrange.example?query"})),
        ("resources", frozenset({"https://user@hr.iamrange.example"})),
        ("certificates", ("A" * 42,)),
        ("certificates", ("A" * 43, "A" * 43)),
        ("certificates", ["A" * 43]),
        ("tls_subject", 1),
        ("kind", "person"),
        ("roles", frozenset({"Data Analyst"})),
        ("roles", ["data-analyst"]),
        ("secret_hash", "short"),
        ("secret_hash", "has spaces in it, which no hash has"),
        ("may_act", frozenset({"spiffe://iamrange.example/agent/"})),
        ("may_act", frozenset({"spiffe://iamrange.example/agent/a/b"})),
        ("may_act", frozenset({"https://iamrange.example/agent/a"})),
        ("audiences", frozenset({"two words"})),
        ("aws_role_arn", "arn:aws:iam::123:role/x"),
        ("aws_role_arn", "arn:aws:sts::123456789012:assumed-role/x/y"),
        ("aws_session_policy", "[]"),
        ("aws_session_policy", "{"),
        ("aws_session_policy", "[" * 2000),
        ("aws_session_policy", '{"a":"' + "b" * 2048 + '"}'),
        ("expires", float("nan")),
        ("expires", float("inf")),
        ("expires", -1),
        ("expires", 10**400),
        ("expires", "tomorrow"),
        ("expires", True),
        ("keys", (KEY, KEY)),
        ("keys", [KEY]),
        ("keys", (replace(KEY, not_after=1.0),)),
    ],
)
def test_a_field_refuses(field: str, value: object) -> None:
    with pytest.raises(AgentFieldError) as caught:
        with_field(field, value)
    assert caught.value.field in (field, "key")
    assert len(str(caught.value)) < 300


def test_a_secrets_hash_is_in_no_message_and_no_repr() -> None:
    with pytest.raises(AgentFieldError) as caught:
        replace(VALID, secret_hash="scrypt with spaces")
    assert "scrypt" not in str(caught.value)
    assert "scrypt" not in repr(replace(VALID, secret_hash="scrypt$hash$hash$hash"))


@pytest.mark.parametrize(
    "change",
    [
        {"d": "AAAA"},
        {"k": "AAAA"},
        {"oth": []},
        {"kty": "RSA"},
        {"kty": "OKP"},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"x": EXAMPLE["x"] + "="},
        {"x": EXAMPLE["x"][:-1]},
        {"x": EXAMPLE["x"][:-1] + "5"},
        {"y": EXAMPLE["x"]},
        {"x": "_" * 42 + "8"},
        {"x": 7},
        {"x": None},
        {"use": "enc"},
        {"alg": "ES384"},
        {"alg": "none"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
    ],
    ids=str,
)
def test_a_key_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(AgentFieldError) as caught:
        AgentKey.from_jwk({**EXAMPLE, **change})
    assert EXAMPLE["y"] not in str(caught.value)


def test_a_key_accepts_what_says_what_it_is_for_and_keeps_only_the_key() -> None:
    extra = {"use": "sig", "alg": "ES256", "key_ops": ["verify"], "kid": "any", "x5t": "y"}
    assert AgentKey.from_jwk({**EXAMPLE, **extra}) == KEY
    assert set(KEY.jwk) == {"kty", "crv", "x", "y"}


def test_a_kid_is_the_thumbprint_that_another_library_computes() -> None:
    for _ in range(20):
        key = ECKey.generate_key("P-256")
        assert AgentKey.from_jwk(dict(key.as_dict(private=False))).kid == key.thumbprint()
    with pytest.raises(AgentFieldError):
        AgentKey(kid="A" * 43, jwk=EXAMPLE)


def test_identifiers_are_spiffe_ids_or_names_in_the_default_tenant() -> None:
    assert identifier_of("reader") == "spiffe://iamrange.example/agent/reader" == VALID.id
    assert identifier_of(agent_id("x", "t")) == "spiffe://t.example/agent/x"
    assert is_agent_id(VALID.id)
    for other in (VALID.id + "\n", VALID.id.upper(), "reader", 7, None, VALID.id + "/x"):
        assert not is_agent_id(other)


def test_classifications_rank() -> None:
    assert [each.level for each in Classification] == [0, 1, 2, 3]


names = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
texts = st.text(min_size=1, max_size=100).filter(lambda t: t.isprintable() and t == t.strip())
scopes = st.frozensets(
    st.from_regex(r"[a-z]{1,9}:[a-z][a-z0-9_./-]{0,20}", fullmatch=True), max_size=8
)


def encoded_at_once(value: AgentSpec | Agent) -> str:
    """Return the canonical text by the plain encoder, of all members together."""
    members: dict[str, Any] = {each.name: getattr(value, each.name) for each in fields(AgentSpec)}
    for name in ("audiences", "may_act", "resources", "roles", "scopes"):
        if members[name] is not None:
            members[name] = sorted(members[name])
    members["keys"] = [
        {"jwk": dict(key.jwk), "kid": key.kid, "not_after": key.not_after} for key in value.keys
    ]
    return json.dumps(members, sort_keys=True, separators=(",", ":"))


FULL = AgentSpec(
    name="full",
    owner='Zoë "O\\Neil"',
    tenant="other",
    purpose="reads 客户 <b>bold</b> & 'quoted' \U0001f511",
    project="apollo/13",
    classification=Classification.RESTRICTED,
    scopes=frozenset({"write:logs", "read:database"}),
    resources=frozenset({"https://b.example/x", "https://a.example"}),
    keys=(KEY,),
    certificates=("B" * 42 + "A", "A" * 43),
    tls_subject=True,
    kind=Kind.PERSON,
    roles=frozenset({"manager", "data-analyst"}),
    secret_hash="scrypt$c2FsdHNhbHQ$aGFzaA",
    may_act=frozenset({agent_id("z"), agent_id("a")}),
    audiences=frozenset({'b"\\', "a"}),
    aws_role_arn="arn:aws:iam::123456789012:role/reader",
    aws_session_policy='{"Version": "2012-10-17", "a\\u00e9": "\\n é"}',
    expires=7,
)


@pytest.mark.parametrize(
    "spec",
    [VALID, FULL, replace(FULL, keys=(), resources=frozenset()), replace(FULL, expires=1.5e9)],
)
def test_the_canonical_text_is_the_plain_encoders(spec: AgentSpec) -> None:
    assert spec_text(spec) == encoded_at_once(spec)
    agent = provision(spec, "0" * 64, 5.0, activate=False)
    kept = replace(agent, keys=tuple(key.until(9.25) for key in agent.keys))
    assert spec_text(kept) == encoded_at_once(kept)
    assert json.loads(spec_text(kept))["owner"] == spec.owner


@given(names, names, texts, scopes, st.sampled_from(Classification), st.none() | st.floats(0, 1e10))
def test_an_entry_is_read_back_as_it_was_written(  # noqa: PLR0913, PLR0917 - drawn values
    name: str,
    tenant: str,
    owner: str,
    wanted: frozenset[str],
    classification: Classification,
    expires: float | None,
) -> None:
    spec = AgentSpec(
        name=name,
        tenant=tenant,
        owner=owner,
        scopes=wanted,
        classification=classification,
        expires=expires,
        keys=(KEY,),
    )
    text = spec_text(spec)
    assert text == encoded_at_once(spec)
    agent = provision(spec, registration_digest(text), 5.25, activate=True)
    assert spec_text(agent) == text
    body = entry_body(agent, text)
    assert read_entry(body) == agent
    assert entry_body(read_entry(body)) == body
    assert body.isascii()


@given(st.binary(max_size=300))
def test_bytes_that_are_no_entry_are_a_named_error(body: bytes) -> None:
    for read in (read_entry, read_head):
        with pytest.raises((ValueError, KeyError, TypeError)):
            read(body)


def test_a_head_is_read_back_as_it_was_written() -> None:
    head = Head(version=7, count=3, time=1.5, root=b"r" * 32, kid="k")
    assert read_head(head_document(head)) == head
