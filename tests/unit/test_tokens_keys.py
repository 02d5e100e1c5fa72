"""The authority's keys: rotation with overlap, withdrawal for good, persistence first."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.core.clock import FixedClock
from iamrange.identity.tokens.keys import OVERLAP, AuthorityKeys, AuthorityKeysError
from iamrange.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping

START = 1_800_000_000.0


def keys(clock: FixedClock | None = None, **ports: Any) -> AuthorityKeys:  # noqa: ANN401 - ports
    return AuthorityKeys(clock=clock or FixedClock(START), **ports)


def test_the_next_key_is_published_before_it_signs() -> None:
    authority = keys()
    current, standing_by = authority.kids
    assert authority.signer.kid == current
    assert authority.rotate() == standing_by == authority.signer.kid
    assert authority.kids[0] == standing_by
    assert current in authority.kids


def test_a_rotated_key_is_out_after_the_overlap() -> None:
    clock = FixedClock(START)
    authority = keys(clock)
    old = authority.signer.kid
    authority.rotate()
    clock.moment = START + OVERLAP - 1
    assert old in {key.kid for key in authority.key_set().keys}
    clock.moment = START + OVERLAP
    assert old not in {key.kid for key in authority.key_set().keys}


def test_many_rotations_keep_each_key_for_its_time_and_no_longer() -> None:
    clock = FixedClock(START)
    authority = keys(clock)
    for _ in range(10):
        authority.rotate()
        clock.moment += OVERLAP / 3
    assert len(authority.kids) == 2 + 2


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_withdrawn_key_is_out_at_once_whatever_it_did(which: int) -> None:
    authority = keys()
    authority.rotate()
    kid = authority.kids[which]
    authority.withdraw(kid)
    assert kid not in authority.kids
    assert authority.signer.kid in authority.kids
    assert len(authority.kids) >= 2
    authority.withdraw(kid)
    assert kid not in authority.kids


def test_a_strangers_key_is_not_withdrawn() -> None:
    with pytest.raises(AuthorityKeysError, match="expected one of"):
        keys().withdraw("no-key-of-ours")


def test_keys_survive_a_restart_and_withdrawn_ones_stay_away() -> None:
    saved: list[str] = []

    def persist(document: Mapping[str, Any]) -> None:
        saved.append(json.dumps(document))

    authority = keys(persist=persist)
    first = authority.signer.kid
    authority.rotate()
    authority.withdraw(authority.signer.kid)
    again = keys(document=json.loads(saved[-1]))
    assert again.kids == authority.kids
    assert first in again.kids
    assert again.document() == authority.document()


def test_nothing_changes_when_the_new_keys_cannot_be_persisted() -> None:
    saved: list[Mapping[str, Any]] = []

    def persist(document: Mapping[str, Any]) -> None:
        if saved:
            raise OSError("disk full")
        saved.append(document)

    authority = keys(persist=persist)
    before = authority.kids
    for change in (authority.rotate, lambda: authority.withdraw(before[0])):
        with pytest.raises(OSError, match="disk full"):
            change()
        assert authority.kids == before


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {**d, "current": {"kty": "EC"}},
        lambda d: {**d, "current": SigningKey.generate("RS256").private_jwk()},
        lambda d: {**d, "withdrawn": [d["current"]["kid"]]},
        lambda d: {name: value for name, value in d.items() if name != "next"},
        lambda d: {**d, "retired": [{"key": d["current"]}]},
    ],
    ids=["no key", "another kind", "withdrawn came back", "half of it", "no end"],
)
def test_what_was_not_persisted_so_is_refused_without_showing_it(change: Any) -> None:  # noqa: ANN401 - a lambda
    document = dict(keys().private_document())
    with pytest.raises(AuthorityKeysError) as caught:
        keys(document=change(document))
    assert document["current"]["d"] not in str(caught.value) + repr(caught.value.__cause__)


def test_an_overlap_shorter_than_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        keys(overlap=299)


def test_the_document_and_its_tag_change_with_the_keys_only() -> None:
    authority = keys()
    first = authority.document()
    assert authority.document() is first
    authority.rotate()
    second = authority.document()
    assert second.etag != first.etag
    assert b'"d"' not in second.body
    assert not any(name in repr(second) for name in ("kty", "crv"))


def test_two_rotations_at_once_sign_with_one_key_after_the_other() -> None:
    authority = keys()
    barrier = threading.Barrier(8)

    def rotate(_: int) -> str:
        barrier.wait()
        return authority.rotate()

    with ThreadPoolExecutor(8) as pool:
        rotated = list(pool.map(rotate, range(8)))
    assert len(set(rotated)) == 8
    assert authority.signer.kid in rotated
    assert len(authority.kids) == 2 + 8


def test_no_kid_ever_names_two_keys() -> None:
    authority = keys()
    seen: dict[str, str] = {}
    for _ in range(20):
        authority.rotate()
        for member in json.loads(authority.document().body)["keys"]:
            assert seen.setdefault(member["kid"], member["x"]) == member["x"]
