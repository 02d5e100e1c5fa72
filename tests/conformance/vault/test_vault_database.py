"""Logins that the vault makes, on a real PostgreSQL: who is let in, for how long, and when not."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from iamrange.core.decision import Outcome
from iamrange.credentials import on_demand
from iamrange.credentials.database import server
from iamrange.credentials.database.binary import find_postgres
from iamrange.credentials.database.errors import DatabaseMissingError

if TYPE_CHECKING:
    from collections.abc import Callable

Lab = Any  # the lab of conftest.py
InLab = Any  # its fixture


async def refused(lab: Lab, **login: str) -> Any:  # noqa: ANN401 - a decision record
    """Return the record of a login that must not be let in."""
    with pytest.raises(psycopg.OperationalError, match="FATAL"):
        await lab.enter(**login)
    record = lab.connects[-1]
    assert (record.point, record.outcome) == ("database.connect", Outcome.DENY)
    assert record.principal == ""
    assert record.facts == {"user": login["user"]}
    return record


async def until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await done():  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0.05)


def test_database_is_not_started_by_being_declared(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        assert lab.vault.running is not None
        assert lab.database.running is None
        await lab.made()
        assert lab.database.running is not None

    in_database_lab(test)


def test_login_reads_its_own_schema_and_nothing_else(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        login, _ = await lab.made()
        assert await lab.read(login) == "nonce of one"
        assert (lab.connects[-1].outcome, lab.connects[-1].principal) == (
            Outcome.ALLOW,
            login["user"],
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await lab.read(login, "agent-two")
        async with await lab.enter(**login) as session:
            for statement in (
                b"CREATE ROLE mine",
                b"INSERT INTO \"agent-one\".records VALUES ('x', 'y')",
                b"CREATE TABLE public.mine ()",
                b"SELECT * FROM pg_authid",
                b"SET ROLE vault",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await session.execute(statement)

    in_database_lab(test)


def test_login_and_its_sessions_are_over_with_the_lease(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database(lease="1s", longest="1s")
        login, _ = await lab.made()
        session = await lab.enter(**login)

        async def is_cut() -> bool:
            try:
                await session.execute(b"SELECT 1")
            except psycopg.OperationalError:
                return True
            return False

        await until(is_cut)
        found = await refused(lab, **login)
        assert (found.layers[0].layer, found.reason) == ("role", "login-unknown")
        assert found.layers[0].detail == "28P01"

    in_database_lab(test)


async def _as_manager(lab: Lab, *statements: str) -> None:
    for statement in statements:
        await lab.manage(statement)


@pytest.mark.parametrize(
    ("statement", "asked", "layer", "reason"),
    [
        ("SELECT 1", {"user": "nobody"}, "role", "login-unknown"),
        ("SELECT 1", {"user": 'x" has an expired password.'}, "role", "login-unknown"),
        (
            "CREATE ROLE x LOGIN PASSWORD 'right' VALID UNTIL '2020-01-01'",
            {"password": "right"},
            "role",
            "login-expired",
        ),
        (
            "CREATE ROLE x LOGIN PASSWORD 'right' IN ROLE \"agent-one\"",
            {},
            "role",
            "wrong-password",
        ),
        ('CREATE ROLE x LOGIN IN ROLE "agent-one"', {}, "role", "no-password"),
        ("CREATE ROLE x PASSWORD 'right'", {"password": "right"}, "role", "may-not-log-in"),
        (
            "CREATE ROLE x LOGIN PASSWORD 'right'",
            {"password": "right"},
            "database",
            "no-connect-privilege",
        ),
        (
            "CREATE ROLE x LOGIN PASSWORD 'right'",
            {"password": "right", "dbname": "another"},
            "database",
            "unknown-database",
        ),
    ],
)
def test_refusal_is_recorded_as_the_database_says_it(
    in_database_lab: InLab, statement: str, asked: dict[str, str], layer: str, reason: str
) -> None:
    async def test(lab: Lab) -> None:
        await lab.manage(statement)
        found = await refused(lab, **{"user": "x", "password": "wrong", **asked})
        assert (found.layers[0].layer, found.reason) == (layer, reason)

    in_database_lab(test)


def test_nobody_is_the_superuser(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        found = await refused(lab, user="postgres", password="postgres")
        assert found.reason == "no-password"

    in_database_lab(test)


def test_managers_password_lies_with_nobody_but_the_vault(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        login, _ = await lab.made()
        _, answer, _ = await lab.call("GET", "database/config/records")
        process = psutil.Process(lab.vault.running.pid)
        texts = [json.dumps(answer), str(process.environ()), " ".join(process.cmdline())]
        texts += [str(written.body) for written in lab.state.journal]
        texts += [str(psutil.Process(lab.database.running.pid).cmdline())]
        folder = lab.database.running.socket.parent.parent
        files = [path for path in (*folder.rglob("*"), *lab.folder.rglob("*")) if path.is_file()]
        assert files
        texts += [path.read_bytes().decode("latin-1") for path in files]
        for secret in (lab.held.password, login["password"]):
            assert not [text[:80] for text in texts if secret in text]

    in_database_lab(test)


def test_visitors_that_come_at_once_share_one_start(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await asyncio.gather(*(lab.manage("SELECT 1") for _ in range(8)))
        assert lab.database.starts == 1

    in_database_lab(test)


def test_sixty_four_at_once_have_a_login_each_and_the_administrator_sees_their_leases(
    in_database_lab: InLab,
) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database()

        async def work() -> tuple[str, str]:
            login, _ = await lab.made()
            return login["user"], await lab.read(login)

        done = await asyncio.gather(*(work() for _ in range(64)))
        assert {nonce for _, nonce in done} == {"nonce of one"}
        assert len({user for user, _ in done}) == 64
        listing = "sys/leases/lookup/database/creds/one/"
        _, answer, _ = await lab.call("LIST", listing)
        assert len(answer["data"]["keys"]) == 64
        assert (await lab.call("LIST", listing, token=await lab.login()))[0] == 403
        status, _, _ = await lab.call("PUT", "sys/leases/revoke-prefix/database/creds/one")
        assert status < 300
        members = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'agent-one-%'"
        await until(lambda: _is_zero(lab, members))

    in_database_lab(test)


def test_database_is_made_new_once_however_many_come_meanwhile(in_database_lab: InLab) -> None:
    def servers() -> set[psutil.Process]:
        return {c for c in psutil.Process().children() if c.name() == "postgres"}

    async def test(lab: Lab) -> None:
        before = servers()  # other tests of this process have their own
        for starting in (True, False):
            visits = [asyncio.create_task(lab.manage("SELECT 1")) for _ in range(8)]
            await asyncio.sleep(0.05 if starting else 0)
            await lab.database.renew()
            # whoever came with the password of before may be let in or not, and nothing hangs
            await asyncio.gather(*visits, return_exceptions=True)
            assert await lab.manage("SELECT 1") == [(1,)]
        assert len(servers() - before) == 1

    in_database_lab(test)


async def _is_zero(lab: Lab, query: str) -> bool:
    try:
        return bool((await lab.manage(query))[0][0] == 0)
    except psycopg.OperationalError:
        return False  # for a moment the door says that the last start has failed


def test_killed_database_comes_back_with_what_it_held(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        login, _ = await lab.made()
        psutil.Process(lab.database.running.pid).kill()

        async def reads() -> bool:
            try:
                return bool(await lab.read(login) == "nonce of one")
            except psycopg.OperationalError:
                return False  # its old processes are still ending

        await until(reads)
        assert lab.database.starts >= 2

    in_database_lab(test)


def test_vault_killed_during_a_lease_leaves_a_login_that_ends_by_itself(
    in_database_lab: InLab,
) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database(lease="60s")
        login, _ = await lab.made()
        psutil.Process(lab.vault.running.pid).kill()
        # nobody is there to drop it; the database lets it in a little longer than the lease
        assert await lab.read(login) == "nonce of one"
        ((seconds,),) = await lab.manage(
            "SELECT extract(epoch FROM rolvaliduntil - now())::int FROM pg_roles "  # noqa: S608 - a name that the vault made
            f"WHERE rolname = '{login['user']}'"
        )
        assert 0 < seconds <= 66

    in_database_lab(test)


def test_vault_that_comes_back_finds_no_login_of_the_one_before(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        login, _ = await lab.made()
        session = await lab.enter(**login)
        psutil.Process(lab.vault.running.pid).kill()
        await until(lambda: asyncio.sleep(0, lab.vault.running is None))
        again, _ = await lab.made()
        assert await lab.read(again) == "nonce of one"
        with pytest.raises(psycopg.OperationalError):
            await session.execute(b"SELECT 1")
        assert (await refused(lab, **login)).reason == "login-unknown"

    in_database_lab(test)


class Away:
    """Has the database gone, and come back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._found = find_postgres()
        self._here = True
        monkeypatch.setattr(server, "find_postgres", self._find)
        monkeypatch.setattr(on_demand, "RETRY_AFTER", 0.05)

    def _find(self) -> Any:  # noqa: ANN401 - a path
        if not self._here:
            raise DatabaseMissingError("postgresql: not found: install it")
        return self._found

    async def go(self, lab: Lab) -> None:
        self._here = False
        running = lab.database.running
        if running is not None:
            await running.stop()

    def come_back(self) -> None:
        self._here = True


