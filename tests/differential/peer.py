"""`@cloud-copilot/iam-simulate` as a development-only subprocess: our decisions beside another's.

- It is AGPL: installed by npm outside the checkout, never vendored, no code or test data taken.
- What it cannot read it says; it is asked nothing that it would leave out silently.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = "@cloud-copilot/iam-simulate"
VERSION = "0.1.173"
INSTALL_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """The peer's verdict, what each layer said, and why there is none."""

    allowed: bool
    layers: dict[str, str | None]
    error: Any = None
    ignored: tuple[str, ...] = ()


class Peer:
    """One node process that answers case after case."""

    def __init__(self, folder: Path) -> None:
        script = Path(__file__).with_name("peer.mjs")
        node = shutil.which("node") or "node"
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [node, str(script), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, case: dict[str, Any]) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        got = json.loads(self._process.stdout.readline())
        return Answer(got["allowed"], got["layers"], got["error"], tuple(got["ignored"]))

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


def folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "iamrange" / "bench"


def missing() -> str | None:
    """Install the peer once; return why it cannot be used, or None."""
    if shutil.which("node") is None:
        return "node is not installed"
    if (folder() / "node_modules" / PACKAGE).is_dir():
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    folder().mkdir(parents=True, exist_ok=True)
    wanted = f"{PACKAGE}@{VERSION}"
    command = [npm, "install", "--prefix", str(folder()), "--no-audit", "--no-fund", wanted]
    try:
        done = subprocess.run(command, capture_output=True, timeout=INSTALL_SECONDS, check=False)  # noqa: S603 - fixed command
    except subprocess.TimeoutExpired:
        return f"npm did not install it in {INSTALL_SECONDS} s"
    return None if done.returncode == 0 else "npm could not install it"
