"""Whose a credential is, and whether that somebody is still there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.credentials.inventory.gather import Credential


class Standing(StrEnum):
    """What is known of an owner."""

    PRESENT = "present"
    LEFT = "left"
    UNKNOWN = "unknown"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Registered:
    """An entry of the directory: its owner, and whether it is over for good."""

    name: str
    owner: str
    retired: bool
    person: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a credential: a name for people to read, and where that one stands."""

    name: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Owners:
    """Who is there: the directory's agents and people, and (better) the list of who works here.

    Without a roster whoever owns an agent that is not retired counts as present.
    """

    agents: Mapping[str, Registered]
    present: frozenset[str]
    left: frozenset[str]
    roster: frozenset[str] | None = field(default=None)

    @classmethod
    def of(cls, entries: Iterable[Registered], roster: Iterable[str] | None = None) -> Owners:
        """Take the directory's entries, and the e-mail addresses of who works here."""
        entries = tuple(entries)
        people = [one for one in entries if one.person]
        gone = {one.owner.lower() for one in people if one.retired}
        here = {one.owner.lower() for one in people if not one.retired}
        for one in entries:
            if not one.person:
                (gone if one.retired else here).add(one.owner.lower())
        # a person's own entry weighs more than that an agent still names that person
        here -= {one.owner.lower() for one in people if one.retired}
        return cls(
            agents={one.name: one for one in entries if not one.person},
            present=frozenset(here),
            left=frozenset(gone - here),
            roster=None if roster is None else frozenset(one.lower() for one in roster),
        )

    def of_credential(self, credential: Credential) -> Owner:
        """Return who answers for it: its agent's owner, else the owner that its place names."""
        if credential.agent is not None:
            agent = self.agents.get(credential.agent)
            if agent is None:
                return Owner(f"agent {credential.agent}", Standing.UNKNOWN)
            if agent.retired:
                return Owner(f"agent {agent.name}, retired", Standing.LEFT)
            return Owner(agent.owner, self.standing(agent.owner))
        if credential.owner is not None:
            return Owner(credential.owner, self.standing(credential.owner))
        return Owner("", Standing.NONE)

    def standing(self, owner: str) -> Standing:
        """Return where a person stands."""
        owner = owner.lower()
        if self.roster is not None:
            if owner in self.roster:
                return Standing.PRESENT
            known = owner in self.present or owner in self.left
            return Standing.LEFT if known else Standing.UNKNOWN
        if owner in self.present:
            return Standing.PRESENT
        return Standing.LEFT if owner in self.left else Standing.UNKNOWN
