"""The virtual environments of emulators: named by a variable, or made once in the user's cache.

Run as `python -m tests.conformance.aws.environments localstack ministack` to make them beforehand.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("localstack", "ministack")


def python_of(name: str) -> str:
    """Return the interpreter of an emulator's environment; make the environment where none is."""
    given = os.environ.get(f"IAMRANGE_{name.upper()}_VENV")
    folder = Path(given) if given else made(name)
    return str(folder / "bin" / "python")


def made(name: str) -> Path:
    """Return the environment of the locked versions, made anew when the lock has changed."""
    lock = ROOT / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "iamrange" / f"{name}-{digest}"
    complete = folder / "complete"
    if not complete.exists():
        sys.stderr.write(f"making the environment of {name} in {folder}; a few minutes, once\n")
        venv.create(folder, clear=True, with_pip=True)
        install = ("-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock))
        subprocess.run([str(folder / "bin" / "python"), *install], check=True)  # noqa: S603 - our lock
        complete.touch()
    return folder


if __name__ == "__main__":
    for wanted in sys.argv[1:] or NAMES:
        sys.stdout.write(f"{made(wanted)}\n")
