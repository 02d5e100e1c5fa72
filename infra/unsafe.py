"""The one place where a document with a control left out is made.

- Each change here is a lapse that real operators make, and is asked for by a control's id.
- What it makes is marked where the cloud has room for a mark: a tag `iamrange:unsafe` with the
  controls' ids, a description, or a Sid that begins with `Unsafe`.
- With nothing left out every method returns what it was given.
- `settings` lets no control be left out but in the accounts and projects that are named for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import pulumi_gcp as gcp

from iamrange.core import aws_controls, gcp_controls, secrets_controls
from infra import database_documents, documents, names, shared_documents, vault_documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.core.control import Control

TAG = "iamrange:unsafe"

_T = TypeVar("_T")


class UnsafeProjectGrant(gcp.projects.IAMMember):
    """A grant on a whole project where a grant on one resource of it was meant."""


@dataclass(frozen=True, slots=True)
class UnsafeOmissions:
    """The controls that this stack leaves out, and what each lapse makes of a strong document."""

    left_out: frozenset[str] = frozenset()

    def lacks(self, control: Control) -> bool:
        """Tell whether this control is left out."""
        return control.id in self.left_out

    def tags(self, *may_touch: Control) -> dict[str, str]:
        """Return the tag that marks a weak resource; no tag when none of these is left out."""
        mark = self._mark(may_touch)
        return {TAG: mark} if mark else {}

    def description(self, text: str, *may_touch: Control) -> str:
        """Mark a weak resource that has a description and no tags."""
        mark = self._mark(may_touch)
        return f"{text} {TAG}={mark}" if mark else text

    def _mark(self, may_touch: Sequence[Control]) -> str:
        return " ".join(sorted(control.id for control in may_touch if self.lacks(control)))

    def trust(self, trust: documents.Document, issuer: str) -> documents.Document:
        """Leave the subject or the audience, or both, out of a role's trust policy."""
        prefix = documents.condition_prefix(issuer)
        if self.lacks(aws_controls.TRUST_PINS_SUBJECT):
            trust = _without_key(trust, f"{prefix}:sub")
        if self.lacks(aws_controls.TRUST_PINS_AUDIENCE):
            trust = _without_key(trust, f"{prefix}:aud")
        return trust

    def own_subjects(self, pattern: str) -> str:
        """End the pattern for our subjects inside the name of the trust domain."""
        if not self.lacks(aws_controls.ISSUER_TENANT):
            return pattern
        return f"{pattern.partition('.')[0]}*"

    def client_ids(self, client_ids: Sequence[str], gcp_audience: str) -> list[str]:
        """Add the other cloud's audience, as one does to make a call work."""
        if self.lacks(aws_controls.PROVIDER_CLIENT_IDS):
            return [*client_ids, gcp_audience]
        return list(client_ids)

    def boundary(self, boundary_arn: _T) -> _T | None:
        """Leave a role without its permissions boundary."""
        return None if self.lacks(aws_controls.PERMISSIONS_BOUNDARY) else boundary_arn

    def own_secret(
        self, statement: documents.Statement, place: documents.Place
    ) -> documents.Statement:
        """Let the agent read every agent's secret."""
        if not self.lacks(aws_controls.LEAST_PRIVILEGE):
            return statement
        every = documents.every_agent_secret(place)
        return replace(statement, sid="UnsafeEverySecret", resources=(every,))

    def pass_function_role(
        self, statement: documents.Statement, place: documents.Place
    ) -> documents.Statement:
        """Let the agent hand any role of the account to its function."""
        if not self.lacks(aws_controls.PASSROLE_SCOPED):
            return statement
        every = f"arn:aws:iam::{place.account}:role/*"
        return replace(statement, sid="UnsafePassAnyRole", resources=(every,))

    def project_records(self, statement: documents.Statement) -> documents.Statement:
        """Let the agent read the records of every project."""
        if not self.lacks(aws_controls.ABAC_PROJECT_TAG):
            return statement
        return replace(statement, sid="UnsafeEveryProject", condition={})

    def worker_trust(self, trust: documents.Document) -> documents.Document:
        """Take session tags that the next hop may bring anew."""
        if not self.lacks(aws_controls.TAG_SESSION):
            return trust
        return _without_key(trust, shared_documents.TRANSITIVE)

    def vendor_trust(self, trust: documents.Document) -> documents.Document:
        """Trust the vendor's account, whomever it works for."""
        if not self.lacks(aws_controls.EXTERNAL_ID):
            return trust
        return _without_key(trust, shared_documents.EXTERNAL_ID)

    def google_trust(self, trust: documents.Document) -> documents.Document:
        """Trust everybody for whom Google signs."""
        if not self.lacks(aws_controls.TRUST_PINS_SUBJECT):
            return trust
        prefix = documents.condition_prefix(names.GOOGLE_ISSUER)
        return _without_key(trust, f"{prefix}:sub")

    def data_key_policy(self, policy: documents.Document) -> documents.Document:
        """Open every agent's data key to all of them."""
        if not self.lacks(aws_controls.KMS_ENCRYPTION_CONTEXT):
            return policy
        return _without_key(policy, shared_documents.DATA_KEY_CONTEXT)

    def attribute_condition(self, condition: str) -> str | None:
        """Admit every tenant of the issuer."""
        return None if self.lacks(gcp_controls.ATTRIBUTE_CONDITION) else condition

    def allowed_audiences(self, audiences: Sequence[str]) -> list[str]:
        """Add the other cloud's audience."""
        if self.lacks(gcp_controls.ALLOWED_AUDIENCES):
            return [*audiences, names.AWS_AUDIENCE]
        return list(audiences)

    def enforcement(self) -> str:
        """Spell, as the API does, whether service-account keys are forbidden."""
        return "FALSE" if self.lacks(gcp_controls.NO_SERVICE_ACCOUNT_KEYS) else "TRUE"

    def vault_policy(self, policy: vault_documents.VaultPolicy) -> vault_documents.VaultPolicy:
        """Let the agent use what all have in the vault, or have in clear what it hands on.

        Or let it read the database login that is kept, instead of having logins made.
        """
        if self.lacks(secrets_controls.VAULT_POLICY_PER_AGENT):
            logins = {p: r for p, r in policy.paths.items() if vault_documents.makes_logins(p)}
            everybodys = vault_documents.use_everybodys()
            policy = replace(everybodys, paths={**everybodys.paths, **logins})
        if self.lacks(secrets_controls.SINGLE_USE_WRAPPING):
            plain = {path: replace(rule, wrapped=False) for path, rule in policy.paths.items()}
            policy = replace(policy, paths=plain)
        if self.lacks(secrets_controls.DYNAMIC_DATABASE_CREDENTIALS):
            kept = {vault_documents.kept_login(p): rule for p, rule in policy.paths.items()}
            policy = replace(policy, paths=kept)
        mark = self.description(
            "",
            secrets_controls.VAULT_POLICY_PER_AGENT,
            secrets_controls.SINGLE_USE_WRAPPING,
            secrets_controls.DYNAMIC_DATABASE_CREDENTIALS,
        )
        return replace(policy, mark=mark.strip())

    def vault_binding(self, binding: vault_documents.LoginBinding) -> vault_documents.LoginBinding:
        """Open the role to every agent, or for as long as the vault's own default."""
        if self.lacks(secrets_controls.VAULT_BOUND_CLAIMS):
            binding = replace(binding, subject=None, claims={})
        if self.lacks(secrets_controls.SHORT_LEASES):
            binding = replace(binding, lease=0)
        return binding

    def database_logins(
        self, logins: database_documents.DatabaseLogins
    ) -> database_documents.DatabaseLogins:
        """Keep one login with one password for everybody, instead of one for each piece of work."""
        if not self.lacks(secrets_controls.DYNAMIC_DATABASE_CREDENTIALS):
            return logins
        return replace(logins, static=True)


NOTHING_OMITTED = UnsafeOmissions()


def _without_key(document: documents.Document, key: str) -> documents.Document:
    """Return the document without this condition key; an operator left empty goes with it."""
    return documents.Document(
        tuple(
            replace(statement, condition=_condition_without(statement.condition, key))
            for statement in document.statements
        )
    )


def _condition_without(condition: documents.Condition, key: str) -> documents.Condition:
    rest = {
        operator: {name: value for name, value in keys.items() if name != key}
        for operator, keys in condition.items()
    }
    return {operator: keys for operator, keys in rest.items() if keys}
