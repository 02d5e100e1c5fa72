"""The pure parts of sessions: credentials, tags, claims, shared issuers, limits of parameters."""

# ruff: noqa: ANN401 - JSON values
from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.clouds.aws.judge import Judge
from iamrange.clouds.aws.model import AwsError, AwsRequest, HttpRequest, Session
from iamrange.clouds.aws.oidc_provider_rules import client_ids_fault, thumbprints_fault, url_fault
from iamrange.clouds.aws.request import Principal
from iamrange.clouds.aws.session_options import (
    SessionPolicies,
    SessionTags,
    packed_size,
    session_tags,
)
from iamrange.clouds.aws.sessions import Grant, SessionTable
from iamrange.clouds.aws.shared_issuers import TENANCY_CLAIMS, shared_issuer_fault
from iamrange.clouds.aws.web_identity_claims import (
    ClaimedTags,
    ClaimError,
    claimed_source_identity,
    claimed_tags,
    condition_keys,
    session_keys,
)
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLE = "arn:aws:iam::111122223333:role/agent"
GRANT = Grant(
    principal=Principal(kind="assumed-role", arn=ROLE, role_arn=ROLE, account="111122223333"),
    account="111122223333",
    user_id="AROAEXAMPLE:planner",
    issuer_arn=ROLE,
    session_name="planner",
    duration=900,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
TAGS = "https://aws.amazon.com/tags"


def issued(table: SessionTable | None = None, **changes: Any) -> Session:
    size = changes.pop("token_size", 0)
    return (table or SessionTable()).issue(GRANT, now=1000.0, token_size=size)


def test_credentials_have_the_shape_of_awss_and_are_never_alike() -> None:
    table = SessionTable()
    sessions = [issued(table) for _ in range(50)]
    for session in sessions:
        assert session.access_key_id.startswith("ASIA")
        assert len(session.access_key_id) == 20
        assert len(session.secret_access_key) == 40
        assert session.session_token.startswith("IQoJ")
        assert session.expires_at == 1900.0
        assert table.by_access_key(session.access_key_id) is session
    for name in ("access_key_id", "secret_access_key", "session_token"):
        assert len({getattr(session, name) for session in sessions}) == 50


def test_token_is_as_long_as_was_asked() -> None:
    assert len(issued(token_size=2000).session_token) == 2000


def test_unknown_key_has_no_session() -> None:
    assert SessionTable().by_access_key("ASIAUNKNOWN") is None


def test_repr_of_a_session_shows_no_secret() -> None:
    session = issued()
    assert session.secret_access_key not in repr(session)
    assert session.session_token not in repr(session)


def test_long_expired_sessions_are_forgotten_in_time() -> None:
    table = SessionTable()
    old = issued(table)
    for _ in range(1023):
        table.issue(GRANT, now=1_000_000.0)
    assert table.by_access_key(old.access_key_id) is None


@pytest.mark.parametrize(
    ("items", "transitive"),
    [
        ([("", "v")], []),
        ([("k" * 129, "v")], []),
        ([("k", "v" * 257)], []),
        ([("aws:x", "v")], []),
        ([("k", "v"), ("K", "w")], []),
        ([(f"k{n}", "v") for n in range(51)], []),
        ([("k", "v")], ["other"]),
    ],
)
def test_tags_outside_the_limits_are_refused(
    items: list[tuple[str, str]], transitive: list[str]
) -> None:
    assert isinstance(session_tags(items, transitive), AwsError)


def test_inherited_tag_cannot_be_overridden_in_any_case() -> None:
    parent = SessionTable().issue(
        Grant(
            **{n: getattr(GRANT, n) for n in ("principal", "account", "user_id", "issuer_arn")},
            session_name="s",
            duration=900,
            tags={"Team": "red", "own": "x"},
            transitive_tag_keys=frozenset({"Team"}),
        ),
        now=0.0,
    )
    assert isinstance(session_tags([("team", "blue")], [], parent), AwsError)
    child = session_tags([("role", "reader")], ["role"], parent)
    assert isinstance(child, SessionTags)
    assert dict(child.all) == {"role": "reader", "Team": "red"}
    assert child.transitive_keys == {"role", "Team"}
    assert "aws:RequestTag/Team" not in child.context


def test_packed_size_grows_to_a_refusal() -> None:
    noise = random.Random(1)  # noqa: S311 - incompressible test data
    text = ["".join(noise.choices(string.ascii_letters, k=256)) for _ in range(50)]
    tags = session_tags([(f"k{n}", value) for n, value in enumerate(text)], [])
    small = session_tags([("k", "v")], [])
    none = SessionPolicies(compiled=None, plaintext="")
    assert isinstance(tags, SessionTags)
    assert isinstance(small, SessionTags)
    refusal, packed = packed_size(none, tags), packed_size(none, small)
    assert isinstance(refusal, AwsError)
    assert refusal.code == "PackedPolicyTooLarge"
    assert isinstance(packed, int)
    assert 0 < packed < 5
    assert packed_size(none, SessionTags()) == 0


@pytest.mark.parametrize(
    "claim",
    [
        "text",
        {"principal_tags": []},
        {"principal_tags": {"k": []}},
        {"principal_tags": {"k": ["a", "b"]}},
        {"principal_tags": {"k": [1]}},
        {"principal_tags": {"k": {"a": "b"}}},
        {"transitive_tag_keys": [1]},
        {"transitive_tag_keys": {"a": "b"}},
    ],
)
def test_tags_claim_of_another_form_is_refused(claim: Any) -> None:
    with pytest.raises(ClaimError):
        claimed_tags({TAGS: claim})


def test_tags_are_read_nested_or_flattened() -> None:
    expected = ClaimedTags({"k": "v"}, ("k",))
    nested = {TAGS: {"principal_tags": {"k": ["v"]}, "transitive_tag_keys": ["k"]}}
    flat = {f"{TAGS}/principal_tags/k": "v", f"{TAGS}/transitive_tag_keys": ["k"]}
    assert claimed_tags(nested) == claimed_tags(flat) == expected
    assert claimed_tags({}) == ClaimedTags()


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([TAGS, "aud", "azp", "sub", "amr", "ref"]), JSON))
def test_no_claims_make_their_reader_raise_anything_else(claims: dict[str, Any]) -> None:
    try:
        claimed_tags(claims)
        claimed_source_identity(claims)
    except ClaimError:
        pass
    keys = condition_keys("token.actions.githubusercontent.com", claims)
    assert all(isinstance(value, str | tuple) for value in keys.values())


