"""EC2 in permissions: instances and tags by hand, the rest by the reference."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.actions import exists, takes_resource
from iamrange.clouds.aws.context import Context, request_tags
from iamrange.clouds.aws.model import AwsRequest, Caller, Check
from iamrange.clouds.aws.plan import Plan, Unmapped
from iamrange.clouds.aws.resources import Resource, split, tag_map
from iamrange.clouds.aws.services.by_reference import ReferencePlanner
from iamrange.clouds.aws.services.passed_roles import passed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from iamrange.clouds.aws import reference

_INSTANCES = frozenset(
    [
        "StartInstances",
        "StopInstances",
        "RebootInstances",
        "TerminateInstances",
        "MonitorInstances",
        "UnmonitorInstances",
        "GetConsoleOutput",
        "GetPasswordData",
        "ModifyInstanceMetadataOptions",
    ]
)
_LAUNCHES = frozenset(
    ["CreateFleet", "RequestSpotFleet", "RequestSpotInstances", "RunScheduledInstances"]
)
_ID = re.compile(r"[a-z]+(?:-[a-z]+)*-[0-9a-f]{8,17}\Z", re.ASCII)
_BY_PREFIX = {
    "i": "instance",
    "vol": "volume",
    "eni": "network-interface",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "ami": "image",
    "snap": "snapshot",
    "rtb": "route-table",
    "igw": "internet-gateway",
    "acl": "network-acl",
    "eipalloc": "elastic-ip",
    "lt": "launch-template",
    "nat": "natgateway",
    "vpce": "vpc-endpoint",
    "pcx": "vpc-peering-connection",
    "dopt": "dhcp-options",
    "cgw": "customer-gateway",
    "vgw": "vpn-gateway",
    "vpn": "vpn-connection",
    "tgw": "transit-gateway",
    "fl": "vpc-flow-log",
    "pl": "prefix-list",
}


class Ec2Planner(ReferencePlanner):
    """What each operation of EC2 needs."""

    def __call__(self, request: AwsRequest, caller: Caller) -> Plan | Unmapped:
        """Plan one call."""
        operation, parameters = request.operation, request.parameters
        action = f"ec2:{operation}"
        if not exists(action):
            return Unmapped("no such action", whole=True)
        if operation == "RunInstances":
            return self._run(request)
        if operation in _INSTANCES:
            ids = parameters.get("InstanceIds") or [parameters.get("InstanceId")]
            return self._on(request, [str(name) for name in ids], {})
        if operation in ("CreateTags", "DeleteTags"):
            tags = {str(t["Key"]): str(t.get("Value") or "") for t in parameters.get("Tags") or ()}
            context: Context = {"aws:TagKeys": tuple(tags)} if tags else {}
            if operation == "CreateTags":
                context = request_tags(tags)
            return self._on(request, [str(name) for name in parameters["Resources"]], context)
        if operation.startswith("Describe") and not takes_resource(action):
            check = Check(action=action, resource="*", resource_account=request.account)
            return Plan(checks=(check,), account=request.account)
        if operation in _LAUNCHES:
            return Unmapped("what it launches cannot be told", whole=True)
        return super().__call__(request, caller)

    def find(self, request: AwsRequest, arn: str) -> Resource | None:
        """Return a resource with its tags."""
        parts = split(arn)
        if parts is None or arn.endswith("/*"):
            return None
        _, region, account, rest = parts
        tags = self._resources.ec2_tags(account or request.account, region, rest.partition("/")[2])
        return Resource(arn=arn, account=account or request.account, tags=tags)

    def resources(self, request: AwsRequest, about: reference.Action) -> Sequence[str] | Unmapped:
        """Return the ARNs: of what is named by its parameter, and of what its id tells."""
        kinds = {use.kind for use in about.uses}
        told = {
            _arn(request, kind, name): kind
            for name in _ids(request.parameters)
            if (kind := _BY_PREFIX.get(name.rpartition("-")[0], "")) in kinds
        }
        named = super().resources(request, about)
        if not isinstance(named, Unmapped):
            return tuple(dict.fromkeys((*named, *told)))
        needed = {use.kind for use in about.uses if use.required}
        return tuple(told) if told and needed <= set(told.values()) else named

    def _on(self, request: AwsRequest, ids: list[str], context: Context) -> Plan | Unmapped:
        checks: list[Check] = []
        for name in ids:
            kind = _BY_PREFIX.get(name.rpartition("-")[0])
            if kind is None:
                return Unmapped("a resource of a kind that is not decided")
            tags = self._resources.ec2_tags(request.account, request.region, name)
            own = {f"ec2:ResourceTag/{key}": value for key, value in tags.items()}
            checks.append(
                Check(
                    action=f"ec2:{request.operation}",
                    resource=_arn(request, kind, name),
                    resource_account=request.account,
                    context=context | own,
                    resource_tags=tags,
                )
            )
        if not checks:
            return Unmapped("no resource is named")
        return Plan(checks=tuple(checks), account=request.account)

    def _run(self, request: AwsRequest) -> Plan | Unmapped:
        """Plan RunInstances: a permission on everything that it makes and everything it uses.

        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html
        """
        parameters = request.parameters
        if parameters.get("LaunchTemplate") or not parameters.get("ImageId"):
            return Unmapped("RunInstances by launch template")
        common: Context = {}
        if parameters.get("InstanceType"):
            common["ec2:InstanceType"] = str(parameters["InstanceType"])
        specified = _specified(parameters.get("TagSpecifications") or ())
        used = [("image", str(parameters["ImageId"]))]
        used.append(("subnet", str(parameters.get("SubnetId") or "*")))
        used += [("security-group", str(g)) for g in parameters.get("SecurityGroupIds") or ["*"]]
        if parameters.get("KeyName"):
            used.append(("key-pair", str(parameters["KeyName"])))
        checks = []
        for kind in ("instance", "volume", "network-interface"):
            context = common | request_tags(specified.get(kind, {}))
            checks.append(_check(request, "RunInstances", kind, "*", context))
        checks += [_check(request, "RunInstances", kind, name, common) for kind, name in used]
        for kind, tags in specified.items():
            context = request_tags(tags) | {"ec2:CreateAction": "RunInstances"}
            checks.append(_check(request, "CreateTags", kind, "*", context))
        profile = parameters.get("IamInstanceProfile") or {}
        named = profile.get("Name") or str(profile.get("Arn") or "").rpartition("/")[2]
        if named:
            role = self._store.profile_role(request.account, str(named))
            if role is None:
                return Unmapped("an instance profile that is not there, or holds no role")
            checks.append(passed(request, self._store, role, "ec2", checks[0].resource))
        return Plan(checks=tuple(checks), account=request.account)


def _ids(value: Any) -> Iterator[str]:  # noqa: ANN401  # any parameter
    if isinstance(value, dict):
        for item in value.values():
            yield from _ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
    elif isinstance(value, str) and _ID.match(value):
        yield value


def _specified(specifications: Any) -> dict[str, dict[str, str]]:  # noqa: ANN401  # a list of shapes
    return {str(s.get("ResourceType")): tag_map(s.get("Tags")) for s in specifications}


def _check(request: AwsRequest, operation: str, kind: str, name: str, context: Context) -> Check:
    return Check(
        action=f"ec2:{operation}",
        resource=_arn(request, kind, name),
        resource_account=request.account,
        context=context,
    )


def _arn(request: AwsRequest, kind: str, name: str) -> str:
    # Images belong to no account in their ARNs.
    account = "" if kind in ("image", "snapshot") else request.account
    return f"arn:aws:ec2:{request.region}:{account}:{kind}/{name}"
