"""What a refusal says, and what becomes of operations that no rule puts into permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from iamrange.core.decision import Outcome
from tests.conformance.aws.lab import (
    EVERYTHING,
    HOME,
    OTHER,
    READ,
    Call,
    Lab,
    allow,
    cond,
    deny,
    document,
    gets,
    reads,
    refusal_of,
    unique,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def plain() -> Iterator[Lab]:
    running = Lab()
    yield running
    running.stop()


@pytest.fixture
def lenient() -> Iterator[Lab]:
    running = Lab(unmapped="allow")
    yield running
    running.stop()


@pytest.fixture
def explaining() -> Iterator[Lab]:
    running = Lab(explain=True)
    yield running
    running.stop()


def message_of(call: Call) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Message"])


def test_unmapped_operation_is_denied_and_says_so(plain: Lab) -> None:
    said = message_of(plain.admin.resourcegroupstaggingapi.get_resources)
    operation = "resourcegroupstaggingapi:GetResources"
    assert said.startswith(f"iamrange cannot decide {operation}, so it is denied")
    assert plain.cloud.unmapped_operations == plain.records[-1].unevaluated == (operation,)


def test_unmapped_operation_passes_when_asked_for_and_is_listed(lenient: Lab) -> None:
    tags = lenient.admin.resourcegroupstaggingapi
    tags.get_resources()
    assert lenient.cloud.unmapped_operations == ("resourcegroupstaggingapi:GetResources",)
    last = lenient.records[-1]
    assert (last.outcome, last.reason) == (Outcome.ALLOW, "operation-not-mapped")
    assert last.unevaluated == lenient.cloud.unmapped_operations


def test_anonymous_unmapped_call_never_passes(lenient: Lab) -> None:
    unsigned = Config(signature_version=UNSIGNED)
    nobody = lenient.client("resourcegroupstaggingapi", config=unsigned)
    assert refusal_of(nobody.get_resources)[1] >= 400


def test_request_that_a_rule_cannot_read_never_passes(lenient: Lab) -> None:
    sns = lenient.admin.sns
    elsewhere = f"arn:aws:sns:eu-west-1:{HOME}:topic"
    assert refusal_of(lambda: sns.publish(TopicArn=elsewhere, Message="m"))[1] == 403


def test_message_ends_in_the_words_of_aws(plain: Lab) -> None:
    secret, bucket = plain.secret(), plain.bucket()
    who = plain.user()
    start = f"User: {who.arn} is not authorized to perform: "
    assert message_of(reads(who, secret)) == (
        f"{start}{READ} on resource: {secret} "
        f"because no identity-based policy allows the {READ} action"
    )
    assert message_of(gets(who, bucket)) == (
        f'{start}s3:GetObject on resource: "arn:aws:s3:::{bucket}/own/key" '
        "because no identity-based policy allows the s3:GetObject action"
    )
    ids = ["i-0123456789abcdef0"]
    assert message_of(lambda: who.ec2.stop_instances(InstanceIds=ids)).startswith(
        f"You are not authorized to perform this operation. {start}ec2:StopInstances on resource: "
    )


def test_stranger_learns_nothing_from_s3(plain: Lab) -> None:
    who = plain.user(EVERYTHING, account=OTHER)
    assert message_of(gets(who, plain.bucket())) == "Access Denied"


def test_denying_managed_policy_is_named_by_its_arn(plain: Lab) -> None:
    secret, who = plain.secret(), plain.user(EVERYTHING)
    arn = plain.admin.iam.create_policy(
        PolicyName=unique("deny"), PolicyDocument=document(deny(READ))
    )["Policy"]["Arn"]
    plain.admin.iam.attach_user_policy(UserName=who.name, PolicyArn=arn)
    said = message_of(reads(who, secret))
    assert said.endswith(f"with an explicit deny in an identity-based policy: {arn}")


def test_explanation_names_policy_statement_and_condition(explaining: Lab) -> None:
    secret = explaining.secret()
    red = cond("StringEquals", "aws:ResourceTag/team", "red")
    near = explaining.user(allow(READ, Sid="Red", **red))
    assert "statement Red of inline:p on aws:resourcetag/team" in message_of(reads(near, secret))
    denied = explaining.user(EVERYTHING, deny(READ, Sid="Never"))
    assert "identity denies by statement Never of inline:p" in message_of(reads(denied, secret))
    nothing = explaining.user()
    assert "identity has no statement that allows" in message_of(reads(nothing, secret))
