"""What every fork would load anew, loaded once: imported by the zygote before it forks.

- Unmodified SDKs, warmed through their own interfaces: the models of the services that the
  scenarios call, and the resource classes that the program and the providers use.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from iamrange.engine.aws_types.session import LOADER
from iamrange.engine.program_host import imported_sdks
from scenarios import (
    database_workloads,
    forged_access_token,
    service_workloads,
    vault_workloads,
    workloads,
)

CLIENTS = (service_workloads, vault_workloads, database_workloads, forged_access_token)
"""Modules whose libraries agents and attackers of our services, the vault and the database load."""

SERVICES = (
    "cloudtrail",
    "dynamodb",
    "iam",
    "kms",
    "lambda",
    "organizations",
    "s3",
    "secretsmanager",
    "sts",
)
PARTS = ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2")
SHARED = ("endpoints", "partitions", "sdk-default-configuration", "_retry")
PROGRAM = Path(__file__).resolve().parents[2] / "infra"
"""The program's sources: read, never imported, since each fork runs a program of its own."""


def warm() -> None:
    """Load the resource classes, and the models into the loader that sessions here share.

    Raises:
        AttributeError, LookupError: an SDK lacks something that the range uses.
    """
    # One set of models for actors and providers alike: `endpoints` alone is 9 MiB in memory.
    workloads.LOADER = LOADER
    for name in imported_sdks(PROGRAM):
        package, _, member = name.partition(".")
        found = importlib.import_module(package)
        if member:
            # These modules load when something is first asked of them, their own name excepted.
            hasattr(getattr(found, member), "__all__")
    for name in SHARED:
        LOADER.load_data_with_path(name)
        LOADER.load_data(name)
    for service in SERVICES:
        present = LOADER.list_available_services("service-2")
        if service not in present:
            raise LookupError(f"botocore has no service '{service}'")
        for part in PARTS:
            if service in LOADER.list_available_services(part):
                LOADER.load_service_model(service, part)


warm()
