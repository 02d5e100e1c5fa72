"""The embedded store has all that its services need: moto leaves some of it to extras."""

from __future__ import annotations

import json
import subprocess
import sys

IMPORTS = """
import importlib, json, pkgutil, warnings
warnings.simplefilter("ignore")
import moto
missing, found = {}, 0
for package in pkgutil.iter_modules(moto.__path__):
    for part in ("models", "responses", "urls") if package.ispkg else ():
        name = f"moto.{package.name}.{part}"
        try:
            importlib.import_module(name)
            found += 1
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("moto."):
                missing[name] = error.name
print(json.dumps([found, missing]))
"""


def test_every_service_of_the_embedded_store_can_be_loaded() -> None:
    done = subprocess.run(  # noqa: S603 - our interpreter, this file's source
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    found, missing = json.loads(done.stdout)
    assert found > 300
    assert missing == {}
