"""The AWS functions (invokes) of the embedded provider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types.organizations import ORGANIZATION
from iamrange.engine.aws_types.policy_document import POLICY_DOCUMENT
from iamrange.engine.aws_types.tags import tag_map
from iamrange.engine.resource import Function, Properties, ProviderError

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession


def _caller_identity(session: AwsSession, _arguments: Properties) -> Properties:
    answer = session.client("sts").get_caller_identity()
    account = answer["Account"]
    return {"accountId": account, "id": account, "arn": answer["Arn"], "userId": answer["UserId"]}


def _region(session: AwsSession, arguments: Properties) -> Properties:
    name = arguments.get("region") or arguments.get("name") or session.region
    endpoint = f"ec2.{name}.amazonaws.com"
    return {"id": name, "name": name, "region": name, "endpoint": endpoint, "description": name}


def _partition(session: AwsSession, _arguments: Properties) -> Properties:
    suffix = "amazonaws.com.cn" if session.partition == "aws-cn" else "amazonaws.com"
    return {
        "id": session.partition,
        "partition": session.partition,
        "dnsSuffix": suffix,
        "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
    }


def _role(session: AwsSession, arguments: Properties) -> Properties:
    role = session.client("iam").get_role(RoleName=arguments["name"])["Role"]
    return {
        "id": role["RoleName"],
        "name": role["RoleName"],
        "arn": role["Arn"],
        "path": role["Path"],
        "uniqueId": role["RoleId"],
        "description": role.get("Description", ""),
        "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
        "createDate": role["CreateDate"].isoformat(),
        "maxSessionDuration": role.get("MaxSessionDuration", 3600),
        "permissionsBoundary": role.get("PermissionsBoundary", {}).get(
            "PermissionsBoundaryArn", ""
        ),
        "roleLastUseds": [],
        "tags": tag_map(role.get("Tags")),
    }


def _open_id_connect_provider(session: AwsSession, arguments: Properties) -> Properties:
    iam = session.client("iam")
    arn, url = arguments.get("arn"), str(arguments.get("url") or "")
    if not arn:
        host = url.removeprefix("https://")
        listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        arn = next((p["Arn"] for p in listed if p["Arn"].split("/", 1)[1] == host), None)
    if not arn:
        raise ProviderError(f"no OpenID Connect provider has the URL {url!r}")
    live = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    return {
        "id": arn,
        "arn": arn,
        "url": live["Url"],
        "clientIdLists": live.get("ClientIDList") or [],
        "thumbprintLists": live.get("ThumbprintList") or [],
        "tags": tag_map(live.get("Tags")),
    }


def _organization(session: AwsSession, _arguments: Properties) -> Properties:
    client = session.client("organizations")
    identifier = client.describe_organization()["Organization"]["Id"]
    everything = dict.fromkeys(ORGANIZATION.inputs, True)
    live: Any = ORGANIZATION.read(session, identifier, everything)
    return {"id": identifier, **(live or {})}


def _function(name: str, call: Any, *inputs: str, required: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - a Function of any call
    module, _, short = name.rpartition("/")
    token = f"aws:{module or 'index'}/{short}:{short}"
    return Function(token=token, inputs=frozenset(inputs), call=call, required=frozenset(required))


FUNCTIONS: Final[tuple[Function[AwsSession], ...]] = (
    _function("getCallerIdentity", _caller_identity),
    _function("getRegion", _region, "name", "region"),
    _function("getPartition", _partition),
    _function("iam/getRole", _role, "name", required=("name",)),
    _function("iam/getOpenIdConnectProvider", _open_id_connect_provider, "arn", "url"),
    _function("organizations/getOrganization", _organization),
    POLICY_DOCUMENT,
)
