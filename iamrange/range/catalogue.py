"""Finds the scenarios: one module a scenario, its id read from its path."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import scenarios
from iamrange.core.controls import CONTROLS, INVARIANTS, Control, Invariant, UnknownNameError
from iamrange.core.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GUARDS: Mapping[str, Control | Invariant] = {**CONTROLS, **INVARIANTS}


class CatalogueError(Exception):
    """The scenarios as they lie in the tree cannot be used."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A scenario with the id that its path gives it, and the module that holds it."""

    id: str
    module: str
    scenario: Scenario

    @property
    def guards(self) -> tuple[str, ...]:
        """Return the ids of the controls or invariants that are to block this attack."""
        return tuple(guard.id for guard in self.scenario.blocked_by)


@cache
def catalogue() -> Mapping[str, Entry]:
    """Return every scenario by its id, families and names in alphabetical order.

    Raises:
        CatalogueError: there is none, a module below a family holds none, or two claim the same.
    """
    found: dict[str, Entry] = {}
    for family in pkgutil.iter_modules(scenarios.__path__):
        if not family.ispkg:
            continue
        package = importlib.import_module(f"scenarios.{family.name}")
        for info in pkgutil.iter_modules(package.__path__):
            module = f"scenarios.{family.name}.{info.name}"
            scenario = getattr(importlib.import_module(module), "SCENARIO", None)
            if not isinstance(scenario, Scenario):
                raise CatalogueError(f"module '{module}': expected a SCENARIO, found none")
            identifier = f"{family.name}/{info.name}".replace("_", "-")
            found[identifier] = Entry(identifier, module, scenario)
    if not found:
        raise CatalogueError("no scenario found below scenarios/")
    claims = [entry.scenario.claim for entry in found.values()]
    twice = sorted({claim for claim in claims if claims.count(claim) > 1})
    if twice:
        raise CatalogueError(f"claim made by two scenarios: '{twice[0]}'")
    return dict(sorted(found.items()))


def chosen(names: Sequence[str]) -> tuple[Entry, ...]:
    """Return the named scenarios, or all when none is named.

    Raises:
        UnknownNameError: a name is no scenario's; the error names the nearest.
    """
    known = catalogue()
    if not names:
        return tuple(known.values())
    for name in names:
        if name not in known:
            raise UnknownNameError("scenario", name, tuple(known))
    return tuple(known[name] for name in dict.fromkeys(names))


def unproved_controls() -> tuple[str, ...]:
    """Return the controls that no scenario would prove; a repository test holds this to none."""
    cited = {guard for entry in catalogue().values() for guard in entry.guards}
    return tuple(name for name in GUARDS if name not in cited)


@cache
def response_controls() -> frozenset[str]:
    """Return the controls that only a response to something brings into play.

    Without one, switching them changes no resource.
    """
    cited = {True: set[str](), False: set[str]()}
    for entry in catalogue().values():
        cited[entry.scenario.response is not None].update(entry.guards)
    return frozenset(cited[True] - cited[False])
