"""What the stack's own config changes: a control left out, agents renamed, words misspelt."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from iamrange.core.controls import CONTROLS
from iamrange.core.verdict import Verdict
from iamrange.range.ablation import prove_scenario
from iamrange.range.catalogue import Entry, catalogue
from iamrange.range.deployment import Deployment, DeploymentError
from iamrange.range.lab import Lab
from iamrange.range.landing import LandingError
from iamrange.range.progress import NoProgress
from iamrange.range.runner import RunOptions, lacking, run
from iamrange.range.sweep import worlds_folder
from iamrange.report.terminal import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from iamrange.range.deployment import Tools

    class ProjectCopies(Protocol):
        def __call__(self, change: Callable[[dict[str, Any]], None] | None = None) -> Path: ...


BEHIND = {
    "aws.trust-pins-audience": "aws.provider-client-ids",
    "aws.provider-client-ids": "aws.trust-pins-audience",
    "aws.issuer-tenant": "aws.trust-pins-subject",
    "aws.passrole-scoped": "aws.permissions-boundary",
    "identity.registered-agents-only": "access.rego-policy",
    "identity.audience-restricted": "access.rego-policy",
    "identity.scope-limits": "access.rego-policy",
    "identity.exchange-narrows": "identity.scope-limits",
    "secrets.rotation": "identity.private-key-jwt",
}
"""Controls in depth, and what still holds the attack once one is off."""


def entry_for(control: str) -> Entry:
    return next(entry for entry in catalogue().values() if control in entry.guards)


@pytest.fixture(scope="module")
def base(tools: Tools) -> Iterator[Deployment]:
    with Deployment.create(tools) as made:
        yield made


@pytest.fixture
def fork(base: Deployment) -> Iterator[Deployment]:
    with base.fork() as made:
        yield made


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_off_in_the_stack_fails_the_proof_and_names_the_attack(
    fork: Deployment, control: str
) -> None:
    entry = entry_for(control)
    if missing := lacking(entry, "embedded"):
        pytest.skip(f"not-evaluated: {missing}")
    fork.reconfigure(off={control})
    assert fork.off == {control}
    with Lab(fork) as lab:
        result = prove_scenario(entry, partial(lab.attack, entry), off_in_stack=fork.off)
    assert not result.proved
    (failure,) = [one for one in result.failures if one.guard == control]
    behind = BEHIND.get(control)
    state = "now works" if behind is None else f"is now held by {behind} alone"
    assert failure.message == f"{control} is off: {entry.id} {state}"
    assert not failure.range_broke
    held = Verdict.BLOCKED if behind in entry.guards else Verdict.BLOCKED_ELSEWHERE
    expected = Verdict.SUCCEEDED if behind is None else held
    assert result.trial.judgement.verdict is expected


def test_a_run_with_a_control_off_in_stack_config_is_not_good(
    state_home: Path, project_copy: ProjectCopies
) -> None:
    assert state_home.is_dir()
    control = "gcp.allowed-audiences"
    project = project_copy(lambda config: config["iamrange:controls"].update({control: False}))
    name = entry_for(control).id
    result = run(RunOptions(scenarios=(name,), project=project), NoProgress())
    assert not result.proved
    assert not result.range_broke
    assert result.off_in_stack == (control,)
    (failure,) = result.failures
    assert failure.message == f"{control} is off: {name} now works"
    assert summary(result).startswith("NOT PROVED")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda config: config.update({"iamrange:contols": {}}),
            "iamrange:contols: expected a known setting; nearest: controls",
        ),
        (
            lambda config: config["iamrange:agents"][0].update(name="Not A Label"),
            "iamrange:agents[0].name: expected a lower-case DNS label",
        ),
        (
            lambda config: config.update(
                {
                    "iamrange:controls": {"aws.least-privilege": False},
                    "iamrange:allow-unsafe-in": [],
                }
            ),
            'iamrange:controls["aws.least-privilege"]: expected true, got False',
        ),
    ],
)
def test_a_setting_that_the_program_refuses_is_misuse_and_says_so(
    tools: Tools,
    project_copy: ProjectCopies,
    change: Callable[[dict[str, Any]], None],
    said: str,
) -> None:
    before = len(list(worlds_folder().glob("world-*")))
    with pytest.raises(LandingError) as caught:
        Deployment.create(replace(tools, project=project_copy(change)))
    assert said in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert len(list(worlds_folder().glob("world-*"))) == before


def test_a_switch_may_change_only_what_its_control_declares(
    fork: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = "aws.trust-pins-subject"
    narrowed = replace(CONTROLS[control], touches=frozenset({"aws:s3/bucket:Bucket"}))
    monkeypatch.setattr("iamrange.range.deployment.control_named", lambda _name: narrowed)
    with pytest.raises(DeploymentError, match=rf"switching {control}: .*aws:iam/role:Role"):
        fork.reconfigure(off={control})


SAMPLE = (
    "federation/attackers-provider-in-account",
    "key-leakage/neighbours-secret-in-gcp",
    "lateral-movement/read-across-projects",
    "privilege-escalation/deploy-bot-raises-itself",
    "privilege-escalation/session-tags-forged",
    "rogue-agents/cloud-logging-stopped",
    "token-theft/oidc-token-for-another-role",
    "token-theft/other-tenants-token-at-gcp",
)
LONGEST = 40


def renamed(config: dict[str, Any]) -> None:
    """Give every agent another name: as short and as long as names may be, and swapped ones."""
    agents = config["iamrange:agents"]
    parts = [agent["part"] for agent in agents]
    for number, agent in enumerate(agents):
        names = (f"x{number}", f"{'very-' * 8}"[: LONGEST - 1] + str(number), parts[number - 1])
        agent["name"] = names[number % 3]
    assert len({agent["name"] for agent in agents}) == len(agents)
    assert all(agent["name"] != agent["part"] for agent in agents)


def test_the_sample_has_every_family_and_both_clouds() -> None:
    assert {name.partition("/")[0] for name in SAMPLE} == {
        name.partition("/")[0] for name in catalogue()
    }
    assert {str(CONTROLS[catalogue()[name].guards[0]].layer) for name in SAMPLE} == {"aws", "gcp"}


def test_renaming_every_agent_changes_no_verdict(tools: Tools, project_copy: ProjectCopies) -> None:
    elsewhere = replace(tools, project=project_copy(renamed))
    with Deployment.create(elsewhere) as other, Lab(other) as lab:
        assert all(facts["name"] != part for part, facts in other.stage.agents.items())
        for name in SAMPLE:
            entry = catalogue()[name]
            held = lab.attack(entry, frozenset())
            assert held.judgement.verdict is Verdict.BLOCKED, (name, held.judgement)
            assert set(entry.guards) & set(held.judgement.guards), (name, held.judgement)
            assert held.work_went_on, (name, held.legitimate)
            opened = lab.attack(entry, frozenset(entry.guards))
            assert opened.judgement.verdict is Verdict.SUCCEEDED, (name, opened.judgement)
