"""`iamrange gateway ...`: what the range's Envoy is told, in plain words, and judged by Envoy.

- Both are about the running range, with what is switched off there; without one, or with
  `--without`, about the one that `iamrange up` would start.
- Exit status: 0 good; 1 Envoy refuses the configuration; 2 misuse; 3 there is no Envoy.
"""

# The rooms are imported inside the commands: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from iamrange.cli_console import Json, broke, out, print_json, refuse

if TYPE_CHECKING:
    from iamrange.network.envoy_config import EnvoyConfig

app = typer.Typer(no_args_is_help=True, help="Explain and validate what the gateway's Envoy does.")

Without = Annotated[
    list[str] | None, typer.Option(help="A control that is off; none: as the range has it.")
]
_NOWHERE = Path("/run/iamrange")


@app.command()
def explain(without: Without = None, *, as_json: Json = False) -> None:
    """Say who may connect where, what judges a call, where it goes, and all limits.

    Example: iamrange gateway explain --without access.segmentation
    """
    from iamrange.network.envoy_bootstrap import bootstrap
    from iamrange.network.envoy_explain import explain as explained
    from iamrange.network.envoy_told import in_words, told

    config, folder, of = _config(without)
    found = told(bootstrap(config, folder))
    if as_json:
        unsafe = sorted(name for name in dir(config) if name.startswith("unsafe_"))
        on = [name for name in unsafe if getattr(config, name)]
        print_json({"of": of, "unsafe": on, **found})
        return
    sys.stdout.write(f"{of}\n\n{explained(config)}\nas Envoy is told it:\n{in_words(found)}")


@app.command()
def validate(without: Without = None, *, as_json: Json = False) -> None:
    """Have real Envoy judge the configuration, without serving: exit 1 if it refuses.

    Example: iamrange gateway validate
    """
    import asyncio

    from iamrange.network.envoy import EnvoyMissingError, EnvoyStartError
    from iamrange.network.envoy import validate as validated

    config, _, of = _config(without)
    try:
        asyncio.run(validated(config))
    except EnvoyMissingError as error:
        broke(str(error))
    except EnvoyStartError as error:
        if as_json:
            print_json({"of": of, "ok": False, "detail": str(error)})
        refuse(str(error))
    if as_json:
        print_json({"of": of, "ok": True})
    else:
        out.print(Text(f"{of}: envoy takes it", "bold"))


def _config(without: list[str] | None) -> tuple[EnvoyConfig, Path, str]:
    """Return a configuration, the folder of its Envoy, and whose it is."""
    from iamrange.core.controls import control_named
    from iamrange.range.mesh_config import drawn
    from iamrange.range.running import NotRunningError, gateway_status

    off = tuple(control_named(name).id for name in without or ())
    if not off:
        try:
            found = gateway_status()
        except NotRunningError:
            pass
        else:
            config = drawn(Path(found["sockets"]), found["off"])
            return config, Path(found["folder"]), f"the gateway of {found['world']}"
    of = "the gateway that `iamrange up` starts" + "".join(f", without {name}" for name in off)
    return drawn(_NOWHERE, off), _NOWHERE, of
