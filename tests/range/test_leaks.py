"""The harness finds a secret that a world has written down, wherever that is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from iamrange.core.decision import DecisionRecord, Outcome, record_to_json
from iamrange.core.scenario import Asset, AssetKind, Part
from iamrange.core.secrets_controls import REDACTION
from iamrange.range.catalogue import catalogue
from iamrange.range.deployment import Deployment
from iamrange.range.lab import Lab
from iamrange.range.leaks import known_secrets, leaked
from iamrange.range.progress import NoProgress
from iamrange.range.runner import RunOptions, workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.core.verdict import Trial

LOGGED = "key-leakage/secret-found-in-the-logs"
RECORD = DecisionRecord(
    request_id="r",
    time=0.0,
    point="gateway.call",
    action="GET",
    resource="https://customers.iamrange.example/records/latest",
    principal="spiffe://iamrange.example/agent/data-analyst",
    outcome=Outcome.ALLOW,
    reason="admitted",
    layers=(),
)


@pytest.fixture(scope="module")
def base() -> Iterator[Deployment]:
    with workshop(RunOptions(), NoProgress()) as tools, Deployment.create(tools) as made:
        yield made


@pytest.fixture
def world(base: Deployment) -> Iterator[Deployment]:
    with base.fork() as forked:
        yield forked


def test_a_world_that_worked_has_written_no_secret_down(world: Deployment) -> None:
    secrets = known_secrets(world, {"oauth": {"client_secret": "a secret that was taken"}})
    assert len(secrets) > len(world.homes)
    assert leaked(world, secrets, ["nothing"]) is None


def test_a_secret_in_a_record_is_found_and_named(world: Deployment) -> None:
    asset = Asset(AssetKind.AWS_SECRET, Part.DATA_ANALYST)
    record = replace(RECORD, reason=world.canaries[asset])
    world.world.control("record", record=record_to_json(record))
    found = leaked(world, known_secrets(world, {}), [])
    assert found == f"log 'records.jsonl' holds the value of {asset}"


@pytest.mark.parametrize(
    ("file", "place"), [("host.log", "host.log"), ("actors/1-attack/stderr", "stderr")]
)
def test_a_secret_in_what_a_process_said_is_found(world: Deployment, file: str, place: str) -> None:
    path = world.world.folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("Traceback: a secret that was taken\n")
    found = leaked(world, known_secrets(world, {"token": "a secret that was taken"}), [])
    assert found == f"log '{place}' holds what the attacker had taken: token"


def test_a_secret_in_what_a_trial_says_is_found(world: Deployment) -> None:
    token = next(iter(world.world.gcp_tokens.values()))
    found = leaked(world, known_secrets(world, {}), [f"refused: {token}"])
    assert found is not None
    assert found.startswith("the report holds the administrator's token")


def test_a_record_of_a_token_in_the_place_of_a_name_has_a_mark(world: Deployment) -> None:
    token = str(next(iter(world.world.aws_keys.values()))["secret_access_key"])
    said = f"aws_secret_access_key={token}"
    world.world.control("record", record=record_to_json(replace(RECORD, principal=said)))
    assert leaked(world, known_secrets(world, {}), []) is None
    records, _ = world.world.records_since(0)
    assert records[-1].principal.startswith("aws_secret_access_key=[redacted:")


def attacked(base: Deployment, off: frozenset[str]) -> Trial:
    with Lab(base) as lab:
        return lab.attack(catalogue()[LOGGED], off)


def test_the_log_alone_is_left_out_where_a_scenario_has_it_unredacted(base: Deployment) -> None:
    assert attacked(base, frozenset()).judgement.detail == ""
    assert attacked(base, frozenset({REDACTION.id})).judgement.detail == ""
