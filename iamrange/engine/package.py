"""One Pulumi package served by the range: its types, its functions, its configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from iamrange.engine.schema import Problem, config_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grpc import StatusCode

    from iamrange.engine.resource import Function, Properties, ResourceType


class Session(Protocol):
    """What a configured provider instance acts with: credentials, clients, default tags."""

    @property
    def default_tags(self) -> Mapping[str, str]:
        """The tags that the provider adds to every resource that can have some."""


class ConfigurationError(Exception):
    """The provider's configuration cannot be used; the text is for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package: what it serves and how a configuration becomes a session."""

    name: str
    version: str
    types: Mapping[str, ResourceType[Any]]
    functions: Mapping[str, Function[Any]]
    open_session: Callable[[Properties], Session]
    # configuration that is acted on; accepted without effect (it concerns only the official
    # plugin); refused, with the reason
    settings: frozenset[str]
    ignored: frozenset[str]
    refused: Mapping[str, str] = field(default_factory=dict)
    # the status and the words of a cloud's error, or None for an exception that is not one
    describe: Callable[[BaseException], tuple[StatusCode, str] | None]

    def config_problems(self, config: Properties) -> list[Problem]:
        """Return what is wrong with a provider's configuration."""
        schema = config_schema(self.name)
        found = []
        parsed = parse_config(self.name, config)
        for key in sorted(parsed):
            if key in self.settings or key in self.ignored or key not in schema.inputs:
                continue
            default = f"not implemented by the embedded provider; has {sorted(self.settings)}"
            found.append(Problem(key, self.refused.get(key, default)))
        return found + schema.problems(parsed)


def parse_config(package: str, config: Properties) -> dict[str, Any]:
    """Return a configuration with its JSON texts parsed.

    On the wire structures and booleans of a provider's configuration are JSON texts.
    """
    kinds = config_schema(package).inputs
    result = {}
    for key, value in config.items():
        # the engine's own members of a provider's inputs
        if key in ("version", "pluginDownloadURL", "pluginChecksums", "__internal"):
            continue
        parsed = value
        if isinstance(value, str) and kinds.get(key) is not str:
            try:
                parsed = json.loads(value)
            except ValueError:
                parsed = value
        result[key] = parsed
    return result
