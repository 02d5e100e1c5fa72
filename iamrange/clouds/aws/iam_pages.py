"""Pages of IAM's lists, which the store answers whole.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUsers.html (`MaxItems`, `Marker`)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.model import AwsError, AwsResponse
from iamrange.clouds.aws.partial import read_output
from iamrange.clouds.aws.responses import output_response

if TYPE_CHECKING:
    from iamrange.clouds.aws.model import AwsRequest
    from iamrange.clouds.aws.responses import HttpResponse

_DEFAULT = 100
# The lists that the store does not part, by the member that holds the list.
_LISTS = {
    "ListAccessKeys": "AccessKeyMetadata",
    "ListAccountAliases": "AccountAliases",
    "ListGroupPolicies": "PolicyNames",
    "ListGroups": "Groups",
    "ListGroupsForUser": "Groups",
    "ListInstanceProfiles": "InstanceProfiles",
    "ListInstanceProfilesForRole": "InstanceProfiles",
    "ListMFADevices": "MFADevices",
    "ListPolicyVersions": "Versions",
    "ListRolePolicies": "PolicyNames",
    "ListUserPolicies": "PolicyNames",
    "ListUserTags": "Tags",
    "ListUsers": "Users",
}


def paged(request: AwsRequest, response: HttpResponse) -> HttpResponse | AwsError:
    """Return the page that was asked for, of a list that is whole."""
    member = _LISTS.get(request.operation)
    if member is None:
        return response
    start = str(request.parameters.get("Marker") or "0")
    size = int(request.parameters.get("MaxItems") or _DEFAULT)
    output = read_output(request, response)
    listed: list[Any] = output.get(member) or []
    if not start.isdecimal() or int(start) > len(listed):
        return AwsError(code="ValidationError", message="Invalid Marker.", status=400)
    end = int(start) + size
    if start == "0" and end >= len(listed):
        return response
    output |= {member: listed[int(start) : end], "IsTruncated": end < len(listed)}
    output.pop("Marker", None)
    if end < len(listed):
        output["Marker"] = str(end)
    answer = AwsResponse(output=output)
    return output_response(
        request.service, request.operation, request.protocol, answer, request.request_id
    )
