"""A jailed process reaches the gateway alone; the same process outside reaches everything."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.range.jail import Finished, Job, NetworkNamespace, NotJailed, Open, machine_jails
from tests.conformance.access.egress_host import GATEWAY, Host
from tests.conformance.access.egress_probe import PROBES

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = Path(__file__).parent / "egress_probe.py"
NOT_EVERYWHERE = frozenset(
    {
        "a listener on the host's IPv6 loopback",
        "raw IP",
        "raw frames",
        "the machine's host by vsock",
        "the kernel's ciphers by a socket",
        "a ring that opens sockets",
        "a user namespace",
        "the kernel's settings",
        "the host's network by setns",
        "a process of the host by ptrace",
        "the host's passwords",
    }
)
"""What a host may keep from a plain process too, by its own settings or for want of privileges."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    if isinstance(unable := machine_jails(), NotJailed):
        pytest.skip(f"not-evaluated: no jail on this machine: {unable}")
    with contextlib.closing(Host(tmp_path_factory.mktemp("world"))) as running:
        yield running


def looked(host: Host, egress: NetworkNamespace | Open) -> dict[str, Any]:
    done = egress.run(
        Job(
            argv=(sys.executable, str(PROBE), json.dumps(host.facts())),
            env=host.environment(),
            allowed_hosts=(GATEWAY,),
            readable=(str(PROBE), str(host.ca_file)),
        )
    )
    assert isinstance(done, Finished)
    assert done.status == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@pytest.fixture(scope="module")
def inside(host: Host) -> dict[str, Any]:
    return looked(host, NetworkNamespace(host.address))


@pytest.fixture(scope="module")
def outside(host: Host) -> dict[str, Any]:
    return looked(host, Open())


@pytest.mark.parametrize("name", PROBES)
def test_jailed_process_does_not_reach(inside: dict[str, Any], name: str) -> None:
    assert inside["probes"][name] != "reached"
    assert not inside["probes"][name].startswith(("AssertionError", "died", "KeyError"))


@pytest.mark.parametrize("name", sorted(set(PROBES) - NOT_EVERYWHERE))
def test_open_process_reaches(outside: dict[str, Any], name: str) -> None:
    assert outside["probes"][name] == "reached"
