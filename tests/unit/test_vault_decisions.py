from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.decision import Effect, Outcome
from iamrange.credentials.vault.decisions import Asked, decided, principal_of
from iamrange.detect import cut_vault

LOGIN = "auth/jwt/login"
READ = "agents/data/one/credentials"
AUTH: dict[str, Any] = {"display_name": "jwt-spiffe://example/agent/one", "policies": ["agent-one"]}
GRANTED = {
    **AUTH,
    "policy_results": {"allowed": True, "granting_policies": [{"name": "agent-one"}]},
}
DENIED = {**AUTH, "policy_results": {"allowed": False}}

# what OpenBao 2.7 really says, word for word
CASES: dict[str, tuple[Asked, dict[str, Any], tuple[str, str, str, Effect]]] = {
    "another subject": (
        Asked("POST", LOGIN, 400, ("error validating token: invalid subject (sub) claim",)),
        {},
        ("vault.login", "bound-claims", "subject-mismatch", Effect.DENY),
    ),
    "disabled identity": (
        Asked("POST", LOGIN, 403, ("permission denied",)),
        {},
        ("vault.login", "identity", "disabled", Effect.DENY),
    ),
    "another tenant": (
        Asked(
            "POST",
            LOGIN,
            400,
            (
                (
                    'error validating claims: claim "tenant" does not match any associated bound'
                    " claim values"
                ),
            ),
        ),
        {},
        ("vault.login", "bound-claims", "claim-mismatch", Effect.DENY),
    ),
    "another audience": (
        Asked(
            "POST",
            LOGIN,
            400,
            (
                (
                    "error validating token: invalid audience (aud) claim: audience claim does not"
                    " match any expected audience"
                ),
            ),
        ),
        {},
        ("vault.login", "audience", "audience-mismatch", Effect.DENY),
    ),
    "after its life": (
        Asked(
            "POST",
            LOGIN,
            400,
            ("error validating token: invalid expiration time (exp) claim: token is expired",),
        ),
        {},
        ("vault.login", "token", "outside-its-life", Effect.DENY),
    ),
    "no such role": (
        Asked("POST", LOGIN, 400, ('role "nope" could not be found',)),
        {},
        ("vault.login", "role", "unknown-role", Effect.DENY),
    ),
    "words that nobody knows": (
        Asked("POST", LOGIN, 400, ("something new",)),
        {},
        ("vault.login", "token", "refused", Effect.DENY),
    ),
    "let in": (
        Asked("POST", LOGIN, 200),
        {"auth": AUTH},
        ("vault.login", "bound-claims", "claims-match", Effect.ALLOW),
    ),
    "own path": (
        Asked("GET", READ, 200),
        {"auth": GRANTED},
        ("vault.authorize", "policy", "policy-allows", Effect.ALLOW),
    ),
    "nothing there": (
        Asked("GET", READ, 404),
        {"auth": GRANTED},
        ("vault.authorize", "policy", "status-404", Effect.ALLOW),
    ),
    "neighbour's path": (
        Asked("GET", READ, 403, ("permission denied",)),
        {"auth": DENIED},
        ("vault.authorize", "policy", "no-policy-allows", Effect.IMPLICIT_DENY),
    ),
    "after the lease": (
        Asked("GET", READ, 403, ("permission denied",)),
        {"auth": {"token_type": "default"}},
        ("vault.authenticate", "token", "unknown-token", Effect.DENY),
    ),
    "opened twice": (
        Asked(
            "POST",
            "sys/wrapping/unwrap",
            400,
            ("wrapping token is not valid or does not exist",),
        ),
        {},
        ("vault.unwrap", "wrapping-token", "used-or-unknown", Effect.DENY),
    ),
    "opened once": (
        Asked("POST", "sys/wrapping/unwrap", 200),
        {},
        ("vault.unwrap", "wrapping-token", "first-use", Effect.ALLOW),
    ),
    "sealed": (
        Asked("GET", READ, 503, ("Vault is sealed",)),
        {},
        ("vault.authorize", "vault", "upstream-failed", Effect.DENY),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_decision_is_read_from_the_vaults_own_words(name: str) -> None:
    asked, entry, expected = CASES[name]
    found = decided(asked, entry)
    (answer,) = found.layers
    assert (found.point, answer.layer, answer.reason, answer.effect) == expected
    assert found.outcome is (Outcome.DENY if answer.refuses else Outcome.ALLOW)


def test_principal_is_the_subject_of_the_token_that_opened_the_role() -> None:
    asked, entry, _ = CASES["neighbour's path"]
    assert decided(asked, entry).principal == "spiffe://example/agent/one"


@given(st.one_of(st.text(), st.text(max_size=400).map("jwt-{}".format), st.none()))
def test_whoever_cuts_a_token_off_names_it_as_records_do(name: str | None) -> None:
    assert cut_vault.principal_of({"display_name": name}) == principal_of({"display_name": name})


def test_record_says_what_was_asked_for_and_whose_token_was_made() -> None:
    made = {"request": {"operation": "update"}, "response": {"auth": {"display_name": "token-x"}}}
    found = decided(Asked("POST", "auth/token/create", 200), {"auth": GRANTED, **made})
    assert found.facts() == {"operation": "update", "gave": "token-x"}
    refused = decided(Asked("POST", "auth/token/create", 403), {"auth": DENIED, **made})
    assert refused.facts() == {"operation": "update"}


def test_allow_names_the_policy_behind_it() -> None:
    asked, entry, _ = CASES["own path"]
    (answer,) = decided(asked, entry).layers
    assert answer.decided_by is not None
    assert answer.decided_by.policy == "agent-one"


@given(
    method=st.sampled_from(("GET", "POST", "LIST")),
    path=st.sampled_from((LOGIN, READ, "sys/wrapping/unwrap", "auth/token/lookup-self")),
    status=st.integers(400, 599).filter(lambda status: status != 404),
    words=st.lists(st.text(max_size=40), max_size=3),
    auth=st.sampled_from((None, {}, AUTH, DENIED)),
)
def test_what_the_vault_refuses_is_never_an_allow_of_anybody(
    method: str, path: str, status: int, words: list[str], auth: dict[str, Any] | None
) -> None:
    found = decided(Asked(method, path, status, tuple(words)), {"auth": auth})
    plain = path in (READ, "auth/token/lookup-self") and status < 500 and status != 403
    # a request that is malformed was allowed, and says so
    assert (found.outcome is Outcome.ALLOW) == plain
    assert not any(word and word in found.reason for word in words if len(word) > 20)
