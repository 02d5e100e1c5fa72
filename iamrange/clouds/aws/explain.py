"""A refusal in AWS's own words, and in ours: which policy, which statement, which condition.

- The message ends as AWS's AccessDenied messages end, with the ARN of a denying policy where AWS
  gives it: to callers of the same account or organisation.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
  https://aws.amazon.com/blogs/security/enhanced-access-denied-error-messages-with-policy-arns
- What only the audit record says otherwise is added when the cloud is asked to explain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.core.decision import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iamrange.clouds.aws.model import Check
    from iamrange.core.decision import LayerAnswer, Statement

_NAMES = {
    "scp": "service control policy",
    "rcp": "resource control policy",
    "identity": "identity-based policy",
    "permissions-boundary": "permissions boundary",
    "session-policy": "session policy",
    "resource": "resource-based policy",
}
_NAMED_BY_ARN = frozenset({"scp", "rcp", "identity", "permissions-boundary", "session-policy"})
"""The layers whose denying policy AWS names by its ARN (the blog's list)."""


def refusal_phrase(reason: str, action: str) -> str:
    """Return how a message about a refusal goes on after the resource; "" if AWS says no more.

    `reason` is what `combine` gave. IAM user guide, "Troubleshoot access denied error messages":
    `with an explicit deny in a ...`, `because no ... allows the ... action`. Of trust policies AWS
    says nothing.
    """
    layer, denies, _ = reason.rpartition("-denies")
    if denies and layer in _NAMES:
        name = _NAMES[layer]
        return f"with an explicit deny in {'an' if name[0] == 'i' else 'a'} {name}"
    layer, silent, _ = reason.rpartition("-does-not-allow")
    if silent and layer in _NAMES:
        return f"because no {_NAMES[layer]} allows the {action} action"
    return ""


def refusal_message(
    principal: str, check: Check, reason: str, layers: Iterable[LayerAnswer], *, related: bool
) -> str:
    """Write the refusal as the service that is asked would.

    `related`: principal and resource are of one account or organisation. S3 says nothing to others
    (S3 user guide, "Troubleshoot access denied (403 Forbidden) errors").
    """
    service = check.action.partition(":")[0]
    if service == "s3" and not related:
        return "Access Denied"
    action, shown = _shown_action(service, check.action), check.resource
    if service == "s3":
        shown = f'"{shown}"'
    message = f"User: {principal} is not authorized to perform: {action} on resource: {shown}"
    message = f"{message} {refusal_phrase(reason, action)}".rstrip()
    if related:
        message += _denying_arn(reason, layers)
    if service == "ec2":
        return f"You are not authorized to perform this operation. {message}"
    return message


def explanation(layers: Iterable[LayerAnswer]) -> str:
    """Say which policy, statement and condition refuse, or that nothing allows."""
    told = [_told(answer) for answer in layers if answer.refuses]
    return "; ".join(told) if told else "nothing allows"


def _told(answer: LayerAnswer) -> str:
    if answer.effect is Effect.DENY:
        what = "denies" if answer.decided_by is None else f"denies by {_named(answer.decided_by)}"
    elif answer.near_misses:
        nearest = ", ".join(f"{_named(miss)}" for miss in answer.near_misses)
        what = f"allows nothing here; failed on a condition alone: {nearest}"
    else:
        what = "has no statement that allows"
    detail = f" ({answer.detail})" if answer.detail else ""
    return f"{answer.layer} {what}{detail}"


def _named(statement: Statement) -> str:
    keys = f" on {', '.join(statement.condition_keys)}" if statement.condition_keys else ""
    return f"statement {statement.statement} of {statement.policy}{keys}"


def _shown_action(service: str, action: str) -> str:
    # As these two services write the action in their messages.
    if service == "sqs":
        return action.lower()
    return f"SNS:{action.partition(':')[2]}" if service == "sns" else action


def _denying_arn(reason: str, layers: Iterable[LayerAnswer]) -> str:
    layer, denies, _ = reason.rpartition("-denies")
    if not denies or layer not in _NAMED_BY_ARN:
        return ""
    decided = (a.decided_by for a in layers if a.layer == layer and a.effect is Effect.DENY)
    policy = next((by.policy for by in decided if by is not None), "")
    return f": {policy}" if policy.startswith("arn:") else ""
