"""vault:index Mount and Policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.resource import Created, Naming, ProviderError, ResourceType
from iamrange.engine.vault_types.missing import missing_is_fine, none_if_missing

if TYPE_CHECKING:
    from iamrange.engine.resource import Change, Properties
    from iamrange.engine.vault_types.session import VaultSession

_LEASES: Final = {
    "defaultLeaseTtlSeconds": "default_lease_ttl",
    "maxLeaseTtlSeconds": "max_lease_ttl",
}


def trimmed(path: Any) -> str:  # noqa: ANN401 - a string
    """Return a path as it is named: the vault ends its own with a slash."""
    return str(path).strip("/")


def _create_mount(session: VaultSession, inputs: Properties) -> Created:
    path = trimmed(inputs["path"])
    session.call(
        "POST",
        f"sys/mounts/{path}",
        {
            "type": inputs["type"],
            "description": inputs["description"],
            "options": inputs.get("options") or {},
            "config": {wire: inputs[name] for name, wire in _LEASES.items()},
        },
    )
    return Created(path)


@none_if_missing
def _read_mount(session: VaultSession, path: str, _state: Properties) -> Properties:
    live = session.call("GET", f"sys/mounts/{path}")["data"]
    # what the vault says of the lease is its own default where the mount has none
    tuned = live["config"]
    return {
        "path": path,
        "type": live["type"],
        "description": live["description"],
        "options": live.get("options"),
        "accessor": live["accessor"],
        **{name: tuned.get(wire, 0) for name, wire in _LEASES.items()},
    }


def _update_mount(session: VaultSession, change: Change) -> None:
    body: dict[str, Any] = {
        wire: change.new[name] for name, wire in _LEASES.items() if name in change.changed
    }
    if "description" in change.changed:
        body["description"] = change.new["description"]
    if "options" in change.changed:
        body["options"] = change.new.get("options") or {}
    session.call("POST", f"sys/mounts/{change.identifier}/tune", body)


def _delete_mount(session: VaultSession, path: str, _state: Properties) -> None:
    with missing_is_fine():
        session.call("DELETE", f"sys/mounts/{path}")


def _steps_down(old: Properties, new: Properties) -> frozenset[str]:
    """Replace a key-value store that is to lose its versions: none goes back."""
    before, after = ((p.get("options") or {}).get("version", "1") for p in (old, new))
    return frozenset({"options"} if (before, after) == ("2", "1") else ())


MOUNT: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:index/mount:Mount",  # noqa: S106 - a type token
    inputs=frozenset({"path", "type", "description", "options", *_LEASES}),
    computed=frozenset({"accessor"}),
    force_new=frozenset({"path", "type"}),
    also_force_new=_steps_down,
    identity=frozenset({"path", "type"}),
    defaults={"description": "", **dict.fromkeys(_LEASES, 0)},
    canonical={"path": trimmed},
    naming=Naming(input="path"),
    create=_create_mount,
    read=_read_mount,
    update=_update_mount,
    delete=_delete_mount,
)


def _policy_path(name: Any) -> str:  # noqa: ANN401 - a string
    return f"sys/policies/acl/{name}"


def _create_policy(session: VaultSession, inputs: Properties) -> Created:
    name = str(inputs["name"])
    if _read_policy(session, name, {}) is not None:
        # the vault would overwrite it without a word
        raise ProviderError(f"policy {name!r} exists already; import it, or choose another name")
    session.call("PUT", _policy_path(name), {"policy": inputs["policy"]})
    return Created(name)


@none_if_missing
def _read_policy(session: VaultSession, name: str, _state: Properties) -> Properties:
    live = session.call("GET", _policy_path(name))["data"]
    return {"name": live["name"], "policy": live["policy"]}


def _update_policy(session: VaultSession, change: Change) -> None:
    session.call("PUT", _policy_path(change.identifier), {"policy": change.new["policy"]})


def _delete_policy(session: VaultSession, name: str, _state: Properties) -> None:
    with missing_is_fine():
        session.call("DELETE", _policy_path(name))


POLICY: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:index/policy:Policy",  # noqa: S106 - a type token
    inputs=frozenset({"name", "policy"}),
    force_new=frozenset({"name"}),
    identity=frozenset({"name"}),
    naming=Naming(max_length=128, lower=True),
    create=_create_policy,
    read=_read_policy,
    update=_update_policy,
    delete=_delete_policy,
)
TYPES: Final = (MOUNT, POLICY)
