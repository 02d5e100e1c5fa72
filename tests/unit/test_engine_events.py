"""Reading the engine's JSON events."""

from __future__ import annotations

import json

from iamrange.engine.events import Diagnostic, EventLog, Step

URN = "urn:pulumi:lab::iamrange::aws:iam/role:Role::analyst"
STACK = "urn:pulumi:lab::iamrange::pulumi:pulumi:Stack::iamrange-lab"
SECRET_VALUE = {
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    "ciphertext": "[secret]",
}


def read(*events: dict[str, object]) -> EventLog:
    log = EventLog()
    for event in events:
        log.add(json.dumps(event))
    return log


def test_a_step_is_read_with_what_changed() -> None:
    metadata = {"op": "update", "urn": URN, "type": "aws:iam/role:Role", "diffs": ["tags", "path"]}
    seen: list[Step] = []
    log = EventLog()
    log.add(json.dumps({"resourcePreEvent": {"metadata": metadata}}), seen.append)
    log.add(json.dumps({"resOutputsEvent": {"metadata": metadata}}), seen.append)
    done = Step("update", URN, "aws:iam/role:Role", "analyst", done=True, changed=("path", "tags"))
    assert [step.done for step in seen] == [False, True]
    assert log.steps == [done]


def test_a_failed_step_is_marked() -> None:
    metadata = {"op": "create", "urn": URN, "type": "aws:iam/role:Role"}
    (step,) = read({"resOpFailedEvent": {"metadata": metadata}}).steps
    assert step.failed


def test_stack_outputs_are_read_and_secret_ones_left_out() -> None:
    outputs = {"role": "arn", "key": SECRET_VALUE, "nested": {"deep": [SECRET_VALUE]}}
    metadata = {
        "op": "create",
        "urn": STACK,
        "type": "pulumi:pulumi:Stack",
        "new": {"outputs": outputs},
    }
    assert read({"resOutputsEvent": {"metadata": metadata}}).outputs == {"role": "arn"}


def test_diagnostics_lose_their_colours_and_ephemeral_ones_are_dropped() -> None:
    message = {"severity": "error", "message": "<{%fg 1%}>no such role<{%reset%}>\n", "urn": URN}
    log = read(
        {"diagnosticEvent": message},
        {"diagnosticEvent": {"severity": "warning", "message": "working", "ephemeral": True}},
        {"diagnosticEvent": {"severity": "info", "message": " \n"}},
    )
    assert log.diagnostics == [Diagnostic("error", "no such role", URN)]
    assert log.errors() == log.diagnostics


def test_the_summary_gives_the_changes() -> None:
    assert read({"summaryEvent": {"resourceChanges": {"create": 2}}}).changes == {"create": 2}


def test_lines_that_are_no_events_are_kept_for_the_error() -> None:
    log = EventLog()
    for line in ("warning: odd", "", "[1]"):
        log.add(line)
    assert log.unread == ["warning: odd", "[1]"]
