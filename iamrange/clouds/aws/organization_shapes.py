"""How Organizations shows what it knows: output shapes and ARNs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.model import AwsError, AwsResponse

if TYPE_CHECKING:
    from iamrange.clouds.aws.organization_tree import Node, Organization, OrganizationPolicy

Parameters = Mapping[str, Any]
Answer = AwsResponse | AwsError

_PAGE = 1000


def error(code: str, message: str) -> AwsError:
    """Return a refusal in Organizations' manner: a code of its model, HTTP 400."""
    return AwsError(code=code, message=message, status=400)


def arn(organization: Organization, kind: str, identifier: str = "") -> str:
    """Return the ARN of a part of the organisation; the owner is the management account."""
    tail = f"/{identifier}" if identifier else ""
    return f"arn:aws:organizations::{organization.management}:{kind}/{organization.id}{tail}"


def organization_shape(organization: Organization) -> dict[str, Any]:
    """Show the organisation itself."""
    management = organization.nodes[organization.management]
    return {
        "Id": organization.id,
        "Arn": arn(organization, "organization"),
        "FeatureSet": "ALL",
        "MasterAccountArn": arn(organization, "account", organization.management),
        "MasterAccountId": organization.management,
        "MasterAccountEmail": management.email,
        "AvailablePolicyTypes": _policy_types(organization),
    }


def root_shape(organization: Organization) -> dict[str, Any]:
    """Show the root."""
    root = organization.nodes[organization.root_id]
    return {
        "Id": root.id,
        "Arn": arn(organization, "root", root.id),
        "Name": root.name,
        "PolicyTypes": _policy_types(organization),
    }


def unit_shape(organization: Organization, node: Node) -> dict[str, Any]:
    """Show an organisational unit."""
    path = "/".join([organization.id, *(n.id for n in organization.line(node.id))]) + "/"
    return {
        "Id": node.id,
        "Arn": arn(organization, "ou", node.id),
        "Name": node.name,
        "Path": path,
    }


def account_shape(organization: Organization, node: Node) -> dict[str, Any]:
    """Show an account."""
    path = "/".join([organization.id, *(n.id for n in organization.line(node.id))]) + "/"
    return {
        "Id": node.id,
        "Arn": arn(organization, "account", node.id),
        "Email": node.email,
        "Name": node.name,
        "Status": node.status,
        "State": node.status,
        "Paths": [path],
        "JoinedMethod": node.joined_method,
        "JoinedTimestamp": datetime.fromtimestamp(int(node.joined_at), UTC),
    }


def summary_shape(organization: Organization, policy: OrganizationPolicy) -> dict[str, Any]:
    """Show a policy without its content."""
    kind = policy.type.lower()
    own = arn(organization, "policy", f"{kind}/{policy.id}")
    return {
        "Id": policy.id,
        "Arn": f"arn:aws:organizations::aws:policy/{kind}/{policy.id}"
        if policy.aws_managed
        else own,
        "Name": policy.name,
        "Description": policy.description,
        "Type": policy.type,
        "AwsManaged": policy.aws_managed,
    }


def policy_shape(organization: Organization, policy: OrganizationPolicy) -> dict[str, Any]:
    """Show a policy with its content."""
    return {"PolicySummary": summary_shape(organization, policy), "Content": policy.content}


def target_shape(organization: Organization, node: Node) -> dict[str, Any]:
    """Show a node as the target of a policy."""
    kind = {"ROOT": "root", "ORGANIZATIONAL_UNIT": "ou", "ACCOUNT": "account"}[node.kind]
    return {
        "TargetId": node.id,
        "Arn": arn(organization, kind, node.id),
        "Name": node.name,
        "Type": node.kind,
    }


def page(name: str, items: Sequence[Any], parameters: Parameters) -> AwsResponse | AwsError:
    """Answer with one page of a list; the token is the position where the next begins."""
    token = parameters.get("NextToken", "0")
    if not token.isdecimal():
        return error("InvalidInputException", "You specified an invalid value for nextToken.")
    start = int(token)
    end = start + int(parameters.get("MaxResults", _PAGE))
    output: dict[str, Any] = {name: list(items[start:end])}
    return AwsResponse(output=output | ({"NextToken": str(end)} if end < len(items) else {}))


def _policy_types(organization: Organization) -> list[dict[str, str]]:
    return [{"Type": kind, "Status": "ENABLED"} for kind in sorted(organization.enabled)]
