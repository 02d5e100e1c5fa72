"""KMS in permissions.

- A key is authorised by its ARN, whether it was named by id, ARN, alias or alias ARN, or only by
  what it encrypted.
- A key's policy must allow; the default one hands that to the account's IAM policies.
- https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-overview.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.aws.context import Context
from iamrange.clouds.aws.model import AwsRequest, Check
from iamrange.clouds.aws.policy import PolicyKind
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.resources import MotoResources


def encryption_context(values: Mapping[str, str] | None) -> Context:
    """Return the keys that an encryption context makes; none when there is no context."""
    if not values:
        return {}
    context: Context = {f"kms:EncryptionContext:{k}": str(v) for k, v in values.items()}
    context["kms:EncryptionContextKeys"] = tuple(values)
    return context


def key_checks(  # noqa: PLR0913 - one implied use of a key
    resources: MotoResources,
    request: AwsRequest,
    key_id: str,
    actions: tuple[str, ...],
    *,
    via: str | None = None,
    owner: str | None = None,
    encryption_context_values: Mapping[str, str] | None = None,
) -> tuple[Check, ...]:
    """Return the checks for a service's use of a key in the caller's name.

    AWS's own keys (`alias/aws/...`) need no permission of the caller's. A key that is not there
    is checked all the same: nothing allows it, so that the use is refused.
    """
    if key_id.removeprefix("alias/").startswith("aws/") or not actions:
        return ()
    key = resources.key(owner or request.account, request.region, key_id)
    if key is None:
        arn, account, policy, tags = key_id, owner or request.account, None, None
    else:
        arn, account, tags = key.arn, key.account, key.tags
        policy = compiled(key.policy, PolicyKind.RESOURCE, arn) if key.policy else None
    context = encryption_context(encryption_context_values)
    context["kms:CallerAccount"] = request.account
    if via is not None:
        context["kms:ViaService"] = f"{via}.{request.region}.amazonaws.com"
    return tuple(
        Check(
            action=f"kms:{action}",
            resource=arn,
            resource_account=account,
            context=context,
            resource_policy=policy,
            resource_tags=tags,
            via=via,
        )
        for action in actions
    )
