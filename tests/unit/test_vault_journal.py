from __future__ import annotations

import pytest

from iamrange.credentials.vault.app import VaultState
from iamrange.credentials.vault.journal import Alias, Written, is_lasting

ROOT = "root/generate/internal"
LASTS = (
    ("PUT", "sys/policies/acl/one"),
    ("POST", "sys/mounts/agents"),
    ("POST", "agents/data/one/credentials"),
    ("DELETE", "agents/metadata/one/credentials"),
    ("PATCH", "agents/data/one/credentials"),
    ("POST", "auth/jwt/role/one"),
    ("POST", "auth/jwt/config"),
    ("POST", "identity/entity/name/one"),
)
PASSES = (
    ("GET", "agents/data/one/credentials"),
    ("LIST", "agents/metadata"),
    ("POST", "auth/jwt/login"),
    ("POST", "auth/token/create"),
    ("POST", "sys/wrapping/unwrap"),
    ("PUT", "sys/seal"),
    ("PUT", "sys/leases/revoke"),
    # what has an id of this server's own is told again by its aliases, or not at all
    ("POST", "identity/entity"),
    ("POST", "identity/entity/id/1"),
    ("POST", "identity/entity-alias"),
    ("POST", "identity/lookup/entity"),
    ("POST", "identity/group/id/1"),
)


@pytest.mark.parametrize(("method", "path"), LASTS)
def test_administrators_write_that_lasts_is_kept(method: str, path: str) -> None:
    state = VaultState()
    written = Written(method, path, b"{}")
    state.took(state.administrator, written)
    assert is_lasting(method, path)
    assert state.journal == [written]


@pytest.mark.parametrize(("method", "path"), PASSES)
def test_what_is_done_and_over_is_not_done_again(method: str, path: str) -> None:
    state = VaultState()
    state.took(state.administrator, Written(method, path, b"{}"))
    assert state.journal == []


def test_what_was_written_of_an_entity_with_a_login_is_kept() -> None:
    state = VaultState()
    aliases = (Alias("jwt/", "spiffe://iamrange.example/agent/one"),)
    written = Written("POST", "identity/entity/id/1", b'{"disabled": true}', aliases)
    state.took("somebody", written)
    assert state.journal == []
    state.took(state.administrator, written)
    assert state.journal == [written]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"data": {"a": 1}, "options": {"cas": 3}}', b'{"data": {"a": 1}, "options": {}}'),
        (b'{"data": {"a": 1}}', b'{"data": {"a": 1}}'),
        (b'{"options": {"cas_x": 3}}', b'{"options": {"cas_x": 3}}'),
        (b"[]", b"[]"),
        (b"no json", b"no json"),
    ],
)
def test_write_is_told_again_without_the_version_that_it_named(body: bytes, told: bytes) -> None:
    assert Written("POST", "agents/data/one", body).unchecked().body == told


@pytest.mark.parametrize("token", ["", "s.agent", "administrator-", "\u00e9"])
def test_nobody_elses_write_is_kept(token: str) -> None:
    state = VaultState()
    state.took(token, Written("POST", "agents/data/one", b"{}"))
    assert state.journal == []


def test_what_was_written_does_not_show() -> None:
    assert "hunter2" not in repr(Written("POST", "agents/data/one", b"hunter2"))


def test_each_vault_has_an_administrators_token_of_its_own() -> None:
    assert len({VaultState().administrator for _ in range(3)}) == 3


def test_what_is_done_with_keys_of_one_server_is_not_done_again() -> None:
    """Another server, which made keys of its own, would answer it with an error, and not start."""
    state = VaultState()

    def took(path: str, body: bytes = b"{}") -> bool:
        before = len(state.journal)
        state.took(state.administrator, Written("POST", path, body))
        return len(state.journal) > before

    assert took("sys/mounts/certificates", b'{"type": "pki"}')
    assert took("sys/mounts/keys", b'{"type": "transit"}')
    assert took("sys/mounts/plain", b'{"type": "kv"}')
    for path in ("sign/one", "sign-verbatim", "revoke", "revoke-with-key", "issue/one", "tidy"):
        assert not took(f"certificates/{path}")
    for path in ("encrypt/one", "decrypt/one", "sign/one", "verify/one/sha2-256", "rewrap/one"):
        assert not took(f"keys/{path}")
    for path in ("certificates/roles/one", f"certificates/{ROOT}", "keys/keys/one"):
        assert took(path)
    for path in ("certificates/config/crl", "keys/keys/one/rotate", "plain/sign/one", "plain/tidy"):
        assert took(path)
    assert took("sys/mounts/certificates/tune", b"[]")
    assert not took("certificates/sign/one")
