"""The known ways from some permissions to more on Google Cloud, as data.

Sources: Google Cloud, "Best practices for using service accounts securely" and "Roles for service
account authentication"; Rhino Security Labs, "Privilege escalation in Google Cloud Platform".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpEscalation:
    """One way: permissions on a kind of resource, and more that are asked of the project.

    `gives`: `account` the powers of the service account that it is done to; `policy` whatever can
    be granted on the resource. `is_key`: a constraint against keys closes it.
    """

    id: str
    title: str
    permissions: tuple[str, ...]
    on: str
    gives: str
    way_out: str
    in_project: tuple[str, ...] = ()
    is_key: bool = False


_IMPERSONATE: Final = "grant it on the one account that the agent acts as, on no project"
_POLICIES: Final = "keep setIamPolicy to the pipeline that deploys bindings"


def _acting(verb: str, title: str) -> GcpEscalation:
    return GcpEscalation(
        id=verb,
        title=title,
        permissions=(f"iam.serviceAccounts.{verb}",),
        on="account",
        gives="account",
        way_out=_IMPERSONATE,
    )


def _deployed(service: str, permission: str) -> GcpEscalation:
    return GcpEscalation(
        id=f"actAs+{service}",
        title=f"deploys to {service} as another account",
        permissions=("iam.serviceAccounts.actAs",),
        in_project=(permission,),
        on="account",
        gives="account",
        way_out=_IMPERSONATE,
    )


GCP_ESCALATIONS: Final = (
    _acting("getAccessToken", "gets tokens of another account"),
    _acting("signJwt", "signs as another account, and has tokens for that"),
    _acting("signBlob", "signs as another account, and has tokens for that"),
    _acting("implicitDelegation", "goes through another account to a third"),
    GcpEscalation(
        id="serviceAccountKeys.create",
        title="makes a key of another account",
        permissions=("iam.serviceAccountKeys.create",),
        on="account",
        gives="account",
        way_out="forbid keys by organisation policy; federate instead",
        is_key=True,
    ),
    _deployed("run", "run.services.create"),
    _deployed("functions", "cloudfunctions.functions.create"),
    _deployed("compute", "compute.instances.create"),
    GcpEscalation(
        id="serviceAccounts.setIamPolicy",
        title="lets itself act as another account",
        permissions=("iam.serviceAccounts.setIamPolicy",),
        on="account",
        gives="account",
        way_out=_POLICIES,
    ),
    GcpEscalation(
        id="secrets.setIamPolicy",
        title="grants itself a secret",
        permissions=("secretmanager.secrets.setIamPolicy",),
        on="secret",
        gives="policy",
        way_out=_POLICIES,
    ),
    GcpEscalation(
        id="projects.setIamPolicy",
        title="grants itself the project",
        permissions=("resourcemanager.projects.setIamPolicy",),
        on="project",
        gives="policy",
        way_out=_POLICIES,
    ),
)
"""All of them. A way is a finding when our decider allows each step and it gives something new."""

GCP_POWERS: Final = (
    ("secretmanager.versions.access", "secret"),
    ("secretmanager.versions.add", "secret"),
    ("secretmanager.secrets.setIamPolicy", "secret"),
    ("iam.serviceAccounts.getAccessToken", "account"),
    ("iam.serviceAccounts.setIamPolicy", "account"),
    ("resourcemanager.projects.setIamPolicy", "project"),
)
"""What it is worth to escalate to: a permission, and the kind of resource."""
