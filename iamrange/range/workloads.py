"""Names of the shared workloads, by which an actor's process is told which one to do."""

from __future__ import annotations

import scenarios.database_workloads
import scenarios.service_workloads
import scenarios.vault_workloads
import scenarios.workloads
from iamrange.core.scenario import Workload

WORKLOADS: dict[str, Workload] = {
    name: value
    for module in (
        scenarios.workloads,
        scenarios.service_workloads,
        scenarios.vault_workloads,
        scenarios.database_workloads,
    )
    for name, value in vars(module).items()
    if isinstance(value, Workload)
}


def name_of(workload: Workload) -> str:
    """Return the name of a shared workload.

    Raises:
        KeyError: it is not one of them.
    """
    for name, known in WORKLOADS.items():
        if known is workload:
            return name
    raise KeyError(workload)
