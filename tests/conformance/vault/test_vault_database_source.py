"""Logins of a database as an agent's own code has them: had, renewed, given back, and not had."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import hvac
import psycopg
import pytest

from iamrange.credentials.database_source import DatabaseLogins, LeasedLogin
from iamrange.credentials.source import (
    Patience,
    SecretMissingError,
    SecretRefusedError,
    SecretUnavailableError,
    VaultUnreachableError,
)
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Lab = Any  # the lab of conftest.py
InLab = Any  # its fixture
QUICKLY = Patience(tries=3, first=0.01, longest=0.02)
RULES = """
path "database/creds/one" { capabilities = ["read"] }
path "database/creds/none" { capabilities = ["read"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"""


class Asker:
    """The source in threads of its own: the vault's loop is the test's."""

    def __init__(self, url: str, lab: Lab) -> None:
        self._loop = asyncio.get_running_loop()
        self._lab = lab
        self.waits: list[float] = []
        client = hvac.Client(url=url)
        client.session.trust_env = False
        self.logins = DatabaseLogins(
            client, self._login, mount="database", patience=QUICKLY, sleep=self.waits.append
        )

    def _login(self, client: hvac.Client) -> float:
        made = asyncio.run_coroutine_threadsafe(self._lab.login(), self._loop)
        client.token = made.result(30)
        return 60.0

    async def have(self, role: str = "one") -> LeasedLogin:
        return await asyncio.to_thread(self.logins.have, role)


def in_reach(
    in_database_lab: InLab, test: Callable[[Lab, Asker, Edge], Awaitable[None]], **leases: str
) -> None:
    async def whole(lab: Lab) -> None:
        await lab.prepare_database(**leases)
        await lab.call("PUT", "sys/policies/acl/one", {"policy": RULES})
        edge = Edge([Route("*", lab.vault)], ca=None)
        await edge.start()
        try:
            await test(lab, Asker(f"http://127.0.0.1:{edge.port}", lab), edge)
        finally:
            await edge.stop()

    in_database_lab(whole)


async def reads(lab: Lab, login: LeasedLogin) -> str:
    return str(await lab.read({"user": login.user, "password": login.password}))


def test_each_login_is_another_and_hides_its_password(in_database_lab: InLab) -> None:
    async def test(lab: Lab, asker: Asker, _edge: Edge) -> None:
        one, other = await asker.have(), await asker.have()
        assert await reads(lab, one) == await reads(lab, other) == "nonce of one"
        assert one.user != other.user
        assert one.seconds == 60
        assert one.password not in repr(one)

    in_reach(in_database_lab, test)


def test_login_is_renewed_until_its_longest_life(in_database_lab: InLab) -> None:
    async def test(_lab: Lab, asker: Asker, _edge: Edge) -> None:
        login = await asker.have()
        renewed = await asyncio.to_thread(asker.logins.renew, login, 90)
        assert (renewed.user, renewed.seconds) == (login.user, 90)
        longest = await asyncio.to_thread(asker.logins.renew, login, 9000)
        assert longest.seconds <= 120

    in_reach(in_database_lab, test)


def test_login_that_was_given_back_is_over_when_that_returns(in_database_lab: InLab) -> None:
    async def test(lab: Lab, asker: Asker, _edge: Edge) -> None:
        login = await asker.have()
        session = await lab.enter(user=login.user, password=login.password)
        await asyncio.to_thread(asker.logins.revoke, login)
        with pytest.raises(psycopg.OperationalError):
            await session.execute(b"SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            await reads(lab, login)
        with pytest.raises(SecretRefusedError):
            await asyncio.to_thread(asker.logins.renew, login, 60)

    in_reach(in_database_lab, test)


def test_role_that_is_another_s_is_refused_and_not_asked_again(in_database_lab: InLab) -> None:
    async def test(_lab: Lab, asker: Asker, _edge: Edge) -> None:
        with pytest.raises(SecretRefusedError):
            await asker.have("two")
        assert asker.waits == []

    in_reach(in_database_lab, test)


def test_role_that_is_not_there_is_told_apart(in_database_lab: InLab) -> None:
    async def test(_lab: Lab, asker: Asker, _edge: Edge) -> None:
        with pytest.raises((SecretMissingError, SecretRefusedError), match="database/creds/none"):
            await asker.have("none")
        assert asker.waits == []

    in_reach(in_database_lab, test)


def test_database_that_is_gone_is_asked_again_and_then_is_an_error(in_database_lab: InLab) -> None:
    async def test(lab: Lab, asker: Asker, _edge: Edge) -> None:
        await lab.database.stop()
        with pytest.raises(SecretUnavailableError, match="asked 3 times"):
            await asker.have()
        assert len(asker.waits) == 2
        await lab.database.start()
        assert await reads(lab, await asker.have()) == "nonce of one"

    in_reach(in_database_lab, test)


def test_vault_that_is_gone_is_asked_again_and_then_is_an_error(in_database_lab: InLab) -> None:
    async def test(_lab: Lab, asker: Asker, edge: Edge) -> None:
        await asker.have()
        await edge.stop()
        with pytest.raises(VaultUnreachableError, match="asked 3 times"):
            await asker.have()

    in_reach(in_database_lab, test)
