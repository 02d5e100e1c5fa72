"""The peers, run as they are: what they find of known policies, and a process that fails."""

from __future__ import annotations

import json
import sys

import pytest

from iamrange.credentials.privileges.estate import Document
from iamrange.credentials.privileges.peers import PEERS, PeerError, peer_versions, peers_say


def document(action: object, resource: str = "*") -> Document:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return Document("inline:p", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def test_both_peers_say_their_own_of_a_policy_that_is_too_wide() -> None:
    found = peers_say([document(["iam:PutRolePolicy", "s3:GetObject"])])
    kinds = {(one.tool, one.kind) for one in found}
    assert ("cloudsplaining", "PrivilegeEscalation") in kinds
    assert ("cloudsplaining", "DataExfiltration") in kinds
    assert ("parliament", "RESOURCE_STAR") in kinds
    assert {one.tool for one in found} == set(PEERS)
    assert {one.policy for one in found} == {"inline:p"}


def test_they_say_nothing_of_one_exact_grant() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:mine-a1B2c3"
    assert peers_say([document("secretsmanager:DescribeSecret", arn)]) == ()


def test_both_are_named_with_their_versions() -> None:
    assert set(peer_versions()) == set(PEERS)


def test_a_process_of_theirs_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(PeerError, match="ended with 1"):
        peers_say([document("s3:GetObject")])
