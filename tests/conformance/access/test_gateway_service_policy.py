"""The decision service as a process of its own, behind real Envoy, follows its policy folder."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.gateway import Bench
from bench.gateway_party import Party
from iamrange.network.envoy_binary import EnvoyMissingError, find_envoy

if TYPE_CHECKING:
    from bench.gateway import Gateway

try:
    find_envoy()
except EnvoyMissingError as error:
    pytest.skip(str(error), allow_module_level=True)

PUBLIC = '"action": "read", "up_to": "public"}'


def answers(gateway: Gateway, party: Party, expected: str) -> bool:
    """Tell whether every one of some calls is answered so."""
    shots = [replace(shot, expected=expected) for shot in party.shots(8, attacks=False)]
    try:
        gateway.flood(shots)
    except SystemExit:
        return False
    return True


def test_a_rule_changed_on_disk_counts_at_envoy_and_half_a_file_does_not() -> None:
    with tempfile.TemporaryDirectory(prefix="iamrange-") as name, ExitStack() as stack:
        party = Party(agents=8)
        bench = Bench(Path(name), stack)
        with bench.gateway(party, agents=8) as gateway:
            party.refresh()
            (roles,) = bench.folder.glob("*/policy/roles.rego")
            whole = roles.read_text()
            assert PUBLIC in whole
            assert answers(gateway, party, "200")

            roles.write_text(whole[: len(whole) // 2])
            until = time.monotonic() + 1.5
            while time.monotonic() < until:  # it is looked at several times meanwhile
                assert answers(gateway, party, "200")

            roles.write_text(whole.replace(PUBLIC, PUBLIC.replace("read", "audit")))
            end = time.monotonic() + 30
            while not answers(gateway, party, "403 role-may-not"):
                assert time.monotonic() < end
            roles.write_text(whole)
            end = time.monotonic() + 30
            while not answers(gateway, party, "200"):
                assert time.monotonic() < end