def test_database_gone_at_issue_is_an_error_that_says_so_and_no_login(
    in_database_lab: InLab,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    away = Away(monkeypatch)

    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        await away.go(lab)
        status, answer, _ = await lab.call("GET", "database/creds/one")
        assert status == 500
        assert "database-missing" in str(answer)
        assert "password" not in answer
        assert lab.connects[-1].reason == "unreachable"
        away.come_back()

        async def is_made() -> bool:
            return bool((await lab.call("GET", "database/creds/one"))[0] == 200)

        await until(is_made)

    in_database_lab(test)
    assert "install it" in capsys.readouterr().err


def test_database_gone_at_revocation_is_told_and_the_login_is_dropped_once_it_is_back(
    in_database_lab: InLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(monkeypatch)

    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        login, lease = await lab.made()
        await away.go(lab)
        order = {"lease_id": lease, "sync": True}
        status, answer, _ = await lab.call("PUT", "sys/leases/revoke", order)
        assert status >= 400
        assert "database-missing" in str(answer)
        # it is not forgotten
        _, listed, _ = await lab.call("LIST", "sys/leases/lookup/database/creds/one/")
        assert listed["data"]["keys"] == [lease.rpartition("/")[2]]
        away.come_back()

        async def is_revoked() -> bool:
            return bool((await lab.call("PUT", "sys/leases/revoke", order))[0] < 300)

        await until(is_revoked)
        assert (await refused(lab, **login)).reason == "login-unknown"

    in_database_lab(test)


def test_lease_that_ended_while_the_database_was_gone_is_ended_by_the_vault_itself(
    in_database_lab: InLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(monkeypatch)

    async def test(lab: Lab) -> None:
        await lab.prepare_database(lease="1s", longest="1s")
        login, _ = await lab.made()
        await away.go(lab)
        visits = len(lab.connects)
        await until(lambda: asyncio.sleep(0, len(lab.connects) > visits))
        assert lab.connects[-1].reason == "unreachable"
        away.come_back()
        query = f"SELECT count(*) FROM pg_roles WHERE rolname = '{login['user']}'"  # noqa: S608 - a name that the vault made
        await until(lambda: _is_zero(lab, query))

    in_database_lab(test)


def test_whoever_does_not_speak_the_protocol_is_shown_out(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        port = int(lab.database.environment["PGPORT"])
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x08\x00\x02\x00\x00", b"\xff" * 64):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            writer.write_eof()
            await reader.read()
            writer.close()
        assert lab.connects == []
        assert lab.database.starts == 0

    in_database_lab(test)


def test_managers_password_may_be_rotated_and_the_next_vault_finds_its_way_in(
    in_database_lab: InLab,
) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        login, _ = await lab.made()
        status, answer, _ = await lab.call("POST", "database/rotate-root/records")
        assert status < 300, answer
        assert (await refused(lab, user="vault", password=lab.held.password)).reason == (
            "wrong-password"
        )
        assert await lab.read(login) == await lab.read((await lab.made())[0]) == "nonce of one"
        psutil.Process(lab.vault.running.pid).kill()
        await until(lambda: asyncio.sleep(0, lab.vault.running is None))
        assert await lab.read((await lab.made())[0]) == "nonce of one"

    in_database_lab(test)


def test_managers_password_may_be_written_by_itself(in_database_lab: InLab) -> None:
    async def test(lab: Lab) -> None:
        await lab.prepare_database()
        body = {"password": "another", "verify_connection": False}
        status, answer, _ = await lab.call("POST", "database/config/records", body)
        assert status < 300, answer
        _, found, _ = await lab.call("GET", "database/config/records")
        assert found["data"]["connection_details"]["username"] == "vault"
        assert (await lab.call("GET", "database/creds/one"))[0] == 500
        assert lab.connects[-1].reason == "wrong-password"

    in_database_lab(test)
