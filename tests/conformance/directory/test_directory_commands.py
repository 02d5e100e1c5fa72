"""The life of agents in the database: commands, their refusals, their events."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from iamrange.identity.directory import Agent, AgentState, Classification, Directory
from iamrange.identity.directory.listing import AgentFilter
from tests.conformance.directory.lab import NOW, agent_of, code_of, new_jwk, spec

if TYPE_CHECKING:
    from pathlib import Path

    from iamrange.core.clock import FixedClock
    from iamrange.identity.directory import AuditEvent


def test_what_was_registered_is_read_back_whole(directory: Directory) -> None:
    wanted = spec(
        "reader",
        classification=Classification.CONFIDENTIAL,
        resources=frozenset({"https://customers.iamrange.example"}),
        certificates=("A" * 43,),
        tls_subject=True,
        secret_hash="scrypt$16384$8$1$c2FsdHNhbHQ$aGFzaGhhc2g",
        may_act=frozenset({"spiffe://iamrange.example/agent/other"}),
        audiences=frozenset({"sts.amazonaws.com"}),
        aws_role_arn="arn:aws:iam::100000000001:role/agent-reader",
        aws_session_policy='{"Version":"2012-10-17"}',
        expires=NOW + 86400,
    )
    made = agent_of(directory.register(wanted, actor="tester"))
    assert directory.get("reader") == made == directory.get(wanted.id)
    assert made.state is AgentState.REGISTERED
    assert made.version == 1
    for name in ("owner", "classification", "resources", "certificates", "secret_hash", "expires"):
        assert getattr(made, name) == getattr(wanted, name)
    assert "scrypt" not in repr(made)


def test_the_same_spec_again_is_the_same_agent_and_no_event(
    directory: Directory, events: list[AuditEvent]
) -> None:
    wanted = spec("twice")
    first = agent_of(directory.register(wanted, actor="tester", activate=True))
    agent_of(directory.rotate("twice", new_jwk(), overlap=60, actor="tester"))
    again = agent_of(directory.register(wanted, actor="tester", activate=True))
    assert (first.version, again.version, len(events)) == (1, 2, 2)


def test_another_spec_under_a_name_is_refused(directory: Directory) -> None:
    wanted = spec("taken")
    directory.register(wanted, actor="tester")
    other = replace(wanted, owner="team-b")
    assert code_of(directory.register(other, actor="tester")) == "name-taken"


def test_a_key_belongs_to_one_agent_for_ever(directory: Directory) -> None:
    key, later = new_jwk(), new_jwk()
    agent_of(directory.register(spec("first", key), actor="tester"))
    assert code_of(directory.register(spec("second", key), actor="tester")) == "key-taken"
    agent_of(directory.register(spec("second"), actor="tester"))
    refused = directory.rotate("second", key, overlap=0, actor="tester")
    assert code_of(refused) == "key-taken"
    agent_of(directory.rotate("first", later, overlap=0, actor="tester"))
    agent_of(directory.retire("first", actor="tester"))
    for gone in (key, later):
        refused = directory.rotate("second", gone, overlap=0, actor="tester")
        assert code_of(refused) == "key-taken"
        assert code_of(directory.register(spec("third", gone), actor="tester")) == "key-taken"


def test_a_key_rotated_out_is_accepted_for_the_overlap_and_never_comes_back(
    directory: Directory, clock: FixedClock
) -> None:
    old, new = new_jwk(), new_jwk()
    kid = agent_of(directory.register(spec("turner", old), actor="tester")).keys[0].kid
    turned = agent_of(directory.rotate("turner", new, overlap=60, actor="tester"))
    assert [key.not_after for key in turned.keys] == [None, NOW + 60]
    assert turned.key(kid, NOW + 59.9) is not None
    assert turned.key(kid, NOW + 60) is None
    same = agent_of(directory.rotate("turner", new, overlap=60, actor="tester"))
    assert same.version == turned.version
    refused = directory.rotate("turner", old, overlap=60, actor="tester")
    assert code_of(refused) == "key-withdrawn"
    clock.moment += 120
    agent_of(directory.rotate("turner", new_jwk(), overlap=60, actor="tester"))
    refused = directory.rotate("turner", old, overlap=60, actor="tester")
    assert code_of(refused) == "key-withdrawn"


def test_withdrawing_is_at_once_and_idempotent(directory: Directory) -> None:
    made = agent_of(directory.register(spec("leaker"), actor="tester"))
    kid = made.keys[0].kid
    without = agent_of(directory.withdraw("leaker", kid, actor="tester"))
    assert without.keys == ()
    again = agent_of(directory.withdraw("leaker", kid, actor="tester"))
    assert again.version == without.version
    stranger = agent_of(directory.register(spec("stranger"), actor="tester"))
    for other in (stranger.keys[0].kid, "A" * 43, "no key", "\ud800"):
        assert code_of(directory.withdraw("leaker", other, actor="tester")) == "no-such-key"


def test_retired_is_final_and_the_name_stays_taken(directory: Directory) -> None:
    wanted = spec("done")
    directory.register(wanted, actor="tester", activate=True)
    retired = agent_of(directory.retire("done", actor="tester"))
    assert (retired.state, retired.keys, retired.epoch) == (AgentState.RETIRED, (), 1)
    assert agent_of(directory.retire("done", actor="tester")).version == retired.version
    refused = [
        directory.register(wanted, actor="tester"),
        directory.activate("done", actor="tester"),
        directory.quarantine("done", actor="tester"),
        directory.release("done", actor="tester"),
        directory.revoke("done", actor="tester"),
        directory.recertify("done", expires=None, actor="tester"),
        directory.update("done", owner="else", actor="tester"),
        directory.rotate("done", new_jwk(), overlap=0, actor="tester"),
        directory.withdraw("done", "A" * 43, actor="tester"),
    ]
    assert {code_of(each) for each in refused} == {"retired"}
    assert directory.get("done") == retired


def test_two_changes_from_one_version_one_wins(directory: Directory) -> None:
    made = agent_of(directory.register(spec("raced"), actor="tester"))
    keys = [new_jwk() for _ in range(8)]

    def rotate(jwk: dict[str, object]) -> object:
        return directory.rotate(
            "raced", jwk, overlap=60, actor="tester", expected_version=made.version
        )

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(rotate, keys))
    assert [code_of(each) for each in outcomes].count("conflict") == 7
    winner = next(agent_of(each) for each in outcomes if isinstance(each, Agent))
    assert directory.get("raced") == winner


def test_every_change_is_one_event_in_one_sequence(
    directory: Directory, events: list[AuditEvent]
) -> None:
    directory.register(spec("told"), actor="ann", activate=True)
    directory.update("told", actor="bob", purpose="more", secret_hash="scrypt$secretsecret")
    directory.quarantine("told", actor="bob")
    directory.quarantine("told", actor="bob")
    directory.release("told", actor="ann")
    directory.recertify("told", expires=NOW + 5, actor="ann")
    assert [(e.version, e.actor, e.action) for e in events] == [
        (1, "ann", "register"),
        (2, "bob", "update"),
        (3, "bob", "quarantine"),
        (4, "ann", "release"),
        (5, "ann", "recertify"),
    ]
    assert directory.events() == tuple(events)
    assert directory.events(after=3, limit=1) == (events[3],)
    assert "scrypt" not in repr(events)
    assert directory.head().version == 5
    assert directory.verify().count == 1


def test_a_narrower_registration_kills_the_tokens_from_before(directory: Directory) -> None:
    made = agent_of(directory.register(spec("narrow"), actor="tester"))
    wider = agent_of(
        directory.update("narrow", actor="tester", scopes=made.scopes | {"read:reports"})
    )
    narrower = agent_of(directory.update("narrow", actor="tester", scopes=frozenset()))
    assert (made.epoch, wider.epoch, narrower.epoch) == (0, 0, 1)


def test_lists_page_by_number_and_filter(directory: Directory, clock: FixedClock) -> None:
    for number in range(7):
        directory.register(
            spec(
                f"listed-{number}",
                owner="even" if number % 2 == 0 else "odd",
                scopes=frozenset({"read:all" if number < 3 else "read:all-of-it"}),
                expires=NOW + 10 if number == 5 else None,
            ),
            actor="tester",
            activate=number != 6,
        )
    clock.moment += 11
    page = directory.list(limit=3)
    assert [agent.number for agent in page.agents] == [1, 2, 3]
    rest = directory.list(after=page.next or 0, limit=10)
    assert [agent.number for agent in rest.agents] == [4, 5, 6, 7]
    assert rest.next is None
    for where, numbers in (
        (AgentFilter(owner="odd"), [2, 4, 6]),
        (AgentFilter(scope="read:all"), [1, 2, 3]),
        (AgentFilter(scope="read:%"), []),
        (AgentFilter(state=AgentState.REGISTERED), [7]),
        (AgentFilter(expired=True), [6]),
        (AgentFilter(expired=False, owner="odd"), [2, 4]),
        (AgentFilter(project="nothing"), []),
    ):
        assert [agent.number for agent in directory.list(where).agents] == numbers, where


def test_a_second_process_sees_and_goes_on(directory: Directory, url: str, tmp_path: Path) -> None:
    directory.register(spec("shared"), actor="tester")
    other = Directory.open(url, tmp_path / "home")
    assert agent_of(other.revoke("shared", actor="other")).epoch == 1
    assert agent_of(directory.revoke("shared", actor="tester")).epoch == 2
    assert agent_of(other.get("shared")).version == 3
    other.close()


def test_without_the_private_key_it_only_reads(
    directory: Directory, url: str, tmp_path: Path
) -> None:
    from iamrange.identity.directory import DirectoryKey, DirectoryKeyError  # noqa: PLC0415

    directory.register(spec("seen"), actor="tester")
    key = DirectoryKey.load(tmp_path / "home" / "directory.key")
    reader = Directory(url, signer=key.public)
    assert agent_of(reader.get("seen")).name == "seen"
    with pytest.raises(DirectoryKeyError):
        reader.revoke("seen", actor="tester")
    reader.close()
