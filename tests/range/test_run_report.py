"""What a real run reports: all of it by the schema, every cell with its records, and no secret."""

from __future__ import annotations

import base64
import io
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import jsonschema  # type: ignore[import-untyped]  # published without annotations
import pytest
from junitparser import JUnitXml
from rich.console import Console

import iamrange.range.lab
import iamrange.range.runner
from iamrange.core.controls import CONTROLS
from iamrange.range.deployment import Deployment
from iamrange.range.progress import ConsoleProgress
from iamrange.range.runner import RunOptions, run
from iamrange.range.sweep import Entry
from iamrange.range.work import run_actor
from iamrange.report import as_json, junit
from iamrange.report.terminal import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    class Said(Protocol):
        status: int
        out: str
        err: str

    class CommandLine(Protocol):
        def __call__(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said: ...


SCENARIOS = ("token-theft/sts-session-outside-perimeter", "token-theft/other-tenants-token-at-gcp")
COLUMNS = ("aws.network-perimeter", "gcp.attribute-condition")


@dataclass(frozen=True)
class Finished:
    """A run that is over: its report, all that it wrote for anybody to read, and its secrets."""

    report: dict[str, Any]
    written: Mapping[str, str]
    secrets: frozenset[str]


@pytest.fixture(scope="module")
def finished(state_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run two scenarios and their matrix; keep each world's folder as it was at its end."""
    assert state_home.is_dir()
    kept = tmp_path_factory.mktemp("kept")
    deployments: list[Deployment] = []
    answers: list[dict[str, Any]] = []
    create, remove, act = Deployment.create, Entry.remove, run_actor

    def created(*arguments: Any) -> Deployment:  # noqa: ANN401 - as the real one
        deployments.append(create(*arguments))
        return deployments[-1]

    def removed(entry: Entry) -> None:
        if entry.folder.exists():
            ignored = shutil.ignore_patterns("*.sock", "home")
            shutil.copytree(entry.folder, kept / entry.folder.name, ignore=ignored)
        remove(entry)

    def acted(*arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - as the real one
        answers.append(act(*arguments))
        return answers[-1]

    console = Console(file=io.StringIO(), width=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Deployment, "create", created)
        patch.setattr(Entry, "remove", removed)
        patch.setattr(iamrange.range.lab, "run_actor", acted)
        patch.setattr(iamrange.range.runner, "CONTROLS", {name: CONTROLS[name] for name in COLUMNS})
        result = run(RunOptions(scenarios=SCENARIOS, matrix=True), ConsoleProgress(console))
    show(result, console)
    junit.write(result, kept / "junit.xml")
    assert isinstance(console.file, io.StringIO)
    (base,) = deployments
    return Finished(
        as_json.report(result),
        {
            "report.json": json.dumps(as_json.report(result)),
            "terminal": console.file.getvalue(),
            **readable(kept),
        },
        secrets_of(base, answers, kept),
    )


def readable(kept: Path) -> dict[str, str]:
    """Return what lies open: reports, decision records, logs, and what actors printed."""
    patterns = ("junit.xml", "*/records.jsonl", "*/*.log", "*/actors/*/std*")
    return {
        str(path.relative_to(kept)): path.read_text(errors="replace")
        for pattern in patterns
        for path in kept.glob(pattern)
    }


def secrets_of(base: Deployment, answers: list[dict[str, Any]], kept: Path) -> frozenset[str]:
    """Return every secret of the run that is known of."""
    found = {*base.canaries.values(), *base.world.gcp_tokens.values()}
    found |= {key["secret_access_key"] for key in base.world.aws_keys.values()}
    for answer in answers:
        memory = answer.get("memory", {})
        found |= {value for name, value in memory.items() if name != "access_key_id"}
        found |= set(answer.get("loot", ()))
    for path in kept.rglob("*.jwk"):
        found.add(json.loads(path.read_text())["d"])
    for path in kept.rglob("agents/*/*token*"):
        token = path.read_text().strip()
        found |= {token, token.rpartition(".")[2]}
    found |= {path.read_text().strip() for path in kept.rglob("passphrase")}
    return frozenset(found)


def forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, and in the forms that it takes inside of other texts."""
    raw = secret.encode()
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield raw.hex()
    for shift in range(3):
        # whatever precedes it moves base64's groups of three; the edges hold neighbours' bits
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(shift) + raw).decode().rstrip("=")[4 if shift else 0 : -2]


def test_no_secret_is_in_anything_that_a_run_writes(finished: Finished) -> None:
    assert len(finished.secrets) > 60
    assert min(map(len, finished.secrets)) >= 16
    assert sum("records.jsonl" in name for name in finished.written) >= 5
    assert sum("actors" in name for name in finished.written) >= 10
    assert all(finished.written[name] for name in ("report.json", "terminal", "junit.xml"))
    text = "\n".join(finished.written.values())
    leaked = [
        name
        for name, written in finished.written.items()
        if any(form in written for secret in finished.secrets for form in forms(secret))
    ]
    assert "aws.authorize" in text
    assert leaked == []


def test_the_search_for_secrets_finds_one_in_every_form() -> None:
    secret = "canary-Ab3_x-y/z+w=Qrst"
    for before in ("", "a", "ab", "abc"):
        hidden = base64.b64encode(f"{before}{secret} after".encode()).decode()
        assert any(form in hidden for form in forms(secret)), before
    assert all(any(form in text for form in forms(secret)) for text in (secret, quote(secret, "")))


def test_the_report_of_a_run_holds_to_its_schema(finished: Finished) -> None:
    jsonschema.validate(finished.report, as_json.schema())
    assert finished.report["proved"] is True
    assert [scenario["id"] for scenario in finished.report["scenarios"]] == list(SCENARIOS)
    proved = {c["id"]: c["proved_by"] for c in finished.report["controls"] if c["proved_by"]}
    assert set(proved) == set(COLUMNS)


def test_every_verdict_cites_the_request_that_was_refused(finished: Finished) -> None:
    for scenario in finished.report["scenarios"]:
        for trial in (scenario["trial"], *(proof["with"] for proof in scenario["proofs"])):
            assert trial["verdict"] == "blocked"
            assert trial["refusal"]["where"]
            refused = {refusal["request_id"] for refusal in trial["refusals"]}
            assert refused
            assert refused <= {record["request_id"] for record in trial["records"]}
            assert all(work["ok"] for work in trial["legitimate"])
            assert {work["when"] for work in trial["legitimate"]} == {"before", "during", "after"}


def test_every_cell_of_the_matrix_has_its_records(finished: Finished) -> None:
    cells = {(cell["scenario"], cell["control"]): cell for cell in finished.report["matrix"]}
    assert set(cells) == {(name, control) for name in SCENARIOS for control in COLUMNS}
    own = dict(zip(SCENARIOS, COLUMNS, strict=True))
    for (name, control), cell in cells.items():
        assert cell["verdict"] == ("succeeded" if own[name] == control else "blocked")
        assert cell["records"]
        assert cell["request_ids"] == sorted({one["request_id"] for one in cell["records"]})


def test_json_is_all_that_is_printed_and_files_say_the_same(
    iamrange: CommandLine, tmp_path: Path
) -> None:
    name = "token-theft/expired-token-at-gcp"
    answer = iamrange("run", name, "--json", "--out", str(tmp_path))
    assert answer.status == 0, answer.err
    report = json.loads(answer.out)
    assert report == json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(report, as_json.schema())
    document = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (document.tests, document.failures, document.errors) == (1, 0, 0)


ATTACK = "token-theft/aws-token-at-gcp"


def test_an_attack_that_is_refused_is_good(iamrange: CommandLine) -> None:
    answer = iamrange("attack", ATTACK)
    assert answer.status == 0, answer.err
    assert answer.out.startswith(f"blocked: {ATTACK}")
    assert "gcp.sts audience" in answer.out
    assert "gcp.allowed-audiences" in answer.out


def test_an_attack_that_works_is_not(iamrange: CommandLine) -> None:
    answer = iamrange("attack", ATTACK, "--without", "gcp.allowed-audiences", "--json")
    assert answer.status == 1, answer.err
    trial = json.loads(answer.out)
    assert trial["verdict"] == "succeeded"
    assert trial["off"] == ["gcp.allowed-audiences"]
