"""What each field of an agent may hold. Pure; every rule says what it expected and got."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_KEYS = 4
MAX_CERTIFICATES = 8
MAX_SET = 64
_SHOWN = 60
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_SCOPE = re.compile(r"[a-z][a-z0-9_-]{0,31}:[a-z][a-z0-9_./-]{0,63}")
_RESOURCE = re.compile(r"https://[a-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[!$&-;=@-Z_a-z~%]{0,200})?")
_AUDIENCE = re.compile(r"[!-~]{1,300}")
_AGENT_ID = re.compile(
    r"spiffe://[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\.example/agent/"
    r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
)
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_ROLE = re.compile(r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_SECRET_HASH = re.compile(r"[A-Za-z0-9$=,./+_:-]{16,300}")
_POLICY_LENGTH = 2048
_LATEST = 1e11  # the year 5138
_PUBLIC_MEMBERS = frozenset({"kty", "crv", "x", "y"})
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


@lru_cache(maxsize=4096)
def check_name(field: str, value: object) -> None:
    """Check a name or a tenant.

    Raises:
        AgentFieldError: it is none.
    """
    _match(field, _NAME, value, "1 to 40 of a-z, 0-9 and inner hyphens")


def is_agent_id(value: object) -> bool:
    """Tell whether this has the form of an agent's SPIFFE id."""
    return isinstance(value, str) and _AGENT_ID.fullmatch(value) is not None


@lru_cache(maxsize=4096)
def check_text(field: str, value: object, limit: int, least: int = 1) -> None:
    """Check text that people read.

    Raises:
        AgentFieldError: it is too long, not printable or padded.
    """
    if (
        not isinstance(value, str)
        or not least <= len(value) <= limit
        or not value.isprintable()
        or value != value.strip()
    ):
        raise AgentFieldError(field, f"{least} to {limit} printable characters", value)


@lru_cache(maxsize=4096)
def check_set(field: str, values: object) -> None:
    """Check one of the set fields, each member by the field's own form.

    Raises:
        AgentFieldError: it is no set, too large, or holds a member of another form.
    """
    form, expected = _SETS[field]
    if not isinstance(values, frozenset) or len(values) > MAX_SET:
        raise AgentFieldError(field, f"a set of at most {MAX_SET}", values)
    for value in values:
        _match(field, form, value, expected)


_SETS = {
    "scopes": (_SCOPE, "a scope such as 'read:database'"),
    "resources": (_RESOURCE, "an https URI without query and fragment"),
    "may_act": (_AGENT_ID, "agents' SPIFFE ids"),
    "audiences": (_AUDIENCE, "1 to 300 visible ASCII characters"),
}


def check_certificates(values: object) -> None:
    """Check certificate thumbprints (RFC 8705 section 3.1).

    Raises:
        AgentFieldError: there are too many, or one twice, or one is no SHA-256 in base64url.
    """
    if not isinstance(values, tuple) or len(values) > MAX_CERTIFICATES:
        raise AgentFieldError("certificates", f"at most {MAX_CERTIFICATES}")
    for value in values:
        _match("certificates", _THUMBPRINT, value, "x5t#S256 thumbprints")
    if len(set(values)) != len(values):
        raise AgentFieldError("certificates", "each once")


def check_optional(field: str, value: object) -> None:
    """Check the AWS role or the hash of a secret; neither shows itself in the message.

    Raises:
        AgentFieldError: it has another form.
    """
    form, expected = _OPTIONAL[field]
    if value is not None and not (isinstance(value, str) and form.fullmatch(value)):
        raise AgentFieldError(field, expected)


_OPTIONAL = {
    "aws_role_arn": (_ROLE, "the ARN of an IAM role"),
    "secret_hash": (_SECRET_HASH, "the encoded hash of a secret"),
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
            and len(value) <= _POLICY_LENGTH
            and isinstance(json.loads(value), dict)
        )
    except (ValueError, RecursionError):
        good = False
    if not good:
        expected = f"JSON text of an object, at most {_POLICY_LENGTH} characters"
        raise AgentFieldError("aws_session_policy", expected)


def check_moment(field: str, value: object) -> None:
    """Check an optional moment, in seconds since the Unix epoch.

    Raises:
        AgentFieldError: it is no finite number after the epoch.
    """
    if value is None:
        return
    # a comparison takes any int, and is false of NaN
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
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
    public = {name: jwk.get(name) for name in ("crv", "kty", "x", "y")}
    if public["kty"] != "EC" or public["crv"] != "P-256":
        raise AgentFieldError("key", "a public P-256 JWK (kty EC, crv P-256)")
    _check_use(jwk)
    x, y = (_coordinate(public[name]) for name in ("x", "y"))
    if (y * y - (x * x * x - 3 * x + _B)) % _P:
        raise AgentFieldError("key", "a point on P-256")
    text = f'{{"crv":"P-256","kty":"EC","x":"{public["x"]}","y":"{public["y"]}"}}'
    thumbprint = urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
    if jwk.get("kid", thumbprint) != thumbprint and set(jwk) <= _PUBLIC_MEMBERS:
        raise AgentFieldError("key", "its thumbprint as kid")
    return {"kty": "EC", "crv": "P-256", "x": str(public["x"]), "y": str(public["y"])}, thumbprint


def _check_use(jwk: Mapping[str, object]) -> None:
    """Refuse a key that its own owner declared for something else (RFC 7517 4.2 to 4.4)."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", "ES256") != "ES256":
        raise AgentFieldError("key", "use 'sig' and alg 'ES256', where they are given")
    if not isinstance(operations, list) or "verify" not in operations:
        raise AgentFieldError("key", "key_ops with 'verify', where it is given")


def _coordinate(value: object) -> int:
    """Read a coordinate: exactly 32 octets (RFC 7518 section 6.2.1.2), canonical base64url."""
    if not isinstance(value, str) or not _THUMBPRINT.fullmatch(value):
        raise AgentFieldError("key", "coordinates of 32 octets in base64url")
    octets = urlsafe_b64decode(value + "=")
    number = int.from_bytes(octets, "big")
    if urlsafe_b64encode(octets)[:-1] != value.encode() or number >= _P:
        raise AgentFieldError("key", "coordinates in canonical base64url")
    return number


def _match(field: str, form: re.Pattern[str], value: object, expected: str) -> None:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise AgentFieldError(field, expected, value)


def frozen(values: Iterable[str]) -> frozenset[str]:
    """Return the values as a set that cannot change."""
    return values if isinstance(values, frozenset) else frozenset(values)
