"""The peer: Envoy that checks a plain JWT itself and asks OPA over HTTP, as many gateways do.

- `jwt_authn` with the issuer's key set in the configuration: signature, issuer, audience, dates;
  Envoy remembers nothing of a token.
- OPA's REST API is asked by Envoy's own Lua filter (`httpCall`): OPA speaks no HTTP ext_authz (its
  plugin speaks gRPC), and a process between the two would be charged to OPA. It is asked for the
  same policy, with an input that is made of the token's claims.
- So there is no proof, replay, revocation, rate, directory or record: the peer does less.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.gateway_party import HOST, SCOPE
from bench.gateway_service import POLICY
from iamrange.access import opa
from iamrange.identity.names import AUTH_ISSUER
from iamrange.network.envoy_binary import find_envoy
from iamrange.network.envoy_bootstrap import bootstrap
from iamrange.network.envoy_folder import write_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from iamrange.network.envoy_config import EnvoyConfig

_START_SECONDS = 30
_TYPES = "type.googleapis.com/envoy.extensions.filters.http."
_LUA = """
local json_text = function(value)
  return '"' .. string.gsub(value, '[%c"\\\\]', '') .. '"'
end
function envoy_on_request(handle)
  local claims = handle:streamInfo():dynamicMetadata():get(
    "envoy.filters.http.jwt_authn")["claims"]
  local roles = {}
  for _, role in ipairs(claims["roles"]) do table.insert(roles, json_text(role)) end
  local held = false
  for scope in string.gmatch(claims["scope"], "%S+") do held = held or scope == "SCOPE" end
  if not held then
    handle:respond({[":status"] = "403", ["x-iamrange-reason"] = "insufficient-scope"}, "")
    return
  end
  local input = '{"input":{"agent":{"id":' .. json_text(claims["sub"]) ..
    ',"tenant":"iamrange","roles":[' .. table.concat(roles, ",") ..
    '],"project":"analytics","classification":"public","state":"active"},"action":"read",' ..
    '"resource":{"service":"customers","type":"customer-analytics","id":"",' ..
    '"classification":"public","project":"analytics","environment":null,"high_impact":false},' ..
    '"approval":null,"context":{"time":0,"peer":"","actors":[],"tenant":"iamrange"}}}'
  local headers, body = handle:httpCall("opa", {
    [":method"] = "POST", [":path"] = "/v1/data/ai/authorization/allow",
    [":authority"] = "opa", ["content-type"] = "application/json"}, input, 1000)
  if headers[":status"] ~= "200" or not string.find(body, '"result":%s*true') then
    handle:respond({[":status"] = "403", ["x-iamrange-reason"] = "policy"}, "")
  end
end
"""


class PeerError(Exception):
    """The peer could not be run; the text says why, for the figure's place."""


def _document(
    config: EnvoyConfig, folder: Path, keys: Mapping[str, Any], port: int
) -> dict[str, Any]:
    """Return our own edge's document, with the peer's filters where ours would be."""
    document: dict[str, Any] = json.loads(json.dumps(bootstrap(config, folder)))
    listener = document["static_resources"]["listeners"][0]
    listener["address"]["socket_address"]["port_value"] = port
    (chain,) = listener["filter_chains"]
    filters = chain["filters"][-1]["typed_config"]["http_filters"]
    provider = {
        "issuer": AUTH_ISSUER,
        "audiences": [f"https://{HOST}"],
        "local_jwks": {"inline_string": json.dumps(keys)},
        "payload_in_metadata": "claims",
    }
    filters[:-1] = [
        {
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": f"{_TYPES}jwt_authn.v3.JwtAuthentication",
                "providers": {"ours": provider},
                "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "ours"}}],
            },
        },
        {
            "name": "envoy.filters.http.lua",
            "typed_config": {
                "@type": f"{_TYPES}lua.v3.Lua",
                "default_source_code": {"inline_string": _LUA.replace("SCOPE", SCOPE)},
            },
        },
    ]
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(folder / "opa.sock")}}}}
    document["static_resources"]["clusters"].append(
        {
            "name": "opa",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "opa", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }
    )
    return document


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    config: EnvoyConfig, folder: Path, keys: Mapping[str, Any]
) -> Iterator[tuple[int, int, int]]:
    """Run the peer; yield its port, Envoy's pid and OPA's pid.

    Raises:
        PeerError: it cannot be had, or did not start.
    """
    binary = opa.find()
    if binary is None:
        raise PeerError("no opa: `python -c 'from iamrange.access import opa; opa.build()'`")
    port = _free_port()
    write_documents(folder, config)
    file = folder / "peer.json"
    file.write_text(json.dumps(_document(config, folder, keys, port)))
    commands = (
        [
            *(str(binary), "run", "--server", "--addr", f"unix://{folder / 'opa.sock'}"),
            *("--log-level", "error", "--disable-telemetry", str(POLICY)),
        ],
        [
            *(str(find_envoy()), "-c", str(file), "--log-level", "warning"),
            *("--disable-hot-restart", "--concurrency", str(config.workers)),
        ],
    )
    with (folder / "peer.log").open("wb") as log:
        children = [
            subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)  # noqa: S603 - fixed
            for command in commands
        ]
        try:
            _wait(port, children, folder / "peer.log")
            yield port, children[1].pid, children[0].pid
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()


def _wait(port: int, children: list[subprocess.Popen[bytes]], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if any(child.poll() is not None for child in children):
            raise PeerError(f"the peer ended at its start: {log.read_text()[-400:]}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            time.sleep(1)  # OPA loads its policy meanwhile
            return
    raise PeerError("the peer did not start")
