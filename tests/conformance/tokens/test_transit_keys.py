"""Tokens that a real vault signs: the token service never holds the key."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from iamrange.core.clock import OffsetClock, SystemClock
from iamrange.credentials.errors import VaultMissingError
from iamrange.credentials.vault.binary import find_openbao
from iamrange.identity.stores.errors import StoreDownError
from iamrange.identity.tokens.keys import OVERLAP, AuthorityKeysError
from iamrange.identity.tokens.transit_keys import TransitKeys
from tests.conformance.tokens.lab import House
from tests.conformance.vault_thread import KEYS, VaultThread

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = """
path "keys/keys/tokens" { capabilities = ["read"] }
path "keys/keys/tokens/rotate" { capabilities = ["update"] }
path "keys/keys/tokens/config" { capabilities = ["update"] }
path "keys/sign/tokens" { capabilities = ["update"] }
"""
CLAIMS = {"sub": "spiffe://iamrange.example/agent/a", "n": 1}


@pytest.fixture(scope="module")
def vault() -> Iterator[VaultThread]:
    try:
        find_openbao()
    except VaultMissingError as error:
        pytest.skip(str(error))
    running = VaultThread()
    running.write("sys/mounts/keys", type="transit")
    yield running
    running.stop()


@pytest.fixture
def clock() -> OffsetClock:
    return OffsetClock()


@pytest.fixture
def keys(vault: VaultThread, clock: OffsetClock) -> Iterator[TransitKeys]:
    vault.write("keys/keys/tokens", type="ecdsa-p256")
    yield TransitKeys(vault.holder("tokens", RULES), name="tokens", mount=KEYS, clock=clock)
    vault.write("keys/keys/tokens/config", deletion_allowed=True)
    vault.administrator.secrets.transit.delete_key("tokens", mount_point=KEYS)


def verified(keys: TransitKeys, token: str) -> bool:
    """Ask a library that has the published document and nothing else."""
    published = KeySet.import_key_set(json.loads(keys.document().body))
    try:
        jws.deserialize_compact(token, published, algorithms=["ES256"])
    except (JoseError, ValueError):
        return False
    return True


def test_the_vaults_signature_is_a_jws_that_anybody_verifies(keys: TransitKeys) -> None:
    token = keys.signer.sign(CLAIMS)
    assert verified(keys, token)
    head, body, signature = token.split(".")
    assert not verified(keys, f"{head}.{body}.{'A' * len(signature)}")
    assert len(signature) == 86  # r and s, not the DER that other users of the vault have
    assert keys.signer.sign(CLAIMS) != token


def test_the_service_works_on_the_vaults_keys(keys: TransitKeys) -> None:
    house = House(keys=keys)
    answer = house.post()
    assert answer.verdict == (200, "", "issued")
    assert verified(keys, str(answer.body["access_token"]))


def test_the_key_that_will_sign_is_published_before_it_does(keys: TransitKeys) -> None:
    signing, standing_by = keys.kids
    old = keys.signer.sign(CLAIMS)
    assert keys.rotate() == standing_by == keys.signer.kid
    assert keys.kids[2:] == (signing,)
    assert verified(keys, old)
    assert verified(keys, keys.signer.sign(CLAIMS))


def test_a_rotated_key_verifies_until_its_last_token_is_over(
    keys: TransitKeys, clock: OffsetClock
) -> None:
    old = keys.signer.sign(CLAIMS)
    keys.rotate()
    clock.offset = OVERLAP - 5
    assert verified(keys, old)
    clock.offset = OVERLAP + 5
    assert not verified(keys, old)
    assert len(keys.kids) == 2


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_withdrawn_key_is_out_at_once_and_signing_goes_on(keys: TransitKeys, index: int) -> None:
    first = keys.signer.sign(CLAIMS)
    keys.rotate()
    second = keys.signer.sign(CLAIMS)
    kid = keys.kids[index]
    keys.withdraw(kid)
    assert kid not in keys.kids
    assert not verified(keys, first)  # the oldest goes with whichever is withdrawn
    assert verified(keys, second) == (index == 2)
    assert verified(keys, keys.signer.sign(CLAIMS))
    with pytest.raises(AuthorityKeysError, match="expected one of"):
        keys.withdraw(kid)


def test_two_processes_agree_without_telling_each_other(
    vault: VaultThread, keys: TransitKeys, clock: OffsetClock
) -> None:
    other = TransitKeys(vault.holder("tokens", RULES), name="tokens", mount=KEYS, clock=clock)
    keys.rotate()
    clock.offset += 1.5  # for a second it does not ask
    assert other.kids == keys.kids
    assert verified(keys, other.signer.sign(CLAIMS))


def test_whoever_signs_never_has_the_key(vault: VaultThread, keys: TransitKeys) -> None:
    client = vault.holder("tokens", RULES)
    for path in ("export/signing-key/tokens", "backup/tokens"):
        answer = client.session.get(
            f"{vault.url}/v1/{KEYS}/{path}", headers={"X-Vault-Token": client.token}
        )
        assert answer.status_code == 403
        answer = client.session.get(
            f"{vault.url}/v1/{KEYS}/{path}",
            headers={"X-Vault-Token": vault.state.administrator},
        )
        assert not answer.ok  # not even an administrator
        assert "not exportable" in answer.text or "exporting is disallowed" in answer.text
    assert "BEGIN" not in repr(keys.signer)


UNFIT: dict[str, dict[str, Any]] = {
    "for-encryption": {"type": "aes256-gcm96"},
    "on-another-curve": {"type": "ecdsa-p384"},
    "exportable": {"type": "ecdsa-p256", "exportable": True},
    "to-be-copied": {"type": "ecdsa-p256", "allow_plaintext_backup": True},
}


@pytest.mark.parametrize("case", UNFIT)
def test_no_other_key_is_taken(vault: VaultThread, case: str) -> None:
    vault.write(f"keys/keys/{case}", **UNFIT[case])
    with pytest.raises(AuthorityKeysError, match="cannot be had"):
        TransitKeys(vault.administrator, name=case, mount=KEYS, clock=SystemClock())
    with pytest.raises(AuthorityKeysError, match="has none"):
        TransitKeys(vault.administrator, name="nothing", mount=KEYS, clock=SystemClock())


def test_a_sealed_vault_signs_nothing_and_no_token_is_issued(
    vault: VaultThread, keys: TransitKeys
) -> None:
    house = House(keys=keys)
    signer = keys.signer
    vault.seal()
    try:
        with pytest.raises(StoreDownError):
            signer.sign(CLAIMS)
        answer = house.post()
        assert answer.status == 503
        assert "access_token" not in answer.body
    finally:
        vault.unseal()
    time.sleep(0.1)
    assert house.post().verdict == (200, "", "issued")


def test_an_answer_by_another_key_is_none(
    keys: TransitKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = keys.signer
    keys.rotate()
    signer = keys.signer
    right = signer._sign  # noqa: SLF001 - the vault's answer is to be another's
    for answer in ("", "vault", "vault:v1:", "vault:v2:!!", "vault:v9:AAAA"):
        monkeypatch.setattr(signer, "_sign", lambda *_, said=answer: said)
        with pytest.raises(StoreDownError):
            signer.sign(CLAIMS)
    monkeypatch.setattr(signer, "_sign", lambda data, _: right(data, other.version))
    with pytest.raises(StoreDownError):
        signer.sign(CLAIMS)
