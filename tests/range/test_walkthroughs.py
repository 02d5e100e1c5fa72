"""Each walk-through is a script: it is run on a running range, and prints what its page says."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = Path(__file__).parents[2] / "docs" / "walkthroughs"
_BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "::end-of-block::"


@dataclass(frozen=True)
class Page:
    name: str
    script: str
    printed: tuple[str, ...]


def page(path: Path) -> Page:
    """Return a page's script, and what each of its blocks is to print."""
    blocks = _BLOCKS.findall(path.read_text())
    scripts, printed = blocks[::2], blocks[1::2]
    assert {kind for kind, _ in scripts} == {"sh"}, "a text block stands after each sh block"
    assert {kind for kind, _ in printed} == {"text"}
    assert len(scripts) == len(printed)
    script = "".join(f"{text}echo '{_END}'\n" for _, text in scripts)
    return Page(path.stem, script, tuple(text for _, text in printed))


def pages() -> list[Path]:
    return sorted(path for path in PAGES.glob("*.md") if path.name != "README.md")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the environment of a shell on a running range, `iamrange` and `python` on its path."""
    folder = tmp_path_factory.mktemp("walk")
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (binaries / "iamrange").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m iamrange.cli "$@"\n')
    for file in binaries.iterdir():
        file.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "XDG_STATE_HOME": str(folder / "state"),
    }

    def iamrange(*arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own command
            ["iamrange", *arguments],  # noqa: S607 - from that path
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return done.stdout

    iamrange("up")
    try:
        yield environment | json.loads(iamrange("env", "--json"))
    finally:
        iamrange("down")


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.stem)
def test_the_page_prints_what_it_says(path: Path, shell: dict[str, str], tmp_path: Path) -> None:
    found = page(path)
    done = subprocess.run(  # noqa: S603 - the page's own words
        ["bash", "-u", "-c", found.script],  # noqa: S607
        env=shell,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout.split(f"{_END}\n")[:-1]
    assert len(said) == len(found.printed), done.stderr
    for printed, expected in zip(said, found.printed, strict=True):
        pattern = re.sub(r"([\[\]*?])", r"[\1]", expected).replace("…", "*")
        assert fnmatch.fnmatchcase(printed, pattern), f"{printed!r}: {done.stderr}"


def test_every_page_is_listed() -> None:
    listed = (PAGES / "README.md").read_text()
    assert pages()
    assert all(f"({path.name})" in listed for path in pages())
