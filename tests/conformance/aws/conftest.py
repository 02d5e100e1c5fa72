"""The `lab` of the AWS tables, and the run's figure: right/total by kind.

`IAMRANGE_AWS_UPSTREAM` puts an emulator behind the authorizer of the same tables: `moto`,
`localstack` or `ministack` is started for the run, an URL is one that runs.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from iamrange.clouds.aws.upstream_remote import RemoteUpstream
from tests.conformance.aws.emulators import Located, lacking, located, unable
from tests.conformance.aws.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def upstream() -> Iterator[Located | None]:
    """The emulator behind the authorizer; None for the embedded store."""
    with located(os.environ.get("IAMRANGE_AWS_UPSTREAM")) as found:
        yield found


@pytest.fixture(scope="module")
def lab(upstream: Located | None) -> Iterator[Lab]:
    remote = RemoteUpstream(upstream.url, upstream.kind) if upstream else None
    running = Lab(remote=remote, lacking=lacking(upstream))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def known_gap(request: pytest.FixtureRequest, upstream: Located | None) -> None:
    """Leave out what an emulator is listed as unable to do; the list is held to both ways."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    title = str(parameters.get("title") or request.node.originalname)
    why = unable(title, upstream)
    if why is not None:
        pytest.skip(f"listed for this emulator: {why}")


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
