"""A real vault in a thread, for clients that wait for its answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hvac

from iamrange.core.clock import SystemClock
from iamrange.credentials.vault.app import Vault, VaultState
from iamrange.network.edge import Edge, Route
from infra import vault_documents

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from iamrange.core.decision import DecisionRecord

MOUNT = "certificates"
KEYS = "keys"
ROOT = "root/generate/internal"
TRUST_DOMAIN = "iamrange.example"
AUTHORITY_RULES = """
path "certificates/sign/+" { capabilities = ["update"] }
path "certificates/certs" { capabilities = ["list"] }
path "certificates/cert/+" { capabilities = ["read"] }
path "certificates/revoke" { capabilities = ["update"] }
path "certificates/issuers" { capabilities = ["list"] }
path "certificates/issuer/+" { capabilities = ["read"] }
path "certificates/issuer/+/crl" { capabilities = ["read"] }
path "certificates/crl/rotate" { capabilities = ["read"] }
"""
"""What a range's own authority may do there, and no more."""


class VaultThread:
    """A vault on loopback, its administrator, and what it recorded."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="v-"))
        self.state = VaultState()
        self.records: list[DecisionRecord] = []
        self.vault = Vault(
            self.state,
            self._folder / "v",
            address="https://vault.iamrange.example",
            environment=lambda: {"NO_PROXY": "*"},
            clock=SystemClock(),
            records=self.records.append,
        )
        self._edge = Edge([Route("*", self.vault)], ca=None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self.vault.start())
        self.run(self._edge.start())
        self.url = f"http://127.0.0.1:{self._edge.port}"
        self.administrator = self.client(self.state.administrator)

    def run(self, awaited: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what it returns
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result(60)

    def client(self, token: str) -> hvac.Client:
        client = hvac.Client(url=self.url, token=token)
        client.session.trust_env = False
        return client

    def write(self, path: str, **body: Any) -> Any:  # noqa: ANN401 - JSON values
        return self.administrator.adapter.post(f"/v1/{path}", json=body)

    def holder(self, name: str, rules: str) -> hvac.Client:
        """Return a client that may do what these rules say."""
        self.administrator.sys.create_or_update_policy(name=name, policy=rules)
        asked = {"policies": [name], "no_default_policy": True, "ttl": "600s"}
        return self.client(self.write("auth/token/create-orphan", **asked)["auth"]["client_token"])

    def agent(self, name: str) -> hvac.Client:
        """Return a client of an agent's login: the policy is the stack's own."""
        return self.holder(f"agent-{name}", vault_documents.use_own(name).to_hcl())

    def certify(self, agents: Iterable[str]) -> None:
        """Make it an authority, as the stack does."""
        self.write("sys/mounts/certificates", type="pki", config={"max_lease_ttl": "720h"})
        self.write(
            f"{MOUNT}/config/crl",
            expiry=f"{vault_documents.LIST_SECONDS}s",
            auto_rebuild=True,
            auto_rebuild_grace_period=f"{vault_documents.LIST_SECONDS // 2}s",
        )
        self.write(
            f"{MOUNT}/{ROOT}",
            common_name="agents",
            organization="iamrange",
            issuer_name="agents",
            uri_sans=f"spiffe://{TRUST_DOMAIN}",
            exclude_cn_from_sans=True,
            key_type="ec",
            key_bits=256,
            max_path_length=0,
            ttl="720h",
        )
        for agent in agents:
            self.certify_role(agent, f"spiffe://{TRUST_DOMAIN}/agent/{agent}")

    def certify_role(self, name: str, spiffe_id: str) -> None:
        self.write(
            f"{MOUNT}/roles/{name}",
            allowed_uri_sans=[spiffe_id],
            allow_ip_sans=False,
            allow_localhost=False,
            require_cn=False,
            use_csr_common_name=False,
            use_csr_sans=False,
            organization=["iamrange"],
            key_type="ec",
            key_bits=256,
            key_usage=["DigitalSignature"],
            basic_constraints_valid_for_non_ca=True,
            not_before_duration="10s",
            ttl="3600s",
            max_ttl="3600s",
        )

    def kill(self) -> None:
        assert self.vault.running is not None
        os.kill(self.vault.running.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.vault.running is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def seal(self) -> None:
        self.administrator.sys.seal()

    def unseal(self) -> None:
        assert self.vault.running is not None
        self.run(self.vault.running.unseal())

    def stop(self) -> None:
        self.run(self._edge.stop())
        self.run(self.vault.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder)
