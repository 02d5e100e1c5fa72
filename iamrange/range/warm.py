"""What every fork would load anew, loaded once: imported by the zygote before it forks.

- Unmodified SDKs, warmed through their own interfaces: the models of the services that the
  scenarios call, and the resource classes that the program and the providers use.
"""

from __future__ import annotations

import importlib

from iamrange.engine.aws_types.session import LOADER
from scenarios import workloads

SERVICES = ("dynamodb", "iam", "secretsmanager", "sts")
PARTS = ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2")
SHARED = ("endpoints", "partitions", "sdk-default-configuration", "_retry")
RESOURCES = (
    ("pulumi_aws", "dynamodb", "Table"),
    ("pulumi_aws", "iam", "Role"),
    ("pulumi_aws", "organizations", "Policy"),
    ("pulumi_aws", "secretsmanager", "Secret"),
    ("pulumi_gcp", "iam", "WorkloadIdentityPool"),
    ("pulumi_gcp", "orgpolicy", "Policy"),
    ("pulumi_gcp", "projects", "IAMMember"),
    ("pulumi_gcp", "secretmanager", "Secret"),
    ("pulumi_gcp", "serviceaccount", "Account"),
)
"""Package, module, and a class of it: these modules load when a class is first asked for."""


def warm() -> None:
    """Load the resource classes, and the models into the loader that sessions here share.

    Raises:
        AttributeError, LookupError: an SDK lacks something that the range uses.
    """
    # One set of models for actors and providers alike: `endpoints` alone is 9 MiB in memory.
    workloads.LOADER = LOADER
    for package, module, resource in RESOURCES:
        getattr(getattr(importlib.import_module(package), module), resource)
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
