"""The hash tree against a model that computes everything from scratch."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.identity.directory import tree


def from_scratch(buckets: dict[int, bytes]) -> bytes:
    """Return the root over all 262,144 buckets, level by level, without any shortcut."""
    level = [buckets.get(number, tree.EMPTY_BUCKET) for number in range(tree.BUCKETS)]
    while len(level) > 1:
        level = [
            sha256(b"node\0" + b"".join(level[start : start + tree.FAN])).digest()
            for start in range(0, len(level), tree.FAN)
        ]
    return level[0]


def test_the_empty_root_is_that_of_empty_buckets() -> None:
    assert from_scratch({}) == tree.EMPTY_ROOT
    assert tree.node_digest(tree.empty_node(0)) == tree.EMPTY_ROOT


@settings(max_examples=5, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.integers(0, tree.BUCKETS - 1),
            st.binary(min_size=32, max_size=32),
            min_size=1,
            max_size=30,
        ),
        max_size=4,
    )
)
def test_changes_step_by_step_give_the_root_from_scratch(steps: list[dict[int, bytes]]) -> None:
    nodes: dict[int, bytes] = {}
    buckets: dict[int, bytes] = {}
    root = tree.EMPTY_ROOT
    for step in steps:
        root, touched = tree.replace_buckets(nodes, step)
        buckets |= step
        assert touched == {n for bucket in step for n in tree.path_of(bucket)}
    assert root == from_scratch(buckets)
    for bucket, digest in buckets.items():
        assert tree.wrong_node(root, bucket, nodes) is None
        assert tree.expected_bucket(bucket, nodes) == digest


@given(st.integers(0, tree.BUCKETS - 1))
def test_paths_lead_from_the_root_to_the_bucket(bucket: int) -> None:
    root, middle, low = tree.path_of(bucket)
    assert root == 0
    assert tree.parent_of(middle)[0] == 0
    assert tree.child_of(0, tree.parent_of(middle)[1]) == middle
    parent, place = tree.parent_of(low)
    assert (parent, tree.child_of(middle, place)) == (middle, low)
    assert tree.bucket_at(low, bucket & 63) == bucket
    assert tree.child_of(low, 0) is None


@given(st.text())
def test_a_slot_is_the_digest_of_any_text_at_all(text: str) -> None:
    assert 0 <= tree.bucket_of(tree.slot_of(text)) < tree.BUCKETS


def test_text_that_is_no_unicode_has_a_slot_too() -> None:
    assert len(tree.slot_of("\ud800")) == 32


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_changed_node_on_the_path_is_named(level: int) -> None:
    nodes: dict[int, bytes] = {}
    root, _ = tree.replace_buckets(nodes, {77_777: b"x" * 32})
    number = tree.path_of(77_777)[level]
    changed = {**nodes, number: bytes(2048)}
    assert tree.wrong_node(root, 77_777, changed) == number
    without = {n: value for n, value in nodes.items() if n != number}
    assert tree.wrong_node(root, 77_777, without) == number


def test_a_bucket_is_over_its_pairs_in_any_order() -> None:
    pairs = [(bytes([n]) * 32, bytes([n + 9]) * 32) for n in range(5)]
    assert tree.bucket_digest(pairs) == tree.bucket_digest(reversed(pairs))
    assert tree.bucket_digest(pairs[:4]) != tree.bucket_digest(pairs)
