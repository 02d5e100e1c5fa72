"""The readers of a vault's credentials, against the real OpenBao."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from iamrange.credentials.inventory.gather import Fact, Kind, Marker, SourceDownError, gather
from iamrange.credentials.inventory.uses import Uses
from iamrange.credentials.inventory.vault import KeyValueReader, LeaseReader, TokenReader
from iamrange.credentials.inventory.vault_logins import LoginRoleReader, longest
from iamrange.credentials.vault.access import VaultAccess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.credentials.inventory.gather import Credential

OverHttp = Any  # the fixture of conftest.py
COPIED = "a password that somebody copied"
LOG = Uses(began=0.0)
BOT = "spiffe://iamrange.example/agent/bot"


def told(access: VaultAccess, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return access.call(method, path, body) or {}


def named(found: tuple[Credential, ...]) -> dict[str, Credential]:
    return {one.name: one for one in found}


def test_secrets_are_told_with_owner_age_end_use_and_copies(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        for place in ("team/bot", "deep/er/copy"):
            told(access, "POST", f"agents/data/{place}", {"data": {"value": COPIED, "user": "x"}})
        notes = {"agent": "bot", "owner": "ana@example.com", "expires": "2027-06-30"}
        told(access, "POST", "agents/metadata/team/bot", {"custom_metadata": notes})
        told(access, "POST", "agents/data/team/bot", {"data": {"value": "replaced since then"}})
        told(access, "POST", "agents/data/gone", {"data": {"value": "was deleted"}})
        told(access, "DELETE", "agents/data/gone", {})
        uses = Uses(began=0.0, of_secret={"agents/data/team/bot": 7.0})
        inventory = gather([KeyValueReader(access=access, uses=uses)])
        assert inventory.unread == ()
        found = named(inventory.credentials)
        assert set(found) == {"agents/one", "agents/team/bot", "agents/deep/er/copy", "agents/gone"}
        bot, copy = found["agents/team/bot"], found["agents/deep/er/copy"]
        assert (bot.kind, bot.agent, bot.owner) == (Kind.VAULT_SECRET, "bot", "ana@example.com")
        assert bot.created is not None
        assert bot.rotated is not None
        assert bot.rotated > bot.created
        assert (bot.last_used, copy.last_used, copy.rotated) == (7.0, None, None)
        assert bot.expires is not None
        # the older version can still be read: so it is still a copy
        assert inventory.copies()[bot.place] == (copy.place,)
        assert not found["agents/gone"].active
        assert bot.unread == {}

    over_http(test)


def test_what_may_not_be_read_is_said_of_each_secret(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        rules = """
            path "sys/mounts" { capabilities = ["read"] }
            path "agents/metadata/*" { capabilities = ["list"] }
        """
        told(access, "PUT", "sys/policies/acl/lists", {"policy": rules})
        made = told(access, "POST", "auth/token/create-orphan", {"policies": ["lists"]})
        narrow = VaultAccess(
            address=access.address, token=made["auth"]["client_token"], direct=True
        )
        (one,) = KeyValueReader(access=narrow, uses=LOG).read(Marker())
        assert set(one.unread) == {Fact.VALUE, Fact.OWNER, Fact.ROTATED, Fact.EXPIRES}
        assert one.active
        for reader in (TokenReader(access=narrow), LeaseReader(access=narrow)):
            assert gather([reader]).unread != ()

    over_http(test)


def test_store_that_tells_no_versions_leaves_the_source_unread(over_http: OverHttp) -> None:
    def test(access: VaultAccess) -> None:
        told(access, "POST", "sys/mounts/plain", {"type": "kv"})
        inventory = gather([KeyValueReader(access=access)])
        assert [one.name for one in inventory.credentials] == ["agents/one"]
        assert "plain: expected key-value stores of version 2" in inventory.unread[0].why

    over_http(test)


def test_tokens_are_told_by_accessor_and_the_one_without_an_end_among_them(
    over_http: OverHttp,
) -> None:
    def test(access: VaultAccess) -> None:
        asked = {"policies": ["one"], "ttl": "60s", "display_name": "bot", "meta": {"owner": "ana"}}
        made = told(access, "POST", "auth/token/create", asked)["auth"]
        uses = Uses(began=0.0, of_principal={"token-bot": 2_000_000_000.0})
        reader = TokenReader(access=access, agents={"token-bot": "bot"}, uses=uses)
        found = {one.name.split()[0]: one for one in reader.read(Marker())}
        bot, root = found["token-bot"], found["token-administrator"]
        assert bot.kind is Kind.VAULT_TOKEN
        assert (bot.agent, bot.owner, bot.last_used) == ("bot", "ana", 2_000_000_000.0)
        assert bot.created is not None
        assert bot.expires is not None
        assert 0 < bot.expires - bot.created <= 61
        assert made["accessor"] in bot.name
        assert made["client_token"] not in str(found)
        assert root.expires is None
        told(access, "POST", "auth/token/create", {"period": "1h", "display_name": "hourly"})
        (hourly,) = (o for o in reader.read(Marker()) if o.name.startswith("token-hourly"))
        assert hourly.expires is None
        told(access, "POST", "auth/token/create", asked)
        two = [one for one in reader.read(Marker()) if one.name.startswith("token-bot")]
        assert [set(one.unread) for one in two] == [{Fact.LAST_USED}] * 2

    over_http(test)


def _certificate_with_a_lease(access: VaultAccess) -> None:
    told(access, "POST", "sys/mounts/pki", {"type": "pki"})
    kind = "root"
    told(access, "POST", f"pki/{kind}/generate/internal", {"common_name": "ca", "ttl": "24h"})
    role = {"allow_any_name": True, "generate_lease": True, "ttl": "60s"}
    told(access, "POST", "pki/roles/bot", role)
    told(access, "POST", "pki/issue/bot", {"common_name": "bot"})


def test_leases_are_told_with_their_ends_and_the_owner_is_said_to_be_unknown(
    over_http: OverHttp,
) -> None:
    def test(access: VaultAccess) -> None:
        told(access, "POST", "sys/auth/up", {"type": "userpass"})
        told(access, "POST", "auth/up/users/ana", {"password": "p", "token_policies": ["one"]})
        told(access, "POST", "auth/up/login/ana", {"password": "p"})
        assert list(LeaseReader(access=access).read(Marker())) == []  # a login's is its token
        _certificate_with_a_lease(access)
        (lease,) = LeaseReader(access=access).read(Marker())
        assert lease.kind is Kind.VAULT_LEASE
        assert lease.name.startswith("pki/issue/bot/")
        assert lease.created is not None
        assert lease.expires is not None
        assert set(lease.unread) == {Fact.OWNER}

    over_http(test)


def test_login_roles_are_told_with_the_longest_life_of_what_they_give_out(
    over_http: OverHttp,
) -> None:
    def test(access: VaultAccess) -> None:
        told(access, "POST", "sys/auth/ar", {"type": "approle"})
        told(access, "POST", "auth/ar/role/short", {"token_max_ttl": "900s"})
        told(access, "POST", "auth/ar/role/default", {"secret_id_ttl": "60s"})
        told(access, "POST", "auth/ar/role/periodic", {"token_period": "60s"})
        inventory = gather([LoginRoleReader(access=access)])
        assert inventory.unread == ()
        lives = {one.name: one.gives_for for one in inventory.credentials}
        assert lives == {
            "ar/short": 900.0,
            "ar/short secret-id": None,
            "ar/default": 2_764_800.0,
            "ar/default secret-id": 60.0,
            "ar/periodic": None,
            "ar/periodic secret-id": None,
        }

    over_http(test)


@pytest.mark.parametrize(
    ("role", "of_login", "seconds"),
    [
        ({}, 0.0, None),
        ({}, 60.0, 60.0),
        ({"token_max_ttl": 900}, 60.0, 60.0),
        ({"token_max_ttl": 30}, 60.0, 30.0),
        ({"token_period": 5, "token_max_ttl": 30}, 60.0, None),
        ({"token_period": 5, "token_explicit_max_ttl": 90}, 60.0, 90.0),
    ],
)
def test_longest_life_is_the_smallest_maximum_and_a_period_has_none(
    role: Mapping[str, Any], of_login: float, seconds: float | None
) -> None:
    assert longest(role, of_login) == seconds


def test_vault_that_is_away_is_a_source_that_was_not_read() -> None:
    access = VaultAccess(address="http://127.0.0.1:1", token="x", direct=True)
    for reader in (KeyValueReader, TokenReader, LeaseReader, LoginRoleReader):
        with pytest.raises(SourceDownError):
            list(reader(access=access).read(Marker()))
