"""Operations on the tree: the organisation itself, roots, units and accounts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.aws.model import AwsRequest, AwsResponse
from iamrange.clouds.aws.organization_shapes import (
    Answer,
    account_shape,
    error,
    organization_shape,
    page,
    root_shape,
    unit_shape,
)
from iamrange.clouds.aws.organization_tree import Node, random_id

if TYPE_CHECKING:
    from iamrange.clouds.aws.organization_tree import Organization

UNIT: Final = "ORGANIZATIONAL_UNIT"
ACCOUNT: Final = "ACCOUNT"
_MAX_DEPTH: Final = 5
_FIRST_ACCOUNT: Final = 300_000_000_000

AccountMaker = Callable[[str, str, str], None]
"""Makes an account exist: (account id, name of the role for the management account, management)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOperations:
    """Answers for the tree; each method is one operation of the API."""

    make_account: AccountMaker

    def describe_organization(self, organization: Organization, request: AwsRequest) -> Answer:
        """Show the organisation."""
        del request
        return AwsResponse(output={"Organization": organization_shape(organization)})

    def list_roots(self, organization: Organization, request: AwsRequest) -> Answer:
        """Show the one root."""
        return page("Roots", [root_shape(organization)], request.parameters)

    def create_organizational_unit(self, organization: Organization, request: AwsRequest) -> Answer:
        """Make a unit under the root or another unit."""
        parent, name = request.parameters["ParentId"], request.parameters["Name"]
        if not _is_parent(organization, parent):
            return error("ParentNotFoundException", "You specified parent that doesn't exist.")
        if any(unit.name == name for unit in organization.children(parent, UNIT)):
            return _duplicate_unit()
        if len(organization.line(parent)) > _MAX_DEPTH:
            return error(
                "ConstraintViolationException", "OU_DEPTH_LIMIT_EXCEEDED: units nest five deep."
            )
        node = Node(
            id=random_id(f"ou-{organization.root_id.removeprefix('r-')}-", 8),
            kind=UNIT,
            name=name,
            parent=parent,
            tags=tags_of(request.parameters.get("Tags", [])),
        )
        organization.add_node(node)
        return AwsResponse(output={"OrganizationalUnit": unit_shape(organization, node)})

    def update_organizational_unit(self, organization: Organization, request: AwsRequest) -> Answer:
        """Rename a unit."""
        node = _node(organization, request.parameters["OrganizationalUnitId"], UNIT)
        if node is None or node.parent is None:
            return _no_unit()
        name = request.parameters.get("Name", node.name)
        siblings = organization.children(node.parent, UNIT)
        if any(unit.name == name and unit is not node for unit in siblings):
            return _duplicate_unit()
        node.name = name
        return AwsResponse(output={"OrganizationalUnit": unit_shape(organization, node)})

    def delete_organizational_unit(self, organization: Organization, request: AwsRequest) -> Answer:
        """Remove an empty unit."""
        node = _node(organization, request.parameters["OrganizationalUnitId"], UNIT)
        if node is None:
            return _no_unit()
        if any(other.parent == node.id for other in organization.nodes.values()):
            return error("OrganizationalUnitNotEmptyException", "The specified OU is not empty.")
        del organization.nodes[node.id]
        return AwsResponse()

    def describe_organizational_unit(
        self, organization: Organization, request: AwsRequest
    ) -> Answer:
        """Show a unit."""
        node = _node(organization, request.parameters["OrganizationalUnitId"], UNIT)
        if node is None:
            return _no_unit()
        return AwsResponse(output={"OrganizationalUnit": unit_shape(organization, node)})

    def list_organizational_units_for_parent(
        self, organization: Organization, request: AwsRequest
    ) -> Answer:
        """List the units under a parent."""
        parent = request.parameters["ParentId"]
        if not _is_parent(organization, parent):
            return error("ParentNotFoundException", "You specified parent that doesn't exist.")
        units = [unit_shape(organization, n) for n in organization.children(parent, UNIT)]
        return page("OrganizationalUnits", units, request.parameters)

    def list_accounts(self, organization: Organization, request: AwsRequest) -> Answer:
        """List all accounts."""
        accounts = [account_shape(organization, node) for node in organization.accounts()]
        return page("Accounts", accounts, request.parameters)

    def list_accounts_for_parent(self, organization: Organization, request: AwsRequest) -> Answer:
        """List the accounts directly under a parent."""
        parent = request.parameters["ParentId"]
        if not _is_parent(organization, parent):
            return error("ParentNotFoundException", "You specified parent that doesn't exist.")
        accounts = [account_shape(organization, n) for n in organization.children(parent, ACCOUNT)]
        return page("Accounts", accounts, request.parameters)

    def list_parents(self, organization: Organization, request: AwsRequest) -> Answer:
        """Show the one parent of a unit or account."""
        node = organization.nodes.get(request.parameters["ChildId"])
        if node is None or node.parent is None:
            return error("ChildNotFoundException", "You specified child that doesn't exist.")
        kind = organization.nodes[node.parent].kind
        return page("Parents", [{"Id": node.parent, "Type": kind}], request.parameters)

    def list_children(self, organization: Organization, request: AwsRequest) -> Answer:
        """List the children of one kind."""
        parent, kind = request.parameters["ParentId"], request.parameters["ChildType"]
        if not _is_parent(organization, parent):
            return error("ParentNotFoundException", "You specified parent that doesn't exist.")
        children = [{"Id": n.id, "Type": n.kind} for n in organization.children(parent, kind)]
        return page("Children", children, request.parameters)

    def create_account(self, organization: Organization, request: AwsRequest) -> Answer:
        """Make an account; it is there at once, so the status is final at once."""
        # other organisations make accounts too: numbers are drawn, not counted
        account = str(_FIRST_ACCOUNT + secrets.randbelow(_FIRST_ACCOUNT))
        role = request.parameters.get("RoleName", "OrganizationAccountAccessRole")
        self.make_account(account, role, organization.management)
        node = organization.add_account(
            account,
            name=request.parameters["AccountName"],
            email=request.parameters["Email"],
            now=request.now,
        )
        node.tags = tags_of(request.parameters.get("Tags", []))
        moment = datetime.fromtimestamp(int(request.now), UTC)
        status: dict[str, Any] = {
            "Id": random_id("car-", 32),
            "AccountName": node.name,
            "State": "SUCCEEDED",
            "RequestedTimestamp": moment,
            "CompletedTimestamp": moment,
            "AccountId": account,
        }
        organization.creations[status["Id"]] = status
        return AwsResponse(output={"CreateAccountStatus": status})

    def describe_create_account_status(
        self, organization: Organization, request: AwsRequest
    ) -> Answer:
        """Show how the making of an account went."""
        status = organization.creations.get(request.parameters["CreateAccountRequestId"])
        if status is None:
            return error(
                "CreateAccountStatusNotFoundException",
                "You specified a create account request that doesn't exist.",
            )
        return AwsResponse(output={"CreateAccountStatus": status})

    def describe_account(self, organization: Organization, request: AwsRequest) -> Answer:
        """Show an account."""
        node = _node(organization, request.parameters["AccountId"], ACCOUNT)
        if node is None:
            return _no_account()
        return AwsResponse(output={"Account": account_shape(organization, node)})

    def move_account(self, organization: Organization, request: AwsRequest) -> Answer:
        """Move an account from the parent that it is under to another."""
        node = _node(organization, request.parameters["AccountId"], ACCOUNT)
        source = request.parameters["SourceParentId"]
        destination = request.parameters["DestinationParentId"]
        if node is None:
            return _no_account()
        if source != node.parent:
            return error("SourceParentNotFoundException", "The account is not under that parent.")
        if not _is_parent(organization, destination):
            return error("DestinationParentNotFoundException", "The new parent does not exist.")
        if source == destination:
            return error("DuplicateAccountException", "The account is under that parent already.")
        node.parent = destination
        return AwsResponse()

    def remove_account_from_organization(
        self, organization: Organization, request: AwsRequest
    ) -> Answer:
        """Let an account go, out of reach of the organisation's policies."""
        account = request.parameters["AccountId"]
        if account == organization.management:
            return error(
                "MasterCannotLeaveOrganizationException",
                "You can't remove the management account from an organization.",
            )
        if _node(organization, account, ACCOUNT) is None:
            return _no_account()
        del organization.nodes[account]
        return AwsResponse()

    def close_account(self, organization: Organization, request: AwsRequest) -> Answer:
        """Suspend an account; it stays in the tree."""
        node = _node(organization, request.parameters["AccountId"], ACCOUNT)
        if node is None:
            return _no_account()
        if node.id == organization.management:
            return error("ConstraintViolationException", "CANNOT_CLOSE_MANAGEMENT_ACCOUNT")
        if node.status == "SUSPENDED":
            return error("AccountAlreadyClosedException", "The account is closed already.")
        node.status = "SUSPENDED"
        return AwsResponse()

    def tag_resource(self, organization: Organization, request: AwsRequest) -> Answer:
        """Put tags on a node or a policy."""
        tags = _tags(organization, request.parameters["ResourceId"])
        if tags is None:
            return _no_target()
        tags |= tags_of(request.parameters["Tags"])
        return AwsResponse()

    def untag_resource(self, organization: Organization, request: AwsRequest) -> Answer:
        """Take tags off a node or a policy."""
        tags = _tags(organization, request.parameters["ResourceId"])
        if tags is None:
            return _no_target()
        for key in request.parameters["TagKeys"]:
            tags.pop(key, None)
        return AwsResponse()

    def list_tags_for_resource(self, organization: Organization, request: AwsRequest) -> Answer:
        """List the tags of a node or a policy."""
        tags = _tags(organization, request.parameters["ResourceId"])
        if tags is None:
            return _no_target()
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        return page("Tags", listed, request.parameters)


def tags_of(items: list[dict[str, str]]) -> dict[str, str]:
    """Return a list of tags as a mapping."""
    return {item["Key"]: item["Value"] for item in items}


def _tags(organization: Organization, resource: str) -> dict[str, str] | None:
    node = organization.nodes.get(resource)
    if node is not None:
        return node.tags
    policy = organization.policies.get(resource)
    return policy.tags if policy is not None else None


def _node(organization: Organization, identifier: str, kind: str) -> Node | None:
    node = organization.nodes.get(identifier)
    return node if node is not None and node.kind == kind else None


def _is_parent(organization: Organization, identifier: str) -> bool:
    node = organization.nodes.get(identifier)
    return node is not None and node.kind != ACCOUNT


def _no_account() -> Answer:
    return error("AccountNotFoundException", "You specified an account that doesn't exist.")


def _no_unit() -> Answer:
    return error(
        "OrganizationalUnitNotFoundException",
        "You specified an organizational unit that doesn't exist.",
    )


def _duplicate_unit() -> Answer:
    return error("DuplicateOrganizationalUnitException", "An OU with the same name already exists.")


def _no_target() -> Answer:
    return error("TargetNotFoundException", "You specified a target that doesn't exist.")
