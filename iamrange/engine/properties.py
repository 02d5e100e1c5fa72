"""Property values on the wire: Pulumi's struct encoding to and from plain Python values.

- An unknown (a value the engine does not have yet) is `UNKNOWN`, never its marker string.
- Numbers that are whole are `int`: the wire has doubles only.
- An asset is compared by its hash: its content may have been elided.
- A secret is decoded to its value and encoded only where the caller asks for it; the engine
  marks outputs of the same name secret by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

# The signatures are part of the wire format: pulumi/pulumi, sdk/go/common/resource/sig.
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a type marker, not a secret
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
_UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown:
    """The one value that stands for "not known before the update runs"."""

    _only: ClassVar[Any] = None

    def __new__(cls) -> Self:
        """Return the only instance, so that `is UNKNOWN` holds after a copy."""
        if cls._only is None:
            cls._only = super().__new__(cls)
        only: Self = cls._only
        return only

    def __repr__(self) -> str:
        """Name the constant."""
        return "UNKNOWN"

    def __copy__(self) -> Unknown:
        """Copy to itself."""
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Unknown:
        """Copy to itself."""
        return self


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset or archive as the engine sent it, equal to another of the same hash."""

    hash: str
    fields: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def is_archive(self) -> bool:
        """Whether this is an archive."""
        return bool(self.fields.get(SIGNATURE) == _ARCHIVE)


class PropertyError(Exception):
    """A value that has no form on the wire, or none in Python."""


def decode(struct: Struct | None) -> dict[str, Any]:
    """Return a struct's members as plain values; a null member is an absent one."""
    if struct is None:
        return {}
    return {key: decode_value(value) for key, value in struct.fields.items() if not _null(value)}


def decode_value(value: Value) -> Any:  # noqa: ANN401 - property values are any JSON value
    """Return one wire value as a plain value.

    Raises:
        PropertyError: the value has a signature that this version does not know.
    """
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value == _UNKNOWN_TEXT else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [decode_value(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _decode_object(value.struct_value)
    return None


def _decode_object(struct: Struct) -> Any:  # noqa: ANN401 - a signature may stand for any value
    members = struct.fields
    if SIGNATURE not in members:
        return decode(struct)
    signature = members[SIGNATURE].string_value
    if signature == _SECRET:
        return decode_value(members["value"]) if "value" in members else None
    if signature == _OUTPUT:
        # an output value without a value is one that is not known yet
        return decode_value(members["value"]) if "value" in members else UNKNOWN
    if signature in (_ASSET, _ARCHIVE):
        fields = {key: decode_value(item) for key, item in members.items()}
        return Asset(str(fields.get("hash", "")), fields)
    if signature == _RESOURCE:
        identity = members["id"] if "id" in members else members["urn"]
        return decode_value(identity)
    raise PropertyError(f"value has an unknown signature {signature!r}")


def _null(value: Value) -> bool:
    return value.WhichOneof("kind") in (None, "null_value")


def encode(properties: Mapping[str, Any], *, secret: Collection[str] = ()) -> Struct:
    """Return plain values as a struct, with the named members marked secret."""
    struct = Struct()
    for key, item in properties.items():
        if item is None:
            continue
        value = encode_value(item)
        if key in secret:
            members = {SIGNATURE: Value(string_value=_SECRET), "value": value}
            value = Value(struct_value=Struct(fields=members))
        struct.fields[key].CopyFrom(value)
    return struct


def encode_value(item: Any) -> Value:  # noqa: ANN401 - property values are any JSON value
    """Return one plain value in wire form.

    Raises:
        PropertyError: the value's type has no wire form.
    """
    if item is None:
        return Value(null_value=NULL_VALUE)
    if item is UNKNOWN:
        return Value(string_value=_UNKNOWN_TEXT)
    if isinstance(item, bool):
        return Value(bool_value=item)
    if isinstance(item, int | float):
        return Value(number_value=item)
    if isinstance(item, str):
        return Value(string_value=item)
    if isinstance(item, Asset):
        members = {key: encode_value(member) for key, member in item.fields.items()}
        return Value(struct_value=Struct(fields=members))
    if isinstance(item, Mapping):
        return Value(struct_value=encode(item))
    if isinstance(item, list | tuple):
        return Value(list_value=ListValue(values=[encode_value(member) for member in item]))
    raise PropertyError(f"a {type(item).__name__} has no property form")


def has_unknown(item: Any) -> bool:  # noqa: ANN401 - property values are any JSON value
    """Whether a value is, or holds, an unknown."""
    if item is UNKNOWN:
        return True
    if isinstance(item, Mapping):
        return any(has_unknown(member) for member in item.values())
    if isinstance(item, list | tuple):
        return any(has_unknown(member) for member in item)
    return False
