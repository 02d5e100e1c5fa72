"""Reads a vault through its own API, with an administrator's token.

- Nothing is written, and no secret's value is asked for.
- What cannot be read, a policy that cannot be parsed among it, is an exception: half a vault would
  be decided wrongly.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from iamrange.credentials.inventory.vault import names_below
from iamrange.credentials.inventory.vault_logins import COLLECTIONS
from iamrange.credentials.privileges.read_aws import ReadError
from iamrange.credentials.privileges.vault import DEFAULT, LoginRole, VaultEstate
from iamrange.credentials.vault.access import VaultAwayError, VaultRefusedError, stores_of
from iamrange.credentials.vault.acl import ROOT
from iamrange.credentials.vault.policy import Policy, PolicyError, parse_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iamrange.credentials.vault.access import VaultAccess


def read_vault(access: VaultAccess, subjects: Iterable[str]) -> VaultEstate:
    """Read a vault's policies, its logins' roles, and the paths of its secrets.

    Raises:
        ReadError: a part could not be read.
    """
    try:
        return _read(access, tuple(subjects))
    except (VaultRefusedError, VaultAwayError, PolicyError) as error:
        raise ReadError(f"vault: {error}") from error


def _read(access: VaultAccess, subjects: tuple[str, ...]) -> VaultEstate:
    logins = {
        mount: facts
        for mount, facts in (access.data("GET", "sys/auth") or {}).items()
        if isinstance(facts, dict) and facts.get("type") in COLLECTIONS
    }
    places = {f"auth/{m}{COLLECTIONS[f['type']]}": f for m, f in logins.items()}
    token_roles = {
        name: tuple((access.data("GET", f"auth/token/roles/{name}") or {})["allowed_policies"])
        for name in access.keys("auth/token/roles")
    }
    return VaultEstate(
        policies={name: _policy(access, name) for name in access.keys("sys/policies/acl")},
        roles=tuple(
            role
            for place, facts in places.items()
            if facts["type"] != "token"
            for role in _roles(access, place)
        ),
        secrets=tuple(
            store.data(name)
            for store in stores_of(access)[0]
            for name in names_below(access, store.metadata(""))
        ),
        logins=tuple(place for place, facts in places.items() if facts["type"] != "token"),
        given={subject: tuple(_given(access, subject, logins)) for subject in subjects},
        token_roles=token_roles,
        now=time.time(),
    )


def _policy(access: VaultAccess, name: str) -> Policy:
    if name == ROOT:
        return Policy(name, ())
    told = access.data("GET", f"sys/policies/acl/{name}") or {}
    return parse_policy(name, str(told.get("policy", "")))


def _roles(access: VaultAccess, place: str) -> Iterator[LoginRole]:
    for name in access.keys(place):
        told = access.data("GET", f"{place}/{name}") or {}
        policies = [str(one) for one in told.get("token_policies") or ()]
        if not told.get("token_no_default_policy"):
            policies.append(DEFAULT)
        yield LoginRole(
            path=f"{place}/{name}",
            name=name,
            policies=tuple(policies),
            subject=str(told.get("bound_subject") or ""),
            claims=told.get("bound_claims") or {},
        )


def _given(
    access: VaultAccess, subject: str, logins: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the policies that a subject has by its entities and their groups."""
    for facts in logins.values():
        asked = {"alias_name": subject, "alias_mount_accessor": facts["accessor"]}
        entity = access.data("POST", "identity/lookup/entity", asked) or {}
        yield from map(str, entity.get("policies") or ())
        for group in entity.get("group_ids") or ():
            told = access.data("GET", f"identity/group/id/{group}") or {}
            yield from map(str, told.get("policies") or ())
