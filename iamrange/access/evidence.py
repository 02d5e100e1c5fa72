"""What is known of a call when it is decided: values alone, gathered before.

- A part that could not be asked, since an earlier one has refused, is None.
- A store that was away is `Away`, never an empty answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iamrange.access.gateway_settings import GatewaySettings

if TYPE_CHECKING:
    from iamrange.access.approvals.model import ApprovalFacts, ApprovalRefusal
    from iamrange.access.canonical import CanonicalRefusal, Target
    from iamrange.access.gateway_limits import Count
    from iamrange.access.policy_engine import PolicyAnswer
    from iamrange.access.routes import Matched, RouteRefusal
    from iamrange.identity.access_token import AccessToken
    from iamrange.identity.directory.model import Agent
    from iamrange.identity.protected import Denied


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessCall:
    """One call as it came to the gateway.

    `host`, `authorization`, `dpop`, `approval_id`, `cookies`, `content_coding` (Content-Encoding)
    are all headers of that name.
    `target` is the request target, its bytes as Latin-1. `body` is the whole body, None where it
    was not seen. `overrides` are the names of headers that would make it another request.
    """

    method: str
    host: tuple[str, ...]
    target: str = field(repr=False)
    authorization: tuple[str, ...] = field(default=(), repr=False)
    dpop: tuple[str, ...] = field(default=(), repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    peer: str = ""
    request_id: str = ""
    approval_id: tuple[str, ...] = ()
    body: bytes | None = field(default=b"", repr=False)
    user_agent: str = ""
    cookies: tuple[str, ...] = field(default=(), repr=False)
    content_type: str = ""
    content_coding: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Away:
    """A store or a part that could not answer."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEvidence:
    """What the verifier said. `denied` None: it admitted.

    `token` is read even where the verifier denied, for the record: it is worth something only
    where it was admitted. `reason` is the verifier's own code, of its layer `layer`.
    """

    denied: Denied | None
    token: AccessToken | None
    layer: str = ""
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def proved(self) -> bool:
        """Tell whether the token is good, and the caller's.

        The verifier asks for the scope last: where that alone is lacking, all else holds.
        """
        return self.denied is None or self.layer == "scope"


@dataclass(frozen=True, slots=True)
class Principal:
    """One agent that the token speaks of, and the directory's entry; None: there is none."""

    id: str
    agent: Agent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that a decision rests on."""

    now: float
    settings: GatewaySettings = field(default_factory=GatewaySettings)
    target: Target | CanonicalRefusal
    route: Matched | RouteRefusal | None
    public: bool = False
    """A path that needs no token: the service's metadata."""
    before: Count | None
    token: TokenEvidence | None = None
    principals: tuple[Principal, ...] | Away | None = None
    policy: tuple[PolicyAnswer, ...] | Away | None = None
    policy_digest: str = ""
    """Which policy answered."""
    approval: ApprovalFacts | ApprovalRefusal | Away | None = None
    after: Count | None = None
