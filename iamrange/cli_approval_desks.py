"""Where `iamrange approvals` works: at a service over HTTPS, or on the database itself."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote

from iamrange.access.approvals.model import ApprovalRefusal, ApprovalRequest
from iamrange.identity.stores.errors import StoreDownError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import requests

    from iamrange.access.approvals.asking import AskedCall
    from iamrange.access.approvals.service import Approvals
    from iamrange.identity.directory.directory import Directory
    from iamrange.jose.sign import SigningKey

TIMEOUT = 20
_UNAVAILABLE = 503

Signer = tuple["SigningKey", str]
"""A person's key and SPIFFE id."""


class Desk(AbstractContextManager["Desk"], Protocol):
    """What the commands do, wherever that is. StoreDownError: it cannot answer."""

    def now(self) -> int:
        """Return the moment by the clock that approvals go by."""
        ...

    def pending(self, approver: str | None) -> Sequence[ApprovalRequest] | ApprovalRefusal:
        """Return what waits."""
        ...

    def get(self, approval_id: str) -> ApprovalRequest | ApprovalRefusal:
        """Return one request."""
        ...

    def decide(self, approval_id: str, signed: str) -> ApprovalRequest | ApprovalRefusal:
        """Hand in a signature."""
        ...

    def ask(
        self, call: AskedCall, *, agent: str | None, agent_home: Path | None
    ) -> Mapping[str, Any] | ApprovalRefusal:
        """Ask as an agent."""
        ...


class LocalDesk(AbstractContextManager["LocalDesk"]):
    """The tables and the directory, in this process: for whoever may open the database."""

    def __init__(self, approvals: Approvals, directory: Directory) -> None:
        """Take both."""
        self._approvals = approvals
        self._directory = directory

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the directory."""
        self._directory.close()

    def now(self) -> int:
        """Return the moment by this machine's clock."""
        return int(self._approvals.clock.now())

    def pending(self, approver: str | None) -> Sequence[ApprovalRequest] | ApprovalRefusal:
        """Return what waits."""
        return self._approvals.pending(approver=approver)

    def get(self, approval_id: str) -> ApprovalRequest | ApprovalRefusal:
        """Return one request."""
        found = self._approvals.get(approval_id)
        return found or ApprovalRefusal("approval-unknown", "there is no such request")

    def decide(self, approval_id: str, signed: str) -> ApprovalRequest | ApprovalRefusal:
        """Hand in a signature."""
        return self._approvals.decide(approval_id, signed)

    def ask(
        self, call: AskedCall, *, agent: str | None, agent_home: Path | None
    ) -> Mapping[str, Any] | ApprovalRefusal:
        """Ask in an agent's name: it gets nothing by that but a request to people."""
        from iamrange.identity.directory.model import identifier_of  # noqa: PLC0415 - as in cli_approvals

        del agent_home
        if agent is None:
            return ApprovalRefusal("malformed", "expected --agent")
        asked = self._approvals.ask(identifier_of(agent), call)
        if isinstance(asked, ApprovalRefusal):
            return asked
        left = asked.expires - self.now()
        return {**asked.as_json(), "approval_id": asked.id, "expires_in": left}


class RemoteDesk(AbstractContextManager["RemoteDesk"]):
    """A service over HTTPS, found as any client finds it: by proxy and CA of the environment."""

    def __init__(self, url: str, session: requests.Session, signer: Signer | None) -> None:
        """Take the service's origin, a session, and who signs for looking at the list."""
        self._url = url.rstrip("/")
        self._session = session
        self._signer = signer
        self._now = 0

    def __enter__(self) -> Self:
        """Have the service say what time it is."""
        answer = self._json("GET", "/now")
        if isinstance(answer, ApprovalRefusal):
            raise StoreDownError("approvals", answer.reason)
        self._now = int(answer["now"])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the session."""
        self._session.close()

    def now(self) -> int:
        """Return the moment by the service's clock, as it last said."""
        return self._now

    def pending(self, approver: str | None) -> Sequence[ApprovalRequest] | ApprovalRefusal:
        """Return what waits for the person who signs for looking."""
        from iamrange.access.approvals.signing import sign_view  # noqa: PLC0415 - as in cli_approvals

        del approver
        if self._signer is None:
            return ApprovalRefusal("approval-signature", "the list expects --key and --as")
        key, viewer = self._signer
        view = sign_view(
            key, viewer=viewer, method="GET", url=f"{self._url}/pending", now=self._now
        )
        answer = self._json("GET", "/pending", headers={"Authorization": f"Person {view}"})
        if isinstance(answer, ApprovalRefusal):
            return answer
        return [ApprovalRequest.from_json(each) for each in answer["requests"]]

    def get(self, approval_id: str) -> ApprovalRequest | ApprovalRefusal:
        """Return one request."""
        answer = self._json("GET", f"/review/{quote(approval_id, safe='')}/request")
        if isinstance(answer, ApprovalRefusal):
            return answer
        self._now = int(answer["now"])
        return ApprovalRequest.from_json(answer["request"])

    def decide(self, approval_id: str, signed: str) -> ApprovalRequest | ApprovalRefusal:
        """Hand in a signature."""
        path = f"/requests/{quote(approval_id, safe='')}/decision"
        answer = self._json("POST", path, json={"decision": signed})
        return answer if isinstance(answer, ApprovalRefusal) else ApprovalRequest.from_json(answer)

    def ask(
        self, call: AskedCall, *, agent: str | None, agent_home: Path | None
    ) -> Mapping[str, Any] | ApprovalRefusal:
        """Ask with a token of the agent whose home this is."""
        del agent
        if agent_home is None:
            return ApprovalRefusal("malformed", "expected --agent-home, or `iamrange env --agent`")
        document = {
            "method": call.method,
            "url": call.url,
            "content_type": call.content_type,
            "body_base64": base64.b64encode(call.body).decode(),
        }
        auth = _token(agent_home, self._url, self._session)
        if isinstance(auth, ApprovalRefusal):
            return auth
        return self._json("POST", "/requests", json=document, auth=auth)

    def _json(
        self,
        method: str,
        path: str,
        **request: Any,  # noqa: ANN401 - requests' own
    ) -> dict[str, Any] | ApprovalRefusal:
        response = self._session.request(method, f"{self._url}{path}", timeout=TIMEOUT, **request)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or response.status_code == _UNAVAILABLE:
            raise StoreDownError("approvals", f"status {response.status_code}")
        if response.ok:
            return answer
        after = response.headers.get("Retry-After", "")
        return ApprovalRefusal(
            str(answer.get("error", response.status_code)),
            str(answer.get("error_description") or ""),
            int(after) if after.isdecimal() else None,
        )


