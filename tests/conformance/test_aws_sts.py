"""Roles and sessions through boto3: who may assume, with what, for how long."""

# ruff: noqa: ANN401 - boto3 makes its clients at run time
from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from iamrange.clouds.aws.cloud import AwsCloud
from iamrange.clouds.fetch import HttpFetcher
from iamrange.core.clock import FixedClock
from iamrange.network.edge import Edge, Route
from tests.conformance.aws.lab import one_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from iamrange.core.decision import DecisionRecord

ASSUME = "sts:AssumeRole"
Keys = dict[str, str]


class World:
    """One plain endpoint in a loop of its own."""

    def __init__(self) -> None:
        self.clock = FixedClock(float(int(time.time())))
        self.records: list[DecisionRecord] = []
        self.cloud = AwsCloud(
            clock=self.clock, records=self.records.append, fetcher=HttpFetcher(resolve={})
        )
        self._accounts = itertools.count(600_000_000_001)
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

    def client(self, service: str, keys: Keys) -> Any:
        make: Any = boto3.client
        return make(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self._edge.port}",
            config=Config(retries={"total_max_attempts": 1}),
            **keys,
        )

    def account(self) -> tuple[str, Keys]:
        account = str(next(self._accounts))
        key = self.cloud.create_account(account)
        return account, keys(key.access_key_id, key.secret_access_key)


def keys(key_id: str, secret: str, token: str | None = None) -> Keys:
    made = {"aws_access_key_id": key_id, "aws_secret_access_key": secret}
    return made | ({"aws_session_token": token} if token else {})


def keys_of(answer: Mapping[str, Any]) -> Keys:
    made = answer["Credentials"]
    return keys(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    world = World()
    yield world
    world.stop()


def policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions: str | list[str], **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, **more}


