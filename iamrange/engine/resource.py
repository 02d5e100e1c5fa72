"""The description of one resource type: its properties as data, its life as five functions.

- `read` is the truth: after each change the state holds what `read` found in the cloud, never an
  echo of the inputs, so that a change made by hand shows in the next refresh.
- `read` answers for every implemented input that is not a setting, with None for "not there".
- Every implemented input is of exactly one sort: it drifts (the usual), it is part of the
  resource's identity (by hand it cannot change, only vanish), or it is a setting that the
  provider acts on and no cloud stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from iamrange.engine.properties import has_unknown

S = TypeVar("S")
Properties = Mapping[str, Any]
Canonical = Callable[[Any], Any]


class ProviderError(Exception):
    """A refusal by the provider itself; its text is for the user."""


class PartlyCreatedError(Exception):
    """The resource exists, but what makes it whole failed: the cause says why."""

    def __init__(self, identifier: str, cause: Exception, keep: Properties | None = None) -> None:
        """Note what was made, and what only its creation can tell."""
        super().__init__(f"{identifier} was only partly created")
        self.identifier = identifier
        self.cause = cause
        self.keep = keep or {}


@contextmanager
def completing(identifier: str, keep: Properties | None = None) -> Iterator[None]:
    """Run the steps after the resource exists: a failure leaves it in the state, unfinished."""
    try:
        yield
    except Exception as error:
        raise PartlyCreatedError(identifier, error, keep) from error


@dataclass(frozen=True, slots=True)
class Created:
    """A resource just made: its id, and the properties that no later read can tell."""

    identifier: str
    keep: Properties = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """An update: the state before, the inputs wanted (defaults filled in), and what differs."""

    identifier: str
    old: Properties = field(repr=False)
    new: Properties = field(repr=False)
    changed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Naming:
    """How a resource without a name is named: after its Pulumi name, with a random suffix."""

    input: str = "name"
    # the input that gives the beginning of a generated name, where a type has one
    prefix: str | None = None
    form: str = "{}"
    max_length: int = 64
    separator: str = "-"
    lower: bool = False


@dataclass(frozen=True, slots=True)
class Tagging:
    """The inputs' own tags, and the outputs that also hold the provider's default ones."""

    own: str = "tags"
    all: str = "tagsAll"
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType(Generic[S]):
    """One resource type that a provider implements."""

    token: str
    inputs: frozenset[str]
    create: Callable[[S, Properties], Created]
    read: Callable[[S, str, Properties], Properties | None]
    delete: Callable[[S, str, Properties], None]
    update: Callable[[S, Change], None] | None = None
    # outputs that only the cloud knows, and those of them that an update may change
    computed: frozenset[str] = frozenset()
    volatile: frozenset[str] = frozenset()
    # outputs told once, at creation
    kept: frozenset[str] = frozenset()
    force_new: frozenset[str] = frozenset()
    # what else forces a replacement, seen from both sets of inputs
    also_force_new: Callable[[Properties, Properties], frozenset[str]] | None = None
    identity: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    # inputs that own all of something when set, and leave it alone when not
    exclusive: frozenset[str] = frozenset()
    # inputs that the cloud fills in when the program does not: then outputs only
    filled_in: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    defaults: Properties = field(default_factory=dict)
    canonical: Mapping[str, Canonical] = field(default_factory=dict)
    naming: Naming | None = None
    tagging: Tagging | None = None
    # a type without a name of its own: the old one has to go before the new one comes
    singleton: bool = False
    problems: Callable[[Properties], list[tuple[str, str]]] | None = None

    @property
    def drifting(self) -> frozenset[str]:
        """The inputs whose value can be changed in the cloud behind Pulumi's back."""
        return self.inputs - self.identity - self.settings

    def value(self, properties: Properties, key: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return a property in canonical form, its default when it is not set."""
        value = properties.get(key)
        if value is None or value in ([], {}):
            value = self.defaults.get(key)
        if value is None or value in ([], {}):
            return None
        form = self.canonical.get(key)
        # what holds an unknown has no canonical form yet, and differs from all that is known
        return form(value) if form and not has_unknown(value) else value

    def filled(self, inputs: Properties) -> dict[str, Any]:
        """Return the inputs with the defaults of those not set."""
        return {**self.defaults, **inputs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(Generic[S]):
    """One function (invoke) that a provider implements; arguments and results by wire names."""

    token: str
    inputs: frozenset[str]
    call: Callable[[S, Properties], Properties]
    required: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
