"""`iamrange tokens ...`: the running range's token service from the command line."""

# The rooms are imported inside the commands: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from iamrange.cli_console import TAKES_A_KEY_ID, Json, misuse, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, help="Look at tokens, and at the keys that sign them.")


@app.command()
def inspect(
    token: Annotated[str | None, typer.Argument(help="An access token; none: stdin.")] = None,
) -> None:
    """Print what an access token says, without its signature; nothing is verified.

    Example: iamrange tokens inspect < token.txt
    """
    from iamrange.jose import peek

    text = sys.stdin.read().strip() if token is None else token
    seen = peek(text)
    if seen is None:
        misuse("expected a compact JWS of at most 20000 characters")
    shown = {"header": dict(seen.header), "unverified_claims": dict(seen.unverified_claims)}
    print_json(shown)


@app.command()
def keys(*, as_json: Json = False) -> None:
    """List the ids of the published signing keys, the one that signs first.

    Example: iamrange tokens keys
    """
    _show(_order("token_keys"), as_json=as_json)


@app.command("rotate-keys")
def rotate_keys(*, as_json: Json = False) -> None:
    """Sign with the key that stands by; the old one stays published while its tokens live.

    Example: iamrange tokens rotate-keys
    """
    _order("rotate_token_keys")
    _show(_order("token_keys"), as_json=as_json)


@app.command("withdraw-key", context_settings=TAKES_A_KEY_ID)
def withdraw_key(
    kid: Annotated[str, typer.Argument(help="The key's id.")], *, as_json: Json = False
) -> None:
    """Stop trusting a signing key at once: every token that it signed is dead.

    Example: iamrange tokens withdraw-key 0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I
    """
    _order("withdraw_token_key", kid=kid)
    _show(_order("token_keys"), as_json=as_json)


def _order(name: str, **parameters: str) -> Sequence[str]:
    from iamrange.range.running import orders_socket, running
    from iamrange.range.service_socket import order

    running()
    found: Sequence[str] = order(orders_socket(), name, **parameters)
    return found


def _show(kids: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"keys": list(kids)}) + "\n")
        return
    for number, kid in enumerate(kids):
        out.print(Text(f"{kid}{'  signs' if number == 0 else ''}"))
