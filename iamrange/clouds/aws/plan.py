"""What one operation needs: the permissions to check, and where it then lands.

- A plan names resources as the store knows them, not as the caller wrote them: a name, a partial
  ARN or an alias is resolved first, so that what was authorised is what is acted on.
- An operation without a plan is refused; nothing is allowed for want of a rule.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.model import AwsError, AwsRequest, AwsResponse, Caller, Check

if TYPE_CHECKING:
    from iamrange.clouds.aws.partial import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The checks of one call, all of which must pass, in AWS's order.

    `parts` are checked after them, each by itself: what is refused there is left out of the call.
    `account` is where the call is carried out. `overrides` are top-level members made exact.
    `prepare` is awaited before the call is carried out, for overrides that the world must tell.
    `instead` is answered once the checks have passed, in place of the upstream's answer: a limit
    of the service, or a resource that is not there; `guard` is asked for one then, for what writes
    a record of its own. `runs` names the Lambda function that the call has run, where the cloud has
    something to run it with: then nothing is answered `instead`. `local` carries the call out in
    place of the upstream, which lacks the operation; `after` completes what the upstream did, when
    it did.
    """

    checks: tuple[Check, ...]
    account: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    instead: AwsError | None = None
    runs: str | None = None
    guard: Callable[[], AwsError | None] | None = None
    local: Callable[[], AwsResponse | AwsError] | None = None
    after: Callable[[], None] | None = None
    parts: Parts | None = None
    prepare: Callable[[], Awaitable[Mapping[str, Any] | AwsError]] | None = None


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Why an operation cannot be put into permissions.

    `whole`: no request of that operation can be, because nobody wrote its rule. Only such
    operations pass under `unmapped="allow"`; a request that a rule cannot read is always denied.
    """

    why: str
    whole: bool = False


Planner = Callable[[AwsRequest, Caller], Plan | Unmapped]
"""One service's rules: what an operation needs."""