def test_what_stays_with_the_session_is_less_than_what_the_trust_policy_sees() -> None:
    claims = {"sub": "s", "aud": "a", "ref": "refs/heads/main", "amr": ["x"]}
    issuer = "token.actions.githubusercontent.com"
    seen, kept = condition_keys(issuer, claims), session_keys(issuer, claims)
    assert set(seen) - set(kept) == {f"{issuer}:ref"}


def document(issuer: str, condition: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        **more,
    }
    if condition is not None:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


@pytest.mark.parametrize("issuer", TENANCY_CLAIMS)
def test_every_shared_issuer_needs_its_tenancy_claim(issuer: str) -> None:
    for claim in TENANCY_CLAIMS[issuer]:
        key = f"{issuer}:{claim}"
        assert shared_issuer_fault(document(issuer, {"StringEquals": {key: "acme"}})) is None
        assert shared_issuer_fault(document(issuer, {"stringlike": {key.upper(): "a*"}})) is None
        for values in ("*", "**", "*?", ["acme", "*"], [], ""):
            assert shared_issuer_fault(document(issuer, {"StringLike": {key: values}}))
        for operator in ("StringNotEquals", "StringLikeIfExists", "ForAllValues:StringLike"):
            assert shared_issuer_fault(document(issuer, {operator: {key: "acme"}}))
    assert shared_issuer_fault(document(issuer, None))
    other = {"StringEquals": {f"{issuer}:other": "acme"}}
    assert shared_issuer_fault(document(issuer, other))
    assert shared_issuer_fault(document(issuer, None, Effect="Deny")) is None


