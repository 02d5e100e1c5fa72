from __future__ import annotations

import json

import pytest

from iamrange.identity.sts import AwsSession, StsError, StsRefused, read_answer
from iamrange.jose import SigningKey
from iamrange.range.config import AgentRegistration, Project, WorldConfig


def test_sts_answer_is_read() -> None:
    body = (
        b'<R xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><C><AccessKeyId>a</AccessKeyId>'
        b"<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        b"<Expiration>e</Expiration></C></R>"
    )
    session = read_answer(200, body)
    assert session == AwsSession("a", "s", "t", "e")
    assert "s'" not in repr(session)


def test_sts_refusal_is_read() -> None:
    body = b"<E><Error><Code>c</Code><Message>m</Message></Error><RequestId>r</RequestId></E>"
    assert read_answer(403, body) == StsRefused(403, "c", "m", "r")


@pytest.mark.parametrize(
    ("status", "body"), [(200, b""), (200, b"<R/>"), (500, b"{}"), (500, b"<R/>")]
)
def test_sts_answer_that_is_none_breaks_the_range(status: int, body: bytes) -> None:
    with pytest.raises(StsError, match=f"status {status}"):
        read_answer(status, body)


def test_world_configuration_crosses_processes_unchanged() -> None:
    key = SigningKey.generate("ES256").public_jwk()
    config = WorldConfig(
        run_id="r",
        aws_accounts=("1", "2"),
        aws_organization="1",
        aws_members=("2",),
        gcp_projects=(Project(id="p", number="3", organization="4"),),
        agents=(AgentRegistration(name="a", public_jwk=key, audiences=("x", "y")),),
        rogues={"n": "m:a"},
        trust_ca=("/ca.pem",),
    )
    assert WorldConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
