"""Documents that are generated from the declarations: made, compared, and removed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.core.controls import CONTROLS, INVARIANTS
from iamrange.range.catalogue import catalogue
from iamrange.report.docs import pages, stale, write

if TYPE_CHECKING:
    from pathlib import Path

SCENARIOS = {entry.id: entry.scenario for entry in catalogue().values()}


def test_what_was_written_is_current(tmp_path: Path) -> None:
    write(SCENARIOS, tmp_path)
    assert stale(SCENARIOS, tmp_path) == ()


def test_a_page_that_is_missing_changed_or_left_over_is_stale(tmp_path: Path) -> None:
    write(SCENARIOS, tmp_path)
    (tmp_path / "controls.md").write_text("by hand")
    (tmp_path / "scenarios" / "README.md").unlink()
    (tmp_path / "scenarios" / "gone--long-ago.md").write_text("left over")
    assert stale(SCENARIOS, tmp_path) == (
        "controls.md",
        "scenarios/README.md",
        "scenarios/gone--long-ago.md",
    )
    write(SCENARIOS, tmp_path)
    assert stale(SCENARIOS, tmp_path) == ()


def test_every_guard_and_attack_has_its_place_in_the_documents() -> None:
    made = pages(SCENARIOS)
    assert [
        name for name in (*CONTROLS, *INVARIANTS) if f"## {name}" not in made["controls.md"]
    ] == []
    for name, scenario in SCENARIOS.items():
        page = made[f"scenarios/{name.replace('/', '--')}.md"]
        assert f"iamrange attack {name}" in page
        assert scenario.lesson in page
        assert all(guard.id in page for guard in scenario.blocked_by)
