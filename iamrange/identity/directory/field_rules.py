"""What each field of an agent may hold. Pure; every rule says what it expected and got."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_KEYS = 4
MAX_CERTIFICATES = 8
MAX_SET = 64
_SHOWN = 60
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
POLICY_ROLE = re.compile(r"[a-z][a-z0-9-]{0,39}")
SCOPE = re.compile(r"[a-z][a-z0-9_-]{0,31}:[a-z][a-z0-9_./-]{0,63}")
RESOURCE = re.compile(r"https://[a-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[!$&-;=@-Z_a-z~%]{0,200})?")
AUDIENCE = re.compile(r"[!-~]{1,300}")
AGENT_ID = re.compile(
    r"spiffe://[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\.example/agent/"
    r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
)
ROLE = re.compile(r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}")
SECRET_HASH = re.compile(r"[A-Za-z0-9$=,./+_:-]{16,300}")
POLICY_LENGTH = 2048
LATEST = 1e11  # the year 5138
_PUBLIC_MEMBERS = frozenset({"kty", "crv", "x", "y"})
# the last of 43 characters carries four bits: what it may be is canonical (RFC 4648 section 3.5)
OCTETS_32 = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# SEC 2 section 2.4.2, secp256r1
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


class AgentFieldError(ValueError):
    """A field of an agent holds what it must not; `field` says which."""

    def __init__(self, field: str, expected: str, got: object = None) -> None:
        """Say what was expected and, where it is no secret, what came."""
        seen = "" if got is None else f", got {shown(got)}"
        super().__init__(f"agent {field}: expected {expected}{seen}")
        self.field = field


def shown(value: object) -> str:
    """Return a value's repr, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def check_name(field: str, value: object) -> None:
    """Check a name or a tenant.

    Raises:
        AgentFieldError: it is none.
    """
    _match(field, NAME, value, "1 to 40 of a-z, 0-9 and inner hyphens")


def is_agent_id(value: object) -> bool:
    """Tell whether this has the form of an agent's SPIFFE id."""
    return isinstance(value, str) and AGENT_ID.fullmatch(value) is not None


def check_text(field: str, value: object, limit: int, least: int = 1) -> None:
    """Check text that people read.

    Raises:
        AgentFieldError: it is too long, not printable or padded.
    """
    if not isinstance(value, str) or not _is_text(value, limit, least):
        raise AgentFieldError(field, f"{least} to {limit} printable characters", value)


@lru_cache(maxsize=1024)
def _is_text(value: str, limit: int, least: int) -> bool:
    return least <= len(value) <= limit and value.isprintable() and value == value.strip()


def check_set(field: str, values: object) -> None:
    """Check one of the set fields, each member by the field's own form.

    Raises:
        AgentFieldError: it is no set, too large, or holds a member of another form.
    """
    if not isinstance(values, frozenset) or len(values) > MAX_SET:
        raise AgentFieldError(field, f"a set of at most {MAX_SET}", values)
    _check_members(field, values)


# many agents have the same few sets: checked once
@lru_cache(maxsize=1024)
def _check_members(field: str, values: frozenset[object]) -> None:
    form, expected = _SETS[field]
    for value in values:
        _match(field, form, value, expected)


_SETS = {
    "roles": (POLICY_ROLE, "a role such as 'data-analyst'"),
    "scopes": (SCOPE, "a scope such as 'read:database'"),
    "resources": (RESOURCE, "an https URI without query and fragment"),
    "may_act": (AGENT_ID, "agents' SPIFFE ids"),
    "audiences": (AUDIENCE, "1 to 300 visible ASCII characters"),
}


def check_certificates(values: tuple[str, ...]) -> None:
    """Check certificate thumbprints (RFC 8705 section 3.1).

    Raises:
        AgentFieldError: there are too many, or one twice, or one is no SHA-256 in base64url.
    """
    check_several("certificates", values, str, MAX_CERTIFICATES)
    for value in values:
        _match("certificates", OCTETS_32, value, "x5t#S256 thumbprints")
    if len(set(values)) != len(values):
        raise AgentFieldError("certificates", "each once")


def check_several(field: str, values: object, kind: type, limit: int) -> None:
    """Check that these are at most so many of a kind, in an order that stays.

    Raises:
        AgentFieldError: they are not.
    """
    if values == ():
        return
    if (
        not isinstance(values, tuple)
        or len(values) > limit
        or not all(isinstance(value, kind) for value in values)
    ):
        raise AgentFieldError(field, f"a tuple of at most {limit} of {kind.__name__}")


