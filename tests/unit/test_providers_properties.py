"""Property values survive the wire; unknowns, secrets and assets are what they are."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from iamrange.engine.properties import (
    SIGNATURE,
    UNKNOWN,
    Asset,
    PropertyError,
    decode,
    decode_value,
    encode,
    encode_value,
    has_unknown,
)

# whole numbers up to 2^53 are exact in the wire's doubles
INTEGERS = st.integers(min_value=-(2**53), max_value=2**53)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda n: not n.is_integer())
SCALARS = st.one_of(st.text(), st.booleans(), INTEGERS, FLOATS, st.just(UNKNOWN))
KEYS = st.text(min_size=1).filter(lambda key: key != SIGNATURE)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)
SECRET = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
ASSET = "c44067f5952c0a294b673a41bacd8c17"


@given(st.dictionaries(KEYS, VALUES))
def test_decode_is_the_inverse_of_encode(properties: dict[str, Any]) -> None:
    decoded = decode(encode(properties))
    assert decoded == properties
    assert repr(decoded) == repr({key: decoded[key] for key in decoded})


@given(st.dictionaries(KEYS, VALUES))
def test_kinds_survive_the_wire(properties: dict[str, Any]) -> None:
    decoded = decode(encode(properties))
    assert {key: type(value) for key, value in decoded.items()} == {
        key: type(value) for key, value in properties.items()
    }


def wrapped(signature: str, **members: Any) -> Value:  # noqa: ANN401 - any JSON value
    fields = {key: encode_value(member) for key, member in members.items()}
    return Value(struct_value=Struct(fields={SIGNATURE: Value(string_value=signature), **fields}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (wrapped(SECRET, value="hidden"), "hidden"),
        (wrapped(SECRET, value={"a": [1]}), {"a": [1]}),
        (wrapped(SECRET, value=UNKNOWN), UNKNOWN),
        (wrapped(OUTPUT, value=3, secret=True), 3),
        (wrapped(OUTPUT), UNKNOWN),
    ],
)
def test_a_wrapped_value_is_decoded_to_what_it_holds(value: Value, expected: object) -> None:
    assert decode_value(value) == expected


def test_a_member_named_secret_is_wrapped_and_the_others_are_not() -> None:
    struct = encode({"secret": "hidden", "plain": "seen"}, secret={"secret"})
    assert struct.fields["secret"].struct_value.fields[SIGNATURE].string_value == SECRET
    assert struct.fields["plain"].string_value == "seen"
    assert decode(struct) == {"secret": "hidden", "plain": "seen"}


def test_an_asset_is_equal_by_hash_though_its_content_was_elided() -> None:
    full = decode_value(wrapped(ASSET, hash="abc", text="content"))
    elided = decode_value(wrapped(ASSET, hash="abc"))
    other = decode_value(wrapped(ASSET, hash="def", text="content"))
    assert isinstance(full, Asset)
    assert full == elided
    assert full != other
    assert "content" not in repr(full)
    assert decode_value(encode_value(full)) == full


def test_a_null_member_is_an_absent_one() -> None:
    struct = Struct(fields={"gone": encode_value(None), "there": encode_value("")})
    assert decode(struct) == {"there": ""}


def test_an_unknown_signature_is_refused_by_name() -> None:
    with pytest.raises(PropertyError, match="unknown signature 'f00'"):
        decode_value(wrapped("f00"))


def test_a_value_without_a_wire_form_is_refused_without_being_shown() -> None:
    with pytest.raises(PropertyError, match="a bytes has no property form"):
        encode({"key": b"hidden"})


def test_unknown_stays_itself_when_copied() -> None:
    assert copy.deepcopy({"a": [UNKNOWN]})["a"][0] is UNKNOWN
    assert copy.copy(UNKNOWN) is UNKNOWN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UNKNOWN, True),
        ({"a": [{"b": UNKNOWN}]}, True),
        ([1, "x", {"a": None}], False),
        ("04da6b54", False),
    ],
)
def test_has_unknown_looks_at_every_depth(value: object, *, expected: bool) -> None:
    assert has_unknown(value) is expected
