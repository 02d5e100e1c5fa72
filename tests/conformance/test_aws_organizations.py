"""Organizations through boto3: the tree, and control policies that bind when they are attached."""

# ruff: noqa: ANN401 - boto3 makes its clients at run time
from __future__ import annotations

import asyncio
import itertools
import json
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import SystemClock
from iamrange.network.edge import Edge, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from iamrange.core.decision import DecisionRecord

SCP = "SERVICE_CONTROL_POLICY"
RCP = "RESOURCE_CONTROL_POLICY"


class World:
    """One plain endpoint in a loop of its own."""

    def __init__(self) -> None:
        self.records: list[DecisionRecord] = []
        self.cloud = AwsCloud(
            clock=SystemClock(), records=self.records.append, fetcher=HttpFetcher(resolve={})
        )
        self.accounts = itertools.count(500_000_000_001)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._edge = Edge([Route("*", self.cloud)], ca=None)
        self._wait(self._edge.start())

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def stop(self) -> None:
        self._wait(self._edge.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def account(self) -> tuple[str, dict[str, str]]:
        account = str(next(self.accounts))
        key = self.cloud.create_account(account)
        return account, {
            "aws_access_key_id": key.access_key_id,
            "aws_secret_access_key": key.secret_access_key,
        }

    def client(self, service: str, keys: dict[str, str]) -> Any:
        make: Any = boto3.client
        return make(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self._edge.port}",
            config=Config(retries={"total_max_attempts": 1}),
            **keys,
        )


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    yield world
    world.stop()


