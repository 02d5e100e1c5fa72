"""The AWS types against a real store: all that a program writes is there, and drift shows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.engine.aws_types.package import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

# the SDK's own modules warn of its deprecated types when they are imported
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws")


def _table_module() -> Any:
    name = "aws_drift_table"
    specification = importlib.util.spec_from_file_location(
        name, Path(__file__).with_name(f"{name}.py")
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


table = _table_module()


@pytest.mark.parametrize("family", sorted(table.FAMILIES))
def test_every_input_drift_of_aws_shows_in_refresh_and_is_put_right(
    family: str, engine: Callable[..., Any], aws_cloud: Any
) -> None:
    declare, drifts = table.FAMILIES[family].declare, table.FAMILIES[family].drifts
    modules = table.FAMILIES[family].modules
    stack = engine(declare)
    stack.up()
    assert stack.preview().changed == {}
    quiet = stack.refresh()
    assert {name: quiet.differences[name] for name in quiet.changed} == {}

    state = stack.state()
    kinds = {name: item["type"] for name, item in state.items()}
    covered = {(kinds[drift.resource], drift.input) for drift in drifts}
    declared = {(t.token, key) for t in TYPES if t.token.startswith(modules) for key in t.drifting}
    assert covered == declared
    live = table.Live(aws_cloud.client, {name: item.get("id", "") for name, item in state.items()})
    written = {(d.resource, d.input): d.read(live) for d in drifts}
    assert written == {(d.resource, d.input): d.written for d in drifts}

    for drift in drifts:
        drift.spoil(live)
    assert [(d.resource, d.input) for d in drifts if d.read(live) == d.written] == []
    shown = stack.refresh().differences
    unseen = [d for d in drifts if d.input not in shown.get(d.resource, set())]
    assert [(d.resource, d.input) for d in unseen] == []

    stack.up()
    assert {(d.resource, d.input): d.read(live) for d in drifts} == written
    assert stack.refresh().changed == {}


def test_every_type_of_aws_is_in_one_family() -> None:
    modules = [module for family in table.FAMILIES.values() for module in family.modules]
    homes = {t.token: [m for m in modules if t.token.startswith(m)] for t in TYPES}
    assert {token: found for token, found in homes.items() if len(found) != 1} == {}
