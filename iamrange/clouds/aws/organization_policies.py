"""Operations on control policies: make, change, attach, and the types of policy themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.clouds.aws.documents import SIZE_LIMITS
from iamrange.clouds.aws.model import AwsError, AwsRequest, AwsResponse
from iamrange.clouds.aws.organization_shapes import (
    Answer,
    error,
    page,
    policy_shape,
    root_shape,
    summary_shape,
    target_shape,
)
from iamrange.clouds.aws.organization_tree import (
    KINDS,
    OrganizationPolicy,
    random_id,
)
from iamrange.clouds.aws.organization_units import tags_of
from iamrange.clouds.aws.policy import CompiledPolicy, MalformedPolicy, compile_policy

if TYPE_CHECKING:
    from iamrange.clouds.aws.organization_tree import Node, Organization

# https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
_ATTACHMENTS: Final = 5


@dataclass(frozen=True, slots=True)
class PolicyOperations:
    """Answers for policies; each method is one operation of the API."""

    def create_policy(self, organization: Organization, request: AwsRequest) -> Answer:
        """Make a policy; it binds nobody until it is attached."""
        asked = request.parameters
        compiled = _compile(asked["Content"], asked["Type"], asked["Name"])
        if isinstance(compiled, AwsError):
            return compiled
        if _named(organization, asked["Type"], asked["Name"]):
            return _duplicate()
        policy = OrganizationPolicy(
            id=random_id("p-", 8),
            type=asked["Type"],
            name=asked["Name"],
            description=asked.get("Description", ""),
            content=asked["Content"],
            aws_managed=False,
            compiled=compiled,
            tags=tags_of(asked.get("Tags", [])),
        )
        organization.policies[policy.id] = policy
        return AwsResponse(output={"Policy": policy_shape(organization, policy)})

    def update_policy(self, organization: Organization, request: AwsRequest) -> Answer:
        """Change a policy's name, description or content."""
        asked = request.parameters
        policy = organization.policies.get(asked["PolicyId"])
        if policy is None:
            return _no_policy()
        if policy.aws_managed:
            return _aws_managed()
        name, content = asked.get("Name", policy.name), asked.get("Content", policy.content)
        if any(p is not policy for p in _named(organization, policy.type, name)):
            return _duplicate()
        compiled = _compile(content, policy.type, name)
        if isinstance(compiled, AwsError):
            return compiled
        policy.name, policy.content, policy.compiled = name, content, compiled
        policy.description = asked.get("Description", policy.description)
        return AwsResponse(output={"Policy": policy_shape(organization, policy)})

    def describe_policy(self, organization: Organization, request: AwsRequest) -> Answer:
        """Show a policy."""
        policy = organization.policies.get(request.parameters["PolicyId"])
        if policy is None:
            return _no_policy()
        return AwsResponse(output={"Policy": policy_shape(organization, policy)})

    def delete_policy(self, organization: Organization, request: AwsRequest) -> Answer:
        """Remove a policy that is attached nowhere."""
        policy = organization.policies.get(request.parameters["PolicyId"])
        if policy is None:
            return _no_policy()
        if policy.aws_managed:
            return _aws_managed()
        if any(policy.id in node.attached for node in organization.nodes.values()):
            return error("PolicyInUseException", "The policy is attached to one or more entities.")
        del organization.policies[policy.id]
        return AwsResponse()

    def list_policies(self, organization: Organization, request: AwsRequest) -> Answer:
        """List the policies of one type."""
        kind = request.parameters["Filter"]
        policies = [p for p in organization.policies.values() if p.type == kind]
        shapes = [summary_shape(organization, policy) for policy in policies]
        return page("Policies", shapes, request.parameters)

    def list_policies_for_target(self, organization: Organization, request: AwsRequest) -> Answer:
        """List the policies of one type that are attached to a target itself."""
        node = organization.nodes.get(request.parameters["TargetId"])
        if node is None:
            return _no_target()
        policies = organization.attached(node, request.parameters["Filter"])
        shapes = [summary_shape(organization, policy) for policy in policies]
        return page("Policies", shapes, request.parameters)

    def list_targets_for_policy(self, organization: Organization, request: AwsRequest) -> Answer:
        """List what a policy is attached to."""
        policy = organization.policies.get(request.parameters["PolicyId"])
        if policy is None:
            return _no_policy()
        nodes = [node for node in organization.nodes.values() if policy.id in node.attached]
        shapes = [target_shape(organization, node) for node in nodes]
        return page("Targets", shapes, request.parameters)

    def attach_policy(self, organization: Organization, request: AwsRequest) -> Answer:
        """Attach a policy to the root, a unit or an account."""
        policy, node = _pair(organization, request)
        if policy is None:
            return _no_policy()
        if node is None:
            return _no_target()
        if policy.type not in organization.enabled:
            return error(
                "PolicyTypeNotEnabledException", "The policy type isn't enabled for this root."
            )
        if policy.id in node.attached:
            return error(
                "DuplicatePolicyAttachmentException",
                "The selected policy is already attached to the specified target.",
            )
        if len(organization.attached(node, policy.type)) >= _ATTACHMENTS:
            return error(
                "ConstraintViolationException",
                "You have attached the maximum number of policies of this type to the target.",
            )
        node.attached.append(policy.id)
        return AwsResponse()

    def detach_policy(self, organization: Organization, request: AwsRequest) -> Answer:
        """Detach a policy; the last service control policy stays, and so does the RCP that allows.

        https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html
        """
        policy, node = _pair(organization, request)
        if policy is None:
            return _no_policy()
        if node is None:
            return _no_target()
        if policy.id not in node.attached:
            return error(
                "PolicyNotAttachedException", "The policy isn't attached to the specified target."
            )
        last = len(organization.attached(node, policy.type)) == 1
        if last or policy.id == "p-RCPFullAWSAccess":
            return error(
                "ConstraintViolationException",
                "You cannot remove the last policy of this type attached to the target.",
            )
        node.attached.remove(policy.id)
        return AwsResponse()

    def enable_policy_type(self, organization: Organization, request: AwsRequest) -> Answer:
        """Switch a policy type on.

        A type that the range itself switched on at setup may be switched on once more: a program
        written for a fresh organisation does so.
        """
        kind = request.parameters["PolicyType"]
        if fault := _type_fault(organization, request):
            return fault
        if kind in organization.enabled_at_setup:
            organization.enabled_at_setup.discard(kind)
        elif kind in organization.enabled:
            return error("PolicyTypeAlreadyEnabledException", "The policy type is already enabled.")
        else:
            organization.enable(kind)
        return AwsResponse(output={"Root": root_shape(organization)})

    def disable_policy_type(self, organization: Organization, request: AwsRequest) -> Answer:
        """Switch a policy type off: its attachments are gone."""
        kind = request.parameters["PolicyType"]
        if fault := _type_fault(organization, request):
            return fault
        if kind not in organization.enabled:
            return error("PolicyTypeNotEnabledException", "The policy type isn't enabled.")
        organization.enabled_at_setup.discard(kind)
        organization.disable(kind)
        return AwsResponse(output={"Root": root_shape(organization)})


