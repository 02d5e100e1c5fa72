"""Issuers that sign for many tenants, and the guard that IAM puts over trusts on them.

- IAM refuses a role trust on such an issuer that names no tenant ("Identity-provider controls
  for shared OIDC providers", IAM user guide; since 2025-06). The same judgement is made again
  when a role is assumed, for roles that are older or were written behind IAM's back.
- The guard asks little: `repo:*` passes it, because it is not the bare "all". That is the
  platform's real laxness.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_ACCEPTED_OPERATORS: Final = frozenset({"stringequals", "stringlike", "stringequalsignorecase"})
_ALL: Final = re.compile(r"[*?]*\Z")

TENANCY_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "token.actions.githubusercontent.com": ("sub", "job_workflow_ref"),
    "vstoken.actions.githubusercontent.com": ("sub",),
    "oidc-configuration.audit-log.githubusercontent.com": ("sub",),
    "gitlab.com": ("sub",),
    "app.terraform.io": ("sub",),
    "agent.buildkite.com": ("sub",),
    "oidc.codefresh.io": ("sub",),
    "studio.datachain.ai/api": ("sub",),
    "scalr.io": ("sub",),
    "tokens.cloud.shisho.dev": ("sub",),
    "proidc.upbound.io": ("sub",),
    "api.pulumi.com/oidc": ("aud",),
    "sandboxes.cloud": ("aud",),
    "oidc.vercel.com": ("aud",),
    "cognito-identity.amazonaws.com": ("aud",),
}
"""Issuer, as a provider's URL without scheme, to the claims that tell its tenants apart.

GitHub, GitLab, Terraform, Buildkite, Pulumi, Vercel and Cognito were seen in several reports; the
others are from the user guide's list as remembered, not re-read.
"""


def shared_issuer_fault(document: Mapping[str, Any], issuer: str | None = None) -> str | None:
    """Return why IAM refuses this trust policy, in its manner of speaking, or None.

    The document is a parsed trust policy; one that is no policy at all is judged elsewhere. With
    an issuer, as at assume time, only what is trusted of that issuer counts, and a statement that
    trusts everyone trusts it.
    """
    for statement in _statements(document):
        if statement.get("Effect") != "Allow" or not _allows_web_identity(statement):
            continue
        for trusted in _issuers(statement, issuer):
            claims = TENANCY_CLAIMS.get(trusted, ())
            keys = [f"{trusted}:{claim}" for claim in claims]
            if keys and not any(_is_scoped(statement, key.lower()) for key in keys):
                return (
                    f"Trust on the shared identity provider {trusted} must evaluate, using "
                    f"StringEquals, StringLike or StringEqualsIgnoreCase, {' or '.join(keys)}, "
                    "which is not scoped to all"
                )
    return None


def _statements(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        if isinstance(statement, Mapping):
            yield statement


def _issuers(statement: Mapping[str, Any], only: str | None) -> Iterator[str]:
    """Yield the issuers that a statement trusts: ARNs of providers, or hosts of built-in ones."""
    principal = statement.get("Principal")
    federated = principal.get("Federated", []) if isinstance(principal, Mapping) else principal
    for name in federated if isinstance(federated, list) else [federated]:
        if not isinstance(name, str):
            continue
        issuer = name.partition(":oidc-provider/")[2] or name
        if only is None or issuer == only:
            yield issuer
        elif issuer == "*":
            yield only


def _allows_web_identity(statement: Mapping[str, Any]) -> bool:
    """Tell whether a statement can let a web identity in; a NotAction is taken for one that does.

    A second statement that only allows `sts:TagSession` lets nobody in by itself.
    """
    if "Action" not in statement:
        return True
    actions = statement["Action"]
    wanted = "sts:assumerolewithwebidentity"
    return any(
        fnmatch.fnmatchcase(wanted, str(action).lower().replace("[", "[[]"))
        for action in (actions if isinstance(actions, list) else [actions])
    )


def _is_scoped(statement: Mapping[str, Any], key: str) -> bool:
    """Tell whether a condition pins the key to something narrower than everything.

    An operator with IfExists or ForAllValues holds when the key is missing: it pins nothing.
    """
    condition = statement.get("Condition")
    if not isinstance(condition, Mapping):
        return False
    for operator, block in condition.items():
        name = str(operator).lower().removeprefix("foranyvalue:")
        if name not in _ACCEPTED_OPERATORS or not isinstance(block, Mapping):
            continue
        for given, values in block.items():
            if str(given).lower() == key and _is_narrow(values):
                return True
    return False


def _is_narrow(values: object) -> bool:
    patterns = values if isinstance(values, list) else [values]
    return bool(patterns) and not any(_ALL.match(str(pattern)) for pattern in patterns)
