"""What is read of PostgreSQL's protocol: whole, cut off, hostile."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.credentials.database import wire

NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def startup(*words: str, version: int = 196608) -> bytes:
    return struct.pack("!i", version) + b"".join(w.encode() + b"\0" for w in words) + b"\0"


@given(user=NAME, database=NAME)
def test_startup_says_who_wants_in_and_where(user: str, database: str) -> None:
    found = wire.startup_of(startup("database", database, "user", user))
    assert found == wire.Startup(user[:63], database[:63])


def test_database_is_called_like_its_user_unless_it_is_said() -> None:
    assert wire.startup_of(startup("user", "one")) == wire.Startup("one", "one")


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0",
        startup("database", "records"),
        startup("user", ""),
        startup("user", "one", version=2 << 16),
        struct.pack("!i", wire.CANCEL) + b"\0" * 8,
    ],
)
def test_what_opens_no_session_is_none(packet: bytes) -> None:
    assert wire.startup_of(packet) is None


@given(st.binary(max_size=200))
def test_no_packet_and_no_error_breaks_the_reader(packet: bytes) -> None:
    wire.startup_of(packet)
    wire.code_of(packet)
    wire.told_in(packet)


@pytest.mark.parametrize(("header", "length"), [(4, 0), (8, 4), (3, None), (0, None), (-1, None)])
def test_length_counts_itself(header: int, length: int | None) -> None:
    assert wire.length_of(struct.pack("!i", header)) == length


def test_error_is_read_as_it_is_written() -> None:
    sent = wire.error("57P03", "database-missing")
    assert sent[:1] == wire.ERROR
    assert wire.length_of(sent[1:5]) == len(sent) - 5
    assert wire.told_in(sent[5:]) == wire.Told("57P03", "database-missing")
