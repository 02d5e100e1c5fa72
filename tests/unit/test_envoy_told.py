"""What a bootstrap document tells Envoy, held against the configuration that it was made from."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from iamrange.network.envoy_bootstrap import bootstrap
from iamrange.network.envoy_config import EnvoyConfig, Limits
from iamrange.network.envoy_told import in_words, told
from iamrange.range.lapses import LAPSES
from iamrange.range.mesh_config import HOSTS, drawn
from iamrange.range.services import GATEWAY_ID, SERVICES

FOLDER = Path("/run/e1")
CONFIG = drawn(Path("/run"))
OURS_ALONE = {"log_bytes"}
"""Limits that are kept by us: Envoy is not told."""


def read(config: EnvoyConfig) -> dict[str, Any]:
    return told(bootstrap(config, FOLDER))


FOUND = read(CONFIG)
LISTENERS = {one["name"]: one for one in FOUND["listeners"]}


def test_every_listener_and_chain_of_a_range_is_told() -> None:
    expected = {"tls", *(f"mesh-{name}" for name in SERVICES), *(f"gateway-{n}" for n in SERVICES)}
    assert set(LISTENERS) == expected
    names = {name for chain in LISTENERS["tls"]["chains"] for name in chain["names"]}
    assert names == set(HOSTS)


def test_each_sidecar_accepts_whom_the_configuration_lists() -> None:
    for sidecar in CONFIG.sidecars:
        for name in (f"mesh-{sidecar.name}", f"gateway-{sidecar.name}"):
            (chain,) = LISTENERS[name]["chains"]
            assert chain["tls"]["client_certificate"] == "required"
            assert tuple(chain["tls"]["accepts"]) == sidecar.accepts
            assert chain["tls"]["exactly_one_id"]


def test_calls_to_services_are_judged_and_go_nowhere_undecided() -> None:
    assert CONFIG.authorizer is not None
    chains = {chain["names"][0]: chain for chain in LISTENERS["tls"]["chains"]}
    (judged,) = [chain for chain in chains.values() if chain["judged"]]
    assert set(judged["names"]) == {service.host for service in SERVICES.values()}
    assert judged["judged"] == {
        "by": "authorizer",
        "timeout": CONFIG.authorizer.timeout,
        "forwards_undecided": False,
        "when_away": "ServiceUnavailable",
    }
    clusters = {one["name"]: one for one in FOUND["clusters"]}
    assert clusters["authorizer"]["address"] == str(CONFIG.authorizer.socket)
    for host in judged["hosts"]:
        for route in host["routes"]:
            if "to" in route:
                (expected,) = clusters[route["to"]]["expects"]
                assert expected.startswith("spiffe://iamrange.example/service/")


@pytest.mark.parametrize("name", sorted({one.name for one in fields(Limits)} - OURS_ALONE))
def test_every_limit_is_told(name: str) -> None:
    longer = replace(CONFIG.limits, **{name: 2 * getattr(CONFIG.limits, name)})
    changed = read(replace(CONFIG, limits=longer))
    assert changed != FOUND
    assert in_words(changed) != in_words(FOUND)


@pytest.mark.parametrize("control", sorted(c.id for c, lapse in LAPSES.items() if lapse.edge))
def test_what_a_lapse_changes_is_seen_or_named(control: str) -> None:
    config = drawn(Path("/run"), [control])
    (unsafe,) = [
        name for name in dir(config) if name.startswith("unsafe_") and getattr(config, name)
    ]
    if unsafe == "unsafe_sidecars_accept_anyone":
        sidecar = next(one for one in read(config)["listeners"] if one["name"] == "mesh-hr")
        assert sidecar["chains"][0]["tls"]["client_certificate"] == "asked for, not judged"
        assert sidecar["chains"][0]["tls"]["accepts"] == []


def test_an_authorizer_that_lets_calls_through_when_it_is_away_is_told() -> None:
    document = bootstrap(CONFIG, FOLDER)
    text = json.dumps(document).replace('"failure_mode_allow": false', '"failure_mode_allow": true')
    assert "goes on undecided" in in_words(told(json.loads(text)))
    assert "goes on undecided" not in in_words(FOUND)


def test_no_secret_and_no_key_is_told() -> None:
    for shown in (json.dumps(FOUND), in_words(FOUND)):
        assert CONFIG.secret not in shown
        assert "BEGIN" not in shown
    assert GATEWAY_ID in in_words(FOUND)