class Account:
    """An account with a user and a role; both start valid, a test changes one thing."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.id, self.admin = world.account()
        self.iam = world.client("iam", self.admin)
        self.user = self.iam.create_user(UserName="caller")["User"]["Arn"]
        made = self.iam.create_access_key(UserName="caller")["AccessKey"]
        self.keys = keys(made["AccessKeyId"], made["SecretAccessKey"])

    def may(self, *statements: Mapping[str, Any]) -> None:
        self.iam.put_user_policy(
            UserName="caller", PolicyName="may", PolicyDocument=policy(*statements)
        )

    def role(self, name: str, *trust: Mapping[str, Any], **more: Any) -> str:
        answer = self.iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=policy(*trust), **more
        )
        return str(answer["Role"]["Arn"])

    def trusting(self, name: str = "role", actions: Any = ASSUME, **more: Any) -> str:
        statement = allow(actions, Principal={"AWS": self.user}, **more)
        return self.role(name, statement)

    def sts(self, used: Keys | None = None) -> Any:
        return self.world.client("sts", used or self.keys)

    def assume(self, role: str, used: Keys | None = None, **asked: Any) -> Any:
        whole = {"RoleSessionName": "session", **asked}
        return self.sts(used).assume_role(RoleArn=role, **whole)


@pytest.fixture
def account(world: World) -> Account:
    return Account(world)


def refused(call: Callable[[], Any]) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return answer["Error"]["Code"], status, answer["Error"]["Message"]


def test_session_names_its_role_and_expires_with_the_worlds_clock(account: Account) -> None:
    answer = account.assume(account.trusting(), DurationSeconds=900)
    assert answer["AssumedRoleUser"]["AssumedRoleId"].startswith("AROA")
    made = keys_of(answer)
    assert made["aws_access_key_id"].startswith("ASIA")
    assert account.sts(made).get_caller_identity()["Arn"].endswith("assumed-role/role/session")
    account.world.clock.moment += 901
    try:
        code, status, _ = refused(account.sts(made).get_caller_identity)
        assert (code, status) == ("ExpiredToken", 403)
    finally:
        account.world.clock.moment -= 901


@pytest.mark.parametrize("cut", ["token", "secret"])
def test_forged_session_is_refused(account: Account, cut: str) -> None:
    made = keys_of(account.assume(account.trusting()))
    name = {"token": "aws_session_token", "secret": "aws_secret_access_key"}[cut]
    made[name] = made[name][:-4] + ("AAAA" if not made[name].endswith("AAAA") else "BBBB")
    assert refused(account.sts(made).get_caller_identity)[1] == 403


@pytest.mark.parametrize(
    ("principal", "identity", "allowed"),
    [
        ("user", False, True),
        ("root", False, False),
        ("root", True, True),
        ("account", True, True),
        ("other", True, False),
    ],
)
def test_trust_and_identity_policy_together_decide(
    account: Account, principal: str, *, identity: bool, allowed: bool
) -> None:
    trusted = {
        "user": account.user,
        "root": f"arn:aws:iam::{account.id}:root",
        "account": account.id,
        "other": account.iam.create_user(UserName="other")["User"]["Arn"],
    }[principal]
    role = account.role("role", allow(ASSUME, Principal={"AWS": trusted}))
    if identity:
        account.may(allow(ASSUME, Resource=role))
    if allowed:
        assert account.assume(role)
    else:
        assert refused(lambda: account.assume(role))[:2] == ("AccessDenied", 403)


def test_identity_deny_beats_a_trust_that_names_the_user(account: Account) -> None:
    role = account.trusting()
    account.may({"Effect": "Deny", "Action": ASSUME, "Resource": "*"})
    assert refused(lambda: account.assume(role))[0] == "AccessDenied"


@pytest.mark.parametrize("identity", [True, False])
def test_role_of_another_account_needs_both_sides(world: World, *, identity: bool) -> None:
    home, other = Account(world), Account(world)
    role = other.role("role", allow(ASSUME, Principal={"AWS": home.user}))
    if not identity:
        assert refused(lambda: home.assume(role))[0] == "AccessDenied"
        return
    home.may(allow(ASSUME, Resource=role))
    assert keys_of(home.assume(role))


CONDITIONS: dict[str, tuple[dict[str, str], dict[str, Any], bool]] = {
    "external id right": ({"sts:ExternalId": "x1"}, {"ExternalId": "x1"}, True),
    "external id wrong": ({"sts:ExternalId": "x1"}, {"ExternalId": "x2"}, False),
    "external id missing": ({"sts:ExternalId": "x1"}, {}, False),
    "session name": ({"sts:RoleSessionName": "session"}, {}, True),
    "other session name": ({"sts:RoleSessionName": "caller"}, {}, False),
    "session name by variable": (
        {"sts:RoleSessionName": "${aws:username}"},
        {"RoleSessionName": "caller"},
        True,
    ),
    "session name by variable, other": ({"sts:RoleSessionName": "${aws:username}"}, {}, False),
}


@pytest.mark.parametrize("case", CONDITIONS)
def test_trust_condition(account: Account, case: str) -> None:
    condition, asked, allowed = CONDITIONS[case]
    role = account.trusting(Condition={"StringEquals": condition})
    if allowed:
        assert account.assume(role, **asked)
    else:
        assert refused(lambda: account.assume(role, **asked))[0] == "AccessDenied"


TAGS = [{"Key": "team", "Value": "red"}]
TAG_CASES: dict[str, tuple[list[str], dict[str, Any], str | None]] = {
    "no power": ([ASSUME], {"Tags": TAGS}, "AccessDenied"),
    "power": ([ASSUME, "sts:TagSession"], {"Tags": TAGS}, None),
    "transitive unknown": (
        [ASSUME, "sts:TagSession"],
        {"Tags": TAGS, "TransitiveTagKeys": ["x"]},
        "ValidationError",
    ),
    "twice by case": (
        [ASSUME, "sts:TagSession"],
        {"Tags": [*TAGS, {"Key": "Team", "Value": "blue"}]},
        "ValidationError",
    ),
    "too many": (
        [ASSUME, "sts:TagSession"],
        {"Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(51)]},
        "ValidationError",
    ),
    "value too long": (
        [ASSUME, "sts:TagSession"],
        {"Tags": [{"Key": "k", "Value": "v" * 257}]},
        "ValidationError",
    ),
    "source identity, no power": ([ASSUME], {"SourceIdentity": "alice"}, "AccessDenied"),
    "source identity": ([ASSUME, "sts:SetSourceIdentity"], {"SourceIdentity": "alice"}, None),
}


@pytest.mark.parametrize("case", TAG_CASES)
def test_session_tags_and_source_identity_are_powers(account: Account, case: str) -> None:
    actions, asked, code = TAG_CASES[case]
    role = account.trusting(actions=actions)
    if code is None:
        assert account.assume(role, **asked).get("SourceIdentity") == asked.get("SourceIdentity")
    else:
        assert refused(lambda: account.assume(role, **asked))[0] == code


def test_transitive_tags_and_source_identity_stay_along_a_chain(account: Account) -> None:
    powers = [ASSUME, "sts:TagSession", "sts:SetSourceIdentity"]
    first = account.trusting("first", actions=powers)
    second = account.role("second", allow(powers, Principal={"AWS": first}))
    seen = {"aws:PrincipalTag/team": "red", "aws:SourceIdentity": "alice"}
    reads = allow("iam:GetRole", Resource="*", Condition={"StringEquals": seen})
    plain = allow(
        "iam:GetUser", Resource="*", Condition={"StringEquals": {"aws:PrincipalTag/x": "y"}}
    )
    document = policy(reads, plain)
    account.iam.put_role_policy(RoleName="second", PolicyName="p", PolicyDocument=document)
    one = keys_of(
        account.assume(
            first,
            Tags=[*TAGS, {"Key": "x", "Value": "y"}],
            TransitiveTagKeys=["team"],
            SourceIdentity="alice",
        )
    )
    two = keys_of(account.assume(second, one))
    assert account.world.client("iam", two).get_role(RoleName="first")
    lost = refused(lambda: account.world.client("iam", two).get_user(UserName="caller"))
    assert lost[0] == "AccessDenied"
    assert refused(lambda: account.assume(second, one, Tags=TAGS))[0] == "ValidationError"
    assert refused(lambda: account.assume(second, one, SourceIdentity="bob"))[0] == "AccessDenied"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"DurationSeconds": 3600}, None),
        ({"DurationSeconds": 3601}, "ValidationError"),
        ({"DurationSeconds": 43201}, "ValidationError"),
        ({"RoleSessionName": "not/valid"}, "ValidationError"),
        ({"RoleSessionName": "x" * 65}, "ValidationError"),
        ({"ExternalId": "a b"}, "ValidationError"),
        ({"Policy": "{"}, "MalformedPolicyDocument"),
        ({"Policy": policy(allow("s3:*", Resource="*", Principal="*"))}, "MalformedPolicyDocument"),
        ({"Policy": policy(allow("s3:" + "x" * 2100, Resource="*"))}, "ValidationError"),
        ({"PolicyArns": [{"arn": "arn:aws:iam::123456789012:policy/none"}]}, "ValidationError"),
        ({"PolicyArns": [{"arn": "arn:aws:iam::123456789012:policy/n"}] * 11}, "ValidationError"),
    ],
)
def test_request_is_held_against_its_limits(
    account: Account, asked: dict[str, Any], code: str | None
) -> None:
    role = account.trusting()
    if code is None:
        assert account.assume(role, **asked)
    else:
        assert refused(lambda: account.assume(role, **asked))[:2] == (code, 400)


def test_session_policies_narrow_and_never_widen(account: Account) -> None:
    role = account.trusting()
    account.iam.put_role_policy(
        RoleName="role", PolicyName="p", PolicyDocument=policy(allow("iam:Get*", Resource="*"))
    )
    managed = account.iam.create_policy(
        PolicyName="narrow", PolicyDocument=policy(allow("iam:GetRole", Resource="*"))
    )["Policy"]["Arn"]
    answer = account.assume(role, PolicyArns=[{"arn": managed}])
    assert answer["PackedPolicySize"] > 0
    narrowed = account.world.client("iam", keys_of(answer))
    assert narrowed.get_role(RoleName="role")
    assert refused(lambda: narrowed.get_user(UserName="caller"))[0] == "AccessDenied"
    wide = account.assume(role, Policy=policy(allow("iam:*", Resource="*")))
    widened = account.world.client("iam", keys_of(wide))
    assert widened.get_user(UserName="caller")
    assert refused(widened.list_users)[0] == "AccessDenied"


def device(account: Account) -> tuple[str, str]:
    """Enable a virtual device; return its serial and its next code."""
    made = account.iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    serial, now = str(made["SerialNumber"]), account.world.clock.now()
    before, this, following = (
        one_time(made["Base32StringSeed"], now + seconds) for seconds in (-30, 0, 30)
    )
    with pytest.raises(ClientError, match="InvalidAuthenticationCode"):
        account.iam.enable_mfa_device(
            UserName="caller",
            SerialNumber=serial,
            AuthenticationCode1=this,
            AuthenticationCode2=before,
        )
    account.iam.enable_mfa_device(
        UserName="caller",
        SerialNumber=serial,
        AuthenticationCode1=before,
        AuthenticationCode2=this,
    )
    return serial, following


MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}


def test_mfa_of_a_registered_device_counts_and_only_that(account: Account) -> None:
    (serial, code), role = device(account), account.trusting(Condition=MFA)
    assert refused(lambda: account.assume(role))[0] == "AccessDenied"
    other = serial.replace("phone", "other")
    wrong: dict[str, Any] = {"SerialNumber": other, "TokenCode": "123456"}
    assert refused(lambda: account.assume(role, **wrong))[0] == "AccessDenied"
    bad = str((int(code) + 1) % 1_000_000).zfill(6)
    assert refused(lambda: account.assume(role, SerialNumber=serial, TokenCode=bad))[0] == (
        "AccessDenied"
    )
    assert account.assume(role, SerialNumber=serial, TokenCode=code)
    again = refused(lambda: account.assume(role, SerialNumber=serial, TokenCode=code))
    assert again[0] == "AccessDenied"


def test_session_token_carries_mfa_and_the_users_own_rights(account: Account) -> None:
    serial, code = device(account)
    account.may(allow("iam:GetUser", Resource="*", Condition=MFA))
    plain = account.world.client("iam", keys_of(account.sts().get_session_token()))
    assert refused(lambda: plain.get_user(UserName="caller"))[0] == "InvalidClientTokenId"
    answer = account.sts().get_session_token(SerialNumber=serial, TokenCode=code)
    assert account.world.client("iam", keys_of(answer)).get_user(UserName="caller")
    again = refused(account.sts(keys_of(answer)).get_session_token)
    assert again[0] == "AccessDenied"


def test_role_session_cannot_get_a_session_token(account: Account) -> None:
    made = keys_of(account.assume(account.trusting()))
    assert refused(account.sts(made).get_session_token)[0] == "AccessDenied"


def test_federated_user_has_what_user_and_session_policy_both_allow(account: Account) -> None:
    account.may(allow(["sts:GetFederationToken", "iam:Get*"], Resource="*"))
    bare = keys_of(account.sts().get_federation_token(Name="bob"))
    arn = account.sts(bare).get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::{account.id}:federated-user/bob"
    none = account.world.client("iam", bare)
    assert refused(lambda: none.get_role(RoleName="x"))[0] == "InvalidClientTokenId"
    role = account.role("role", allow(ASSUME, Principal={"AWS": arn}))
    assert refused(lambda: account.assume(role, bare))[0] == "AccessDenied"


def test_caller_identity_needs_no_permission(account: Account) -> None:
    account.may({"Effect": "Deny", "Action": "*", "Resource": "*"})
    assert account.sts().get_caller_identity()["Arn"] == account.user


def test_unsigned_assume_role_is_refused(account: Account) -> None:
    role = account.role("role", allow(ASSUME, Principal="*"))
    make: Any = boto3.client
    from botocore import UNSIGNED  # noqa: PLC0415 - used here only

    client = make(
        "sts",
        region_name="us-east-1",
        endpoint_url=account.sts().meta.endpoint_url,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )
    call = lambda: client.assume_role(RoleArn=role, RoleSessionName="s1")  # noqa: E731 - one line
    assert refused(call)[1] == 403


def test_no_record_and_no_error_holds_a_secret(account: Account) -> None:
    role = account.trusting()
    made = keys_of(account.assume(role))
    wrong = role.replace("role/role", "role/x")
    message = refused(lambda: account.assume(wrong, made))[2]
    told = message + repr(account.world.records)
    assert not [v for k, v in made.items() if k != "aws_access_key_id" and v in told]
