"""The harness attacks itself: each rogue cloud changes exactly what it should, on real worlds."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from iamrange.core.controls import CONTROLS
from iamrange.core.scenario import Material
from iamrange.core.verdict import Verdict
from iamrange.range.catalogue import Entry, catalogue
from iamrange.range.deployment import Deployment
from iamrange.range.lab import Lab
from iamrange.range.lying_around import WHERE
from iamrange.range.progress import NoProgress
from iamrange.range.runner import RunOptions, lacking, workshop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from iamrange.core.verdict import Trial

ENTRIES = tuple(catalogue().values())
IGNORES_ONE = "test_a_cloud_that_ignores_one_control_opens_that_controls_attacks_alone"
# One attack for each decision point that a control sits at; the rest is the same machinery.
SAMPLE = (
    "key-leakage/neighbours-secret-in-aws",
    "key-leakage/service-account-key-minted",
    "token-theft/oidc-token-for-another-role",
    "token-theft/aws-token-at-gcp",
)


MORE_THAN_AN_ANSWER = {
    "access.path-normalised": "with no canonical path there is nothing to decide on: 503",
    "detect.audit-chain": "whoever verifies the log is no part of the world",
    "detect.behaviour-baseline": "whoever watches is no part of the world",
    "detect.hard-limits": "whoever watches is no part of the world",
    "secrets.no-hard-coded-credentials": "what was not written down is not there to find",
    "secrets.redaction": "what was not logged is not there to find",
    "secrets.vault-bound-claims": "OpenBao decides, and no rogue of ours is in there",
    "secrets.vault-policy-per-agent": "OpenBao decides, and no rogue of ours is in there",
    "secrets.short-leases": "OpenBao decides, and no rogue of ours is in there",
    "secrets.single-use-wrapping": "OpenBao decides, and no rogue of ours is in there",
    "secrets.dynamic-database-credentials": "PostgreSQL decides, and no rogue of ours is in there",
    "access.segmentation": "Envoy decides at the handshake, and no rogue of ours is in there",
    "access.gateway-only-egress": "the kernel decides",
    "access.prompts-limited": "the limit is kept in the store's own transaction",
    "access.approval": "the layer of approvals and the policy both ask for one",
    "access.approved-by-others": "separation and role are two layers, and both judge at each use",
    "identity.revocation": "token service, gateway and policy each look at the agent's state",
    "identity.sender-constrained": "scheme and proof are two layers",
}
"""Controls that one layer's answer alone does not undo -> why. Their scenarios' own proofs do."""


def opened_by(lab: Lab, entry: Entry, own: str) -> Trial:
    """Attack a rogue that lacks one control; what else stands in the way is taken away first."""
    off = frozenset(entry.guards[1:]) & set(CONTROLS)
    while True:
        trial = lab.attack(entry, off, own)
        in_the_way = {g for g in trial.judgement.guards if g in CONTROLS and g != own}
        if trial.judgement.verdict is Verdict.SUCCEEDED or in_the_way <= off:
            return trial
        off |= in_the_way


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with (
        workshop(RunOptions(), NoProgress()) as tools,
        Deployment.create(tools) as base,
        Lab(base) as made,
    ):
        yield made


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize(
    ("rogue", "expected"),
    [
        ("AllowsAll", Verdict.SUCCEEDED),
        ("DeniesForAnotherReason", Verdict.BLOCKED_ELSEWHERE),
        ("Crashes", Verdict.ERROR),
        (None, Verdict.BLOCKED),
    ],
)
def test_a_rogue_cloud_changes_the_verdict_as_it_should(
    lab: Lab, name: str, rogue: str | None, expected: Verdict
) -> None:
    trial = lab.attack(catalogue()[name], frozenset(), rogue)
    assert trial.judgement.verdict is expected, trial.judgement


@pytest.mark.parametrize("name", SAMPLE)
def test_a_cloud_that_denies_all_stops_the_legitimate_work(lab: Lab, name: str) -> None:
    trial = lab.attack(catalogue()[name], frozenset(), "DeniesAll")
    assert trial.judgement.verdict is not Verdict.SUCCEEDED
    assert not trial.work_went_on


def opened_and_held(lab: Lab, entry: Entry) -> tuple[Trial, Trial]:
    """Attack a rogue that lacks one of the attack's own controls, and one that lacks another's."""
    opened = opened_by(lab, entry, entry.guards[0])
    other = next(name for name in CONTROLS if name not in entry.guards)
    held = lab.attack(entry, frozenset(), other)
    if held.judgement.verdict is Verdict.BLOCKED_ELSEWHERE:
        # it stands behind what had to be taken away before
        held = lab.attack(entry, opened.off, other)
    return opened, held


@pytest.fixture(scope="module")
def trials(
    lab: Lab, request: pytest.FixtureRequest
) -> Iterator[Mapping[str, Future[tuple[Trial, Trial]]]]:
    """Attack in all scenarios whose tests are run, side by side on the machine's cores."""
    named = {entry.id: entry for entry in ENTRIES if not lacking(entry, "embedded")}
    run = {item.name for item in request.session.items}
    chosen = [name for name in named if f"{IGNORES_ONE}[{name}]" in run]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            yield {name: pool.submit(opened_and_held, lab, named[name]) for name in chosen}
        finally:
            pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_a_cloud_that_ignores_one_control_opens_that_controls_attacks_alone(
    trials: Mapping[str, Future[tuple[Trial, Trial]]], entry: Entry
) -> None:
    """The control ignored is one of this attack's own, then one of another attack's."""
    if missing := lacking(entry, "embedded"):
        pytest.skip(f"not-evaluated: {missing}")
    opened, held = trials[entry.id].result()
    if entry.guards[0] in MORE_THAN_AN_ANSWER:
        assert opened.judgement.verdict is not Verdict.SUCCEEDED, opened.judgement
    else:
        assert opened.judgement.verdict is Verdict.SUCCEEDED, opened.judgement
    detects = any(guard.detects for guard in entry.scenario.blocked_by)
    # whom a watch has found out is cut off, and may be before the attack is over
    expected = {Verdict.DETECTED, Verdict.BLOCKED} if detects else {Verdict.BLOCKED}
    if entry.scenario.foothold.takes in {*WHERE, Material.LOG_READER}:
        expected = {Verdict.NOTHING_TO_STEAL}
    assert held.judgement.verdict in expected, held.judgement
