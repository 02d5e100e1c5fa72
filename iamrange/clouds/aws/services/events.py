"""EventBridge in permissions: rules and buses, and what rules deliver.

- A rule on the default bus and one on another bus have ARNs of their own; a bus, and the rules on
  it, may belong to another account, by the bus's policy.
- https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind
from iamrange.clouds.aws.protocol import strict_json
from iamrange.clouds.aws.resources import Resource, split
from iamrange.clouds.aws.services.by_reference import ReferencePlanner
from iamrange.clouds.aws.services.deliveries import Delivery, delivery_check
from iamrange.clouds.aws.services.passed_roles import passed
from iamrange.clouds.aws.store import compiled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.clouds.aws import reference
    from iamrange.clouds.aws.context import Context

_NAME = re.compile(r"[/.\-_A-Za-z0-9]{1,256}\Z", re.ASCII)
_BUSES = frozenset({"CreateEventBus", "DescribeEventBus", "DeleteEventBus", "UpdateEventBus"})
_RULES = {
    "PutRule": "Name",
    "DeleteRule": "Name",
    "DescribeRule": "Name",
    "EnableRule": "Name",
    "DisableRule": "Name",
    "PutTargets": "Rule",
    "RemoveTargets": "Rule",
    "ListTargetsByRule": "Rule",
}
_PERMISSIONS = frozenset({"PutPermission", "RemovePermission"})
# Condition keys of PutRule, and where an event pattern holds their values.
_PATTERN_KEYS = {
    "events:source": ("source",),
    "events:detail-type": ("detail-type",),
    "events:detail.service": ("detail", "service"),
    "events:detail.eventTypeCode": ("detail", "eventTypeCode"),
    "events:detail.userIdentity.principalId": ("detail", "userIdentity", "principalId"),
}


class EventsPlanner(ReferencePlanner):
    """What each operation of EventBridge needs."""

    asks_policies = True
    knows_keys = True

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        if request.operation == "PutEvents":
            return self._put_events(request)
        plan = super().__call__(request, caller)
        if isinstance(plan, Unmapped):
            return plan
        overrides = self._plain_bus(request)
        checks, targets = plan.checks, self._targets(request, plan.checks[0].resource)
        if isinstance(targets, Unmapped):
            return targets
        return replace(
            plan,
            checks=(*checks, *targets),
            overrides=overrides,
            instead=_bad_policy(request),
        )

    def find(self, request: AwsRequest, arn: str) -> Resource | None:
        """Return a bus or rule with its tags, and the policy of the bus that it belongs to."""
        parts = split(arn)
        if parts is None:
            return None
        _, region, account, rest = parts
        kind, *names = rest.split("/")
        if kind not in ("event-bus", "rule"):
            return super().find(request, arn)
        bus = "/".join(names if kind == "event-bus" else names[:-1]) or "default"
        return Resource(
            arn=arn,
            account=account,
            tags=self._resources.resource_tags("events", account, region, arn) or {},
            policy=self._resources.bus_policy(account, region, bus),
        )

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARN of the bus or rule."""
        operation, parameters = request.operation, request.parameters
        if operation in _BUSES:
            return self._bus(request, parameters.get("Name"))
        if operation in _PERMISSIONS:
            # The reference knows no resource for them: a policy on a bus's ARN does not mean them.
            bus = self._bus(request, parameters.get("EventBusName"))
            if isinstance(bus, Unmapped) or f":{request.account}:" not in bus[0]:
                return Unmapped("permissions are put on a bus of one's own, named plainly")
            return ("*",)
        if operation not in _RULES:
            return super().resources(request, about)
        bus = self._bus(request, parameters.get("EventBusName"))
        name = str(parameters.get(_RULES[operation]))
        if isinstance(bus, Unmapped) or not re.fullmatch(r"[.\-_A-Za-z0-9]{1,64}", name):
            return bus if isinstance(bus, Unmapped) else Unmapped("the rule is not named plainly")
        start, _, bus_name = bus[0].partition(":event-bus/")
        place = name if bus_name == "default" else f"{bus_name}/{name}"
        return (f"{start}:rule/{place}",)

    def _bus(self, request: AwsRequest, named: object) -> tuple[str] | Unmapped:
        text = str(named or "default")
        parts = split(text)
        if parts is not None:
            service, region, _, rest = parts
            if (service, region) != ("events", request.region) or not rest.startswith("event-bus/"):
                return Unmapped("a bus of another region")
            return (text,)
        if not _NAME.match(text):
            return Unmapped("the bus is not named plainly")
        return (f"arn:aws:events:{request.region}:{request.account}:event-bus/{text}",)

    def context(self, request: AwsRequest, arn: str) -> Context:
        """Return EventBridge's own condition keys."""
        parameters, context = request.parameters, {}
        if ":rule/" in arn:
            context["events:creatorAccount"] = request.account
        found: Context = dict(context)
        if request.operation == "PutTargets":
            arns = [str(target.get("Arn")) for target in parameters.get("Targets") or ()]
            found["events:TargetArn"] = tuple(arns)
        if request.operation == "PutRule" and parameters.get("EventPattern"):
            found |= _pattern_keys(str(parameters["EventPattern"]))
        return found

    def _plain_bus(self, request: AwsRequest) -> dict[str, Any]:
        """Name the bus plainly: the account that the call is carried out in has only one such."""
        return {
            member: str(value).rpartition(":event-bus/")[2]
            for member, value in request.parameters.items()
            if member in ("EventBusName", "Name") and ":event-bus/" in str(value)
        }

    def _targets(self, request: AwsRequest, rule: str) -> list[Check] | Unmapped:
        if request.operation != "PutTargets":
            return []
        checks: list[Check] = []
        for target in request.parameters.get("Targets") or ():
            role = str(target["RoleArn"]) if target.get("RoleArn") else None
            arranged = Delivery(
                service="events.amazonaws.com", source=rule, target=str(target["Arn"]), role=role
            )
            found = delivery_check(request, self._store, self._resources, arranged)
            if isinstance(found, Unmapped):
                return found
            checks.append(found)
        return checks

    def _put_events(self, request: AwsRequest) -> Plan | Unmapped:
        """Check each entry by itself: its bus, its source and its type."""
        checks: list[Check] = []
        entries: list[dict[str, Any]] = []
        accounts: set[str] = set()
        if not request.account:
            return Unmapped("nobody signed it")
        if request.parameters.get("EndpointId"):
            return Unmapped("global endpoints are not decided")
        for entry in request.parameters.get("Entries") or ():
            bus = self._bus(request, entry.get("EventBusName"))
            if isinstance(bus, Unmapped):
                return bus
            check = self.check(request, "events:PutEvents", bus[0])
            own: Context = {"events:eventBusInvocation": "false"}
            for member, key in (("Source", "source"), ("DetailType", "detail-type")):
                if entry.get(member):
                    own[f"events:{key}"] = str(entry[member])
            checks.append(replace(check, context={**check.context, **own}))
            accounts.add((split(bus[0]) or ("", "", "", ""))[2])
            entries.append({**entry, "EventBusName": bus[0].rpartition("/")[2]})
        if len(accounts) != 1:
            return Unmapped("the buses are of more than one account, or none is named")
        return Plan(checks=tuple(checks), account=accounts.pop(), overrides={"Entries": entries})

    def roles(
        self, request: AwsRequest, about: reference.Action, named: Sequence[str]
    ) -> list[Check]:
        """Return a check for each role that a rule or target is given, and no other."""
        del about
        members: list[Mapping[str, Any]] = [request.parameters]
        members += request.parameters.get("Targets") or ()
        arns = dict.fromkeys(str(one["RoleArn"]) for one in members if one.get("RoleArn"))
        return [passed(request, self._store, arn, "events", named[0]) for arn in arns]


def _pattern_keys(text: str) -> Context:
    """Return the keys whose values a pattern lists plainly; others are no single value."""
    context: Context = {}
    try:
        pattern = strict_json(text.encode())
    except (ValueError, UnicodeError):
        return context
    for key, path in _PATTERN_KEYS.items():
        value: Any = pattern
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            context[key] = tuple(value)
    return context


def _bad_policy(request: AwsRequest) -> AwsError | None:
    document = request.parameters.get("Policy")
    if request.operation not in ("PutPermission", "CreateEventBus") or not document:
        return None
    try:
        compiled(str(document), PolicyKind.RESOURCE, "bus-policy")
        kept = json.loads(str(document))["Statement"]
    except (MalformedPolicy, ValueError) as error:
        return AwsError(code="ValidationException", message=str(error), status=400)
    wanted = {"Sid", "Effect", "Principal", "Action", "Resource"}
    if all(wanted <= set(one) for one in (kept if isinstance(kept, list) else [{}])):
        return None
    message = "the store keeps statements with Sid, Effect, Principal, Action and Resource only"
    return AwsError(code="ValidationException", message=message, status=400)