def local(database: str, directory: str | None, home: Path | None) -> LocalDesk:
    """Open the tables, and the directory that says who people are.

    Raises:
        ValueError: a URL is none that we work on, or nothing says where the directory's key is.
        StoreDownError: the directory's database is away.
    """
    from iamrange.access.approvals.declared import describe  # noqa: PLC0415 - as in cli_approvals
    from iamrange.access.approvals.service import Approvals  # noqa: PLC0415 - same
    from iamrange.access.approvals.sql_store import SqlApprovalStore  # noqa: PLC0415 - same
    from iamrange.identity.directory.directory import Directory  # noqa: PLC0415 - same

    where = directory or database
    if home is None:
        _, found, path = where.partition("sqlite:///")
        if not found or not path:
            raise ValueError("--home: expected the folder of the directory's key")
        home = Path(path).parent
    store = SqlApprovalStore(database)
    people = Directory.open(where, home)
    return LocalDesk(Approvals(store, people, describe), people)


def remote(url: str, signer: Signer | None, network: Mapping[str, str] | None = None) -> RemoteDesk:
    """Work on a service at this origin.

    `network` says how it is found where the shell's own environment (`iamrange env`) does not.

    Raises:
        ValueError: it is no origin.
    """
    import requests  # noqa: PLC0415 - as in cli_approvals

    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise ValueError("--url expected https://")
    session = requests.Session()
    if network is not None:
        session.proxies = {"https": network["HTTPS_PROXY"]}
        session.verify = network["REQUESTS_CA_BUNDLE"]
    return RemoteDesk(url, session, signer)


def of_running_range(signer: Signer | None, *, lists: bool) -> LocalDesk | RemoteDesk:
    """Work on the running range: its service; or its tables, to list what nobody signed for.

    Raises:
        NotRunningError: there is no range.
    """
    from iamrange.identity.names import service_resource  # noqa: PLC0415 - as in cli_approvals
    from iamrange.range.running import running  # noqa: PLC0415 - same

    found = running()
    people = found.state["directory"]
    if lists and signer is None:
        return local(people["database"], None, Path(people["home"]))
    return remote(service_resource("approvals"), signer, found.environment())


def _token(home: Path, url: str, session: requests.Session) -> Any:  # noqa: ANN401 - an `auth` of requests
    """Return a token of this agent for the approvals, bound to a key made here; or why not."""
    import json  # noqa: PLC0415 - as in cli_approvals

    from requests_oauth2client import (  # noqa: PLC0415 - same
        EndpointError,
        OAuth2Client,
        PrivateKeyJwt,
    )

    from iamrange.identity.agent import KEY_FILE, SETTINGS_FILE  # noqa: PLC0415 - same

    try:
        settings = json.loads((home / SETTINGS_FILE).read_bytes())
        key = json.loads((home / KEY_FILE).read_bytes())
        issuer, client = settings["oauth"]["issuer"], settings["id"]
    except (OSError, ValueError, KeyError) as error:
        return ApprovalRefusal("malformed", f"--agent-home {home}: {type(error).__name__}")
    found = session.get(f"{issuer}/.well-known/oauth-authorization-server", timeout=TIMEOUT)
    found.raise_for_status()
    endpoint = found.json()["token_endpoint"]
    auth = PrivateKeyJwt(client, key, alg="ES256", aud=issuer)
    asking = OAuth2Client(endpoint, auth=auth, dpop_bound_access_tokens=True, session=session)
    try:
        return asking.client_credentials(resource=url)
    except EndpointError as error:
        return ApprovalRefusal(str(error.error), str(error.description or ""))