def _compile(content: str, kind: str, name: str) -> CompiledPolicy | AwsError:
    if kind not in KINDS:
        return error(
            "PolicyTypeNotAvailableForOrganizationException",
            "iamrange knows service and resource control policies only.",
        )
    if len(content) > SIZE_LIMITS[KINDS[kind].value]:
        return error("ConstraintViolationException", "You have exceeded the policy content limit.")
    try:
        return compile_policy(content, kind=KINDS[kind], name=name)
    except MalformedPolicy as fault:
        message = f"The provided policy document does not meet the requirements: {fault}"
        return error("MalformedPolicyDocumentException", message)


def _named(organization: Organization, kind: str, name: str) -> list[OrganizationPolicy]:
    return [p for p in organization.policies.values() if p.type == kind and p.name == name]


def _pair(
    organization: Organization, request: AwsRequest
) -> tuple[OrganizationPolicy | None, Node | None]:
    policy = organization.policies.get(request.parameters["PolicyId"])
    return policy, organization.nodes.get(request.parameters["TargetId"])


def _type_fault(organization: Organization, request: AwsRequest) -> AwsError | None:
    if request.parameters["RootId"] != organization.root_id:
        return error("RootNotFoundException", "You specified a root that doesn't exist.")
    if request.parameters["PolicyType"] not in KINDS:
        return error(
            "PolicyTypeNotAvailableForOrganizationException",
            "iamrange knows service and resource control policies only.",
        )
    return None


def _no_policy() -> AwsError:
    return error("PolicyNotFoundException", "You specified a policy that doesn't exist.")


def _no_target() -> AwsError:
    return error("TargetNotFoundException", "You specified a target that doesn't exist.")


def _duplicate() -> AwsError:
    return error("DuplicatePolicyException", "A policy with the same name already exists.")


def _aws_managed() -> AwsError:
    return error("AccessDeniedException", "An AWS managed policy cannot be changed.")
