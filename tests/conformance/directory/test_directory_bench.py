"""The directory's bench runs, at a size that says nothing about speed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import ECKey

from bench import directory as bench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_bench_prints_its_table(
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = ["--agents", "1500", "--rotate", "60", "--lookups", "20"]
    arguments = ["bench", *sizes, "--folder", str(tmp_path), "--database", database]
    monkeypatch.setattr(sys, "argv", arguments)
    bench.main()
    told = capsys.readouterr().out
    assert told.lstrip().startswith(database)
    assert "1,500 (version 1,570)" in told
    assert list(tmp_path.iterdir()) == []


def test_its_public_keys_are_points_of_their_own() -> None:
    keys = bench.public_keys()
    drawn = [{name: str(text) for name, text in next(keys).items()} for _ in range(2500)]
    # the import refuses what is no point of the curve
    assert all(ECKey.import_key(dict(key)).raw_value for key in drawn)
    assert len({key["x"] for key in drawn}) == 2500
