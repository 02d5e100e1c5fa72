"""CloudTrail in permissions: trails by name or ARN.

- A trail's ARN is of the region where it was made; asked for elsewhere it is another trail here.
- https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudtrail.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from iamrange.clouds.aws.plan import Unmapped
from iamrange.clouds.aws.resources import Resource, split
from iamrange.clouds.aws.services.by_reference import ReferencePlanner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.clouds.aws import reference
    from iamrange.clouds.aws.model import AwsRequest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,127}\Z", re.ASCII)


class CloudTrailPlanner(ReferencePlanner):
    """What each operation of CloudTrail needs."""

    knows_keys = True
    # Needed when a trail is the organisation's, which this store does not keep.
    optional_needs = frozenset({"organizations:ListAWSServiceAccessForOrganization"})

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARN of the trail."""
        parameters = request.parameters
        if parameters.get("IsOrganizationTrail"):
            return Unmapped("trails of an organisation are not decided")
        named = parameters.get("Name") or parameters.get("TrailName")
        if not named or "trail" not in {use.kind for use in about.uses}:
            return super().resources(request, about)
        text = str(named)
        parts = split(text)
        if parts is not None:
            if parts[:2] != ("cloudtrail", request.region) or not parts[3].startswith("trail/"):
                return Unmapped("a trail of another region")
            return (text,)
        if not _NAME.match(text):
            return Unmapped("the trail is not named plainly")
        return (f"arn:aws:cloudtrail:{request.region}:{request.account}:trail/{text}",)

    def find(self, request: AwsRequest, arn: str) -> Resource | None:
        """Return a trail with its tags."""
        parts = split(arn)
        if parts is None or not parts[3].startswith("trail/"):
            return super().find(request, arn)
        _, region, account, _ = parts
        tags = self._resources.resource_tags("cloudtrail", account, region, arn) or {}
        return Resource(arn=arn, account=account, tags=tags)
