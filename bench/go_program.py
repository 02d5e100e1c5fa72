"""A peer that is a Go program: built once from its module into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


class GoBuildError(Exception):
    """The program could not be built; the text says why, for the figure's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """What to build. `replace` is a line of go.mod, `duration` in words for whoever waits."""

    name: str
    module: str
    version: str
    duration: str
    tags: tuple[str, ...] = ()
    replace: tuple[str, str] | None = None

    def build(self) -> Path:
        """Return the binary, building it if the cache has none.

        Raises:
            GoBuildError: there is no Go, or the build failed.
        """
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = cache / "iamrange" / "bench" / f"{self.name}-{self.version}"
        binary = folder / self.name
        if binary.exists():
            return binary
        go = shutil.which("go")
        if go is None:
            raise GoBuildError("no Go on PATH to build it with")
        folder.mkdir(parents=True, exist_ok=True)
        replace = "" if self.replace is None else f"\nreplace {' => '.join(self.replace)}\n"
        (folder / "go.mod").write_text(f"module tools\n\ngo 1.24\n{replace}")
        print(f"building {self.name}, once: {self.duration}", flush=True)
        fresh = f"{self.name}.new"
        tags = ["-tags", ",".join(self.tags)] if self.tags else []
        for arguments in (
            ["get", "-tool", f"{self.module}@{self.version}"],
            ["build", *tags, "-o", fresh, self.module],
        ):
            done = subprocess.run(  # noqa: S603 - fixed arguments
                [go, *arguments], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise GoBuildError(f"go {arguments[0]} failed: {done.stderr.strip()[-300:]}")
        (folder / fresh).rename(binary)
        return binary
