"""What a database is told to hold, and which connection is completed with its password."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.credentials.database.holdings import DatabaseState, identifier, literal

OURS: dict[str, Any] = {
    "plugin_name": "postgresql-database-plugin",
    "connection_url": "postgresql://{{username}}:{{password}}@/records",
    "username": "vault",
}


def completed(path: str = "database/config/records", **changes: Any) -> Any:  # noqa: ANN401 - JSON
    state = DatabaseState()
    body = state.completed(path, json.dumps({**OURS, **changes}).encode())
    return json.loads(body).get("password") == state.password


def test_connection_that_names_no_host_is_to_the_worlds_own_database() -> None:
    assert completed()


@pytest.mark.parametrize(
    "changes",
    [
        {"connection_url": "postgresql://{{username}}:{{password}}@db.example.com/records"},
        {"connection_url": "postgresql://db.example.com/records"},
        {"connection_url": "postgresql:///records?host=db.example.com"},
        {"connection_url": "postgresql://{{username}}:{{password}}@/records?hostaddr=203.0.113.9"},
        {"connection_url": "host=db.example.com dbname=records"},
        {"connection_url": "mysql://{{username}}:{{password}}@/records"},
        {"connection_url": ""},
        {"connection_url": 7},
        {"username": "postgres"},
        {"password": "its-own"},
        {"path": "database/roles/one"},
    ],
)
def test_password_is_given_to_no_other_connection(changes: dict[str, Any]) -> None:
    assert not completed(**changes)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_connection_goes_on_as_it_is(body: bytes) -> None:
    assert DatabaseState().completed("database/config/records", body) == body


def test_each_vault_is_told_another_password() -> None:
    state = DatabaseState()
    before = state.password
    state.renew()
    assert state.password != before


def test_every_statement_is_one_line() -> None:
    state = DatabaseState()
    state.plant("agent-one", "it's; DROP")
    lines = state.statements().decode().splitlines()
    assert [line for line in lines if "it''s; DROP" in line] == [
        "INSERT INTO \"agent-one\".records VALUES ('latest', 'it''s; DROP')"
    ]
    assert not [line for line in lines if line.startswith(("DROP", " "))]


@given(st.text())
def test_text_of_any_kind_is_quoted_whole_or_refused(text: str) -> None:
    if any(ord(c) < 32 for c in text):
        with pytest.raises(ValueError, match="expected a text without control characters"):
            literal(text)
        return
    assert literal(text)[1:-1].replace("''", "").count("'") == 0
    assert identifier(text)[1:-1].replace('""', "").count('"') == 0
