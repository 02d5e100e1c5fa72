"""What every actor would load anew, loaded once: imported by the zygote before it forks.

- Unmodified SDKs, warmed through their own interfaces: the models of the services that the
  scenarios call, and the REST client's classes.
"""

from __future__ import annotations

from scenarios.workloads import LOADER

SERVICES = ("dynamodb", "iam", "secretsmanager", "sts")
PARTS = ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2")
SHARED = ("endpoints", "partitions", "sdk-default-configuration", "_retry")


def warm() -> None:
    """Load the models into the one loader that sessions of this process share."""
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
