"""The people of a range: who approves, and the key that only that person has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from iamrange.identity.agent import write_private
from iamrange.identity.directory.model import Kind
from iamrange.jose import SigningKey
from iamrange.range.config import AgentRegistration

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from iamrange.range.landing import DeclaredPerson
    from iamrange.range.world import World

FOLDER = "people"


def enrol_people(world: World, people: Iterable[DeclaredPerson]) -> dict[str, Path]:
    """Register everybody with a fresh key; return person's SPIFFE id -> the private key's file."""
    folder = world.folder / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    keys: dict[str, Path] = {}
    for person in people:
        key = SigningKey.generate("ES256")
        identity = world.register_agent(
            AgentRegistration(
                name=person.name,
                kind=Kind.PERSON.value,
                public_jwk=key.public_jwk(),
                audiences=(),
                owner=person.email,
                purpose="Approves what agents may not do alone",
                roles=person.roles,
            )
        )
        keys[identity] = folder / f"{person.name}.jwk"
        write_private(keys[identity], json.dumps(key.private_jwk()))
    return keys
