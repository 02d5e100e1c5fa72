"""The landing zone that a stack expects to find: accounts, organisations and projects.

- Read from the stack's own config, so that the world and the program agree on every name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

import yaml

from iamrange.core.controls import control_named
from iamrange.core.scenario import Part
from iamrange.range.config import Project, WorldConfig
from iamrange.range.rogues import ROGUES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.range.world import World


class LandingError(Exception):
    """The stack's config does not say what the range needs to build its landing zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredAgent:
    """An agent as the stack's config declares it; `expires` is when its last day has ended."""

    owner: str
    purpose: str
    project: str
    classification: str
    scopes: tuple[str, ...]
    expires: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredPerson:
    """Somebody who approves, as the stack's config declares it."""

    name: str
    email: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Landing:
    """What a stack's config says about the clouds around it."""

    region: str
    management: str
    members: tuple[str, ...]
    workloads: str
    organization: str | None
    project: str
    project_number: str
    off: frozenset[str]
    agents: Mapping[Part, DeclaredAgent]
    vendor: str | None = None
    people: tuple[DeclaredPerson, ...] = ()

    def world_config(self, run_id: str) -> WorldConfig:
        """Return the configuration of a world with this landing zone and nothing on it."""
        return WorldConfig(
            run_id=run_id,
            # a vendor's account is there, and in no organisation of ours
            aws_accounts=(
                self.management,
                *self.members,
                *(() if self.vendor is None else (self.vendor,)),
            ),
            aws_organization=self.management,
            aws_members=self.members,
            gcp_organization=self.organization,
            gcp_projects=(
                Project(
                    id=self.project, number=self.project_number, organization=self.organization
                ),
            ),
            rogues=ROGUES,
            off=tuple(sorted(self.off)),
        )

    def clouds_of(self, world: World) -> dict[str, Any]:
        """Return what the embedded providers of a world are told: endpoints and administrators."""
        return {
            "aws": {
                "url": world.aws_endpoint,
                "keys": {
                    account: dict(key)
                    for account, key in world.aws_keys.items()
                    if account != self.vendor
                },
                "management": self.management,
                "region": self.region,
            },
            "gcp": {
                "url": world.gcp_endpoint,
                "tokens": dict(world.gcp_tokens),
                "numbers": {self.project: self.project_number},
            },
            "vault": {"url": world.vault_endpoint, "token": world.vault_token},
        }


def stack_config(project: Path, stack: str) -> Mapping[str, Any]:
    """Read a stack's committed config, by full key.

    Raises:
        LandingError: there is none, or it is no proper YAML.
    """
    path = project / f"Pulumi.{stack}.yaml"
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise LandingError(f"stack config '{path}' expected, not found") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise LandingError(f"stack config '{path}' expected YAML, got an error: {where}") from None
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise LandingError(f"stack config '{path}': config expected an object, got {config!r}")
    return config


def landing_of(config: Mapping[str, Any]) -> Landing:
    """Read the landing zone from a stack's config.

    Raises:
        LandingError: a key is missing or of the wrong kind.
        UnknownNameError: `iamrange:controls` names no control.
    """
    accounts = _object(config, "iamrange:accounts")
    gcp = _object(config, "iamrange:gcp")
    controls = _object(config, "iamrange:controls", default={})
    for name, on in controls.items():
        control_named(str(name))
        if not isinstance(on, bool):
            raise LandingError(
                f"stack config 'iamrange:controls': {name} expected true or false, got {on!r}"
            )
    agents = _declared(config.get("iamrange:agents"))
    management = _account(accounts, "management")
    members = {_account(accounts, name) for name in accounts} - {management}
    return Landing(
        region=str(config.get("aws:region", "us-east-1")),
        management=management,
        members=tuple(sorted(members)),
        workloads=_account(accounts, "workloads"),
        organization=str(gcp["organization"]) if gcp.get("organization") else None,
        project=_text(gcp, "iamrange:gcp", "project"),
        project_number=_text(gcp, "iamrange:gcp", "project-number"),
        off=frozenset(name for name, on in controls.items() if on is False),
        agents=agents,
        vendor=_vendor(config),
        people=_people(config.get("iamrange:people", [])),
    )


def _vendor(config: Mapping[str, Any]) -> str | None:
    vendor = _object(config, "iamrange:vendor", default={})
    return _text(vendor, "iamrange:vendor", "account") if vendor else None


def _people(people: object) -> tuple[DeclaredPerson, ...]:
    """Read who may approve.

    Raises:
        LandingError: an entry lacks something.
    """
    if not isinstance(people, list):
        raise LandingError(f"stack config 'iamrange:people' expected a list, got {people!r}")
    found = []
    for person in people:
        roles = person.get("roles") if isinstance(person, dict) else None
        if not isinstance(roles, list) or not all(person.get(k) for k in ("name", "email")):
            raise LandingError(
                f"stack config 'iamrange:people': name, email and roles expected, got {person!r}"
            )
        found.append(
            DeclaredPerson(
                name=str(person["name"]),
                email=str(person["email"]),
                roles=tuple(str(role) for role in roles),
            )
        )
    return tuple(found)


def _declared(agents: object) -> dict[Part, DeclaredAgent]:
    """Read the agents by the parts that they play. The program checks what it uses itself.

    Raises:
        LandingError: a part of the range is left without an agent.
    """
    if not isinstance(agents, list):
        raise LandingError(f"stack config 'iamrange:agents' expected a list, got {agents!r}")
    played = {agent.get("part"): agent for agent in agents if isinstance(agent, dict)}
    missing = [str(part) for part in Part if part not in played]
    if missing:
        raise LandingError(
            f"stack config 'iamrange:agents': expected an agent for each part, "
            f"got none for {', '.join(missing)}"
        )
    return {part: _declared_agent(played[part]) for part in Part}


def _declared_agent(agent: Mapping[str, Any]) -> DeclaredAgent:
    return DeclaredAgent(
        **{
            name: str(agent.get(name, ""))
            for name in ("owner", "purpose", "project", "classification")
        },
        scopes=tuple(str(scope) for scope in agent.get("scopes") or ()),
        expires=_end_of_day(agent.get("expires")),
    )


def _end_of_day(day: object) -> float | None:
    if day is None:
        return None
    try:
        moment = datetime.combine(date.fromisoformat(str(day)), time.max, UTC)
    except ValueError:
        raise LandingError(
            "stack config 'iamrange:agents': "
            f'expires expected a day like "2027-06-30", got {day!r}'
        ) from None
    return moment.timestamp()


def _object(
    config: Mapping[str, Any], key: str, *, default: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    value = config.get(key, default)
    if not isinstance(value, dict):
        raise LandingError(f"stack config '{key}' expected an object, got {value!r}")
    return value


def _account(accounts: Mapping[str, Any], name: str) -> str:
    account = _text(accounts, "iamrange:accounts", name)
    if not re.fullmatch(r"[0-9]{12}", account):
        raise LandingError(
            f"stack config 'iamrange:accounts': {name} expected 12 digits, got {account!r}"
        )
    return account


def _text(value: Mapping[str, Any], key: str, member: str) -> str:
    if not isinstance(value.get(member), str):
        raise LandingError(
            f"stack config '{key}': {member} expected text, got {value.get(member)!r}"
        )
    return str(value[member])
