"""Principal and NotPrincipal elements: whom a statement of a resource or trust policy means.

- A match says *how* the principal was named, because that decides what else must allow: an account
  only delegates, a user's or session's own ARN grants.
- NotPrincipal spares a principal only if all it consists of is listed: session, role and account
  (IAM user guide, "IAM JSON policy elements: NotPrincipal").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.clouds.aws.request import Principal

SESSION_ARN = "allows-session-arn"
EVERYONE = "allows-everyone"
PRINCIPAL_ARN = "allows-principal-arn"
FEDERATED = "allows-federated"
SERVICE = "allows-service"
CANONICAL_USER = "allows-canonical-user"
ACCOUNT = "allows-account"
GRANT = "allows-grant"

STRENGTH = (
    SESSION_ARN,
    EVERYONE,
    PRINCIPAL_ARN,
    FEDERATED,
    SERVICE,
    CANONICAL_USER,
    ACCOUNT,
)
"""The ways to be named, the one that needs least else first."""

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_ROOT = re.compile(r"arn:[a-z0-9-]+:iam::([0-9]{12}):root")
_SESSIONS = ("assumed-role", "federated")
_OF_ACCOUNTS = ("user", "role", "assumed-role", "root", "federated")


@dataclass(frozen=True, slots=True)
class PrincipalElement:
    """The content of a Principal or NotPrincipal element."""

    everyone: bool = False
    aws_everyone: bool = False
    arns: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    federated: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    canonical_users: frozenset[str] = frozenset()

    def names(self, principal: Principal, *, allow: bool) -> str | None:
        """Say how the element names the principal, strongest way first; None if it does not.

        `{"AWS": "*"}` and `"*"` mean the same callers, except that an Allow for `{"AWS": "*"}` is
        not read as one for services and web identities, which are no AWS principals.
        """
        kind = principal.kind
        if principal.arn in self.arns:
            return SESSION_ARN if kind in _SESSIONS else PRINCIPAL_ARN
        foreign = kind in ("service", "web-identity")
        if self.everyone or (self.aws_everyone and not (allow and foreign)):
            return EVERYONE
        if kind in _OF_ACCOUNTS:
            if principal.role_arn in self.arns or principal.user_arn in self.arns:
                return PRINCIPAL_ARN
            if principal.canonical_user in self.canonical_users:
                return CANONICAL_USER
            return ACCOUNT if principal.account in self.accounts else None
        if kind == "web-identity":
            listed = principal.federated in self.federated or "*" in self.federated
            return FEDERATED if listed else None
        if kind == "service":
            return SERVICE if principal.arn in self.services or "*" in self.services else None
        return None

    def undecidable(self, principal: Principal) -> bool:
        """Tell whether the element names canonical users and the principal's own is not known."""
        return (
            bool(self.canonical_users)
            and principal.canonical_user is None
            and principal.kind in _OF_ACCOUNTS
        )

    def spares(self, principal: Principal) -> bool:
        """Tell whether a Deny with this NotPrincipal leaves the principal alone."""
        if self.everyone or self.aws_everyone:
            return True
        parts = list(self._listed(principal))
        return bool(parts) and all(parts)

    def _listed(self, principal: Principal) -> Iterator[bool]:
        """Say of each thing that the principal consists of whether it is listed."""
        kind = principal.kind
        if kind == "web-identity":
            yield principal.federated in self.federated
        elif kind == "service":
            yield principal.arn in self.services
        elif kind in _OF_ACCOUNTS:
            yield principal.account in self.accounts
            if kind != "root":
                yield principal.arn in self.arns
            for behind in (principal.role_arn, principal.user_arn):
                if behind is not None:
                    yield behind in self.arns


def account_of(text: str) -> str | None:
    """Return the account that an AWS principal stands for as a whole, or None."""
    if _ACCOUNT_ID.fullmatch(text):
        return text
    found = _ROOT.fullmatch(text)
    return found.group(1) if found else None
