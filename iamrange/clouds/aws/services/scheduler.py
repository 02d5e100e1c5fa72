"""EventBridge Scheduler in permissions: a schedule, the role it acts in, and what it will do.

- https://docs.aws.amazon.com/scheduler/latest/UserGuide/security_iam_service-with-iam.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.services.by_reference import ReferencePlanner
from iamrange.clouds.aws.services.deliveries import Delivery, delivery_check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.clouds.aws import reference
    from iamrange.clouds.aws.model import AwsRequest, Caller


class SchedulerPlanner(ReferencePlanner):
    """What each operation of the scheduler needs."""

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        plan = super().__call__(request, caller)
        target = request.parameters.get("Target")
        if isinstance(plan, Unmapped) or not target:
            return plan
        arranged = Delivery(
            service="scheduler.amazonaws.com",
            source=plan.checks[0].resource,
            target=str(target.get("Arn")),
            role=str(target.get("RoleArn")),
        )
        found = delivery_check(request, self._store, self._resources, arranged)
        return found if isinstance(found, Unmapped) else replace(plan, checks=(*plan.checks, found))

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARN of the schedule, in the group `default` if none is named."""
        if "GroupName" in request.parameters or "schedule" not in {u.kind for u in about.uses}:
            return super().resources(request, about)
        parameters = {**request.parameters, "GroupName": "default"}
        return super().resources(replace(request, parameters=parameters), about)
