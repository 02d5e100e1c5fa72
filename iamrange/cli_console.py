"""What every command says its words with, and how it ends.

- Answers go to standard output, complaints to standard error.
- Exit status: 0 good, 1 a claim failed or was refused, 2 misuse, 3 the range broke.
"""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH = None if sys.stdout.isatty() else 200
out = Console(highlight=False, width=WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TAKES_A_KEY_ID = {"ignore_unknown_options": True}
"""Settings of a command whose argument is a key's id: base64url, which may begin with a dash."""


class Exit(IntEnum):
    """What a command's exit status says."""

    GOOD = 0
    FAILED = 1
    MISUSE = 2
    BROKE = 3


def print_json(value: Mapping[str, Any] | list[Any]) -> None:
    """Print JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def refuse(message: str) -> NoReturn:
    """End the command as refused."""
    err.print(Text(f"refused: {message}", "red"))
    raise typer.Exit(Exit.FAILED)


def misuse(message: str) -> NoReturn:
    """End the command as misuse."""
    _end(message, Exit.MISUSE)


def broke(message: str) -> NoReturn:
    """End the command since the range, or something that it needs, broke."""
    _end(message, Exit.BROKE)


def _end(message: str, status: Exit) -> NoReturn:
    err.print(Text(f"error: {message}", "red"))
    raise typer.Exit(status)
