"""The source of secrets against the real OpenBao: it is killed, sealed, and gone."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import hvac
import pytest

from iamrange.credentials.source import (
    Patience,
    PatientSource,
    Secret,
    SecretMissingError,
    SecretRefusedError,
    VaultSealedError,
    VaultUnreachableError,
)
from iamrange.credentials.vault_source import VaultSource
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Lab = Any  # the lab of conftest.py
InLab = Any  # its fixture
QUICKLY = Patience(tries=3, first=0.01, longest=0.02)


class Reader:
    """A source as an agent has it, in a thread of its own: the vault's loop is the test's."""

    def __init__(self, url: str, lab: Lab) -> None:
        self._loop = asyncio.get_running_loop()
        self._lab = lab
        self.logins = 0
        client = hvac.Client(url=url)
        client.session.trust_env = False
        self._source = PatientSource(VaultSource(client, self._login, store="agents"), QUICKLY)

    def _login(self, client: hvac.Client) -> float:
        self.logins += 1
        made = asyncio.run_coroutine_threadsafe(self._lab.login(), self._loop)
        client.token = made.result(30)
        return 60.0

    async def read(self, name: str) -> Secret:
        return await asyncio.to_thread(self._source.read, name)


def in_reach(in_lab: InLab, test: Callable[[Lab, Reader, Edge], Awaitable[None]]) -> None:
    async def whole(lab: Lab) -> None:
        await lab.prepare()
        edge = Edge([Route("*", lab.vault)], ca=None)
        await edge.start()
        try:
            await test(lab, Reader(f"http://127.0.0.1:{edge.port}", lab), edge)
        finally:
            await edge.stop()

    in_lab(whole)


def test_secret_is_read_with_its_version_by_one_login(in_lab: InLab) -> None:
    async def test(_lab: Lab, reader: Reader, _edge: Edge) -> None:
        found = [await reader.read("one") for _ in range(3)]
        assert {(secret.value, secret.version) for secret in found} == {("nonce", "1")}
        assert reader.logins == 1

    in_reach(in_lab, test)


def test_vault_killed_during_a_lease_is_read_again_by_a_new_login(in_lab: InLab) -> None:
    async def test(lab: Lab, reader: Reader, _edge: Edge) -> None:
        await reader.read("one")
        os.kill(lab.vault.running.pid, signal.SIGKILL)
        assert (await reader.read("one")).value == "nonce"
        assert reader.logins == 2

    in_reach(in_lab, test)


def test_sealed_vault_is_an_error_that_says_so_and_serves_nothing_older(in_lab: InLab) -> None:
    async def test(lab: Lab, reader: Reader, _edge: Edge) -> None:
        await reader.read("one")
        await lab.call("PUT", "sys/seal")
        with pytest.raises(VaultSealedError, match=r"sealed.*asked 3 times"):
            await reader.read("one")
        await lab.vault.running.unseal()
        assert (await reader.read("one")).value == "nonce"

    in_reach(in_lab, test)


def test_vault_that_is_gone_is_an_error_after_as_many_tries_as_were_said(in_lab: InLab) -> None:
    async def test(_lab: Lab, reader: Reader, edge: Edge) -> None:
        await reader.read("one")
        await edge.stop()
        with pytest.raises(VaultUnreachableError, match="asked 3 times"):
            await reader.read("one")

    in_reach(in_lab, test)


def test_refusal_and_absence_are_told_apart(in_lab: InLab) -> None:
    async def test(lab: Lab, reader: Reader, _edge: Edge) -> None:
        with pytest.raises(SecretRefusedError):
            await reader.read("two")
        rules = 'path "agents/data/*" { capabilities = ["read"] }'
        await lab.call("PUT", "sys/policies/acl/one", {"policy": rules})
        with pytest.raises(SecretMissingError):
            await reader.read("two")

    in_reach(in_lab, test)
