"""aws:iam Policy (managed) and OpenIdConnectProvider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.aws_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.aws_types.tags import TAG_OUTPUTS, TAGGING, retag, tag_list, tag_map
from iamrange.engine.documents import as_text, policy_document, unordered
from iamrange.engine.resource import Change, Created, Naming, Properties, ResourceType

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession

_MOST_VERSIONS = 5  # IAM quota "managed policy versions"


def _create(session: AwsSession, inputs: Properties) -> Created:
    optional = {"Description": inputs.get("description"), "Tags": tag_list(inputs)}
    answer = session.client("iam").create_policy(
        PolicyName=inputs["name"],
        Path=inputs["path"],
        PolicyDocument=as_text(inputs["policy"]),
        **{key: value for key, value in optional.items() if value},
    )
    return Created(answer["Policy"]["Arn"])


@none_if_missing
def _read(session: AwsSession, arn: str, _state: Properties) -> Properties:
    iam = session.client("iam")
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    return {
        "name": policy["PolicyName"],
        "path": policy["Path"],
        "description": policy.get("Description"),
        "policy": json.dumps(version["PolicyVersion"]["Document"]),
        "arn": policy["Arn"],
        "policyId": policy["PolicyId"],
        "tagsAll": tag_map(policy.get("Tags")),
    }


def _versions(iam: Any, arn: str) -> list[dict[str, Any]]:  # noqa: ANN401 - a boto3 client
    pages = iam.get_paginator("list_policy_versions").paginate(PolicyArn=arn)
    versions = [version for page in pages for version in page["Versions"]]
    # v10 comes after v9
    return sorted(versions, key=lambda version: int(version["VersionId"].removeprefix("v")))


def _update(session: AwsSession, change: Change) -> None:
    iam = session.client("iam")
    arn = change.identifier
    if "policy" in change.changed:
        versions = _versions(iam, arn)
        if len(versions) >= _MOST_VERSIONS:
            oldest = next(v["VersionId"] for v in versions if not v["IsDefaultVersion"])
            iam.delete_policy_version(PolicyArn=arn, VersionId=oldest)
        document = as_text(change.new["policy"])
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
    retag(
        change,
        lambda tags: iam.tag_policy(PolicyArn=arn, Tags=tags),
        lambda keys: iam.untag_policy(PolicyArn=arn, TagKeys=keys),
    )


def _delete(session: AwsSession, arn: str, _state: Properties) -> None:
    iam = session.client("iam")
    with missing_is_fine():
        for version in _versions(iam, arn):
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=arn)


POLICY: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:iam/policy:Policy",  # noqa: S106 - a type token
    inputs=frozenset({"name", "namePrefix", "path", "description", "policy", "tags"}),
    computed=frozenset({"arn", "policyId"}) | TAG_OUTPUTS,
    force_new=frozenset({"name", "namePrefix", "path", "description"}),
    # IAM has no operation that changes a managed policy's description
    identity=frozenset({"name", "path", "description"}),
    settings=frozenset({"namePrefix"}),
    defaults={"path": "/", "description": ""},
    canonical={"policy": policy_document},
    naming=Naming(prefix="namePrefix", max_length=128),
    tagging=TAGGING,
    create=_create,
    read=_read,
    update=_update,
    delete=_delete,
)


def _create_provider(session: AwsSession, inputs: Properties) -> Created:
    optional = {"ThumbprintList": inputs.get("thumbprintLists"), "Tags": tag_list(inputs)}
    answer = session.client("iam").create_open_id_connect_provider(
        Url=inputs["url"],
        ClientIDList=inputs["clientIdLists"],
        **{key: value for key, value in optional.items() if value},
    )
    return Created(answer["OpenIDConnectProviderArn"])


@none_if_missing
def _read_provider(session: AwsSession, arn: str, state: Properties) -> Properties:
    live = session.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    url = live["Url"]
    written = str(state.get("url") or "")
    # IAM keeps the URL without its scheme
    same = written.removeprefix("https://") == url.removeprefix("https://")
    return {
        "url": written if same else f"https://{url.removeprefix('https://')}",
        "clientIdLists": live.get("ClientIDList") or [],
        "thumbprintLists": live.get("ThumbprintList") or [],
        "arn": arn,
        "tagsAll": tag_map(live.get("Tags")),
    }


def _update_provider(session: AwsSession, change: Change) -> None:
    iam = session.client("iam")
    arn = change.identifier
    if "clientIdLists" in change.changed:
        live = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        before, after = set(live.get("ClientIDList") or []), set(change.new["clientIdLists"])
        for client in sorted(after - before):
            iam.add_client_id_to_open_id_connect_provider(
                OpenIDConnectProviderArn=arn, ClientID=client
            )
        for client in sorted(before - after):
            iam.remove_client_id_from_open_id_connect_provider(
                OpenIDConnectProviderArn=arn, ClientID=client
            )
    if "thumbprintLists" in change.changed and change.new.get("thumbprintLists"):
        iam.update_open_id_connect_provider_thumbprint(
            OpenIDConnectProviderArn=arn, ThumbprintList=change.new["thumbprintLists"]
        )
    retag(
        change,
        lambda tags: iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=tags),
        lambda keys: iam.untag_open_id_connect_provider(OpenIDConnectProviderArn=arn, TagKeys=keys),
    )


def _delete_provider(session: AwsSession, arn: str, _state: Properties) -> None:
    with missing_is_fine():
        iam = session.client("iam")
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)


OPENID_CONNECT_PROVIDER: Final[ResourceType[AwsSession]] = ResourceType(
    token="aws:iam/openIdConnectProvider:OpenIdConnectProvider",  # noqa: S106 - a type token
    inputs=frozenset({"url", "clientIdLists", "thumbprintLists", "tags"}),
    computed=frozenset({"arn"}) | TAG_OUTPUTS,
    force_new=frozenset({"url"}),
    identity=frozenset({"url"}),
    # IAM looks a thumbprint up when none is given
    filled_in=frozenset({"thumbprintLists"}),
    canonical={
        "clientIdLists": unordered,
        "thumbprintLists": lambda value: (
            unordered([str(item).lower() for item in value]) if isinstance(value, list) else value
        ),
    },
    tagging=TAGGING,
    # the URL is the name: there is one provider for each issuer
    singleton=False,
    create=_create_provider,
    read=_read_provider,
    update=_update_provider,
    delete=_delete_provider,
)
TYPES: Final = (POLICY, OPENID_CONNECT_PROVIDER)
