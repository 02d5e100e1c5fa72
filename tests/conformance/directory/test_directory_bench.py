"""The directory's bench runs, at a size that says nothing about speed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import ECKey

from bench import directory as bench

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conformance.directory.lab import Postgres


@dataclass(frozen=True)
class Borrowed:
    """A server that its borrower does not stop."""

    new_database: Callable[[], str]

    def remove(self) -> None:
        pass


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_bench_prints_its_table(
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    sizes = ["--agents", "1200", "--rotate", "60", "--lookups", "20"]
    arguments = ["bench", *sizes, "--folder", str(tmp_path), "--database", database]
    monkeypatch.setattr(sys, "argv", arguments)
    if database == "postgresql":  # the one that is up already, and goes on
        server: Postgres = request.getfixturevalue("postgres")
        monkeypatch.setattr(bench, "start_postgres", lambda **_: Borrowed(server.new_database))
    bench.main()
    told = capsys.readouterr().out
    assert told.lstrip().startswith(database)
    assert "1,200 (version 1,270)" in told
    # at this size one target cannot be met, and the table says so
    assert [line.split()[0] for line in told.splitlines() if "100,000, progress  NOT MET" in line]
    assert all(target in told for target in ("10,000/s", "at most 1.2", "1 s", "told"))
    assert list(tmp_path.iterdir()) == []


def test_its_public_keys_are_points_of_their_own() -> None:
    keys = bench.public_keys()
    drawn = [{name: str(text) for name, text in next(keys).items()} for _ in range(2500)]
    # the import refuses what is no point of the curve
    assert all(ECKey.import_key(dict(key)).raw_value for key in drawn)
    assert len({key["x"] for key in drawn}) == 2500
