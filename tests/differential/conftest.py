"""The peer, and the run's figure: how many of the compared decisions agree."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.differential.peer import PACKAGE, Peer, folder, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

FIGURES: pytest.StashKey[Counter[str]] = pytest.StashKey()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Counter[str]:
    return pytestconfig.stash.setdefault(FIGURES, Counter())


@pytest.fixture(scope="session")
def peer() -> Iterator[Peer]:
    why = missing()
    if why is not None:
        pytest.skip(f"{PACKAGE} is not compared: {why}")
    running = Peer(folder())
    yield running
    running.stop()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash.get(FIGURES, None)
    skipped = [r for r in terminalreporter.getreports("skipped") if "differential" in r.nodeid]
    if found is None or not found["compared"]:
        if skipped:
            terminalreporter.section(f"NOT COMPARED with {PACKAGE}: {skipped[0].longrepr}")
        return
    terminalreporter.section(f"decisions beside {PACKAGE}")
    share = found["agreed"] / found["compared"]
    terminalreporter.write_line(
        f"{found['agreed']}/{found['compared']} agree ({share:.2%}); {found['allowed']} allowed"
    )
    for name in sorted(set(found) - {"agreed", "compared", "allowed"}):
        terminalreporter.write_line(f"{found[name]}  {name}")
