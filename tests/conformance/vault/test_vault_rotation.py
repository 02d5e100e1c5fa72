"""A key-value store as the vault of a rotation, against the real OpenBao."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.clock import SystemClock
from iamrange.credentials.rotation.journal import Journal
from iamrange.credentials.rotation.ports import GoneError, PortDownError
from iamrange.credentials.rotation.run import Parts, rotate
from iamrange.credentials.rotation.states import State
from iamrange.credentials.rotation.vault import STAGED, KeyValueVault, vault_at
from iamrange.credentials.vault.access import VaultAwayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.credentials.vault.access import VaultAccess

OverHttp = Any  # the fixture of conftest.py


def made(access: VaultAccess, *values: str) -> KeyValueVault:
    """Return a secret that has had these values, of which other members are none's business."""
    for value in values:
        access.call("POST", "agents/data/team/bot", {"data": {"value": value, "user": "bot"}})
    return vault_at(access, "agents/team/bot")


def shown(access: VaultAccess) -> Mapping[str, Any]:
    """Return what a consumer gets."""
    return dict((access.data("GET", "agents/data/team/bot") or {})["data"])


def test_new_value_waits_where_nobody_reads_and_is_given_out_by_a_promotion(
    over_http: OverHttp,
) -> None:
    def test(access: VaultAccess) -> None:
        vault = made(access, "old")
        old = vault.current()
        assert vault.replaced_at() is None
        assert vault.staged("r1") is None
        new = vault.stage("r1", "new")
        assert (old, new, vault.staged("r1")) == ("1", "2", "2")
        assert (vault.current(), shown(access)["value"]) == (old, "old")
        assert (vault.read(old), vault.read(new)) == ("old", "new")
        for _ in range(2):  # the second is after a crash
            vault.promote(old, new)
            assert shown(access) == {"value": "new", "user": "bot"}
        assert vault.current() == new
        assert vault.replaced_at() is not None
        assert access.call("GET", f"agents/metadata/{STAGED}/team/bot") is None
        for _ in range(2):
            vault.destroy(old)
        with pytest.raises(GoneError):
            vault.read(old)
        assert vault.read(new) == "new"

    over_http(test)


def test_old_value_is_brought_back_once_and_its_copies_are_destroyed_with_it(
    over_http: OverHttp,
) -> None:
    def test(access: VaultAccess) -> None:
        vault = made(access, "old")
        vault.promote("1", vault.stage("r1", "new"))
        for _ in range(2):  # the second is after a crash
            vault.restore("1", "2")
            assert (vault.current(), shown(access)["value"]) == ("3", "old")
        vault.destroy("2")
        vault.promote("3", vault.stage("r2", "newer"))
        vault.destroy("3")
        versions = (access.data("GET", "agents/metadata/team/bot") or {})["versions"]
        assert {n: facts["destroyed"] for n, facts in versions.items()} == {
            "1": True,
            "2": True,
            "3": True,
            "4": False,
        }
        with pytest.raises(PortDownError, match="the one that is given out"):
            vault.destroy("4")

    over_http(test)


def test_of_two_rotations_the_first_to_stage_wins_and_the_other_is_told(
    over_http: OverHttp,
) -> None:
    def test(access: VaultAccess) -> None:
        vault = made(access, "old")
        vault.stage("r1", "first")
        with pytest.raises(PortDownError, match="another rotation of it is under way"):
            vault.staged("r2")
        with pytest.raises(PortDownError, match="another rotation of it is under way"):
            vault.stage("r2", "second")
        vault.promote("1", "2")
        assert shown(access)["value"] == "first"

    over_http(test)


def test_version_that_somebody_else_writes_meanwhile_is_not_written_over(
    over_http: OverHttp,
) -> None:
    def test(access: VaultAccess) -> None:
        vault = made(access, "old")
        vault.stage("r1", "new")
        access.call("POST", "agents/data/team/bot", {"data": {"value": "by hand"}})
        with pytest.raises(PortDownError, match="somebody else has written over version 1"):
            vault.promote("1", "2")
        assert shown(access) == {"value": "by hand"}

    over_http(test)


