"""Signed heads: how long the log was, and what all of it came to, at one moment.

- A compact JWS, ES256, typ `audit-head+jwt`. One that is kept elsewhere is what makes a log that
  was cut short, or written anew from the first line, show.
- The anchor is what a verifier needs beside the log: the public key, and the first sealing key. It
  is kept where the log is not, by whoever does not write the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.audit_seal import KEY_BYTES
from iamrange.jose import (
    KeySet,
    Refusal,
    SigningKey,
    parse,
    parse_key_set,
    strict,
    verify_signature,
)
from iamrange.jose.gate import base64url, decode_base64url

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE: Final = "audit-head+jwt"
_CLAIMS: Final = frozenset({"log", "size", "root", "iat"})
PROFILE: Final = replace(
    strict(TYPE), name="audit-head", required_claims=frozenset({"log", "root", "iat"})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a head says: `size` records, whose tree has this `root`, at `time` (seconds)."""

    log: str
    size: int
    root: bytes
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a log is verified by."""

    log: str
    public_jwk: Mapping[str, Any]
    first_key: bytes = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, which hold the first sealing key: they are secret."""
        return {
            "log": self.log,
            "public_jwk": dict(self.public_jwk),
            "first_key": base64url(self.first_key),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Anchor:
        """Return the anchor that `to_json` made plain values of.

        Raises:
            ValueError: it is none.
        """
        try:
            first = decode_base64url(str(value["first_key"]))
            anchor = cls(
                log=str(value["log"]), public_jwk=dict(value["public_jwk"]), first_key=first
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("audit anchor: a member is missing or of another form") from error
        if len(first) != KEY_BYTES:
            raise ValueError("audit anchor: first_key has another length")
        return anchor


def sign_head(key: SigningKey, head: Head) -> str:
    """Return the head, signed."""
    claims = {
        "log": head.log,
        "size": head.size,
        "root": base64url(head.root),
        "iat": head.time,
    }
    return key.sign(claims, typ=TYPE)


def read_head(text: str, anchor: Anchor) -> Head | Refusal:
    """Return what a head says if the log's key signed it for this log, else why not."""
    keys = parse_key_set({"keys": [dict(anchor.public_jwk)]}, PROFILE)
    if not isinstance(keys, KeySet):
        return keys
    token = parse(text.strip(), PROFILE)
    if isinstance(token, Refusal):
        return token
    claims = verify_signature(token, keys, PROFILE)
    if isinstance(claims, Refusal):
        return claims
    size, root = claims.get("size"), claims["root"]
    if set(claims) != _CLAIMS or type(size) is not int or size < 0 or not isinstance(root, str):
        return Refusal("malformed", "a head's claims are log, size, root, iat")
    if claims["log"] != anchor.log:
        return Refusal("another-log", "the head is of another log")
    try:
        return Head(log=anchor.log, size=size, root=decode_base64url(root), time=claims["iat"])
    except ValueError:
        return Refusal("malformed", "root is not base64url")


def read_anchor(document: bytes | str) -> Anchor:
    """Read an anchor's file.

    Raises:
        ValueError: it is none.
    """
    value = json.loads(document)
    return Anchor.from_json(value if isinstance(value, dict) else {})
