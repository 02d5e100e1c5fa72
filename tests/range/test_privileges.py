"""The over-privilege audit on whole worlds: found, made smaller, and proved by work and attacks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import pytest

from iamrange.core.scenario import Part
from iamrange.core.verdict import Verdict
from iamrange.credentials.privileges.model import Kind
from iamrange.range.deployment import Deployment
from iamrange.range.privileges import audit, observe_at_work, project_of
from iamrange.range.privileges_proof import prove
from iamrange.range.privileges_put import put
from iamrange.range.privileges_vault import vault_of
from iamrange.range.progress import NoProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from iamrange.range.deployment import Tools
    from iamrange.range.privileges import Observed

    class Said(Protocol):
        status: int
        out: str
        err: str

    class CommandLine(Protocol):
        def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


BY_HAND = {
    "Version": "2012-10-17",
    "Statement": [
        {"Sid": "Quick", "Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}
    ],
}


@pytest.fixture(scope="module")
def base(tools: Tools) -> Iterator[Deployment]:
    with Deployment.create(tools) as deployed:
        yield deployed


@pytest.fixture(scope="module")
def observed(base: Deployment) -> Observed:
    return observe_at_work(base, NoProgress())


def iam_of(world: Deployment) -> Any:  # noqa: ANN401 - boto3 publishes no types
    key = world.world.aws_keys[world.landing.workloads]
    session = boto3.Session(
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        region_name=world.landing.region,
    )
    return session.client("iam", endpoint_url=world.world.aws_endpoint)


def test_a_wildcard_added_by_hand_is_found_and_the_proposal_takes_it_away(
    base: Deployment,
) -> None:
    name = base.stage.agents[Part.LOG_WRITER]["name"]
    role = base.stage.agents[Part.LOG_WRITER]["aws_role_arn"].rsplit("/", 1)[-1]
    with base.fork() as world:
        iam_of(world).put_role_policy(
            RoleName=role, PolicyName="by-hand", PolicyDocument=json.dumps(BY_HAND)
        )
        found, *_ = audit(observe_at_work(world, NoProgress()), name)
        planted = {one.kind: one for one in found.findings if one.policy == "inline:by-hand"}
        assert planted[Kind.WILDCARD_ACTION].what == ("secretsmanager:*",)
        assert planted[Kind.WILDCARD_RESOURCE].what == ("*",)
        assert planted[Kind.WILDCARD_ACTION].statement == "Quick"
        assert any("secretsmanager" in peer.kind or peer.what for peer in found.peers)
        # what the two policies both grant is used through one of them, and through that one alone
        (proposal,) = (one for one in found.proposals if one.policy == "inline:by-hand")
        kept = {one.statement for one in found.uses if one.policy == "inline:by-hand"}
        assert (proposal.document is None) is (not kept)
        put(world, found.proposals)
        after, *_ = audit(observe_at_work(world, NoProgress()), name)
        assert "secretsmanager:*" not in json.dumps([one.what for one in after.findings])
        assert [one for one in after.findings if one.kind is Kind.WILDCARD_ACTION] == []


def test_a_binding_on_the_whole_project_is_found_and_the_proposal_takes_it_away(
    base: Deployment,
) -> None:
    facts = base.stage.agents[Part.LOG_WRITER]
    member = f"serviceAccount:{facts['gcp_service_account']}"
    with base.fork() as world:
        api = project_of(world)
        name = f"projects/{api.project}"
        policy = api.policy(name, "project")
        binding = {"role": "roles/iam.serviceAccountTokenCreator", "members": [member]}
        policy["bindings"] = [*policy.get("bindings", ()), binding]
        api.call("POST", f"v1/{name}:setIamPolicy", {"policy": {**policy, "version": 3}})
        _, found, _ = audit(observe_at_work(world, NoProgress()), facts["name"])
        planted = [
            one for one in found.findings if one.statement == "roles/iam.serviceAccountTokenCreator"
        ]
        assert {one.kind for one in planted} >= {Kind.UNUSED_ACTION, Kind.WILDCARD_RESOURCE}
        assert "getAccessToken" in {one.path for one in found.findings}
        put(world, found.proposals)
        _, after, _ = audit(observe_at_work(world, NoProgress()), facts["name"])
        assert after.findings == ()
        assert {use.action for use in after.uses} == {use.action for use in found.uses}


def test_a_proposal_that_lacks_a_call_fails_the_work_and_the_call_is_named(
    base: Deployment, observed: Observed
) -> None:
    name = base.stage.agents[Part.LOG_WRITER]["name"]
    found, *_ = audit(observed, name)
    (proposal,) = found.proposals
    assert proposal.document is not None
    crippled = {
        **proposal.document,
        "Statement": [
            {**one, "Action": "secretsmanager:DescribeSecret"}
            for one in proposal.document["Statement"]
        ],
    }
    lacking = replace(found, proposals=(replace(proposal, document=crippled),))
    proof = prove(base, [lacking], observed.estate, NoProgress(), jobs=1)
    assert not proof.holds
    refused = [work for work in proof.work if not work.ok]
    assert {work.agent for work in refused} == {name}
    secret = base.stage.agents[Part.LOG_WRITER]["aws_secret_arn"]
    assert any(
        f"secretsmanager:GetSecretValue on {secret}: identity-does-not-allow" in work.missing
        for work in refused
    )


def test_the_command_proposes_writes_and_proves(
    iamrange: CommandLine, base: Deployment, tmp_path: Path
) -> None:
    name = base.stage.agents[Part.DATA_ANALYST]["name"]
    folder = tmp_path / "proposed"
    said = iamrange(
        *("scan", "privileges", "--agent", name, "--prove", "--json", "--out", str(folder))
    )
    assert said.status == 1, said.err
    told = json.loads(said.out)
    assert told == json.loads((folder / "scan.json").read_text())
    agent, on_google, in_vault = told["agents"]
    assert [(one["agent"], one["cloud"]) for one in told["agents"]] == [
        (name, "aws"),
        (name, "gcp"),
        (name, "vault"),
    ]
    assert {use["action"] for use in in_vault["used"]} == {"read"}
    assert [one["faults"] for one in in_vault["proposals"]] == [[]]
    assert {use["action"] for use in on_google["used"]} >= {"secretmanager.versions.access"}
    assert [one["faults"] for one in on_google["proposals"]] == [[]]
    assert {use["action"] for use in agent["used"]} >= {"secretsmanager:GetSecretValue"}
    assert all(finding["way_out"] for finding in agent["findings"])
    (proposal,) = agent["proposals"]
    assert proposal["faults"] == []
    documents = [path for path in folder.iterdir() if path.name != "scan.json"]
    written = {path.name.split(".")[1]: json.loads(path.read_text()) for path in documents}
    assert written == {
        "aws": proposal["document"],
        "gcp": on_google["proposals"][0]["document"],
        "vault": in_vault["proposals"][0]["document"],
    }
    proof = told["proof"]
    assert proof["holds"]
    assert all(work["ok"] for work in proof["work"])
    verdicts = {attack["proposed"] for attack in proof["attacks"]}
    assert verdicts <= {"blocked", "blocked-elsewhere"}
    assert len(proof["attacks"]) >= 5
    opened = proof["with_controls_off"]
    assert {one["granted"] for one in opened} == {"succeeded"}
    assert {one["proposed"] for one in opened} <= {"blocked", "blocked-elsewhere"}
    assert "in a fresh world" not in said.out


def test_a_running_range_is_read_as_it_stands(iamrange: CommandLine, base: Deployment) -> None:
    name = base.stage.agents[Part.LOG_WRITER]["name"]
    assert iamrange("up").status == 0
    try:
        said = iamrange("scan", "privileges", "--agent", name, "--json")
    finally:
        assert iamrange("down").status == 0
    assert said.status == 1, said.err
    told = json.loads(said.out)
    assert told["window"]["source"] == "the running range's records"
    assert told["window"]["decisions"] > 0
    for agent in told["agents"]:  # nobody has worked there: nothing is used, and nothing proposed
        assert agent["used"] == []
        assert agent["proposals"] == []
        assert agent["findings"]


WIDE = """
# by hand, in a hurry
path "agents/data/*" { capabilities = ["create", "read", "update", "list"] }
path "sys/policies/acl/*" { capabilities = ["create", "update"] }
"""


def test_a_wide_vault_policy_is_found_made_smaller_and_proved_by_work_and_attacks(
    base: Deployment,
) -> None:
    facts = base.stage.agents[Part.SUPPORT_LLM]
    policy = facts["vault_role"]
    with base.fork() as world:
        access = vault_of(world)
        assert access is not None
        access.call("PUT", f"sys/policies/acl/{policy}", {"policy": WIDE})
        seen = observe_at_work(world, NoProgress())
        *_, found = audit(seen, facts["name"])
        kinds = {(one.kind, one.statement) for one in found.findings}
        assert kinds >= {
            (Kind.WILDCARD_RESOURCE, "agents/data/*"),
            (Kind.UNUSED_RESOURCE, "agents/data/*"),
            (Kind.UNUSED_ACTION, "sys/policies/acl/*"),
        }
        assert "policies.write-own" in {one.path for one in found.findings}
        (proposal,) = found.proposals
        assert (proposal.policy, proposal.faults) == (f"vault:{policy}", ())
        assert proposal.document is not None
        store = base.stage.vault["store"]
        assert proposal.document["path"][f"{store}/data/{facts['vault_path']}"] == {
            "capabilities": ["read"]
        }
        assert not any("*" in one for one in proposal.document["path"])
        put(world, found.proposals)
        *_, after = audit(observe_at_work(world, NoProgress()), facts["name"])
        assert after.findings == ()
        assert {use.action for use in after.uses} == {use.action for use in found.uses}
    proof = prove(base, [found], seen.estate, NoProgress(), jobs=1)
    assert proof.holds, proof.to_json()
    assert "key-leakage/neighbours-path-in-the-vault" in {one.scenario for one in proof.attacks}
    opened = {one.scenario: one for one in proof.opened}["key-leakage/neighbours-path-in-the-vault"]
    assert (opened.granted, opened.refused) == (Verdict.SUCCEEDED, True)


@pytest.mark.parametrize(
    "arguments", [("--agent", "nobody"), ("--out", __file__)], ids=["agent", "folder"]
)
def test_misuse_is_told_from_findings(iamrange: CommandLine, arguments: tuple[str, ...]) -> None:
    assert iamrange("scan", "privileges", *arguments).status == 2
