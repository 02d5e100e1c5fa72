"""A world's vault against the real OpenBao: what it keeps, what it loses, what it refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from iamrange.core.decision import Outcome
from iamrange.credentials.errors import VaultMissingError
from iamrange.credentials.vault import binary as openbao_binary
from iamrange.credentials.vault import openbao

if TYPE_CHECKING:
    from collections.abc import Callable

Lab = Any  # the lab of conftest.py
InLab = Any  # its fixture


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 - no asyncio.Event tells a process's end
            await asyncio.sleep(0.01)


def test_nothing_runs_before_it_is_asked(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        assert lab.vault.running is None
        await lab.call("GET", "sys/mounts")
        assert lab.vault.running is not None

    in_lab(test)


def test_requests_that_come_at_once_share_one_start(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        answers = await asyncio.gather(*(lab.call("GET", "sys/mounts") for _ in range(8)))
        assert {status for status, _, _ in answers} == {200}
        assert lab.vault.starts == 1

    in_lab(test)


def test_killed_vault_comes_back_with_what_was_written_and_without_its_leases(
    in_lab: InLab,
) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare()
        token = await lab.login()
        assert (await lab.call("GET", "agents/data/one", token=token))[0] == 200
        os.kill(lab.vault.running.pid, signal.SIGKILL)
        await until(lambda: lab.vault.running is None)

        status, _, _ = await lab.call("GET", "agents/data/one", token=token)
        assert status == 403
        assert lab.records[-1].point == "vault.authenticate"
        status, answer, _ = await lab.call("GET", "agents/data/one", token=await lab.login())
        assert (status, answer["data"]["data"]["value"]) == (200, "nonce")
        assert lab.vault.starts == 2

    in_lab(test)


def test_write_that_named_a_version_which_an_agent_had_written_is_told_again(
    in_lab: InLab,
) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare()
        rules = 'path "agents/data/one" { capabilities = ["update"] }'
        await lab.call("PUT", "sys/policies/acl/one", {"policy": rules})
        by_agent = await lab.call(
            "POST", "agents/data/one", {"data": {"value": "x"}}, token=await lab.login()
        )
        checked = {"data": {"value": "kept"}, "options": {"cas": 2}}
        assert (by_agent[0], (await lab.call("POST", "agents/data/one", checked))[0]) == (200, 200)
        os.kill(lab.vault.running.pid, signal.SIGKILL)
        await until(lambda: lab.vault.running is None)
        status, answer, _ = await lab.call("GET", "agents/data/one")
        assert (status, answer["data"]["data"]["value"]) == (200, "kept")

    in_lab(test)


def test_requests_that_find_a_killed_vault_share_one_new_start(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare()
        os.kill(lab.vault.running.pid, signal.SIGKILL)
        await until(lambda: lab.vault.running is None)
        answers = await asyncio.gather(*(lab.call("GET", "agents/data/one") for _ in range(8)))
        assert {status for status, _, _ in answers} == {200}
        assert lab.vault.starts == 2

    in_lab(test)


def test_sealed_vault_refuses_as_broken_and_opens_again(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare()
        assert (await lab.call("PUT", "sys/seal"))[0] == 204
        status, answer, _ = await lab.call("GET", "agents/data/one")
        assert (status, answer["errors"]) == (503, ["Vault is sealed"])
        assert lab.records[-1].reason == "upstream-failed"
        await lab.vault.running.unseal()
        assert (await lab.call("GET", "agents/data/one"))[0] == 200

    in_lab(test)


def test_record_is_joined_by_the_request_id_that_the_client_is_told(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare()
        token = await lab.login()
        status, _, headers = await lab.call(
            "GET", "agents/data/two", token=token, x_request_id="chosen-by-the-client"
        )
        (record,) = [r for r in lab.records if r.request_id == headers["x-request-id"]]
        assert status == 403
        assert (record.outcome, record.point) == (Outcome.DENY, "vault.authorize")
        assert record.layers[0].detail == "one"
        assert "chosen-by-the-client" not in {r.request_id for r in lab.records}

    in_lab(test)


def test_wrapped_secret_opens_once(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare()
        _, answer, _ = await lab.call(
            "GET", "agents/data/one", token=await lab.login(), x_vault_wrap_ttl="60"
        )
        wrapped = answer["wrap_info"]["token"]
        first, _, _ = await lab.call("POST", "sys/wrapping/unwrap", token=wrapped)
        second, _, _ = await lab.call("POST", "sys/wrapping/unwrap", token=wrapped)
        assert (first, second) == (200, 400)
        assert (lab.records[-1].point, lab.records[-1].reason) == (
            "vault.unwrap",
            "used-or-unknown",
        )

    in_lab(test)


def test_what_nobody_logs_is_not_answered(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare()
        await lab.vault._audit.stop()  # noqa: SLF001 - the log, taken away
        status, answer, _ = await lab.call("GET", "agents/data/one")
        assert status >= 500
        assert "nonce" not in str(answer)

    in_lab(test)


def test_no_key_token_or_secret_lies_in_its_folder_or_its_arguments(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare()
        running = lab.vault.running
        secrets = [lab.state.administrator, running._seal_key, "nonce"]  # noqa: SLF001 - what must not lie there
        process = psutil.Process(running.pid)
        texts = [" ".join(process.cmdline()), str(process.environ())]
        texts += [f.read_text(errors="replace") for f in lab.folder.iterdir() if f.is_file()]
        assert len(texts) > 3
        assert [s for s in secrets for text in texts if s in text] == []
        assert process.net_connections("inet") == []

    in_lab(test)


def test_root_token_of_the_start_is_revoked(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.call("GET", "sys/mounts")
        _, answer, _ = await lab.call("LIST", "auth/token/accessors")
        assert len(answer["data"]["keys"]) == 1

    in_lab(test)


@pytest.mark.parametrize(
    ("path", "status"), [("../sys/mounts", 404), ("sys//mounts", 404), ("a/%2e%2e/b", 404)]
)
def test_path_that_means_two_things_is_refused_before_the_vault_sees_it(
    in_lab: InLab, path: str, status: int
) -> None:
    async def test(lab: Lab) -> None:
        assert (await lab.call("GET", path))[0] == status
        assert lab.vault.running is None

    in_lab(test)


def test_vault_that_cannot_start_says_so_and_lets_nothing_through(
    in_lab: InLab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise VaultMissingError("openbao: not found: install it")

    async def test(lab: Lab) -> None:
        monkeypatch.setattr(openbao, "find_openbao", missing)
        status, answer, _ = await lab.call("GET", "sys/mounts")
        assert (status, answer) == (503, {"errors": ["vault-missing"]})
        assert lab.records[-1].reason == "unreachable"

    in_lab(test)
    assert "install it" in capsys.readouterr().err


def test_vault_ends_with_the_process_that_started_it(in_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.call("GET", "sys/mounts")
        pid = lab.vault.running.pid
        await lab.vault.stop()
        assert not psutil.pid_exists(pid)

    in_lab(test)


def test_openbao_is_found_only_where_it_can_be_tied_to_its_world(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(VaultMissingError, match="expected Linux, got darwin"):
        openbao_binary.find_openbao()
