"""The known ways from some permissions to more, as data.

Sources: Rhino Security Labs, "AWS IAM Privilege Escalation - Methods and Mitigation"; AWS IAM user
guide, "Grant a user permissions to pass a role to an AWS service" and "Permissions boundaries".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Target(StrEnum):
    """On what a step is done."""

    SELF = "self"
    """The principal's own role."""
    ROLE = "role"
    """Another role."""
    USER = "user"
    OWN_POLICY = "own-policy"
    """A customer managed policy that is attached to the principal, or is its boundary."""
    REWRITTEN = "rewritten"
    """The other role, once its trust policy names the principal's own session."""
    FEDERATED = "federated"
    """The other role, with a token of the attacker's own issuer, once its trust policy names it."""
    NEW = "new"
    """A thing that is made: on whatever name the policy allows."""


class Gain(StrEnum):
    """Whose powers are had in the end."""

    ANYTHING = "anything"
    """Whatever is written into the principal's own policies: boundary and guardrails remain."""
    UNBOUND = "unbound"
    """The principal's own policies, its boundary taken away."""
    TARGET = "target"
    """The powers of the role or user that the way leads to."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a way: an action, and on what."""

    action: str
    on: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """One way. All of `steps` are needed.

    `service` is who the role must trust, where a service runs with it.
    """

    id: str
    title: str
    steps: tuple[Step, ...]
    gain: Gain
    way_out: str
    service: str | None = None


_OWN_GRANT: Final = "take it away, or hold the role by a permissions boundary"
_ON_PRINCIPALS: Final = "name the one principal that it is for, not the agent's own, no wildcard"
_NARROW: Final = "name the one role that may be passed, and iam:PassedToService"


def _on_principal(action: str, target: Target, gain: Gain, title: str) -> Escalation:
    identifier = action.partition(":")[2] + ("-on-self" if target is Target.SELF else "")
    way_out = _OWN_GRANT if target is Target.SELF else _ON_PRINCIPALS
    return Escalation(
        id=identifier, title=title, steps=(Step(action, target),), gain=gain, way_out=way_out
    )


def _passed(identifier: str, service: str, *actions: str) -> Escalation:
    return Escalation(
        id=f"PassRole+{identifier}",
        title=f"hands a role to {service} and acts through it",
        steps=(Step("iam:PassRole", Target.ROLE), *(Step(a, Target.NEW) for a in actions)),
        gain=Gain.TARGET,
        way_out=_NARROW,
        service=service,
    )


ESCALATIONS: Final = (
    _on_principal(
        "iam:PutRolePolicy", Target.SELF, Gain.ANYTHING, "writes a policy into its own role"
    ),
    _on_principal(
        "iam:AttachRolePolicy", Target.SELF, Gain.ANYTHING, "attaches a policy to its own role"
    ),
    _on_principal(
        "iam:CreatePolicyVersion",
        Target.OWN_POLICY,
        Gain.ANYTHING,
        "writes a new version of a policy that it has",
    ),
    _on_principal(
        "iam:SetDefaultPolicyVersion",
        Target.OWN_POLICY,
        Gain.ANYTHING,
        "brings back another version of a policy that it has",
    ),
    _on_principal(
        "iam:DeleteRolePermissionsBoundary",
        Target.SELF,
        Gain.UNBOUND,
        "takes its own boundary away",
    ),
    _on_principal(
        "iam:PutRolePermissionsBoundary",
        Target.SELF,
        Gain.UNBOUND,
        "gives itself a wider boundary",
    ),
    Escalation(
        id="UpdateAssumeRolePolicy",
        title="writes itself into another role's trust policy",
        steps=(
            Step("iam:UpdateAssumeRolePolicy", Target.ROLE),
            Step("sts:AssumeRole", Target.REWRITTEN),
        ),
        gain=Gain.TARGET,
        way_out=_ON_PRINCIPALS,
    ),
    _on_principal("iam:CreateAccessKey", Target.USER, Gain.TARGET, "mints a key of a user"),
    _on_principal("iam:CreateLoginProfile", Target.USER, Gain.TARGET, "gives a user a password"),
    _on_principal("iam:UpdateLoginProfile", Target.USER, Gain.TARGET, "changes a user's password"),
    _on_principal("sts:AssumeRole", Target.ROLE, Gain.TARGET, "assumes a role that may do more"),
    _passed("lambda", "lambda.amazonaws.com", "lambda:CreateFunction", "lambda:InvokeFunction"),
    _passed("ec2", "ec2.amazonaws.com", "ec2:RunInstances"),
    _passed("ecs", "ecs-tasks.amazonaws.com", "ecs:RegisterTaskDefinition", "ecs:RunTask"),
    _passed("glue", "glue.amazonaws.com", "glue:CreateDevEndpoint"),
    _passed("glue-job", "glue.amazonaws.com", "glue:CreateJob", "glue:StartJobRun"),
    _passed("cloudformation", "cloudformation.amazonaws.com", "cloudformation:CreateStack"),
    _passed("sagemaker", "sagemaker.amazonaws.com", "sagemaker:CreateNotebookInstance"),
    _passed(
        "codebuild", "codebuild.amazonaws.com", "codebuild:CreateProject", "codebuild:StartBuild"
    ),
    _passed("states", "states.amazonaws.com", "states:CreateStateMachine", "states:StartExecution"),
    _passed(
        "datapipeline",
        "datapipeline.amazonaws.com",
        "datapipeline:CreatePipeline",
        "datapipeline:PutPipelineDefinition",
    ),
    Escalation(
        id="own-issuer",
        title="adds an issuer of its own and has a role trust it",
        steps=(
            Step("iam:CreateOpenIDConnectProvider", Target.NEW),
            Step("iam:UpdateAssumeRolePolicy", Target.ROLE),
            Step("sts:AssumeRoleWithWebIdentity", Target.FEDERATED),
        ),
        gain=Gain.TARGET,
        way_out="keep providers and trust policies to the pipeline that deploys them",
    ),
)
"""All of them. A way is a finding when our decider allows each step and it gives something new."""

POWERS: Final = (
    ("secretsmanager:GetSecretValue", "secret"),
    ("secretsmanager:PutSecretValue", "secret"),
    ("kms:Decrypt", "key"),
    ("dynamodb:GetItem", "table"),
    ("dynamodb:DeleteItem", "table"),
    ("s3:GetObject", "bucket"),
    ("s3:DeleteObject", "bucket"),
    ("cloudtrail:StopLogging", "trail"),
    ("lambda:UpdateFunctionCode", "function"),
    ("iam:PutRolePolicy", "role"),
    ("iam:UpdateAssumeRolePolicy", "role"),
    ("iam:CreateAccessKey", "user"),
    ("organizations:LeaveOrganization", "account"),
)
"""What it is worth to escalate to: an action, and the kind of resource. It decides what is gained.
"""
