"""What the planners read of the services beside the first ones: tags, policies, passed roles.

- Each answer is what one read call of the service's own API says, so that an adapter over HTTP can
  give it too; the call is named with each.
- None for tags means that the store does not say, which is not the same as no tags.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from moto.s3.models import PublicAccessBlock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ServiceResources(Protocol):
    """Looks up what permissions on other services' resources turn on."""

    def resource_tags(
        self, service: str, account: str, region: str, arn: str
    ) -> Mapping[str, str] | None:
        """Return a resource's tags (GetResources of the tagging API); None: not told."""
        ...

    def function_policy(self, account: str, region: str, name: str) -> str | None:
        """Return a function's policy (GetPolicy)."""
        ...

    def repository_policy(self, account: str, region: str, name: str) -> str | None:
        """Return a container repository's policy (GetRepositoryPolicy)."""
        ...

    def bus_policy(self, account: str, region: str, name: str) -> str | None:
        """Return an event bus's policy (DescribeEventBus)."""
        ...

    def log_policies(self, account: str, region: str) -> tuple[str, ...]:
        """Return the policies of an account's logs (DescribeResourcePolicies)."""
        ...

    def task_definition(
        self, account: str, region: str, name: str
    ) -> tuple[str, tuple[str, ...]] | None:
        """Return a task definition's ARN and the roles it names (DescribeTaskDefinition)."""
        ...

    def owner_enforced(self, account: str, bucket: str) -> bool:
        """Tell whether a bucket's ACLs are off (GetBucketOwnershipControls)."""
        ...

    def public_grants(
        self, account: str, bucket: str, key: str | None, version: str | None
    ) -> tuple[tuple[str, str], ...]:
        """Return what an ACL grants to everyone: the group's URI and the permission.

        Of the object, or of the bucket when there is no key (GetObjectAcl, GetBucketAcl).
        """
        ...

    def new_bucket(self, account: str, bucket: str) -> None:
        """Give a bucket that was just made what AWS gives new ones: closed, and without ACLs."""
        ...


