"""What cloudsplaining and parliament say of the same policies: second opinions, in their own words.

- Run in a process of its own: they are libraries that warn, log and keep files open.
- parliament 1.6 asks `pkg_resources`, which setuptools no longer has, for two data files; here it
  gets them from `importlib`.
- cloudsplaining (Salesforce, MIT licence) looks at one policy without conditions in mind;
  parliament (Duo Labs, BSD licence) is a linter of policy text. Neither knows boundary,
  organisation or use.
"""

from __future__ import annotations

import json
import subprocess
import sys
import types
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from iamrange.credentials.privileges.model import PeerFinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from iamrange.credentials.privileges.estate import Document

PEERS = ("cloudsplaining", "parliament")
_SECONDS = 120.0


class PeerError(OSError):
    """A peer did not give its findings; the message has its last words."""


def peer_versions() -> Mapping[str, str]:
    """Return the peers' names and versions."""
    return {name: version(name) for name in PEERS}


def peers_say(documents: Iterable[Document]) -> tuple[PeerFinding, ...]:
    """Return what both peers find in identity policies.

    Raises:
        PeerError: their process failed, or took too long.
    """
    order = [{"name": document.name, "text": document.text} for document in documents]
    try:
        answer = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-W", "ignore", "-m", __name__],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"peers: expected an answer within {_SECONDS:.0f} s, got none") from error
    if answer.returncode != 0:
        words = answer.stderr.strip().rpartition("\n")[2]
        raise PeerError(f"peers: their process ended with {answer.returncode}: {words}")
    return tuple(
        PeerFinding(
            tool=one["tool"], policy=one["policy"], kind=one["kind"], what=tuple(one["what"])
        )
        for one in json.loads(answer.stdout)
    )


def _cloudsplaining(name: str, text: str) -> Iterator[dict[str, Any]]:
    from cloudsplaining.scan.policy_document import PolicyDocument  # noqa: PLC0415 - slow

    policy = PolicyDocument(json.loads(text))
    found: dict[str, Iterable[str]] = {
        "PrivilegeEscalation": (str(one["type"]) for one in policy.allows_privilege_escalation),
        "DataExfiltration": policy.allows_data_exfiltration_actions,
        "ResourceExposure": policy.permissions_management_without_constraints,
        "CredentialsExposure": policy.credentials_exposure,
        "ServiceWildcard": policy.service_wildcard,
        "InfrastructureModification": policy.infrastructure_modification,
    }
    for kind, what in found.items():
        listed = sorted(set(what))
        if listed:
            yield {"tool": "cloudsplaining", "policy": name, "kind": kind, "what": listed}


def _parliament(name: str, text: str) -> Iterator[dict[str, Any]]:
    stand_in = types.ModuleType("pkg_resources")
    vars(stand_in)["resource_filename"] = lambda package, file: str(resources.files(package) / file)
    sys.modules.setdefault("pkg_resources", stand_in)
    from parliament import analyze_policy_string, enhance_finding  # noqa: PLC0415 - same

    for finding in analyze_policy_string(text).findings:
        told = enhance_finding(finding)
        detail = told.detail if isinstance(told.detail, str) else json.dumps(told.detail)
        what = [part for part in (told.title, detail) if part]
        yield {"tool": "parliament", "policy": name, "kind": told.issue, "what": what}


def main() -> None:
    """Read documents from standard input, write findings to standard output."""
    found = [
        finding
        for document in json.load(sys.stdin)
        for peer in (_cloudsplaining, _parliament)
        for finding in peer(document["name"], document["text"])
    ]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
