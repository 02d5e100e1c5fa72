"""The Vault package: refused with a reason, until a range has a vault."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

from iamrange.engine.package import ConfigurationError, Package

if TYPE_CHECKING:
    from iamrange.engine.resource import Properties


def vault_package() -> Package:
    """Return a package without types: whatever is asked of it is refused with a reason."""
    return Package(
        name="vault",
        version=version("pulumi-vault"),
        types={},
        functions={},
        open_session=_refuse,
        settings=frozenset(),
        ignored=frozenset(),
        describe=lambda _error: None,
    )


def _refuse(_config: Properties) -> NoReturn:
    raise ConfigurationError("this range has no vault; leave Vault resources out of this stack")