class Company:
    """An organisation made through the API, with one unit and one member in it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.management, self.keys = world.account()
        self.api = world.client("organizations", self.keys)
        self.organization = self.api.create_organization(FeatureSet="ALL")["Organization"]
        self.root = self.api.list_roots()["Roots"][0]["Id"]
        unit = self.api.create_organizational_unit(ParentId=self.root, Name="workloads")
        self.unit = unit["OrganizationalUnit"]["Id"]
        status = self.api.create_account(AccountName="a", Email="a@example.com")
        self.member = status["CreateAccountStatus"]["AccountId"]
        self.api.move_account(
            AccountId=self.member, SourceParentId=self.root, DestinationParentId=self.unit
        )

    def enable(self, *kinds: str) -> None:
        for kind in kinds:
            self.api.enable_policy_type(RootId=self.root, PolicyType=kind)

    def policy(self, name: str, document: str, kind: str = SCP) -> str:
        made = self.api.create_policy(Name=name, Description="d", Content=document, Type=kind)
        return str(made["Policy"]["PolicySummary"]["Id"])

    def inside(self) -> Any:
        """An IAM client of the member, through the role that an organisation makes there."""
        role = f"arn:aws:iam::{self.member}:role/OrganizationAccountAccessRole"
        sts = self.world.client("sts", self.keys)
        made = sts.assume_role(RoleArn=role, RoleSessionName="in-it")["Credentials"]
        keys = {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }
        return self.world.client("iam", keys)


@pytest.fixture
def company(world: World) -> Company:
    return Company(world)


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def deny(action: str, **more: Any) -> str:
    return document({"Effect": "Deny", "Action": action, "Resource": "*", **more})


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_organization_is_described_to_management_and_member(company: Company) -> None:
    described = company.api.describe_organization()["Organization"]
    assert described["MasterAccountId"] == company.management
    assert described["FeatureSet"] == "ALL"
    assert refused(company.api.create_organization) == "AlreadyInOrganizationException"


def test_account_without_organization_is_told_so(world: World) -> None:
    _, keys = world.account()
    api = world.client("organizations", keys)
    assert refused(api.describe_organization) == "AWSOrganizationsNotInUseException"


def test_tree_is_listed_from_every_side(company: Company) -> None:
    api = company.api
    parents = api.list_parents(ChildId=company.member)["Parents"]
    assert parents == [{"Id": company.unit, "Type": "ORGANIZATIONAL_UNIT"}]
    children = api.list_children(ParentId=company.unit, ChildType="ACCOUNT")["Children"]
    assert children == [{"Id": company.member, "Type": "ACCOUNT"}]
    below = api.list_accounts_for_parent(ParentId=company.unit)["Accounts"]
    assert [account["Id"] for account in below] == [company.member]
    everyone = {account["Id"] for account in api.list_accounts()["Accounts"]}
    assert everyone == {company.management, company.member}
    units = api.list_organizational_units_for_parent(ParentId=company.root)
    assert [unit["Name"] for unit in units["OrganizationalUnits"]] == ["workloads"]
    pages = api.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 1})
    assert {a["Id"] for page in pages for a in page["Accounts"]} == everyone


def test_unit_is_renamed_and_removed_when_empty(company: Company) -> None:
    api = company.api
    make = {"ParentId": company.root, "Name": "workloads"}
    duplicate = "DuplicateOrganizationalUnitException"
    assert refused(lambda: api.create_organizational_unit(**make)) == duplicate
    api.update_organizational_unit(OrganizationalUnitId=company.unit, Name="other")
    unit = api.describe_organizational_unit(OrganizationalUnitId=company.unit)
    assert unit["OrganizationalUnit"]["Name"] == "other"
    full = refused(lambda: api.delete_organizational_unit(OrganizationalUnitId=company.unit))
    assert full == "OrganizationalUnitNotEmptyException"
    api.move_account(
        AccountId=company.member,
        SourceParentId=company.unit,
        DestinationParentId=company.root,
    )
    api.delete_organizational_unit(OrganizationalUnitId=company.unit)
    gone = refused(lambda: api.describe_organizational_unit(OrganizationalUnitId=company.unit))
    assert gone == "OrganizationalUnitNotFoundException"


def test_tags_are_kept(company: Company) -> None:
    api = company.api
    api.tag_resource(ResourceId=company.unit, Tags=[{"Key": "a", "Value": "1"}])
    assert api.list_tags_for_resource(ResourceId=company.unit)["Tags"] == [
        {"Key": "a", "Value": "1"}
    ]
    api.untag_resource(ResourceId=company.unit, TagKeys=["a"])
    assert api.list_tags_for_resource(ResourceId=company.unit)["Tags"] == []


def test_policy_type_starts_off_and_full_access_comes_with_it(company: Company) -> None:
    api = company.api
    policy = company.policy("p", deny("iam:CreateUser"))
    attach = {"PolicyId": policy, "TargetId": company.unit}
    assert refused(lambda: api.attach_policy(**attach)) == "PolicyTypeNotEnabledException"
    company.enable(SCP, RCP)
    again = {"RootId": company.root, "PolicyType": SCP}
    assert refused(lambda: api.enable_policy_type(**again)) == "PolicyTypeAlreadyEnabledException"
    for kind, name in ((SCP, "FullAWSAccess"), (RCP, "RCPFullAWSAccess")):
        for target in (company.root, company.unit, company.member):
            listed = api.list_policies_for_target(TargetId=target, Filter=kind)["Policies"]
            assert [(p["Name"], p["AwsManaged"]) for p in listed] == [(name, True)]


@pytest.mark.parametrize("level", ["root", "unit", "member"])
def test_service_control_policy_binds_at_every_level_until_detached(
    company: Company, level: str
) -> None:
    company.enable(SCP)
    policy = company.policy("p", deny("iam:CreateUser"))
    where = {"PolicyId": policy, "TargetId": getattr(company, level)}
    assert company.inside().create_user(UserName="before")
    company.api.attach_policy(**where)
    assert refused(lambda: company.inside().create_user(UserName="during")) == "AccessDenied"
    company.world.client("iam", company.keys).create_user(UserName="management-is-exempt")
    company.api.detach_policy(**where)
    assert company.inside().create_user(UserName="after")


def test_level_without_full_access_allows_only_what_it_lists(company: Company) -> None:
    company.enable(SCP)
    reads = {"Effect": "Allow", "Action": ["iam:Get*", "iam:List*"], "Resource": "*"}
    policy = company.policy("reads", document(reads))
    company.api.attach_policy(PolicyId=policy, TargetId=company.unit)
    assert company.inside().create_user(UserName="before")
    company.api.detach_policy(PolicyId="p-FullAWSAccess", TargetId=company.unit)
    assert company.inside().list_users()
    assert refused(lambda: company.inside().create_user(UserName="x")) == "AccessDenied"


def test_resource_control_policy_binds_whoever_calls(company: Company) -> None:
    company.enable(RCP)
    other = {"StringNotEquals": {"sts:ExternalId": "agreed"}}
    policy = company.policy("p", deny("sts:AssumeRole", Principal="*", Condition=other), kind=RCP)
    assert company.inside()
    company.api.attach_policy(PolicyId=policy, TargetId=company.member)
    assert refused(company.inside) == "AccessDenied"


def test_account_that_leaves_is_bound_no_more(company: Company) -> None:
    company.enable(SCP)
    policy = company.policy("p", deny("iam:CreateUser"))
    company.api.attach_policy(PolicyId=policy, TargetId=company.root)
    company.api.remove_account_from_organization(AccountId=company.member)
    assert company.inside().create_user(UserName="free")
    gone = refused(lambda: company.api.describe_account(AccountId=company.member))
    assert gone == "AccountNotFoundException"


def test_policy_is_changed_in_place_and_binds_at_once(company: Company) -> None:
    company.enable(SCP)
    policy = company.policy("p", deny("iam:CreateUser"))
    company.api.attach_policy(PolicyId=policy, TargetId=company.unit)
    company.api.update_policy(PolicyId=policy, Content=deny("iam:CreateGroup"))
    assert company.inside().create_user(UserName="x")
    assert refused(lambda: company.inside().create_group(GroupName="x")) == "AccessDenied"
    in_use = refused(lambda: company.api.delete_policy(PolicyId=policy))
    assert in_use == "PolicyInUseException"
    targets = company.api.list_targets_for_policy(PolicyId=policy)["Targets"]
    assert [target["TargetId"] for target in targets] == [company.unit]


def test_five_policies_of_a_type_fit_on_a_target_and_one_stays(company: Company) -> None:
    company.enable(SCP)
    made = [company.policy(f"p{n}", deny(f"iam:Create{n}")) for n in range(5)]
    for policy in made[:4]:
        company.api.attach_policy(PolicyId=policy, TargetId=company.unit)
    sixth = {"PolicyId": made[4], "TargetId": company.unit}
    assert refused(lambda: company.api.attach_policy(**sixth)) == "ConstraintViolationException"
    twice = {"PolicyId": made[0], "TargetId": company.unit}
    duplicate = "DuplicatePolicyAttachmentException"
    assert refused(lambda: company.api.attach_policy(**twice)) == duplicate
    last = {"PolicyId": "p-FullAWSAccess", "TargetId": company.member}
    assert refused(lambda: company.api.detach_policy(**last)) == "ConstraintViolationException"


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        ("{", SCP, "MalformedPolicyDocumentException"),
        (deny("iam:*", Principal="*"), SCP, "MalformedPolicyDocumentException"),
        (deny("iam:*"), RCP, "MalformedPolicyDocumentException"),
        (
            document({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}),
            RCP,
            "MalformedPolicyDocumentException",
        ),
        (deny("iam:" + "x" * 5200), SCP, "ConstraintViolationException"),
        (deny("iam:*"), "TAG_POLICY", "PolicyTypeNotAvailableForOrganizationException"),
    ],
)
def test_document_that_is_no_control_policy_is_refused(
    company: Company, content: str, kind: str, code: str
) -> None:
    assert refused(lambda: company.policy("p", content, kind)) == code


def test_member_may_look_at_the_head_only(company: Company) -> None:
    role = f"arn:aws:iam::{company.member}:role/OrganizationAccountAccessRole"
    made = company.world.client("sts", company.keys).assume_role(
        RoleArn=role, RoleSessionName="in-it"
    )["Credentials"]
    api = company.world.client(
        "organizations",
        {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        },
    )
    assert api.describe_organization()["Organization"]["Id"] == company.organization["Id"]
    assert refused(api.list_accounts) == "AccessDeniedException"


def test_organization_of_the_range_has_its_types_on_and_takes_them_once_more(
    world: World,
) -> None:
    management, keys = world.account()
    member, _ = world.account()
    identifier = world.cloud.create_organization(management, [member])
    api = world.client("organizations", keys)
    root = api.list_roots()["Roots"][0]
    assert {kind["Status"] for kind in root["PolicyTypes"]} == {"ENABLED"}
    policy = api.create_policy(Name="p", Description="", Content=deny("iam:CreateUser"), Type=SCP)[
        "Policy"
    ]["PolicySummary"]["Id"]
    api.attach_policy(PolicyId=policy, TargetId=member)
    again = {"RootId": root["Id"], "PolicyType": SCP}
    assert api.enable_policy_type(**again)["Root"]["Id"] == root["Id"]
    assert refused(lambda: api.enable_policy_type(**again)) == "PolicyTypeAlreadyEnabledException"
    assert api.describe_organization()["Organization"]["Id"] == identifier
