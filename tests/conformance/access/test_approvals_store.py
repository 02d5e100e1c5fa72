"""The approvals' store on SQLite and on a real PostgreSQL: races, kills, and a database away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from iamrange.access.approvals.model import ApprovalFacts, ApprovalRequest, Verdict
from iamrange.access.approvals.settings import ApprovalSettings
from iamrange.access.approvals.sql_store import SqlApprovalStore
from iamrange.access.approvals.tables import REQUESTS, SIGNATURES
from iamrange.identity.stores.errors import StoreDownError
from tests.conformance.access.approvals_lab import (
    AGENT,
    DEPLOYMENT,
    MANAGER,
    NOW,
    OTHER,
    SECOND,
    TRANSFER,
    Lab,
    reason,
)
from tests.conformance.directory.lab import Postgres, start_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iamrange.access.approvals.service import AskedCall

ROOT = Path(__file__).parents[3]
AT_ONCE = 64
_PROCESS = Path(__file__).with_name("approvals_process.py")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = start_postgres()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/approvals.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    made = server.new_database()
    yield made
    server.give_back(made)


@pytest.fixture
def lab(url: str) -> Iterator[Lab]:
    made = Lab(SqlApprovalStore(url, busy=20))
    yield made
    made.store.close()


@dataclass
class Other:
    """One process of approvals_process.py."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, url: str, *arguments: str) -> Other:
        return cls(
            subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, str(_PROCESS), url, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        )

    def line(self) -> list[str]:
        assert self.process.stdout is not None
        found: list[str] = json.loads(self.process.stdout.readline())
        return found

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def rest(self) -> list[list[str]]:
        assert self.process.stdout is not None
        lines = [json.loads(text) for text in self.process.stdout if text.endswith("\n")]
        self.end()
        return lines

    def end(self) -> None:
        self.process.kill()
        self.process.wait(20)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def transfer(number: int) -> AskedCall:
    return replace(TRANSFER, body=json.dumps({"n": number}).encode())


def test_what_is_kept_comes_back_whole(lab: Lab, url: str) -> None:
    request = lab.asked()
    decided = lab.approvals.decide(request.id, lab.signed(request))
    other = SqlApprovalStore(url)
    assert isinstance(decided, ApprovalRequest)
    assert other.get(request.id) == decided
    assert decided.decision is not None
    assert replace(decided, decision=None, state=request.state) == request
    assert other.get("0" * 48) is None
    other.close()


def test_of_64_that_use_an_approval_at_once_one_does(lab: Lab) -> None:
    request = lab.approved()
    barrier = Barrier(AT_ONCE)

    def use(_: int) -> bool:
        barrier.wait(20)
        return lab.approvals.consume(request.id, NOW)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(use, range(AT_ONCE)))
    assert sorted(answers) == [False] * (AT_ONCE - 1) + [True]
    assert [event.action for event in lab.events].count("used") == 1


def test_of_four_processes_that_use_20_approvals_at_once_one_does_each(lab: Lab, url: str) -> None:
    lab = Lab(lab.store, settings=ApprovalSettings(pending_per_agent=99, prompts=99))
    ids = [lab.approved(transfer(number)).id for number in range(20)]
    others = [Other.start(url, "consume", *ids) for _ in range(4)]
    for other in others:
        assert other.line() == ["ready"]
    for other in others:
        other.go()
    told = [line for other in others for line in other.rest()]
    assert len(told) == 80
    assert sorted(each for each, used in told if used) == sorted(ids)


def test_64_that_ask_the_same_at_once_ask_once(lab: Lab) -> None:
    barrier = Barrier(AT_ONCE)

    def ask(_: int) -> str:
        barrier.wait(20)
        return lab.asked().id

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert len(set(pool.map(ask, range(AT_ONCE)))) == 1
    assert len(lab.approvals.pending()) == 1


def test_64_that_ask_for_something_else_at_once_stay_within_the_limit(lab: Lab) -> None:
    barrier = Barrier(AT_ONCE)

    def ask(number: int) -> str | None:
        barrier.wait(20)
        return reason(lab.approvals.ask(AGENT, transfer(number)))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))
    assert sorted(map(str, answers)) == ["None"] * 5 + ["too-many-prompts"] * (AT_ONCE - 5)


def test_of_an_approval_and_a_denial_at_once_the_denial_stays(lab: Lab) -> None:
    """A denial takes an approval back, an approval never a denial: the order does not matter."""
    for number in range(5):
        request = lab.asked(transfer(number))
        signed = [
            lab.signed(request),
            lab.signed(request, SECOND, Verdict.DENY),
            lab.signed(request, SECOND),
        ]
        barrier = Barrier(len(signed))

        def decide(
            text: str, approval_id: str = request.id, barrier: Barrier = barrier
        ) -> str | None:
            barrier.wait(20)
            return reason(lab.approvals.decide(approval_id, text))

        with ThreadPoolExecutor(len(signed)) as pool:
            answers = list(pool.map(decide, signed))
        assert answers[1] is None
        assert {answers[0], answers[2]} <= {None, "approval-denied", "approval-decided"}
        assert reason(lab.present(request)) == "approval-denied"