def test_issuer_of_one_tenant_needs_none() -> None:
    for issuer in ("gitlab.acme.example", "oidc.vercel.com/acme", "idp.example"):
        assert shared_issuer_fault(document(issuer, None)) is None


def test_one_careless_statement_among_careful_ones_is_found() -> None:
    key = {"StringEquals": {"gitlab.com:sub": "project_path:acme/x"}}
    careful, careless = document("gitlab.com", key), document("gitlab.com", None)
    both = {"Statement": careful["Statement"] + careless["Statement"]}
    assert shared_issuer_fault(both)
    single = {"Statement": careless["Statement"][0]}
    assert shared_issuer_fault(single)


@pytest.mark.parametrize(
    ("element", "guarded"),
    [
        ({"Action": "sts:TagSession"}, False),
        ({"Action": ["sts:TagSession", "sts:AssumeRoleWithWebIdentity"]}, True),
        ({"Action": "STS:assumerolewith*"}, True),
        ({"Action": "sts:*"}, True),
        ({"Action": "sts:AssumeRole"}, False),
        ({"NotAction": "sts:TagSession"}, True),
    ],
)
def test_only_what_lets_a_web_identity_in_is_guarded(
    element: dict[str, Any], *, guarded: bool
) -> None:
    whole = document("gitlab.com", None)
    statement = whole["Statement"][0]
    del statement["Action"]
    statement |= element
    assert (shared_issuer_fault(whole) is not None) == guarded


def test_everyone_counts_as_the_issuer_at_assume_time_only() -> None:
    everyone = document("x", None, Principal="*", Action="sts:*")
    assert shared_issuer_fault(everyone) is None
    assert shared_issuer_fault(everyone, "gitlab.com")
    assert shared_issuer_fault(everyone, "idp.example") is None
    others = document("gitlab.com", None)
    assert shared_issuer_fault(others, "idp.example") is None


@settings(deadline=None)
@given(JSON)
def test_no_document_makes_the_guard_raise(value: Any) -> None:
    whole = value if isinstance(value, dict) else {"Statement": value}
    assert isinstance(shared_issuer_fault(whole, "gitlab.com"), str | None)


@pytest.mark.parametrize(
    "url",
    ["https://a.example", "https://a.example/", "https://a.example/p/q", "https://A.Example/P"],
)
def test_provider_url_is_kept_as_it_is(url: str) -> None:
    assert url_fault(url) is None


@settings(deadline=None)
@given(st.text(), st.lists(st.text()), st.lists(st.text()))
def test_provider_rules_never_raise(url: str, ids: list[str], prints: list[str]) -> None:
    for fault in (url_fault(url), client_ids_fault(ids), thumbprints_fault(prints)):
        assert fault is None or isinstance(fault, AwsError)


REQUEST = AwsRequest(
    service="sts",
    operation="AssumeRole",
    parameters={},
    region="us-east-1",
    account="",
    request_id="r",
    protocol="query",
    http=HttpRequest(method="POST", raw_path="/", query="", headers=(), body=b""),
    source_ip="127.0.0.1",
    secure=True,
    user_agent="",
    now=0.0,
)


def decided(*layers: LayerAnswer) -> tuple[LayerAnswer | None, DecisionRecord]:
    records: list[DecisionRecord] = []
    refusal = Judge(records=records.append).decide(
        "aws.limits", REQUEST, layers, action="a", resource="r", principal="p", account=""
    )
    return refusal, records[0]


def test_first_refusal_is_the_answer_and_all_layers_are_recorded() -> None:
    fine = LayerAnswer("a", Effect.ALLOW, "fine")
    first, second = (LayerAnswer(n, Effect.DENY, n) for n in ("b", "c"))
    refusal, record = decided(fine, first, second)
    assert refusal is first
    assert (record.outcome, record.reason) == (Outcome.DENY, "b")
    assert record.layers == (fine, first, second)


def test_layer_without_a_say_lets_pass() -> None:
    refusal, record = decided(LayerAnswer("a", Effect.NOT_APPLICABLE, "none"))
    assert refusal is None
    assert record.outcome is Outcome.ALLOW


def test_decision_on_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no layer"):
        decided()
