"""Decisions of the policy a second, with 10 to 1,000 rules, beside OPA's own in the same run.

- `rows`: rules as rows of the table of roles, as this policy has them. `written out`: as many rules
  of Rego more, each a reason against some action that nobody asks for.
- `asked`: the engine in process answers anew each time. `remembered`: as the gateway asks, where
  the time is another in each question and agents ask for the same again.
- OPA answers the same question, whole: its own time in process (`opa bench`), and by its REST
  interface over a unix socket, as a gateway would ask it.
- What is compared are medians of single answers: the machine has other work.

Run as `python -m bench.policy [ANSWERS]`. Without OPA or Go, its columns are empty.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import iamrange.access
from iamrange.access import opa
from iamrange.access.policy_engine import PolicyEngine, read_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLICY = Path(iamrange.access.__file__).parent / "policy"
ANSWERS, WARM = 2000, 50
SIZES = (10, 100, 1000)
QUERY = (
    '{"allow": data.ai.authorization.allow, "deny": data.ai.authorization.deny, '
    '"rules": data.ai.authorization.rules}'
)
AGENTS = 100


def rows(size: int) -> dict[str, str]:
    """Return the policy with a table of so many rules."""
    texts = _policy()
    roles = PolicyEngine(texts).value("data.ai.roles")
    if not isinstance(roles, dict):
        raise TypeError("the table of roles is no object")
    grants = {"data-analyst": roles["grants"]["data-analyst"]}
    for number in range(size // 3):
        grants[f"role-{number}"] = [
            {
                "rule": f"{number}-{action}",
                "action": action,
                "services": ["logs"],
                "up_to": "internal",
            }
            for action in ("read", "write", "deploy")
        ]
    values = {**roles, "grants": grants}
    text = "\n\n".join(f"{name} := {json.dumps(v, indent=1)}" for name, v in values.items())
    return {**texts, "roles.rego": f"package ai.roles\n\n{text}\n"}


def written_out(size: int) -> dict[str, str]:
    """Return the policy with so many rules more."""
    rules = "\n\n".join(
        f'deny contains "reason-{number}" if {{\n\tinput.action == "action-{number}"\n\t'
        f'input.resource.service == "service-{number}"\n}}'
        for number in range(size)
    )
    return {**_policy(), "more.rego": f"package ai.authorization\n\n{rules}\n"}


def _policy() -> dict[str, str]:
    return {name: text for name, text in read_folder(POLICY).items() if "_test" not in name}


def call(number: int) -> dict[str, Any]:
    """Return a call that is allowed, as the gateway writes it."""
    return {
        "agent": {
            "id": f"spiffe://iamrange.example/agent/analyst-{number % AGENTS}",
            "tenant": "iamrange",
            "roles": ["data-analyst"],
            "project": "analytics",
            "classification": "public",
            "owner": "ana@iamrange.example",
            "state": "active",
            "scopes": ["read:customers"],
        },
        "action": "read",
        "resource": {
            "service": "customers",
            "type": "customer-analytics",
            "id": "",
            "classification": "public",
            "project": "analytics",
            "environment": None,
            "high_impact": False,
        },
        "approval": None,
        "context": {
            "time": 1_800_000_000 + number / 1000,
            "peer": "127.0.0.1",
            "actors": [],
            "tenant": "iamrange",
        },
    }


def median(ask: Callable[[str], bool], answers: int) -> float:
    """Return the median of the nanoseconds for one answer; each must be yes."""
    texts = [json.dumps(call(number), separators=(",", ":")) for number in range(answers + WARM)]
    times = []
    for text in texts:
        start = time.perf_counter_ns()
        allowed = ask(text)
        times.append(time.perf_counter_ns() - start)
        if not allowed:
            raise RuntimeError(f"expected the call to be allowed: {text}")
    return statistics.median(times[WARM:])


def measure(texts: Mapping[str, str], binary: Path | None, answers: int) -> dict[str, float]:
    """Return nanoseconds an answer, by who answers."""
    engine = PolicyEngine(texts)
    if not engine.remembers:
        raise RuntimeError("expected a policy whose answers may be remembered")
    result = {
        "asked": median(lambda text: engine.ask(text).allow, answers),
        "remembered": median(lambda text: engine.evaluate(text).allow, answers),
    }
    if binary is None:
        return result
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in texts.items():
            (folder / file).write_text(text)
        result["opa"] = opa.bench(binary, folder, json.dumps(call(0)), QUERY)
        with opa.running(binary, folder) as server:
            result["opa over REST"] = median(
                lambda text: server.ask(text, "ai/authorization/allow") is True, answers
            )
    return result


def main(answers: int) -> None:
    """Measure and print."""
    try:
        binary: Path | None = opa.build()
    except opa.OpaError as error:
        print(f"without OPA: {error}")
        binary = None
    print(f"answers a second on one core, medians of {answers}")
    head = ("asked", "remembered", "opa", "opa over REST")
    print(f"{'rules':>20} " + " ".join(f"{name:>14}" for name in head) + "   asked : opa")
    for kind, make in (("rows", rows), ("written out", written_out)):
        sizes = {}
        for size in SIZES:
            sizes[size] = taken = measure(make(size), binary, answers)
            rates = " ".join(
                f"{1e9 / taken[name]:>14,.0f}" if name in taken else f"{'-':>14}" for name in head
            )
            ratio = f"{taken['opa'] / taken['asked']:.2f}" if "opa" in taken else "-"
            print(f"{kind:>12} {size:>7,} {rates}   {ratio:>11}", flush=True)
        few, many = sizes[SIZES[0]], sizes[SIZES[-1]]
        told = ", ".join(f"{name} {many[name] / few[name]:.2f}" for name in few)
        print(f"{'':>12} time of an answer, {SIZES[-1]:,} against {SIZES[0]} rules: {told}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ANSWERS)
