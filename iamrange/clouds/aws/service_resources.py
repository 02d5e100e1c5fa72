"""What the planners read of the services beside the first ones: tags, policies, passed roles.

- Each answer is what one read call of the service's own API says, so that an adapter over HTTP can
  give it too; the call is named with each.
- None for tags means that the store does not say, which is not the same as no tags.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


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

    def state_machine_role(self, account: str, region: str, arn: str) -> str | None:
        """Return the role that a state machine runs as (DescribeStateMachine)."""
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
        found = next((dict(one.tags) for one in listed() if one.arn == arn), None)
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
        return _document(function.policy.statements)

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

    def state_machine_role(self, account: str, region: str, arn: str) -> str | None:
        """Return the role that a state machine runs as."""
        backend = self.backend("stepfunctions", account, region)
        machines = backend.state_machines if backend is not None else ()
        return next((str(one.roleArn) for one in machines if one.arn == arn), None)


def _document(statements: Any) -> str:  # noqa: ANN401  # a list of statements
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