class MotoServiceResources:
    """The embedded adapter: reads the memory of the emulator in this process."""

    def backend(self, service: str, account: str, region: str) -> Any:  # noqa: ANN401  # no types
        """Return a service's own store in an account and region; None when there is none."""
        raise NotImplementedError

    def resource_tags(
        self, service: str, account: str, region: str, arn: str
    ) -> Mapping[str, str] | None:
        """Return a resource's tags; None: the emulator does not tell them."""
        backend = self.backend(service, account, region)
        listed = getattr(backend, "iter_tagged_resources", tuple)
        try:
            found = next((dict(one.tags) for one in listed() if one.arn == arn), None)
        except Exception:  # noqa: BLE001 - some of the emulator's lists fail; then tags are not told
            return None
        tagger = getattr(backend, "tagger", None) or getattr(backend, "tagging_service", None)
        if found is None and tagger is not None:
            found = dict(tagger.get_tag_dict_for_resource(arn)) or None
        return found

    def function_policy(self, account: str, region: str, name: str) -> str | None:
        """Return a function's policy."""
        backend = self.backend("lambda", account, region)
        listed = backend.list_functions() if backend is not None else ()
        function = next((one for one in listed if one.function_name == name), None)
        if function is None or not function.policy.statements:
            return None
        return lambda_policy(function.policy.statements)

    def repository_policy(self, account: str, region: str, name: str) -> str | None:
        """Return a container repository's policy."""
        backend = self.backend("ecr", account, region)
        repository = backend.repositories.get(name) if backend is not None else None
        return repository.policy if repository is not None else None

    def bus_policy(self, account: str, region: str, name: str) -> str | None:
        """Return an event bus's policy."""
        backend = self.backend("events", account, region)
        bus = backend.event_buses.get(name) if backend is not None else None
        return bus.policy if bus is not None else None

    def log_policies(self, account: str, region: str) -> tuple[str, ...]:
        """Return the policies of an account's logs."""
        backend = self.backend("logs", account, region)
        kept = backend.resource_policies.values() if backend is not None else ()
        return tuple(str(one.policy_document) for one in kept)

    def task_definition(
        self, account: str, region: str, name: str
    ) -> tuple[str, tuple[str, ...]] | None:
        """Return a task definition's ARN and the roles it names."""
        backend = self.backend("ecs", account, region)
        family, _, revision = name.rpartition("/")[2].partition(":")
        revisions = backend.task_definitions.get(family, {}) if backend is not None else {}
        number = int(revision) if revision.isdecimal() else max(revisions, default=0)
        found = revisions.get(number)
        if found is None:
            return None
        roles = (getattr(found, one, None) for one in ("task_role_arn", "execution_role_arn"))
        return str(found.arn), tuple(str(role) for role in roles if role)

    def owner_enforced(self, account: str, bucket: str) -> bool:
        """Tell whether a bucket's ACLs are off."""
        found = self._bucket(account, bucket)
        return "BucketOwnerEnforced" in str(found.ownership_rule) if found is not None else True

    def public_grants(
        self, account: str, bucket: str, key: str | None, version: str | None
    ) -> tuple[tuple[str, str], ...]:
        """Return what an ACL grants to everyone: the group's URI and the permission."""
        found = self._bucket(account, bucket)
        if found is not None and key is not None:
            listed = found.keys.getlist(key, default=[])
            mine = [k for k in listed if version in (None, str(k.version_id))]
            found = mine[-1] if mine else None
        acl = getattr(found, "acl", None)
        return tuple(
            (str(grantee.uri), str(permission))
            for grant in (acl.grants if acl is not None else ())
            for grantee in grant.grantees
            for permission in grant.permissions
            if grantee.uri
        )

    def new_bucket(self, account: str, bucket: str) -> None:
        """Give a bucket that was just made what AWS gives new ones."""
        found = self._bucket(account, bucket)
        if found is not None and found.public_access_block is None:
            found.public_access_block = PublicAccessBlock(
                block_public_acls=True,
                ignore_public_acls=True,
                block_public_policy=True,
                restrict_public_buckets=True,
            )
            if found.ownership_rule is None:
                found.ownership_rule = "BucketOwnerEnforced"

    def _bucket(self, account: str, name: str) -> Any:  # noqa: ANN401  # the emulator has no types
        backend = self.backend("s3", account, "aws")
        return backend.buckets.get(name) if backend is not None else None


_ELEMENTS = ("Sid", "Effect", "Principal", "Action", "Resource")
_CONDITIONS = {
    "FunctionUrlAuthType": ("StringEquals", "lambda:FunctionUrlAuthType"),
    "InvokedViaFunctionUrl": ("Bool", "lambda:InvokedViaFunctionUrl"),
}


def _statement(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a statement of a function's policy as Lambda writes it, from what the emulator keeps.

    https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
    """
    made = {name: kept[name] for name in _ELEMENTS if name in kept}
    principal = made.get("Principal")
    if isinstance(principal, str) and principal != "*":
        named = f"arn:aws:iam::{principal}:root" if principal.isdecimal() else principal
        made["Principal"] = {"AWS": named} if named.startswith("arn:") else {"Service": named}
    condition = {operator: dict(keys) for operator, keys in (kept.get("Condition") or {}).items()}
    for member, (operator, key) in _CONDITIONS.items():
        if member in kept:
            condition.setdefault(operator, {})[key] = str(kept[member]).removeprefix("$")
    return made | ({"Condition": condition} if condition else {})


def lambda_policy(kept: Iterable[Mapping[str, Any]]) -> str:
    """Return a function's policy as Lambda writes it, from what an emulator keeps."""
    return json.dumps({"Version": "2012-10-17", "Statement": [_statement(one) for one in kept]})