def check_optional(field: str, value: object) -> None:
    """Check the AWS role or the hash of a secret; neither shows itself in the message.

    Raises:
        AgentFieldError: it has another form.
    """
    form, expected = _OPTIONAL[field]
    if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
        raise AgentFieldError(field, expected)


_OPTIONAL = {
    "aws_role_arn": (ROLE, "the ARN of an IAM role"),
    "secret_hash": (SECRET_HASH, "the encoded hash of a secret"),
}


def check_session_policy(value: object) -> None:
    """Check an AWS session policy (STS takes 2,048 characters).

    Raises:
        AgentFieldError: it is no JSON object of that size.
    """
    if value is None:
        return
    try:
        good = (
            isinstance(value, str)
            and len(value) <= POLICY_LENGTH
            and isinstance(json.loads(value), dict)
        )
    except (ValueError, RecursionError):
        good = False
    if not good:
        expected = f"JSON text of an object, at most {POLICY_LENGTH} characters"
        raise AgentFieldError("aws_session_policy", expected)


def check_moment(field: str, value: object) -> None:
    """Check an optional moment, in seconds since the Unix epoch.

    Raises:
        AgentFieldError: it is no finite number after the epoch.
    """
    if value is None:
        return
    # a comparison takes any int, and is false of NaN
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST:
        raise AgentFieldError(field, "seconds since the Unix epoch", value)


def public_p256(jwk: Mapping[str, object]) -> tuple[dict[str, str], str]:
    """Return the public members of a P-256 JWK and its RFC 7638 thumbprint.

    Members that say what the key is for (`use`, `alg`, `kid`, `key_ops`) may come along when
    they fit; they are not kept.

    Raises:
        AgentFieldError: it is no public P-256 key, or it has private members.
    """
    if _PRIVATE_MEMBERS & jwk.keys():
        raise AgentFieldError("key", "a public JWK, without private members")
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise AgentFieldError("key", "a public P-256 JWK (kty EC, crv P-256)")
    if len(jwk) > len(_PUBLIC_MEMBERS):
        _check_use(jwk)
    x, y = jwk.get("x"), jwk.get("y")
    if not isinstance(x, str) or not isinstance(y, str):
        raise AgentFieldError("key", "coordinates of 32 octets in canonical base64url")
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}, _thumbprint_of_point(x, y)


# a key is checked when it is made and again when the agent is: the second time is free
@lru_cache(maxsize=256)
def _thumbprint_of_point(x_text: str, y_text: str) -> str:
    x, y = _coordinate(x_text), _coordinate(y_text)
    if (y * y - (x * x * x - 3 * x + _B)) % _P:
        raise AgentFieldError("key", "a point on P-256")
    text = f'{{"crv":"P-256","kty":"EC","x":"{x_text}","y":"{y_text}"}}'
    return urlsafe_b64encode(sha256(text.encode()).digest())[:-1].decode()


def _check_use(jwk: Mapping[str, object]) -> None:
    """Refuse a key that its own owner declared for something else (RFC 7517 4.2 to 4.4)."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", "ES256") != "ES256":
        raise AgentFieldError("key", "use 'sig' and alg 'ES256', where they are given")
    if not isinstance(operations, list) or "verify" not in operations:
        raise AgentFieldError("key", "key_ops with 'verify', where it is given")


def _coordinate(value: str) -> int:
    """Read a coordinate: exactly 32 octets (RFC 7518 section 6.2.1.2), canonical base64url."""
    if not OCTETS_32.fullmatch(value):
        raise AgentFieldError("key", "coordinates of 32 octets in canonical base64url")
    number = int.from_bytes(octets_of(value), "big")
    if number >= _P:
        raise AgentFieldError("key", "coordinates below the field's prime")
    return number


def octets_of(text: str) -> bytes:
    """Decode base64url of 32 octets; whether it is canonical is the form's matter.

    Raises:
        ValueError: it is not base64 at all.
    """
    return a2b_base64(text.replace("-", "+").replace("_", "/") + "=")


def _match(field: str, form: re.Pattern[str], value: object, expected: str) -> None:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise AgentFieldError(field, expected, value)
