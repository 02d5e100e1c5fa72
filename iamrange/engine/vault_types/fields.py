"""What resource types of the vault share: tables of fields, and how what has a path is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.engine.resource import ProviderError
from iamrange.engine.vault_types.missing import missing_is_fine, none_if_missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.engine.resource import Properties
    from iamrange.engine.vault_types.session import VaultSession

    Table = Mapping[str, tuple[str, Any]]
    """Input -> the vault's own name, and its default."""


def defaults_of(table: Table) -> dict[str, Any]:
    """Return the inputs' defaults."""
    return {name: default for name, (_, default) in table.items()}


def body_of(table: Table, inputs: Properties) -> dict[str, Any]:
    """Return all of the table's fields as the vault takes them."""
    return {
        wire: default if inputs.get(name) is None else inputs[name]
        for name, (wire, default) in table.items()
    }


def live_of(table: Table, data: Properties) -> dict[str, Any]:
    """Return all of the table's fields as inputs, from what the vault tells."""
    return {
        name: default if data.get(wire) is None else data[wire]
        for name, (wire, default) in table.items()
    }


def refuse_existing(session: VaultSession, path: str) -> None:
    """Refuse to overwrite what is there: the vault would, without a word.

    Raises:
        ProviderError: it is there.
    """
    if _read(session, path, {}) is not None:
        raise ProviderError(f"{path!r} exists already; import it, or choose another name")


@none_if_missing
def _read(session: VaultSession, path: str, _state: Properties) -> Properties:
    return session.call("GET", path)


def delete(session: VaultSession, path: str, _state: Properties) -> None:
    """Delete what has this path; that it is gone already is fine."""
    with missing_is_fine():
        session.call("DELETE", path)
