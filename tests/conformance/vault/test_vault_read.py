"""What the over-privilege audit reads of a real vault: all that gives an agent something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from iamrange.credentials.privileges.read_aws import ReadError
from iamrange.credentials.privileges.read_vault import read_vault
from iamrange.credentials.privileges.vault import agent_at
from iamrange.credentials.vault.access import VaultAccess

if TYPE_CHECKING:
    from collections.abc import Mapping

OverHttp = Any  # the fixture of conftest.py
BOT = "spiffe://iamrange.example/agent/bot"


def policy(access: VaultAccess, name: str, text: str) -> None:
    access.call("PUT", f"sys/policies/acl/{name}", {"policy": text})


def role(access: VaultAccess, name: str, more: Mapping[str, Any]) -> None:
    body = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], **more}
    access.call("POST", f"auth/jwt/role/{name}", body)


def test_agent_has_what_its_roles_its_entity_and_its_groups_give(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        access.call("POST", "sys/auth/jwt", {"type": "jwt"})
        for name in ("by-role", "by-entity", "by-group"):
            policy(access, name, f'path "agents/data/{name}" {{ capabilities = ["read"] }}')
        own = {"bound_subject": BOT, "token_policies": ["by-role"]}
        role(access, "bot", {**own, "token_no_default_policy": True})
        role(access, "other", {"bound_subject": "else", "token_policies": ["one"]})
        role(access, "any", {})
        accessor = (access.data("GET", "sys/auth") or {})["jwt/"]["accessor"]
        made = access.data("POST", "identity/entity", {"policies": ["by-entity"]}) or {}
        alias = {"name": BOT, "canonical_id": made["id"], "mount_accessor": accessor}
        access.call("POST", "identity/entity-alias", alias)
        group = {"policies": ["by-group"], "member_entity_ids": [made["id"]]}
        access.call("POST", "identity/group", group)
        access.call("POST", "auth/token/roles/wide", {"allowed_policies": ["one"]})

        estate = read_vault(access, [BOT])
        agent = agent_at(estate, "bot", BOT, "")
        assert agent.policies == ("by-role", "by-entity", "by-group")
        assert agent.principal == "auth/jwt/role/bot"
        assert [one.name for one in estate.roles if one.is_anybodys] == ["any"]
        assert estate.secrets == ("agents/data/one",)
        assert estate.logins == ("auth/jwt/role",)
        assert estate.token_roles == {"wide": ("one",)}
        assert estate.acl(agent.policies).allows("agents/data/by-group", "read")
        assert "default" in next(one for one in estate.roles if one.name == "other").policies

    over_http(test)


def test_policy_that_is_not_understood_is_an_error_that_names_it(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        policy(access, "odd", 'path "x" { capabilities = ["read"] mfa_methods = ["totp"] }')
        with pytest.raises(
            ReadError, match="policy 'odd', path \"x\": expected keys that are known"
        ):
            read_vault(access, [BOT])

    over_http(test)


def test_vault_that_may_not_be_read_is_an_error(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        nobody = VaultAccess(address=access.address, token="none", direct=True)
        with pytest.raises(ReadError, match="GET sys/auth: 403"):
            read_vault(nobody, [BOT])

    over_http(test)
