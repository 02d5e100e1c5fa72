"""The vault's database types on a real OpenBao and PostgreSQL: all is written, drift shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi_vault as vault
import pytest

from iamrange.credentials.database.binary import find_postgres
from iamrange.credentials.database.errors import DatabaseMissingError
from iamrange.engine.vault_types.database import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

# clients and their answers are whatever the vault makes of them
Answer = Any
Live = Any

URL = "postgresql://{{username}}:{{password}}@/records"
CREATION = ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'"]
POSTGRESQL: Answer = {
    "connection_url": URL,
    "username": "vault",
    "password_authentication": "scram-sha-256",
    "username_template": "made-{{random 16}}",
}
CONNECTION = "database/config/records"
ROLE = "database/roles/worker"
KEPT = "database/static-roles/kept"

WRITTEN_ROLE: dict[str, tuple[str, Answer, Answer]] = {
    "dbName": ("db_name", "records", "other"),
    "creationStatements": ("creation_statements", CREATION, ["SELECT 1"]),
    "revocationStatements": ("revocation_statements", ['DROP ROLE "{{name}}"'], ["SELECT 1"]),
    "renewStatements": ("renew_statements", ["SELECT 2"], ["SELECT 1"]),
    "rollbackStatements": ("rollback_statements", ["SELECT 3"], ["SELECT 1"]),
    "defaultTtl": ("default_ttl", 60, 6000),
    "maxTtl": ("max_ttl", 120, 12000),
}
WRITTEN_KEPT: dict[str, tuple[str, Answer, Answer]] = {
    "rotationPeriod": ("rotation_period", 3600, 7200),
    "rotationStatements": (
        "rotation_statements",
        ["ALTER ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'"],
        ["ALTER ROLE \"{{name}}\" PASSWORD '{{password}}'"],
    ),
}
"""Input -> the vault's own name, what is written, what somebody makes of it by hand."""


@pytest.fixture(autouse=True)
def _database() -> None:
    try:
        find_postgres()
    except DatabaseMissingError as error:
        pytest.skip(str(error))


def program() -> None:
    mount = vault.Mount("mount", path="database", type="database")
    connection = vault.database.SecretBackendConnection(
        "connection",
        backend=mount.path,
        name="records",
        allowed_roles=["worker", "kept"],
        root_rotation_statements=["SELECT 1"],
        verify_connection=False,
        postgresql=POSTGRESQL,
    )
    vault.database.SecretBackendRole(
        "role",
        backend=mount.path,
        name="worker",
        db_name=connection.name,
        creation_statements=CREATION,
        revocation_statements=['DROP ROLE "{{name}}"'],
        renew_statements=["SELECT 2"],
        rollback_statements=["SELECT 3"],
        default_ttl=60,
        max_ttl=120,
    )
    vault.database.SecretBackendStaticRole(
        "kept",
        backend=mount.path,
        name="kept",
        db_name=connection.name,
        # what the lab's database holds
        username="agent-one",
        rotation_period=3600,
        rotation_statements=["ALTER ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'"],
    )


def _data(path: str, name: str) -> Callable[[Live], Answer]:
    return lambda live: live.client("GET", path)["data"][name]


def _post(path: str, **body: Answer) -> Callable[[Live], Answer]:
    return lambda live: live.client("POST", path, body)


def drifts(make: Callable[..., Answer]) -> list[Answer]:
    connection = {"plugin_name": "postgresql-database-plugin", "verify_connection": False}
    spoilt = {name: spoil for name, _, spoil in WRITTEN_ROLE.values()}
    kept = {name: spoil for name, _, spoil in WRITTEN_KEPT.values()}
    return [
        make(
            "connection",
            "allowedRoles",
            ["worker", "kept"],
            _data(CONNECTION, "allowed_roles"),
            _post(CONNECTION, **connection, allowed_roles=["worker", "kept", "everybody"]),
        ),
        make(
            "connection",
            "rootRotationStatements",
            ["SELECT 1"],
            _data(CONNECTION, "root_credentials_rotate_statements"),
            _post(CONNECTION, **connection, root_rotation_statements=["SELECT 2"]),
        ),
        make(
            "connection",
            "postgresql",
            POSTGRESQL,
            lambda live: {
                name: value
                for name, value in _data(CONNECTION, "connection_details")(live).items()
                if name in POSTGRESQL
            },
            _post(CONNECTION, **connection, username_template="by-hand-{{random 16}}"),
        ),
        *(
            make("role", name, written, _data(ROLE, wire), _post(ROLE, **spoilt))
            for name, (wire, written, _) in WRITTEN_ROLE.items()
        ),
        *(
            make(
                "kept",
                name,
                written,
                _data(KEPT, wire),
                _post(KEPT, db_name="records", username="agent-one", **kept),
            )
            for name, (wire, written, _) in WRITTEN_KEPT.items()
        ),
    ]


def test_every_input_drift_of_a_database_shows_in_refresh_and_is_put_right(
    engine: Callable[..., Answer],
    vault_cloud: Answer,
    drift: Callable[..., Answer],
    prove_drift: Callable[..., None],
) -> None:
    prove_drift(engine(program), drifts(drift), TYPES, vault_cloud.call)


def test_database_resources_can_be_imported_and_their_loss_shows(
    prove_import_and_loss: Callable[..., None],
) -> None:
    prove_import_and_loss(program, set())


# the SDK drops its own coroutines when a program fails
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "hunter2"}, "it would lie in the state"),
        ({"max_open_connections": 7}, "implemented are connectionUrl"),
    ],
)
def test_connection_refuses_a_password_and_what_is_not_implemented(
    engine: Callable[..., Answer], change: dict[str, Answer], words: str
) -> None:
    changed: Answer = {**POSTGRESQL, **change}

    def declare() -> None:
        mount = vault.Mount("mount", path="database", type="database")
        vault.database.SecretBackendConnection(
            "connection",
            backend=mount.path,
            name="records",
            verify_connection=False,
            postgresql=changed,
        )

    stack = engine(declare)
    with pytest.raises(Exception, match=words) as refused:
        stack.up()
    assert "hunter2" not in str(refused.value)
