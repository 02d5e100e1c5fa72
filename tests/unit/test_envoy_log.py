"""The log that Envoy leaves: which lines are refused handshakes, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.network.envoy_log import read_tls_refusals

if TYPE_CHECKING:
    from pathlib import Path

VERIFY = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:"
DEPTH = f"{VERIFY}verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_0:_"
END = ":TLS_error_end"
SAN = f"{VERIFY}verify_cert_failed:_SAN_matcher,_certificate_SANs_are_["
CASES = {
    "TLS_error:|268435648:SSL_routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:"
    f"peer_did_not_provide_required_client_certificate{END}": "no-certificate",
    f"{SAN}spiffe://iamrange.example/service/hr]{END}": "other-identity",
    f"{SAN}]{END}": "other-identity",
    f"{SAN}{DEPTH}certificate_has_expired:]{END}": "other-identity",
    f"{DEPTH}certificate_has_expired{END}": "expired",
    f"{DEPTH}certificate_is_not_yet_valid{END}": "not-yet-valid",
    f"{DEPTH}unable_to_get_local_issuer_certificate{END}": "untrusted",
    f"{DEPTH}unsupported_certificate_purpose{END}": "certificate-purpose",
    f"{DEPTH}something_new{END}": "untrusted",
    f"TLS_error:|268436502:SSL_routines:OPENSSL_internal:SSLV3_ALERT_CERTIFICATE_EXPIRED{END}": (
        "refused-by-peer"
    ),
    f"TLS_error:|268436504:SSL_routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA{END}": (
        "refused-by-peer"
    ),
    f"TLS_error:|268435612:SSL_routines:OPENSSL_internal:HTTP_REQUEST{END}": "handshake",
    "": "handshake",
    "certificate_has_expired:": "handshake",
}


def line(**changes: object) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "kind": "connection",
        "listener": "sidecar:customers",
        "time": "2026-11-25T20:25:46.616Z",
        "peer": "127.10.0.3",
        "server_name": "customers.mesh.iamrange.example",
        "tls_failure": f"{DEPTH}certificate_has_expired{END}",
        "termination": None,
        "flags": "-",
        "unverified_peer_san": "spiffe://iamrange.example/service/gateway",
    }
    return whole | changes


def write(folder: Path, *lines: dict[str, Any], name: str = "envoy-access.log") -> None:
    (folder / name).write_text("".join(f"{json.dumps(one)}\n" for one in lines))


@pytest.mark.parametrize("failure", [failure for failure in CASES if failure])
def test_envoys_words_become_a_reason(tmp_path: Path, failure: str) -> None:
    write(tmp_path, line(tls_failure=failure))
    (found,) = read_tls_refusals(tmp_path)
    assert (found.sidecar, found.reason) == ("customers", CASES[failure])


def test_a_refusal_says_when_who_and_whence(tmp_path: Path) -> None:
    write(tmp_path, line())
    (found,) = read_tls_refusals(tmp_path)
    assert (found.time, found.peer) == (1795638346.616, "127.10.0.3")
    assert found.peer_san == "spiffe://iamrange.example/service/gateway"


def test_a_second_identity_and_another_name_are_refusals_too(tmp_path: Path) -> None:
    several = "rbac_access_denied_matched_policy[not-exactly-one-listed-id]"
    write(
        tmp_path,
        line(tls_failure=None, termination=several),
        line(tls_failure=None, flags="NR", unverified_peer_san=None),
    )
    found = read_tls_refusals(tmp_path)
    assert [one.reason for one in found] == ["several-identities", "no-such-name"]
    assert found[1].peer_san == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "request"},
        {"listener": "edge"},
        {"tls_failure": None},
        {"tls_failure": "-", "termination": "-"},
        {"tls_failure": ""},
    ],
)
def test_other_lines_are_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path, line(**changes))
    assert read_tls_refusals(tmp_path) == []


def test_what_is_half_written_or_no_json_is_passed_over(tmp_path: Path) -> None:
    good = json.dumps(line())
    text = f'\n{good}\n[1]\n"x"\nnull\n{good[:40]}'
    (tmp_path / "envoy-access.log").write_text(text)
    assert len(read_tls_refusals(tmp_path)) == 1


def test_no_log_has_no_refusals(tmp_path: Path) -> None:
    assert read_tls_refusals(tmp_path) == []
    assert read_tls_refusals(tmp_path / "nowhere") == []


def test_the_log_before_comes_first(tmp_path: Path) -> None:
    write(tmp_path, line(time="2026-11-25T20:00:00Z"), name="envoy-access.log.1")
    write(tmp_path, line(time="2026-11-25T20:00:01Z"))
    first, second = read_tls_refusals(tmp_path)
    assert first.time < second.time


@given(st.text(max_size=80))
def test_a_name_in_a_certificate_never_passes_for_another_reason(name: str) -> None:
    from iamrange.network.envoy_log import reason_of  # noqa: PLC0415 - beside its only use

    assert reason_of(f"{SAN}{name}]{END}") == "other-identity"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(line())), JSON))
def test_whatever_a_line_holds_it_is_read_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("log", numbered=True)
    write(folder, line(**changes), line())
    assert read_tls_refusals(folder)[-1].reason == "expired"
