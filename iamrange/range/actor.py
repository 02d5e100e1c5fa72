"""What runs in an actor's own process: an attack with its foothold, or an agent's work.

- The process is given its arguments and an environment, and holds nothing else of the run's.
- An actor reports what came home, or the client's own word for a refusal; it never judges.
- Whatever else goes wrong is reported by type and place, never by text: exception texts of
  third parties can hold tokens.
"""

from __future__ import annotations

import importlib
import json
import time
import traceback
from http.client import RemoteDisconnected
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import google.api_core.exceptions
import google.auth.exceptions
import hvac.exceptions
import psycopg
import requests
from requests_oauth2client.exceptions import EndpointError

from iamrange.core.scenario import AwsSession, DatabaseLogin, Taken
from iamrange.identity.agent import AgentIdentity, AgentIdentityError
from iamrange.range.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVER_ERROR = 500


_APPROVER_PAUSE = 0.3


def attack(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Run one scenario's attack.

    `spec`: `module` (the scenario's), `knows`, and what was taken: `token`, `aws_session` (its
    three members), `gcp_access_token`, `vault_token`, `folder`, `oauth`. Returns `loot` and
    `documents` (lists of strings), or `refused` with `request_id`, or `broke`.
    """
    session, login = spec.get("aws_session"), spec.get("database_login")
    taken = Taken(
        knows=spec["knows"],
        token=spec.get("token"),
        aws_session=AwsSession(**session) if session else None,
        gcp_access_token=spec.get("gcp_access_token"),
        vault_token=spec.get("vault_token"),
        database_login=DatabaseLogin(**login) if login else None,
        folder=spec.get("folder"),
        oauth=spec.get("oauth") or {},
    )
    scenario = importlib.import_module(spec["module"]).SCENARIO

    def run() -> dict[str, Any]:
        loot = scenario.attack(taken)
        return {"loot": list(loot.values), "documents": list(loot.documents)}

    return _reported(run)


def work(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Do an agent's legitimate work.

    `spec`: `workload` (its name in `range.workloads`) and `facts`. Returns `nonce` and
    `memory`, or `refused`, or `broke`.
    """
    workload = WORKLOADS[spec["workload"]]

    def run() -> dict[str, Any]:
        done = workload.run(spec["facts"])
        return {"nonce": done.nonce, "memory": dict(done.memory)}

    return _reported(run)


def approve(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Approve requests as a person with a key: `count` of those that come while work goes on.

    `spec`: `person` (a SPIFFE id), `key` (the file of a private JWK), `count`, `waiting` (how many
    must wait before the person signs any), `over` (a file that is there once the work is
    over). Returns `approved` (ids), or `broke`.
    """
    return _reported(lambda: _approve(spec))


def _approve(spec: Mapping[str, Any]) -> dict[str, Any]:
    # people's tools, which no agent's process needs
    from iamrange.access.approvals.model import ApprovalRefusal, Verdict  # noqa: PLC0415
    from iamrange.access.approvals.signing import sign_decision  # noqa: PLC0415
    from iamrange.cli_approval_desks import remote  # noqa: PLC0415
    from iamrange.identity.names import service_resource  # noqa: PLC0415
    from iamrange.jose import SigningKey  # noqa: PLC0415

    key, person = SigningKey.from_jwk(json.loads(Path(spec["key"]).read_bytes())), spec["person"]
    approved: list[str] = []
    denies = spec["waiting"] == 1  # what lies there already, nobody has told this person of
    while len(approved) < spec["count"] and not Path(spec["over"]).exists():
        with remote(service_resource("approvals"), (key, person)) as desk:
            waiting = desk.pending(None)
            found = () if isinstance(waiting, ApprovalRefusal) else waiting
            verdict = Verdict.DENY if denies else Verdict.APPROVE
            begins = denies or bool(approved) or len(found) >= spec["waiting"]
            for request in found[: None if denies else spec["count"] - len(approved)]:
                if not begins:
                    break
                signed = sign_decision(
                    key, request, verdict=verdict, approver=person, now=desk.now()
                )
                taken = not isinstance(desk.decide(request.id, signed), ApprovalRefusal)
                if taken and not denies:
                    approved.append(request.id)
            denies = False
        time.sleep(_APPROVER_PAUSE)
    return {"approved": approved}


def project(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Write an agent's tokens where SDKs read them, as a node's agent does for a workload.

    `spec`: `home` and `audiences` (file name -> audience). Returns `written`, or `broke`.
    """

    def run() -> dict[str, Any]:
        identity = AgentIdentity(spec["home"])
        for name, audience in spec["audiences"].items():
            identity.write_token_file(audience, identity.home / name)
        return {"written": sorted(spec["audiences"])}

    return _reported(run)


def _reported(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:  # noqa: C901, PLR0911 - one a client
    try:
        return run()
    except botocore.exceptions.ClientError as error:
        return _from_aws(error)
    except botocore.exceptions.CredentialRetrievalError as error:
        return _from_own_credentials(error)
    except google.auth.exceptions.TransportError as error:
        return {"broke": _place(error)}
    except google.auth.exceptions.GoogleAuthError as error:
        return _from_google_auth(error)
    except google.api_core.exceptions.GoogleAPICallError as error:
        return _by_status(int(error.code or SERVER_ERROR), type(error).__name__, error)
    except hvac.exceptions.VaultError as error:
        return _from_vault(error)
    except psycopg.Error as error:
        return _from_database(error)
    except AgentIdentityError as error:
        return {"broke" if error.code == "unreachable" else "refused": error.code}
    except (requests.exceptions.SSLError, requests.exceptions.ConnectionError) as error:
        # In TLS 1.3 a refused certificate shows at the first read, as an alert or as an end.
        ended = isinstance(error, requests.exceptions.SSLError) or _was_cut(error)
        # whether the other side refused is for its own record to say
        return {"refused": "TLS handshake"} if ended else {"broke": _place(error)}
    except (requests.HTTPError, EndpointError) as error:
        return _from_our_services(error)
    except Exception as error:  # noqa: BLE001  # the report is the process's only way to speak
        return {"broke": _place(error)}


def _was_cut(error: BaseException) -> bool:
    """Tell whether a connection stood, and the other side ended it."""
    parts = [error, *error.args, *(part for each in error.args for part in _args_of(each))]
    return any(isinstance(part, ConnectionResetError | RemoteDisconnected) for part in parts)


def _args_of(error: object) -> tuple[object, ...]:
    return error.args if isinstance(error, BaseException) else ()


def _from_aws(error: botocore.exceptions.ClientError) -> dict[str, Any]:
    metadata = error.response.get("ResponseMetadata", {})
    report = _by_status(
        metadata.get("HTTPStatusCode", SERVER_ERROR), error.response["Error"]["Code"], error
    )
    return {**report, "request_id": metadata.get("RequestId")} if "refused" in report else report


def _from_our_services(error: requests.HTTPError | EndpointError) -> dict[str, Any]:
    """Read a refusal of our own services, which name it by an OAuth error and a request id."""
    response: requests.Response | None = error.response
    status = response.status_code if response is not None else SERVER_ERROR
    code = str(error.error) if isinstance(error, EndpointError) else f"HTTP {status}"
    report = _by_status(status, code, error)
    request_id = response.headers.get("X-Request-Id") if response is not None else None
    return {**report, "request_id": request_id} if request_id and "refused" in report else report


def _from_vault(error: hvac.exceptions.VaultError) -> dict[str, Any]:
    """Tell a refusal of the vault's from its failure; hvac has a class for each HTTP status."""
    kinds = (
        hvac.exceptions.Forbidden,
        hvac.exceptions.Unauthorized,
        hvac.exceptions.InvalidRequest,
    )
    if isinstance(error, kinds):
        return {"refused": type(error).__name__}
    return {"broke": _place(error)}


_NOT_LET_IN = ("authentication failed", "not permitted to log in", "permission denied")


def _from_database(error: psycopg.Error) -> dict[str, Any]:
    """Tell a refusal of the database's from its failure.

    libpq hands on no code for a connection that was refused: the server's words are all there is.
    """
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return {"refused": "insufficient privilege"}
    said = str(error)
    if "FATAL" in said and any(words in said for words in _NOT_LET_IN):
        return {"refused": "not let in by the database"}
    return {"broke": _place(error)}


def _from_own_credentials(error: Exception) -> dict[str, Any]:
    """Tell a refusal by the agent's issuer or broker from a failure to reach it.

    SDKs only hand on the words of the agent's own client, which begin with its error code.
    """
    if "unreachable:" in str(error):
        return {"broke": _place(error)}
    return {"refused": type(error).__name__}


def _from_google_auth(error: google.auth.exceptions.GoogleAuthError) -> dict[str, Any]:
    """Tell a refusal of Google's token endpoints from a failure to reach them.

    google-auth puts the response's body behind its message; IAM Credentials answers with a
    google.rpc.Status, the token endpoint with OAuth's `error`.
    """
    for argument in error.args:
        body = argument if isinstance(argument, dict) else _json(argument)
        details = body.get("error")
        if isinstance(details, dict):
            status = int(details.get("code", SERVER_ERROR))
            return _by_status(status, str(details.get("status", status)), error)
        if isinstance(details, str):
            return {"refused": details}
    if isinstance(error, google.auth.exceptions.OAuthError):
        return {"refused": str(error.args[0]).partition(":")[0]}
    if "Executable returned unsuccessful response" in str(error):
        return _from_own_credentials(error)
    return {"broke": _place(error)}


def _json(value: object) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if isinstance(value, (str, bytes)) else None
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _by_status(status: int, code: str, error: Exception) -> dict[str, Any]:
    if status >= SERVER_ERROR:
        return {"broke": f"{code} ({status}) at {_place(error)}"}
    return {"refused": code}


def _place(error: Exception) -> str:
    """Name the error's type and the innermost line of ours, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/scenarios/" in f.filename or "/iamrange/" in f.filename]
    frame = (ours or frames)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
