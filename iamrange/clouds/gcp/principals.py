"""Who calls, and which member strings of a policy name that caller.

- A member of a form that no rule below knows names nobody (a `principalSet` of `POOL/ORG/*` is
  accepted by the API and never matches: google-github-actions/auth#77).
- `allAuthenticatedUsers` does not hold federated identities
  (cloud.google.com/iam/docs/principal-identifiers).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["anonymous", "user", "service-account", "federated"]

_PREFIXES: Final = ("user:", "serviceAccount:", "principal://", "principalSet://", "deleted:")
_PUBLIC: Final = ("allUsers", "allAuthenticatedUsers")
_POOL: Final = re.compile(
    r"iam\.googleapis\.com/projects/(?P<number>\d+)/locations/global/workloadIdentityPools/"
    r"(?P<pool>[a-z0-9-]+)/(?P<rest>.+)",
    re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(r"attribute\.(?P<name>[a-z0-9_]+)/(?P<value>.+)", re.DOTALL)
_TYPE: Final = re.compile(
    r"cloudresourcemanager\.googleapis\.com/(?P<scope>(?:projects|organizations)/\d+)/type/"
    r"ServiceAccount"
)
_SCOPE: Final = re.compile(
    r"principalSet://cloudresourcemanager\.googleapis\.com/(?P<scope>(?:projects|organizations)/\d+)"
)
_ACCOUNT_V2: Final = re.compile(r"iam\.googleapis\.com/projects/-/serviceAccounts/(?P<email>.+)")


@dataclass(frozen=True, slots=True)
class Federated:
    """An external identity as its pool mapped it."""

    pool: str
    """`projects/NUMBER/locations/global/workloadIdentityPools/POOL`."""
    subject: str
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller (or nobody)."""

    kind: Kind
    email: str = ""
    unique_id: str = ""
    project_number: str = ""
    organization: str = ""
    federated: Federated | None = None

    @property
    def member(self) -> str:
        """Return the member string that names exactly this caller."""
        if self.federated is not None:
            return f"principal://iam.googleapis.com/{self.federated.pool}/subject/{self.federated.subject}"
        if self.kind == "service-account":
            return f"serviceAccount:{self.email}"
        return f"user:{self.email}" if self.kind == "user" else "anonymous"

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return the project and organisation whose own principal this caller is."""
        number = self.project_number
        if self.federated is not None:
            number = self.federated.pool.split("/")[1]
        named = (("projects", number), ("organizations", self.organization))
        return tuple(f"{kind}/{identifier}" for kind, identifier in named if identifier)


ANONYMOUS: Final = Caller("anonymous")


def member_names(member: str, caller: Caller) -> bool:
    """Tell whether an allow policy's member string names this caller."""
    if member == "allUsers":
        return True
    if member == "allAuthenticatedUsers":
        return caller.kind in ("user", "service-account")
    kind, separator, name = member.partition(":")
    if not separator:
        return False
    if kind in ("user", "serviceAccount"):
        wanted = "user" if kind == "user" else "service-account"
        # addresses are compared without case, as Google accounts are
        return caller.kind == wanted and caller.email.lower() == name.lower()
    if kind == "principal":
        return _principal_names(name.removeprefix("//"), caller)
    if kind == "principalSet":
        return _set_names(name.removeprefix("//"), caller)
    return False


def deny_principal_names(principal: str, caller: Caller) -> bool:
    """Tell whether a deny rule's principal (the v2 forms) names this caller."""
    if principal == "principalSet://goog/public:all":
        return True
    if principal.startswith("principal://goog/subject/"):
        email = principal.removeprefix("principal://goog/subject/")
        return caller.kind == "user" and caller.email.lower() == email.lower()
    if scope := _SCOPE.fullmatch(principal):
        return scope["scope"] in caller.scopes
    return principal.startswith(("principal://", "principalSet://")) and member_names(
        principal, caller
    )


def member_problem(member: object) -> str | None:
    """Return why the API refuses this member string when a policy is set, or None."""
    if not isinstance(member, str) or not member:
        return "Invalid member: members must be non-empty strings."
    if member in _PUBLIC:
        return None
    if member.startswith(("domain:", "group:")):
        return f"The member {member} is not supported: this range has no domains and no groups."
    if not member.startswith(_PREFIXES):
        return (
            f"The member {member} is of an unknown type. "
            "Please set a valid type prefix for the member."
        )
    name = member.partition(":")[2]
    if member.startswith(("user:", "serviceAccount:")) and not re.fullmatch(r"[^@\s]+@\S+", name):
        return f"Invalid member {member}: an e-mail address is expected."
    return None


def canonical_member(member: str) -> str:
    """Return a member as policies keep it: addresses are written in lower case.

    What is deleted is renamed in policies by its address, however that was once written.
    """
    kind, separator, name = member.partition(":")
    return f"{kind}{separator}{name.lower()}" if kind in ("user", "serviceAccount") else member


def deny_principal_problem(principal: object) -> str | None:
    """Return why the API refuses this principal in a deny rule, or None."""
    if isinstance(principal, str) and principal.startswith(("principal://", "principalSet://")):
        return None
    return f"Invalid principal {principal!r}: deny policies take principal identifiers of IAM v2."


def _principal_names(name: str, caller: Caller) -> bool:
    if account := _ACCOUNT_V2.fullmatch(name):
        return caller.kind == "service-account" and caller.email == account["email"]
    pool = _POOL.fullmatch(name)
    if pool is None or caller.federated is None or not _same_pool(pool, caller.federated):
        return False
    return pool["rest"] == f"subject/{caller.federated.subject}"


def _set_names(name: str, caller: Caller) -> bool:
    if scope := _TYPE.fullmatch(name):
        return caller.kind == "service-account" and scope["scope"] in caller.scopes
    pool = _POOL.fullmatch(name)
    if pool is None or caller.federated is None or not _same_pool(pool, caller.federated):
        return False
    if pool["rest"] == "*":
        return True
    if pool["rest"].startswith("group/"):
        return pool["rest"].removeprefix("group/") in caller.federated.groups
    attribute = _ATTRIBUTE.fullmatch(pool["rest"])
    if attribute is None:
        return False
    return attribute["value"] in caller.federated.attributes.get(attribute["name"], ())


def _same_pool(match: re.Match[str], federated: Federated) -> bool:
    pool = f"projects/{match['number']}/locations/global/workloadIdentityPools/{match['pool']}"
    return pool == federated.pool
