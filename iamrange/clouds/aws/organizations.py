"""AWS Organizations, on a tree of our own: policies bind from the moment they are attached.

- Only the management account changes or lists the organisation; a member may look at its head.
- The edge has authorised the call by the caller's own policies already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from iamrange.clouds.aws.constraints import violation
from iamrange.clouds.aws.model import AwsRequest, AwsResponse, Caller
from iamrange.clouds.aws.organization_policies import PolicyOperations
from iamrange.clouds.aws.organization_shapes import Answer, error, organization_shape, page
from iamrange.clouds.aws.organization_tree import KINDS, Organization, OrganizationRegistry
from iamrange.clouds.aws.organization_units import AccountMaker, UnitOperations

_OF_MEMBERS: Final = frozenset({"DescribeOrganization", "LeaveOrganization"})
_WORD: Final = re.compile(r"AWS|[A-Z][a-z]*")
_Operation = Callable[[Organization, AwsRequest], Answer]


class OrganizationsHandler:
    """Answers Organizations calls; implements `Handler`."""

    def __init__(self, registry: OrganizationRegistry, make_account: AccountMaker) -> None:
        """Take the organisations, and what makes an account exist."""
        self._registry = registry
        self._rooms = (UnitOperations(make_account=make_account), PolicyOperations())

    async def handle(self, request: AwsRequest, caller: Caller) -> Answer:
        """Answer the call, or refuse it."""
        if fault := violation(request, "InvalidInputException"):
            return fault
        organization = self._registry.of(caller.account)
        if request.operation == "CreateOrganization":
            return self._create(organization, request, caller)
        if organization is None:
            return error(
                "AWSOrganizationsNotInUseException",
                "Your account is not a member of an organization.",
            )
        if caller.account != organization.management and request.operation not in _OF_MEMBERS:
            return error(
                "AccessDeniedException", "You don't have permissions to access this resource."
            )
        operation = self._operation(request.operation)
        if operation is None:
            message = f"iamrange has no operation {request.operation}"
            return error("InvalidInputException", message)
        return operation(organization, request)

    def _operation(self, name: str) -> _Operation | None:
        """Find the operation by the API's own name."""
        own: dict[str, _Operation] = {
            "DeleteOrganization": self._delete,
            "LeaveOrganization": self._leave,
            "EnableAWSServiceAccess": _enable_service,
            "DisableAWSServiceAccess": _disable_service,
            "ListAWSServiceAccessForOrganization": _list_services,
            "ListDelegatedAdministrators": _list_delegated_administrators,
        }
        if name in own:
            return own[name]
        method = "_".join(_WORD.findall(name)).lower()
        return next((getattr(room, method) for room in self._rooms if hasattr(room, method)), None)

    def _create(
        self, organization: Organization | None, request: AwsRequest, caller: Caller
    ) -> Answer:
        if organization is not None:
            return error(
                "AlreadyInOrganizationException",
                "The provided account is already a member of an organization.",
            )
        if request.parameters.get("FeatureSet", "ALL") != "ALL":
            return error("InvalidInputException", "iamrange has organizations with all features.")
        created = Organization.create(caller.account or "", now=request.now)
        self._registry.add(created)
        return AwsResponse(output={"Organization": organization_shape(created)})

    def _delete(self, organization: Organization, request: AwsRequest) -> Answer:
        del request
        if len(organization.nodes) > 2:  # noqa: PLR2004 - the root and the management account
            return error(
                "OrganizationNotEmptyException",
                "To delete an organization you must first remove all member accounts.",
            )
        self._registry.remove(organization)
        return AwsResponse()

    def _leave(self, organization: Organization, request: AwsRequest) -> Answer:
        if request.account == organization.management:
            return error(
                "MasterCannotLeaveOrganizationException",
                "The management account cannot leave its organization.",
            )
        del organization.nodes[request.account]
        return AwsResponse()


def set_up_organization(
    registry: OrganizationRegistry,
    management: str,
    members: Sequence[str],
    *,
    now: float,
    organization_id: str | None = None,
) -> Organization:
    """Make an organisation with members under its root and both kinds of control policy on."""
    organization = Organization.create(management, now=now, organization_id=organization_id)
    for member in members:
        organization.add_account(member, name=f"account-{member}", now=now)
    for kind in KINDS:
        organization.enable(kind)
        organization.enabled_at_setup.add(kind)
    registry.add(organization)
    return organization


def _enable_service(organization: Organization, request: AwsRequest) -> Answer:
    organization.services[request.parameters["ServicePrincipal"]] = request.now
    return AwsResponse()


def _disable_service(organization: Organization, request: AwsRequest) -> Answer:
    organization.services.pop(request.parameters["ServicePrincipal"], None)
    return AwsResponse()


def _list_services(organization: Organization, request: AwsRequest) -> Answer:
    services = [
        {"ServicePrincipal": name, "DateEnabled": datetime.fromtimestamp(int(moment), UTC)}
        for name, moment in organization.services.items()
    ]
    return page("EnabledServicePrincipals", services, request.parameters)


def _list_delegated_administrators(organization: Organization, request: AwsRequest) -> Answer:
    """Answer that there are none: only the management account administers here."""
    del organization
    return page("DelegatedAdministrators", [], request.parameters)
