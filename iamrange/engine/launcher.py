"""The small scripts that make a shell's `pulumi` work: the language host's and a world's own.

- The language host lies next to the engine's real binary, where the engine looks first.
- It is run by the environment that iamrange is installed in: the one that IAMRANGE_PYTHON names,
  else the .venv of the checkout that the program is in, else the one that prepared the engine.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LANGUAGE_HOST = "pulumi-language-python"

_HOST = """\
#!/bin/sh
# Written by iamrange: runs a Python project's program for the Pulumi engine.
python="${{IAMRANGE_PYTHON:-}}"
folder="$PWD"
while [ -z "$python" ] && [ "$folder" != / ] && [ "$folder" != . ]; do
    if [ -x "$folder/.venv/bin/iamrange" ]; then python="$folder/.venv/bin/python"; fi
    folder="$(dirname "$folder")"
done
if [ -z "$python" ]; then python={python}; fi
if ! [ -x "$python" ]; then
    echo "{name}: no Python at $python; run 'make setup', or set IAMRANGE_PYTHON" >&2
    exit 1
fi
exec "$python" -P -m iamrange.engine.language_host "$@"
"""

_WORLD = """\
#!/bin/sh
# Written by iamrange: inside the checkout, pulumi works on the running range's own stack config.
case "$PWD/" in
    {checkout}/*) exec {cli} --cwd {directory} "$@" ;;
esac
exec {cli} "$@"
"""


def write_language_host(folder: Path, python: str = sys.executable) -> Path:
    """Put the language host's launcher into a folder, unless a good one is there."""
    path = folder / LANGUAGE_HOST
    text = _HOST.format(python=shlex.quote(python), name=LANGUAGE_HOST)
    if not path.exists() or path.read_text() != text:
        _write_executable(path, text)
    return path


def write_world_pulumi(folder: Path, *, cli: Path, directory: Path, checkout: Path) -> Path:
    """Put a `pulumi` into a folder that works on `directory` when called inside `checkout`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pulumi"
    text = _WORLD.format(
        checkout=shlex.quote(str(checkout.resolve())),
        cli=shlex.quote(str(cli)),
        directory=shlex.quote(str(directory)),
    )
    _write_executable(path, text)
    return path


def _write_executable(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.chmod(0o755)
    partial.replace(path)
