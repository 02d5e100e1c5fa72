"""vault:database SecretBackendConnection (PostgreSQL), SecretBackendRole, SecretBackendStaticRole.

- A connection's password is no input here: it would lie in the stack's state. Whoever administers
  the vault writes it there; a later update leaves it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.documents import unordered
from iamrange.engine.resource import Created, ResourceType
from iamrange.engine.vault_types.fields import body_of, delete, live_of, refuse_existing
from iamrange.engine.vault_types.missing import none_if_missing
from iamrange.engine.vault_types.mounts import trimmed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.engine.resource import Change, Properties
    from iamrange.engine.vault_types.session import VaultSession

_PLUGIN: Final = "postgresql-database-plugin"
_POSTGRESQL: Final[Mapping[str, tuple[str, str]]] = {
    "connectionUrl": ("connection_url", ""),
    "username": ("username", ""),
    "passwordAuthentication": ("password_authentication", "password"),
    "usernameTemplate": ("username_template", ""),
}
"""Member of `postgresql` -> (the vault's own name, its default)."""

_ROLE: Final[Mapping[str, tuple[str, Any]]] = {
    "dbName": ("db_name", ""),
    "creationStatements": ("creation_statements", []),
    "revocationStatements": ("revocation_statements", []),
    "renewStatements": ("renew_statements", []),
    "rollbackStatements": ("rollback_statements", []),
    "defaultTtl": ("default_ttl", 0),
    "maxTtl": ("max_ttl", 0),
}
_STATIC_ROLE: Final[Mapping[str, tuple[str, Any]]] = {
    "dbName": ("db_name", ""),
    "username": ("username", ""),
    "rotationPeriod": ("rotation_period", 0),
    "rotationStatements": ("rotation_statements", []),
}
"""Input -> (the vault's own name, its default). Each write names them all."""


def _connection_body(inputs: Properties) -> dict[str, Any]:
    return {
        "plugin_name": inputs["pluginName"],
        "allowed_roles": inputs.get("allowedRoles") or [],
        "root_rotation_statements": inputs.get("rootRotationStatements") or [],
        "verify_connection": inputs["verifyConnection"],
        **body_of(_POSTGRESQL, inputs["postgresql"]),
    }


def _create_connection(session: VaultSession, inputs: Properties) -> Created:
    identifier = f"{trimmed(inputs['backend'])}/config/{inputs['name']}"
    refuse_existing(session, identifier)
    session.call("POST", identifier, _connection_body(inputs))
    return Created(identifier)


@none_if_missing
def _read_connection(session: VaultSession, identifier: str, state: Properties) -> Properties:
    live = session.call("GET", identifier)["data"]
    backend, _, name = identifier.rpartition("/config/")
    return {
        "backend": backend,
        "name": name,
        "pluginName": live["plugin_name"],
        "allowedRoles": live.get("allowed_roles") or [],
        "rootRotationStatements": live.get("root_credentials_rotate_statements") or [],
        "postgresql": live_of(_POSTGRESQL, live["connection_details"]),
        # only how it is written: the vault keeps nothing of it
        "verifyConnection": state.get("verifyConnection", True),
    }


def _update_connection(session: VaultSession, change: Change) -> None:
    session.call("POST", change.identifier, _connection_body(change.new))


def _connection_problems(inputs: Properties) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    postgresql = inputs.get("postgresql")
    if isinstance(postgresql, dict):
        for member in sorted(set(postgresql) - set(_POSTGRESQL)):
            advice = (
                "it would lie in the state: write it into the vault yourself, then rotate it"
                if "password" in member.lower()
                else f"implemented are {', '.join(_POSTGRESQL)}"
            )
            found.append((f"postgresql.{member}", advice))
    else:
        found.append(("postgresql", "expected one: no other database is implemented"))
    if inputs.get("pluginName") not in (None, _PLUGIN):
        found.append(("pluginName", f"expected {_PLUGIN}"))
    return found


def _with_defaults(postgresql: Any) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(postgresql, dict):
        return postgresql
    return {**{name: default for name, (_, default) in _POSTGRESQL.items()}, **postgresql}


CONNECTION: Final[ResourceType[VaultSession]] = ResourceType(
    token="vault:database/secretBackendConnection:SecretBackendConnection",  # noqa: S106 - a type token
    inputs=frozenset(
        {
            "backend",
            "name",
            "pluginName",
            "allowedRoles",
            "rootRotationStatements",
            "postgresql",
            "verifyConnection",
        }
    ),
    force_new=frozenset({"backend", "name", "pluginName"}),
    identity=frozenset({"backend", "name", "pluginName"}),
    settings=frozenset({"verifyConnection"}),
    defaults={
        "pluginName": _PLUGIN,
        "allowedRoles": [],
        "rootRotationStatements": [],
        "verifyConnection": True,
    },
    canonical={"backend": trimmed, "allowedRoles": unordered, "postgresql": _with_defaults},
    singleton=True,
    problems=_connection_problems,
    create=_create_connection,
    read=_read_connection,
    update=_update_connection,
    delete=delete,
)


def _kind_of_role(
    token: str, folder: str, table: Mapping[str, tuple[str, Any]], fixed: frozenset[str]
) -> ResourceType[VaultSession]:
    """Return a type of role, by where its roles lie and what they consist of."""

    def create(session: VaultSession, inputs: Properties) -> Created:
        identifier = f"{trimmed(inputs['backend'])}/{folder}/{inputs['name']}"
        refuse_existing(session, identifier)
        session.call("POST", identifier, body_of(table, inputs))
        return Created(identifier)

    @none_if_missing
    def read(session: VaultSession, identifier: str, _state: Properties) -> Properties:
        live = session.call("GET", identifier)["data"]
        backend, _, name = identifier.rpartition(f"/{folder}/")
        return {"backend": backend, "name": name, **live_of(table, live)}

    def update(session: VaultSession, change: Change) -> None:
        session.call("POST", change.identifier, body_of(table, change.new))

    canonical: dict[str, Callable[[Any], Any]] = {"backend": trimmed}
    return ResourceType(
        token=token,
        inputs=frozenset({"backend", "name", *table}),
        force_new=frozenset({"backend", "name", *fixed}),
        identity=frozenset({"backend", "name", *fixed}),
        defaults={name: default for name, (_, default) in table.items()},
        canonical=canonical,
        singleton=True,
        create=create,
        read=read,
        update=update,
        delete=delete,
    )


ROLE: Final = _kind_of_role(
    "vault:database/secretBackendRole:SecretBackendRole", "roles", _ROLE, frozenset()
)
STATIC_ROLE: Final = _kind_of_role(
    "vault:database/secretBackendStaticRole:SecretBackendStaticRole",
    "static-roles",
    _STATIC_ROLE,
    frozenset({"dbName", "username"}),
)
TYPES: Final = (CONNECTION, ROLE, STATIC_ROLE)