class Only:
    """Accepts what it issued, one value at a time."""

    def __init__(self) -> None:
        self.good = {"old"}
        self.issued = 0

    def issue(self, keep: str) -> str:
        assert keep in self.good
        self.issued += 1
        return f"new-{self.issued}"

    def admit(self, value: str) -> None:
        self.good.add(value)

    def accepts(self, value: str) -> bool:
        return value in self.good

    def disable(self, value: str) -> None:
        self.good.discard(value)

    destroy = disable


class Asks:
    """A consumer that reads the vault and is served, or says that it is not."""

    name = "asks"

    def __init__(self, access: VaultAccess, acceptor: Only, *, dislikes: str = "") -> None:
        self.access, self.acceptor, self.dislikes = access, acceptor, dislikes

    def failure(self) -> str | None:
        value = shown(self.access)["value"]
        good = self.acceptor.accepts(value) and value != self.dislikes
        return None if good else "refused"


def test_whole_rotation_is_undone_for_a_consumer_that_fails_and_ends_with_the_old_value_dead(
    over_http: OverHttp, tmp_path: Path
) -> None:
    def test(access: VaultAccess) -> None:
        vault, acceptor, journal = made(access, "old"), Only(), Journal(tmp_path)

        def run(dislikes: str) -> State:
            consumers = [Asks(access, acceptor, dislikes=dislikes)]
            parts = Parts(vault=vault, acceptor=acceptor, consumers=consumers)
            return rotate(parts, journal, SystemClock(), reason="schedule").state

        assert run(dislikes="new-1") is State.UNDONE
        assert (shown(access)["value"], acceptor.good) == ("old", {"old"})
        assert run(dislikes="") is State.DONE
        assert (shown(access)["value"], acceptor.good) == ("new-2", {"new-2"})
        readable = [
            n
            for n in range(1, 5)
            if access.call("GET", "agents/data/team/bot", query={"version": str(n)})
        ]
        assert readable == [4]

    over_http(test)


def test_crash_before_any_write_leaves_a_rotation_that_goes_on(
    over_http: OverHttp, tmp_path: Path
) -> None:
    """Every request of the vault's fails once, wherever the rotation is; asked again, it ends."""

    def test(access: VaultAccess) -> None:
        acceptor, journal = Only(), Journal(tmp_path)
        left = 0
        call = type(access).call

        class Crashing(type(access)):  # type: ignore[misc] # a class made of another
            def call(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the port has it
                nonlocal left
                left -= 1
                if left == 0:
                    raise VaultAwayError("crash")
                return call(self, *given, **named)

        made(access, "old")
        crashing = Crashing(address=access.address, token=access.token, direct=True)
        vault = vault_at(crashing, "agents/team/bot")
        parts = Parts(vault=vault, acceptor=acceptor, consumers=[Asks(access, acceptor)])
        crashes, state = 0, State.PLANNED
        for at in range(1, 200):
            left = at
            try:
                state = rotate(parts, journal, SystemClock(), reason="schedule").state
            except PortDownError:
                crashes += 1
                continue
            break
        assert state is State.DONE
        assert crashes > 5
        assert acceptor.good == {shown(access)["value"]}
        assert access.call("GET", f"agents/metadata/{STAGED}/team/bot") is None

    over_http(test)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere/x", "below a key-value store of version 2, which are: agents"),
        ("agents/none", "expected a secret there, found none"),
        ("agents/team/bot#other", "expected text in this member"),
    ],
)
def test_secret_that_cannot_be_rotated_is_told(over_http: OverHttp, text: str, said: str) -> None:
    def test(access: VaultAccess) -> None:
        made(access, "old")

        def value() -> str:
            vault = vault_at(access, text)
            return vault.read(vault.current())

        with pytest.raises(PortDownError, match=said):
            value()

    over_http(test)