def test_a_signature_handed_in_64_times_at_once_counts_once(lab: Lab) -> None:
    request = lab.asked()
    signed = lab.signed(request)
    barrier = Barrier(AT_ONCE)

    def decide(_: int) -> str | None:
        barrier.wait(20)
        return reason(lab.approvals.decide(request.id, signed))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = sorted(map(str, pool.map(decide, range(AT_ONCE))))
    assert answers == ["None"] + ["approval-replayed"] * (AT_ONCE - 1)


def test_what_a_killed_process_was_told_is_so(url: str) -> None:
    other = Other.start(url, "live")
    lines: list[list[str]] = []
    try:
        while len([line for line in lines if line[0] == "used"]) < 5:
            lines.append(other.line())
    finally:
        other.process.kill()
        lines += other.rest()
    lab = Lab(SqlApprovalStore(url))
    last = {each: what for what, each, *_ in lines}
    assert {"used"} <= set(last.values())
    kept = {each: lab.store.get(each) for each in last}
    order = ["pending", "approved", "used"]
    for each, what in last.items():
        found = kept[each]
        assert found is not None
        told = {"asked": "pending", "approved": "approved", "used": "used"}[what]
        # it may have got further than it could tell
        assert order.index(found.state.value) >= order.index(told)
        if what == "used":
            assert not lab.approvals.consume(each, NOW)
    lab.store.close()


def test_old_requests_are_forgotten_and_their_ids_are_unknown_then(lab: Lab, url: str) -> None:
    request = lab.approved()
    lab.clock.moment = NOW + 31 * 86400
    lab.asked(DEPLOYMENT, OTHER)
    lab.clock.moment = NOW
    assert reason(lab.present(request)) == "approval-unknown"
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        spent = connection.execute(sa.select(SIGNATURES.c.signer)).scalars().all()
    engine.dispose()
    assert spent == [MANAGER]


@pytest.mark.parametrize("member", ["state", "summary", "url", "jws"])
def test_a_row_that_cannot_be_read_or_was_changed_approves_nothing(
    lab: Lab, url: str, member: str
) -> None:
    request = lab.approved()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.update(REQUESTS).values({member: "x"}))
    engine.dispose()
    try:
        answer = lab.present(request, url="x") if member == "url" else lab.present(request)
    except StoreDownError:
        assert member in {"state", "summary"}
    else:
        assert reason(answer) in {"approval-for-another-request", "approval-signature"}


def test_a_sqlite_file_that_went_away_approves_nothing_and_recovers_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "approvals.db"
    lab = Lab(SqlApprovalStore(f"sqlite:///{file}"))
    request = lab.approved()
    assert isinstance(lab.present(request), ApprovalFacts)
    file.parent.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreDownError) as caught:
        lab.approvals.consume(request.id, NOW)
    assert caught.value.store == "approvals"
    # made anew, and empty: nothing that was approved in the old file counts
    assert reason(lab.present(request)) == "approval-unknown"
    assert not lab.approvals.consume(request.id, NOW)
    assert lab.asked().id != request.id
    lab.store.close()


def test_a_sqlite_file_that_nobody_can_open_is_a_store_that_is_away(tmp_path: Path) -> None:
    folder = tmp_path / "approvals.db"
    folder.mkdir()
    lab = Lab(SqlApprovalStore(f"sqlite:///{folder}"))
    with pytest.raises(StoreDownError):
        lab.approvals.ask(AGENT, TRANSFER)
    folder.rmdir()
    lab.asked()
    lab.store.close()


def test_a_writer_that_never_ends_makes_the_store_away_for_a_while(tmp_path: Path) -> None:
    file = tmp_path / "approvals.db"
    lab = Lab(SqlApprovalStore(f"sqlite:///{file}", busy=0.1))
    request = lab.approved()
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreDownError):
            lab.approvals.consume(request.id, NOW)
    engine.dispose()
    assert lab.approvals.consume(request.id, NOW)
    lab.store.close()


@pytest.mark.parametrize("bad", ["sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_a_database_that_processes_cannot_share_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        SqlApprovalStore(bad)


def test_while_postgresql_is_away_nothing_is_approved_and_it_recovers_alone() -> None:
    server = start_postgres(durable=True)
    try:
        lab = Lab(SqlApprovalStore(server.url("postgres")))
        used, approved = lab.approved(), lab.approved(DEPLOYMENT)
        assert lab.approvals.consume(used.id, NOW)
        server.kill()
        late = Lab(SqlApprovalStore(server.url("postgres")))
        acts: tuple[Callable[[], object], ...] = (
            lambda: lab.present(approved),
            lambda: lab.approvals.consume(approved.id, NOW),
            lambda: lab.approvals.ask(AGENT, TRANSFER),
            lab.approvals.pending,
            late.approvals.pending,
        )
        for act in acts:
            with pytest.raises(StoreDownError) as caught:
                act()
            assert "127.0.0.1" not in str(caught.value)
        server.start()
        assert isinstance(lab.present(approved), ApprovalFacts)
        assert lab.approvals.consume(approved.id, NOW)
        assert reason(lab.present(used)) == "approval-used"
        assert late.approvals.pending() == ()
        lab.store.close()
        late.store.close()
    finally:
        server.remove()
