"""What commands take from a range that is left running, by its state."""

# The rooms are imported inside the functions: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iamrange.credentials.vault.access import VaultAccess
    from iamrange.identity.directory.directory import Directory


def opened_directory(state: Mapping[str, Any]) -> Directory:
    """Open the running range's directory."""
    from iamrange.identity.directory.directory import Directory

    return Directory.open(state["directory"]["database"], Path(state["directory"]["home"]))


def vault_access(state: Mapping[str, Any]) -> VaultAccess | None:
    """Return the running range's vault, for its administrator; None where the stack has none."""
    from iamrange.credentials.vault.access import VaultAccess

    facts = state.get("vault")
    if not facts or "iamrange:vault" not in _config(state):
        return None
    return VaultAccess(
        address=facts["endpoint"],
        token=facts["token"],
        direct=True,
        known_as=facts["address"].partition("://")[2],
    )


def own_accounts(state: Mapping[str, Any]) -> list[str]:
    """Return the stack's own AWS accounts: a vendor's is not ours to look at."""
    ours = set(_config(state)["iamrange:accounts"].values())
    return sorted(account for account in state["aws"]["accounts"] if account in ours)


def own_regions(state: Mapping[str, Any]) -> list[str]:
    """Return the stack's region."""
    return [str(_config(state).get("aws:region", "us-east-1"))]


def _config(state: Mapping[str, Any]) -> Mapping[str, Any]:
    from iamrange.engine.workspace import Workspace

    return Workspace(Path(state["state_dir"]), state["project"], state["stack"]).config()


def events_of_the_range(state: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the running range's events, its log verified first.

    Raises:
        LogUntrustedError: the log is not what was written.
        OSError, ValueError: it cannot be read.
    """
    from iamrange.detect.audit_events import verified_events
    from iamrange.detect.audit_head import read_anchor

    anchor = read_anchor(Path(state["audit"]["anchor"]).read_bytes())
    return verified_events(Path(state["audit"]["log"]), anchor)
