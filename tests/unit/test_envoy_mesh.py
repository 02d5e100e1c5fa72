"""A gateway with sidecars as Envoy is told it: what must hold in the document, whoever is in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.core.clock import SystemClock
from iamrange.identity.certificates.local_authority import LocalAuthority
from iamrange.identity.certificates.spiffe import parse_spiffe_id
from iamrange.identity.certificates.svid import new_key_and_request
from iamrange.network.ca import CertificateAuthority
from iamrange.network.envoy_bootstrap import bootstrap
from iamrange.network.envoy_config import (
    Authorizer,
    EnvoyConfig,
    Sidecar,
    Upstream,
    WorkloadCertificate,
)
from iamrange.network.envoy_explain import explain
from iamrange.network.envoy_routes import CANONICAL_PATH
from iamrange.network.envoy_svid import is_spiffe_id
from iamrange.network.envoy_tls import documents, sidecar_tls
from tests.conformance.access.envoy_mesh_config import (
    GATEWAY,
    NEIGHBOUR,
    bundle,
    lists,
    service_id,
    workload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER = LocalAuthority.create("other", clock=SystemClock())
AUTHORITY = LocalAuthority.create("test", clock=SystemClock())
FOLDER = Path("/state")
HOST = "customers.iamrange.example"
AUTH = "auth.iamrange.example"
SIDECAR = Sidecar(
    name="customers",
    hosts=("customers.mesh.iamrange.example",),
    accepts=(GATEWAY, NEIGHBOUR),
    socket=Path("/customers.sock"),
    svid=workload(AUTHORITY, service_id("customers")),
)
WHOLE: dict[str, Any] = {
    "upstreams": (
        Upstream((AUTH,), Path("/auth.sock")),
        Upstream((HOST,), judged=True, sidecar=SIDECAR),
    ),
    "certificate": CertificateAuthority.create("test").server_certificate([HOST, AUTH]),
    "authorizer": Authorizer(socket=Path("/decide.sock")),
    "sidecars": (SIDECAR,),
    "gateway_svid": workload(AUTHORITY, GATEWAY),
    "trust_bundle": bundle(AUTHORITY),
    "revocation_lists": lists(AUTHORITY),
}
UNSAFE = (
    "unsafe_sidecars_accept_anyone",
    "unsafe_keeps_identity_headers",
    "unsafe_raw_paths",
    "unsafe_ignores_withdrawal",
)


def config(**changes: Any) -> EnvoyConfig:  # noqa: ANN401 - members of EnvoyConfig
    return EnvoyConfig(**WHOLE | changes)


def walk(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Return every object within the value."""
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from walk(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from walk(member)


def of_type(document: Any, name: str) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    found = [one for one in walk(document) if str(one.get("@type", "")).endswith(f".{name}")]
    assert found, f"no {name}"
    return found


@pytest.mark.parametrize("setting", [None, *UNSAFE])
def test_no_route_to_a_service_is_spared_the_decision(setting: str | None) -> None:
    """Only routes that answer by themselves are."""
    document = bootstrap(config(**({setting: True} if setting else {})), FOLDER)
    spared = [
        one
        for one in walk(document)
        if "match" in one
        and "envoy.filters.http.ext_authz" in one.get("typed_per_filter_config", {})
    ]
    assert spared
    assert all("route" not in one and "direct_response" in one for one in spared)


@pytest.mark.parametrize("setting", [None, *UNSAFE])
def test_the_decision_fails_closed(setting: str | None) -> None:
    document = bootstrap(config(**({setting: True} if setting else {})), FOLDER)
    (asked,) = of_type(document, "ExtAuthz")
    assert asked["failure_mode_allow"] is False
    assert asked["status_on_error"] == {"code": "ServiceUnavailable"}
    assert asked["with_request_body"]["allow_partial_message"] is False
    assert not {"filter_enabled", "filter_enabled_metadata", "deny_at_disable"} & asked.keys()


def test_the_body_is_measured_before_it_is_shown_with_room_for_a_frame() -> None:
    document = bootstrap(config(authorizer=Authorizer(socket=Path("/d"), body_bytes=1000)), FOLDER)
    (chain,) = [
        one["http_filters"]
        for one in of_type(document, "HttpConnectionManager")
        if any(f["name"] == "envoy.filters.http.ext_authz" for f in one["http_filters"])
    ]
    names = [one["name"].removeprefix("envoy.filters.http.") for one in chain]
    assert names == ["buffer", "header_mutation", "ext_authz", "router"]
    assert chain[0]["typed_config"]["max_request_bytes"] == 1000
    shown = chain[2]["typed_config"]["with_request_body"]["max_request_bytes"]
    assert shown >= 1000 + 16 * 1024


def test_judged_and_unjudged_hosts_share_no_filter_chain() -> None:
    listener = bootstrap(config(), FOLDER)["static_resources"]["listeners"][0]
    names = [chain["filter_chain_match"]["server_names"] for chain in listener["filter_chains"]]
    assert names == [[AUTH], [HOST]]
    for chain in listener["filter_chains"]:
        hosts = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
        served = [domain for host in hosts for domain in host["domains"]]
        assert served == [*chain["filter_chain_match"]["server_names"], "*"]


def sidecar_listeners(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["static_resources"]["listeners"][1:]
    assert [one["name"] for one in found] == ["mesh-customers", "gateway-customers"]
    return found


def test_both_listeners_of_a_sidecar_ask_for_the_same() -> None:
    mesh, gateway = sidecar_listeners(bootstrap(config(), FOLDER))
    assert mesh["filter_chains"] == gateway["filter_chains"]
    for tls in of_type([mesh, gateway], "DownstreamTlsContext"):
        assert tls["require_client_certificate"] is True
        wanted = tls["common_tls_context"]["combined_validation_context"]
        matchers = wanted["default_validation_context"]["match_typed_subject_alt_names"]
        assert matchers == [
            {"san_type": "URI", "matcher": {"exact": one}} for one in (GATEWAY, NEIGHBOUR)
        ]
        assert tls["disable_stateless_session_resumption"] is True
        assert tls["disable_stateful_session_resumption"] is True
    for rbac in of_type([mesh, gateway], "RBAC"):
        assert set(rbac["matcher"]["matcher_tree"]["exact_match_map"]["map"]) == {
            GATEWAY,
            NEIGHBOUR,
        }


def test_nobody_accepted_is_an_error_and_not_everybody() -> None:
    with pytest.raises(ValueError, match="accepts nobody"):
        Sidecar(name="a", hosts=("a.example",), accepts=(), socket=Path("/a"), svid=SIDECAR.svid)
    with pytest.raises(ValueError, match="nobody"):
        sidecar_tls(FOLDER, "a", (), anyone=False)


def test_a_sidecar_without_a_gateway_lets_nobody_speak_for_agents() -> None:
    lone = config(upstreams=(Upstream((AUTH,), Path("/a")),), gateway_svid=None, authorizer=None)
    (listener,) = bootstrap(lone, FOLDER)["static_resources"]["listeners"][1:]
    routes = [one for one in walk(listener) if "route" in one and "match" in one]
    assert routes
    assert all("typed_per_filter_config" in one for one in routes)


def test_the_document_and_its_explanation_hold_no_key() -> None:
    wanted = config()
    assert "PRIVATE KEY" not in json.dumps(bootstrap(wanted, FOLDER))
    for shown in (explain(wanted), repr(wanted), repr(SIDECAR)):
        assert "PRIVATE KEY" not in shown
        assert wanted.secret not in shown
    assert "BEGIN" not in explain(wanted)


def test_certificates_are_in_files_of_their_own() -> None:
    assert sorted(documents(config())) == [
        "envoy-bundle.json",
        "envoy-gateway.json",
        "envoy-sidecar-customers.json",
        "envoy-tls.json",
    ]


def test_the_explanation_names_who_may_connect_and_what_is_judged() -> None:
    text = explain(config())
    for words in (
        f"{HOST}\n    each call is judged by the decision service first",
        f"{AUTH}\n    not judged here",
        f"{GATEWAY} (speaks for agents)",
        f"{NEIGHBOUR} (speaks for itself)",
        "503",
        "413",
    ):
        assert words in text
    assert "UNSAFE" not in text


@pytest.mark.parametrize("setting", UNSAFE)
def test_the_explanation_names_what_is_left_out(setting: str) -> None:
    text = explain(config(**{setting: True}))
    assert text.count("UNSAFE") == 1
    assert setting in text


def sidecar(**changes: Any) -> Sidecar:  # noqa: ANN401 - members of Sidecar
    whole = {
        name: getattr(SIDECAR, name) for name in ("name", "hosts", "accepts", "socket", "svid")
    }
    return Sidecar(**whole | changes)


REGRETTED: dict[str, Callable[[], object]] = {
    "there is no authorizer": lambda: config(authorizer=None),
    "the gateway has no SVID": lambda: config(gateway_svid=None),
    "trust bundle": lambda: config(trust_bundle=""),
    "trust bundle:": lambda: config(trust_bundle="nonsense"),
    "revocation lists:": lambda: config(revocation_lists=""),
    "revocation lists: expected one that": lambda: config(revocation_lists=lists(OTHER)),
    "not among the sidecars": lambda: config(sidecars=(sidecar(name="other"),)),
    "each name once": lambda: config(
        sidecars=(SIDECAR, sidecar(hosts=("x.mesh.example",))),
    ),
    "more than one upstream": lambda: config(sidecars=(sidecar(hosts=(HOST,)),)),
    "workers": lambda: config(workers=0),
    "workers:": lambda: config(workers=1000),
    "no name": lambda: sidecar(name="../x"),
    "no name:": lambda: sidecar(name=""),
    "no host names": lambda: sidecar(hosts=()),
    "no host name:": lambda: sidecar(hosts=("*.example",)),
    "no SPIFFE id": lambda: sidecar(accepts=("spiffe://iamrange.example/service/*",)),
    "no SPIFFE id:": lambda: sidecar(accepts=("",)),
    "at most 107": lambda: sidecar(socket=Path("/" + "a" * 107)),
    "at most 107 ": lambda: Authorizer(socket=Path("/" + "a" * 107)),
    "body_bytes": lambda: Authorizer(socket=Path("/a"), body_bytes=0),
    "timeout": lambda: Authorizer(socket=Path("/a"), timeout=0),
    "timeout:": lambda: Authorizer(socket=Path("/a"), timeout=61),
    "a socket or a sidecar": lambda: Upstream(("a.example",)),
    "a socket or a sidecar ": lambda: Upstream(("a.example",), Path("/a"), sidecar=SIDECAR),
    "a key and a chain": lambda: WorkloadCertificate("", ""),
    "a key and a chain ": lambda: WorkloadCertificate("x", SIDECAR.svid.chain_pem),
    "the key is not": lambda: WorkloadCertificate(
        new_key_and_request(GATEWAY).private_key_pem, SIDECAR.svid.chain_pem
    ),
    "one SPIFFE id": lambda: WorkloadCertificate(
        WHOLE["certificate"].private_key_pem, WHOLE["certificate"].chain_pem
    ),
}


@pytest.mark.parametrize("message", REGRETTED)
def test_what_we_would_regret_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message.strip(": "))):
        REGRETTED[message]()


def test_a_folder_whose_sockets_could_not_be_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 107"):
        bootstrap(config(), Path("/" + "a" * 100))


@given(st.from_regex(r"spiffe://[a-z0-9._-]{0,6}(/[A-Za-z0-9._%~-]{0,4}){0,4}", fullmatch=True))
def test_a_spiffe_id_is_one_here_if_it_is_one_to_the_authority(text: str) -> None:
    parsed = parse_spiffe_id(text)
    assert is_spiffe_id(text) == (parsed is not None and bool(parsed.path))


SEGMENT = st.text("abc.%/;\\2eEfF5Cc0~", max_size=12)


@given(SEGMENT)
def test_a_canonical_path_has_no_dot_segment_empty_segment_or_second_meaning(text: str) -> None:
    path = f"/{text}"
    if re.fullmatch(CANONICAL_PATH, path) is None:
        return
    segments = path.split("/")[1:]
    assert not {".", ".."} & set(segments)
    assert "" not in segments[:-1]
    folded = path.lower()
    for escape in ("%2e", "%2f", "%5c", "%25", "%00", ";", "\\"):
        assert escape not in folded
