"""The `lab` of the AWS tables, and the run's figure: right/total by kind.

`IAMRANGE_AWS_UPSTREAM=http://127.0.0.1:PORT` runs the same tables in front of the emulator there.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from iamrange.clouds.aws.upstream_kinds import recognise
from iamrange.clouds.aws.upstream_remote import RemoteUpstream
from tests.conformance.aws.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def upstream() -> tuple[str, str] | None:
    """The URL and kind of the emulator behind the authorizer; None for the embedded store."""
    url = os.environ.get("IAMRANGE_AWS_UPSTREAM")
    return (url, str(asyncio.run(recognise(url)).kind)) if url else None


@pytest.fixture(scope="module")
def lab(upstream: tuple[str, str] | None) -> Iterator[Lab]:
    running = Lab(remote=RemoteUpstream(*upstream) if upstream else None)
    yield running
    running.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            facts = dict(report.user_properties)
            kind = facts.get("aws-kind")
            if isinstance(kind, str):
                total[kind] += 1
                right[kind] += outcome == "passed"
                wrong[str(facts.get("aws-wrong"))] += 1
    if not total:
        return
    terminalreporter.section("AWS decisions, right/total by kind")
    for kind in sorted(total):
        terminalreporter.write_line(f"{right[kind]}/{total[kind]}  {kind}")
    every = f"{right.total()}/{total.total()}  all kinds"
    terminalreporter.write_line(f"{every}; wrong allows: {wrong['allow']}")
