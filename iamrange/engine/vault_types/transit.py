"""vault:transit SecretBackendKey: a key that works in the vault and never leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.resource import Created, ProviderError, ResourceType, completing
from iamrange.engine.vault_types.fields import body_of, defaults_of, live_of, refuse_existing
from iamrange.engine.vault_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.vault_types.mounts import trimmed

if TYPE_CHECKING:
    from iamrange.engine.resource import Change, Properties
    from iamrange.engine.vault_types.session import VaultSession

_CONFIG: Final[dict[str, tuple[str, Any]]] = {
    "allowPlaintextBackup": ("allow_plaintext_backup", False),
    "autoRotatePeriod": ("auto_rotate_period", 0),
    "deletionAllowed": ("deletion_allowed", False),
    "exportable": ("exportable", False),
    "minDecryptionVersion": ("min_decryption_version", 1),
    "minEncryptionVersion": ("min_encryption_version", 0),
}
"""A key's configuration: input -> (the vault's own name, its default)."""

_ONE_WAY: Final = frozenset({"allowPlaintextBackup", "exportable"})
"""What a key once may, it may for good."""


def _configure(session: VaultSession, path: str, inputs: Properties) -> None:
    session.call("POST", f"{path}/config", body_of(_CONFIG, inputs))


def _create(session: VaultSession, inputs: Properties) -> Created:
    path = f"{trimmed(inputs['backend'])}/keys/{inputs['name']}"
    refuse_existing(session, path)
    session.call("POST", path, {"type": inputs["type"]})
    with completing(path):
        _configure(session, path, inputs)
    return Created(path)


@none_if_missing
def _read(session: VaultSession, path: str, _state: Properties) -> Properties:
    live = session.call("GET", path)["data"]
    backend, _, name = path.partition("/keys/")
    return {
        "backend": backend,
        "name": name,
        "type": live["type"],
        **live_of(_CONFIG, live),
        "latestVersion": live["latest_version"],
    }


def _update(session: VaultSession, change: Change) -> None:
    _configure(session, change.identifier, change.new)


def _delete(session: VaultSession, path: str, state: Properties) -> None:
    with missing_is_fine():
        if not state.get("deletionAllowed"):
            raise ProviderError(
                f"key {path!r} may not be deleted: what it has encrypted would be lost; set "
                "deletionAllowed first, or let its mount go"
            )
        session.call("DELETE", path)


def _no_way_back(old: Properties, new: Properties) -> frozenset[str]:
    """Replace a key that is to lose a power which it keeps for good."""
    return frozenset(name for name in _ONE_WAY if old.get(name) is True and not new.get(name))


KEY: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:transit/secretBackendKey:SecretBackendKey",  # noqa: S106 - a type token
    inputs=frozenset({"backend", "name", "type", *_CONFIG}),
    computed=frozenset({"latestVersion"}),
    volatile=frozenset({"latestVersion"}),
    force_new=frozenset({"backend", "name", "type"}),
    also_force_new=_no_way_back,
    identity=frozenset({"backend", "name", "type"}),
    defaults={"type": "aes256-gcm96", **defaults_of(_CONFIG)},
    canonical={"backend": trimmed},
    singleton=True,
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
)
TYPES: Final = (KEY,)
