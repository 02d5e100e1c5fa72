"""What stands on the stage, read from a stack's outputs."""

from __future__ import annotations

from typing import Any

import pytest

from iamrange.core.scenario import Asset, AssetKind, Part
from iamrange.range.stage import StageError, stage_from_outputs


def outputs() -> dict[str, Any]:
    return {
        "agents": {
            part.value: {
                "name": f"{part}-7",
                "project": "analytics",
                "aws_secret_arn": f"arn:{part}",
                "gcp_secret": f"projects/p/secrets/{part}",
            }
            for part in Part
        },
        "aws": {"tables": {"analytics": "records"}, "platform_secret_arn": "arn:platform"},
        "gcp": {"backup_secret": "projects/p/secrets/backup"},
        "vault": {"store": "agents"},
    }


def test_facts_are_found_by_their_dotted_names() -> None:
    stage = stage_from_outputs(outputs())
    facts = stage.facts(
        ["own.aws_table", "victim.name", "target.name", "aws.platform_secret_arn", "vault.store"],
        victim=Part.LOG_WRITER,
        target=Part.DEPLOY_BOT,
    )
    assert facts == {
        "own.aws_table": "records",
        "victim.name": "log-writer-7",
        "target.name": "deploy-bot-7",
        "aws.platform_secret_arn": "arn:platform",
        "vault.store": "agents",
    }


@pytest.mark.parametrize("name", ["aws.nothing", "target.name", "moon.name", "aws"])
def test_a_fact_that_is_not_there_is_named(name: str) -> None:
    stage = stage_from_outputs(outputs())
    with pytest.raises(StageError, match=rf"fact '{name}' expected among the stack's outputs"):
        stage.facts([name], victim=Part.LOG_WRITER)


@pytest.mark.parametrize("name", ["agents", "aws", "gcp", "vault"])
def test_outputs_that_lack_a_part_are_refused(name: str) -> None:
    lacking = outputs()
    del lacking[name]
    with pytest.raises(StageError, match=f"stack output '{name}' expected an object, got None"):
        stage_from_outputs(lacking)


def test_a_part_without_an_agent_is_refused() -> None:
    lacking = outputs()
    del lacking["agents"]["deploy-bot"]
    with pytest.raises(StageError, match="no agent plays the part 'deploy-bot'"):
        stage_from_outputs(lacking)


def test_each_agents_assets_have_places_of_their_own() -> None:
    stage = stage_from_outputs(outputs())
    secrets = [stage.place_of(Asset(AssetKind.AWS_SECRET, part)) for part in Part]
    assert len(set(secrets)) == len(Part)
    assert stage.place_of(Asset(AssetKind.AWS_PLATFORM_SECRET)) == "arn:platform"
    assert Asset(AssetKind.GCP_BACKUP_SECRET) in stage.assets()
