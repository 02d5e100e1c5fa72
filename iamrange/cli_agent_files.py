"""What `iamrange agents` reads and writes: specifications, keys and certificates in files.

- Whatever is no such file ends the command as misuse, with what was expected.
- A private key is written for its owner alone, and never taken in.
"""

# The rooms are imported where they are needed: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from iamrange.cli_console import misuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from iamrange.identity.directory.model import AgentSpec


def specs_in(file: Path) -> Iterator[AgentSpec]:
    """Read specifications, one JSON object a line."""
    for line in lines(file):
        values = dict(line)
        if "key" in values:
            values["keys"] = [values.pop("key")]
        yield spec_of(values)


def spec_of(values: Mapping[str, Any]) -> AgentSpec:
    """Make a specification of JSON-like values; misuse if it is none."""
    from iamrange.identity.directory.model import (
        AgentFieldError,
        AgentKey,
        AgentSpec,
        Classification,
        Kind,
    )

    known = dict(values)
    level = str(known.pop("classification", Classification.INTERNAL))
    if level not in tuple(Classification):
        misuse(f"classification expected one of {', '.join(Classification)}, got {level!r}")
    kind = str(known.pop("kind", Kind.AGENT))
    if kind not in tuple(Kind):
        misuse(f"kind expected one of {', '.join(Kind)}, got {kind!r}")
    expires = known.pop("expires", None)
    resources = known.pop("resources", None)
    try:
        return AgentSpec(
            kind=Kind(kind),
            classification=Classification(level),
            expires=end_of_day(expires) if isinstance(expires, str) else expires,
            resources=None if resources is None else frozenset(resources),
            keys=tuple(AgentKey.from_jwk(public_half(key)) for key in known.pop("keys", ())),
            certificates=tuple(known.pop("certificates", ())),
            roles=frozenset(known.pop("roles", ())),
            scopes=frozenset(known.pop("scopes", ())),
            may_act=frozenset(known.pop("may_act", ())),
            audiences=frozenset(known.pop("audiences", ())),
            **known,
        )
    except AgentFieldError as error:
        misuse(f"agent {values.get('name')!r}: {error}")
    except TypeError as error:
        misuse(f"agent {values.get('name')!r}: {error}")


def lines(file: Path) -> Iterator[Mapping[str, Any]]:
    """Read JSON objects, one a line."""
    for number, text in enumerate(_texts(file), 1):
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            misuse(f"{file}, line {number}: expected a JSON object")
        yield value


def names_in(file: Path) -> Iterator[str]:
    """Read names or ids, one a line."""
    return (text.strip() for text in _texts(file))


def _texts(file: Path) -> Iterator[str]:
    if str(file) == "-":
        yield from (line for line in sys.stdin if line.strip())
        return
    try:
        with file.open(encoding="utf-8") as lines:
            yield from (line for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        misuse(f"{file}: expected a text file: {error}")


def json_file(path: Path) -> Mapping[str, Any]:
    """Read a JWK from a file."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        misuse(f"{path}: expected a JWK file: {type(error).__name__}")
    if not isinstance(value, dict):
        misuse(f"{path}: expected a JWK, a JSON object")
    return value


def public_half(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public members of a key; a private one is refused, so that it goes nowhere."""
    if "d" in jwk:
        misuse("the key: expected a public JWK, got a private one; keep it where it is")
    return {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}


def new_key(path: Path) -> tuple[Path, dict[str, Any]]:
    """Make a key, write it where only its owner reads it, return the file and the public half."""
    from iamrange.jose import SigningKey

    key = SigningKey.generate("ES256")
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(json.dumps(key.private_jwk()) + "\n")
    except FileExistsError:
        misuse(f"{path}: is there already; --key-out names another, --public-key takes a key")
    except OSError as error:
        misuse(f"{path}: cannot be written: {error.strerror}")
    public = key.public_jwk()
    return path, {name: public[name] for name in ("kty", "crv", "x", "y")}


def new_certificate_key(path: Path) -> tuple[str, str]:
    """Claim a file for its owner alone; return a new private key and its public half, as PEM."""
    from cryptography.hazmat.primitives import serialization

    from iamrange.identity.certificates import svid

    key, private = svid.new_key()
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        misuse(f"{path}: cannot be made: {error.strerror}; --key-out names another")
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public.decode()


def thumbprint(path: Path) -> str:
    """Return the thumbprint (RFC 8705 section 3.1) of a certificate in a PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from iamrange.identity.certificates.svid import thumbprint

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        misuse(f"{path}: expected a PEM certificate: {type(error).__name__}")
    return thumbprint(certificate.public_bytes(Encoding.DER))


def end_of_day(day: str) -> float:
    """Return when a day ends, in seconds since the epoch."""
    from datetime import UTC, date, datetime, time

    try:
        return datetime.combine(date.fromisoformat(day), time.max, UTC).timestamp()
    except ValueError:
        misuse(f"expires: expected a day like 2027-06-30, got {day!r}")
