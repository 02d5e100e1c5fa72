"""The report for machines: `report.json`, whose schema is `report.schema.json`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from iamrange.core.controls import CONTROLS
from iamrange.core.decision import record_to_json

if TYPE_CHECKING:
    from iamrange.core.result import Cell, RunResult, ScenarioResult
    from iamrange.core.verdict import Failure, Judgement, Legitimate, Proof, RefusedBy, Trial

SCHEMA_VERSION = "1.0"


def schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) that every report holds to."""
    text = files("iamrange.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    value: dict[str, Any] = json.loads(text)
    return value


def report(result: RunResult) -> dict[str, Any]:
    """Return the whole result as JSON-ready values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": result.run_id,
        "target": result.target,
        "started": datetime.fromtimestamp(result.started, UTC).isoformat(),
        "seconds": round(result.seconds, 3),
        "versions": dict(result.versions),
        "proved": result.proved,
        "off_in_stack": list(result.off_in_stack),
        "scenarios": [_scenario(scenario) for scenario in result.scenarios],
        "controls": _controls(result),
        "matrix": [_cell(cell) for cell in result.matrix],
        "cut_sets": {
            asset: [sorted(cut) for cut in cuts] for asset, cuts in result.cut_sets().items()
        },
        "unevaluated": list(result.unevaluated),
        "notes": list(result.notes),
    }


def _scenario(result: ScenarioResult) -> dict[str, Any]:
    return {
        "id": result.id,
        "claim": result.claim,
        "lesson": result.lesson,
        "asset": result.asset,
        "blocked_by": list(result.guards),
        "proved": result.proved,
        "trial": trial_report(result.trial),
        "proofs": [_proof(proof) for proof in result.proofs],
        "failures": [_failure(failure) for failure in result.failures],
    }


def trial_report(trial: Trial) -> dict[str, Any]:
    """Return one trial as JSON-ready values."""
    return {
        "off": sorted(trial.off),
        "rogue": trial.rogue,
        "verdict": trial.judgement.verdict.value,
        "detail": trial.judgement.detail,
        "refusal": _refusal(trial.judgement),
        "refusals": [_refused_by(refused) for refused in trial.judgement.refusals],
        "legitimate": [_legitimate(work) for work in trial.legitimate],
        "records": [record_to_json(record) for record in trial.records],
        "seconds": round(trial.seconds, 3),
    }


def _refusal(judgement: Judgement) -> dict[str, Any] | None:
    """Return who refused, in short: the first refusal that a declared guard answers for."""
    if not judgement.refusals:
        return None
    first = next((r for r in judgement.refusals if r.guards), judgement.refusals[0])
    return {
        "where": f"{first.point} {first.layer}",
        "reason": first.reason,
        "statement": first.statement,
    }


def _refused_by(refused: RefusedBy) -> dict[str, Any]:
    return {
        "request_id": refused.request_id,
        "point": refused.point,
        "action": refused.action,
        "layer": refused.layer,
        "effect": refused.effect,
        "reason": refused.reason,
        "statement": refused.statement,
        "condition_keys": list(refused.condition_keys),
        "guards": list(refused.guards),
    }


def _legitimate(work: Legitimate) -> dict[str, Any]:
    return {"part": work.part, "when": work.when, "ok": work.ok, "detail": work.detail}


def _proof(proof: Proof) -> dict[str, Any]:
    return {
        "guard": proof.guard,
        "context": sorted(proof.context),
        "single_point_of_failure": proof.single_point_of_failure,
        "with": trial_report(proof.with_it),
        "without": trial_report(proof.without_it),
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "guard": failure.guard,
        "message": failure.message,
        "range_broke": failure.range_broke,
    }


def _controls(result: RunResult) -> list[dict[str, Any]]:
    """List every control, proved in this run or not, with its proofs."""
    listed = []
    for control in CONTROLS.values():
        proofs = [proof for proof in result.proofs if proof.guard == control.id]
        listed.append(
            {
                "id": control.id,
                "summary": control.summary,
                "without_it": control.without_it,
                "proved_by": [
                    {"scenario": proof.scenario, "context": sorted(proof.context)}
                    for proof in proofs
                ],
                "single_point_of_failure": any(p.single_point_of_failure for p in proofs),
                "maps_to": [f"{ref.framework}: {ref.id} {ref.title}" for ref in control.maps_to],
            }
        )
    return listed


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "scenario": cell.scenario,
        "control": cell.control,
        "verdict": cell.trial.judgement.verdict.value,
        "guards": list(cell.trial.judgement.guards),
        "request_ids": sorted({record.request_id for record in cell.trial.records}),
        "records": [record_to_json(record) for record in cell.trial.records],
    }
