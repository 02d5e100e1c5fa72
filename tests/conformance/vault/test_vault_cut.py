"""Cutting an identity off at a real vault: its tokens, its leases, its next login."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from iamrange.credentials.vault.access import VaultAccess, VaultRefusedError
from iamrange.detect.cut import CutError
from iamrange.detect.cut_vault import VaultHand

if TYPE_CHECKING:
    from collections.abc import Callable

OverHttp = Any  # the fixtures of conftest.py
BOT = "spiffe://iamrange.example/agent/bot"
OTHER = "spiffe://iamrange.example/agent/other"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def assertion(subject: str) -> str:
    key = ECKey.import_key(
        KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    )
    now = int(time.time())
    claims = {"sub": subject, "aud": "vault", "iat": now, "nbf": now, "exp": now + 300}
    return jwt.encode({"alg": "ES256"}, claims, key)


def prepared(access: VaultAccess) -> None:
    access.call("POST", "sys/auth/jwt", {"type": "jwt"})
    config = {"jwt_validation_pubkeys": [PUBLIC], "jwt_supported_algs": ["ES256"]}
    access.call("POST", "auth/jwt/config", config)
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": ["vault"],
        "token_policies": ["one", "default"],
        "token_ttl": "10m",
    }
    access.call("POST", "auth/jwt/role/any", role)


def log_in(access: VaultAccess, subject: str) -> VaultAccess:
    given = access.call("POST", "auth/jwt/login", {"role": "any", "jwt": assertion(subject)})
    token = (given or {})["auth"]["client_token"]
    return VaultAccess(address=access.address, token=token, direct=True)


def works(access: VaultAccess) -> bool:
    try:
        return access.call("GET", "agents/data/one") is not None
    except VaultRefusedError:
        return False


def lets_in(access: VaultAccess, subject: str) -> bool:
    try:
        return works(log_in(access, subject))
    except VaultRefusedError:
        return False


def hand(access: VaultAccess) -> VaultHand:
    return VaultHand(endpoint=access.address, token=access.token)


def test_accused_agents_tokens_end_and_it_gets_no_other_while_a_bystander_works_on(
    over_http: OverHttp,
) -> None:
    def test(access: VaultAccess) -> None:
        prepared(access)
        own, others = log_in(access, BOT), log_in(access, OTHER)
        rules = 'path "auth/token/create" { capabilities = ["update"] }'
        access.call("PUT", "sys/policies/acl/default", {"policy": rules})
        made = own.call("POST", "auth/token/create", {"policies": ["one"]}) or {}
        child = VaultAccess(address=access.address, token=made["auth"]["client_token"], direct=True)
        assert all(map(works, (own, others, child)))
        said = hand(access).cut(BOT)
        assert said.startswith("1 identities disabled at the vault")
        assert not works(own)
        assert not works(child)
        assert not lets_in(access, BOT)
        assert works(others)
        assert lets_in(access, OTHER)
        hand(access).cut(BOT)  # again does no harm
        assert not lets_in(access, BOT)
        hand(access).release(BOT)
        assert not works(own)  # what was revoked stays so
        assert lets_in(access, BOT)

    over_http(test)


def test_one_that_has_never_logged_in_cannot_after_it_was_cut_off(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        prepared(access)
        hand(access).cut(BOT)
        assert not lets_in(access, BOT)
        assert lets_in(access, OTHER)
        hand(access).release(BOT)
        assert lets_in(access, BOT)

    over_http(test)


def test_vault_that_is_killed_comes_back_with_whom_it_keeps_out(
    over_http: OverHttp, of_lab: Callable[[], Any]
) -> None:
    def test(access: VaultAccess) -> None:
        prepared(access)
        for subject in (BOT, OTHER):
            assert lets_in(access, subject)
            hand(access).cut(subject)
        hand(access).release(OTHER)
        os.kill(of_lab().vault.running.pid, signal.SIGKILL)
        while of_lab().vault.running is not None:
            time.sleep(0.01)
        assert not lets_in(access, BOT)
        assert lets_in(access, OTHER)
        assert of_lab().vault.starts == 2
        hand(access).release(BOT)
        assert lets_in(access, BOT)

    over_http(test)


def test_token_that_belongs_to_no_login_is_found_by_its_name(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        asked = {"policies": ["one"], "display_name": "pipeline"}
        made = access.call("POST", "auth/token/create-orphan", asked) or {}
        stray = VaultAccess(address=access.address, token=made["auth"]["client_token"], direct=True)
        assert works(stray)
        assert hand(access).cut("token-pipeline").endswith("1 tokens revoked")
        assert not works(stray)

    over_http(test)


def test_vault_that_is_away_or_refuses_is_an_error_and_no_success(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        with pytest.raises(CutError, match="GET sys/auth: 403"):
            VaultHand(endpoint=access.address, token="none").cut(BOT)

    over_http(test)
    with pytest.raises(CutError, match="ConnectionError"):
        VaultHand(endpoint="http://127.0.0.1:1", token="none").cut(BOT)
