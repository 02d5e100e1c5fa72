"""Who asks, for what: the values that the AWS decision engine judges.

- Plain values, no I/O; made by the edge and by STS from authenticated requests.
- A context key that the real cloud would not put into the request is absent, never empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PrincipalKind = Literal[
    "user",
    "role",
    "assumed-role",
    "root",
    "federated",
    "web-identity",
    "service",
    "anonymous",
]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes the request.

    `arn` is the principal's own ARN: the user, the assumed-role *session*, the account's root, the
    federated-user session; a service's name (`lambda.amazonaws.com`) for a service; for a web
    identity and for an anonymous caller it may be anything that reads well in a record.
    `role_arn` is the role behind an assumed-role session. `federated` is the provider's ARN (or
    host, for the built-in providers) behind a web identity. `user_arn` is the IAM user who called
    GetFederationToken, `canonical_user` the account's S3 canonical user id; both optional.
    """

    kind: PrincipalKind
    arn: str
    role_arn: str | None = None
    account: str | None = None
    federated: str | None = None
    user_arn: str | None = None
    canonical_user: str | None = None

    @property
    def service_linked(self) -> bool:
        """Tell whether this is a service-linked role, which no organisation policy binds."""
        role = self.role_arn or (self.arn if self.kind == "role" else None)
        return role is not None and ":role/aws-service-role/" in role


@dataclass(frozen=True, slots=True)
class Request:
    """One action on one resource.

    `resource` is an ARN, or `*` for actions that know no resource type (then only statements whose
    Resource is `*` match). `resource_account` is the account that owns the resource; None means
    the principal's own. `context` maps condition keys, in any case, to a string or to several
    (multivalued keys: always a list or tuple, also for one value).

    `unknown` are keys (lower case), or beginnings of keys that end in `/` or `:`, whose values
    nobody here knows: a condition on one cannot be evaluated, unless `context` has it.

    Flag, for what no policy says:
    - `aws_owned_resource`: the resource belongs to AWS (an AWS managed KMS key), RCPs do not bind.
    """

    action: str
    resource: str
    principal: Principal
    resource_account: str | None = None
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    aws_owned_resource: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def same_account(self) -> bool:
        """Tell whether principal and resource live in one account."""
        return self.resource_account is None or self.resource_account == self.principal.account
