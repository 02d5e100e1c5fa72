"""What an entry carries as its signature: alone and in groups, and every way to forge a group's."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.identity.directory.encoding import ENTRY_CONTEXT
from iamrange.identity.directory.entry_signatures import (
    GROUP,
    GROUP_CONTEXT,
    entry_signed,
    sign_entries,
)
from iamrange.identity.directory.signing import DirectoryKey

KEY = DirectoryKey.generate()
BODIES = [f'{{"agent":{number}}}'.encode() for number in range(GROUP)]
SIGNED = sign_entries(KEY, BODIES)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3 * GROUP))
def test_every_entry_of_a_transaction_of_any_size_is_signed(size: int) -> None:
    bodies = [f'{{"agent":{number}}}'.encode() for number in range(size)]
    signatures = sign_entries(KEY, bodies)
    assert len(signatures) == size
    assert all(map(entry_signed, [KEY] * size, signatures, bodies))


def test_an_entry_alone_carries_a_plain_signature_over_its_body() -> None:
    [signature] = sign_entries(KEY, BODIES[:1])
    assert KEY.verifies(signature, ENTRY_CONTEXT + BODIES[0])


def test_a_groups_signature_is_over_the_root_from_scratch() -> None:
    level = [sha256(b"signed-leaf\0" + body).digest() for body in BODIES]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [sha256(b"signed-pair\0" + left + right).digest() for left, right in pairs]
    assert all(KEY.verifies(each[:64], GROUP_CONTEXT + b"\x05" + level[0]) for each in SIGNED)


def test_another_body_or_another_entrys_signature_does_not_do() -> None:
    assert not entry_signed(KEY, SIGNED[3], BODIES[3] + b" ")
    assert [entry_signed(KEY, SIGNED[3], body) for body in BODIES].count(True) == 1
    assert not entry_signed(DirectoryKey.generate(), SIGNED[3], BODIES[3])


def test_each_bit_of_a_signature_counts() -> None:
    whole = SIGNED[5]
    for bit in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        assert not entry_signed(KEY, bytes(changed), BODIES[5]), f"bit {bit}"


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        SIGNED[0][:63],
        SIGNED[0][:64],
        SIGNED[0][:65],
        SIGNED[0][:-1],
        SIGNED[0][:-32],
        SIGNED[0] + b"\0",
        SIGNED[0] + bytes(32),
        SIGNED[0][:65] * 9,
    ],
    ids=lambda forged: f"{len(forged)} octets",
)
def test_a_signature_of_another_length_does_not_do(forged: bytes) -> None:
    assert not entry_signed(KEY, forged, BODIES[0])


def test_what_is_inside_a_tree_passes_for_no_entry_and_no_root() -> None:
    left, right = (sha256(b"signed-leaf\0" + body).digest() for body in BODIES[:2])
    node = sha256(b"signed-pair\0" + left + right).digest()
    shorter = SIGNED[0][:64] + b"\0" + SIGNED[0][97:]  # the path without its first step
    for body in (left + right, b"signed-pair\0" + left + right, node, left):
        assert not entry_signed(KEY, shorter, body)
        assert not entry_signed(KEY, SIGNED[0], body)


def test_what_was_verified_before_is_known_by_all_of_its_octets() -> None:
    known: set[bytes] = set()
    assert entry_signed(KEY, SIGNED[0], BODIES[0], known)
    assert len(known) == 1
    assert all(
        entry_signed(KEY, signature, body, known)
        for signature, body in zip(SIGNED, BODIES, strict=True)
    )
    assert len(known) == 1
    other = bytes((SIGNED[0][0] ^ 1,)) + SIGNED[0][1:]
    assert not entry_signed(KEY, other, BODIES[0], known)
    assert not entry_signed(KEY, SIGNED[0], BODIES[1], known)
    assert len(known) == 1
