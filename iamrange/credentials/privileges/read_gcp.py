"""Reads a Google Cloud project through its own REST APIs, with an administrator's access token.

- Nothing is written, and no secret's value is asked for.
- A call that is refused is an exception: half an estate would decide wrongly.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

from iamrange.clouds.gcp.authorize import Binding, Condition, DenyPolicy, DenyRule, Level
from iamrange.credentials.privileges.gcp import GcpEstate, Held
from iamrange.credentials.privileges.read_aws import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = 30.0
_OK, _NOT_FOUND = 200, 404
_NO_KEYS = "iam.disableServiceAccountKeyCreation"


class GcpProject:
    """A project's APIs, called as its administrator; repr shows no token."""

    def __init__(self, endpoint: str, project: str, number: str, token: str) -> None:
        """Call nothing yet."""
        self.project, self.number = project, number
        self._endpoint = endpoint
        self._session = requests.Session()
        self._session.trust_env = False  # the endpoint is the range's own, on loopback
        self._session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Call a method and return its answer; `{}` for what is not there.

        Raises:
            ReadError: it was refused, or did not answer.
        """
        try:
            answer = self._session.request(
                method, f"{self._endpoint}/{path}", json=body, timeout=_SECONDS
            )
        except requests.RequestException as error:
            raise ReadError(f"Google Cloud: {method} {path}: {type(error).__name__}") from error
        if answer.status_code == _NOT_FOUND and method == "GET":
            return {}
        if answer.status_code != _OK:
            raise ReadError(f"Google Cloud: {method} {path} answered {answer.status_code}")
        found: dict[str, Any] = answer.json()
        return found

    def listed(self, path: str, member: str) -> Iterator[dict[str, Any]]:
        """Yield the members of a collection, page by page."""
        token = ""
        while True:
            joined = f"{path}{'&' if '?' in path else '?'}pageToken={token}" if token else path
            page = self.call("GET", joined)
            yield from page.get(member, ())
            token = page.get("nextPageToken", "")
            if not token:
                return

    def policy(self, name: str, kind: str) -> dict[str, Any]:
        """Return an allow policy with its conditions."""
        if kind == "secret":
            return self.call("GET", f"v1/{name}:getIamPolicy?options.requestedPolicyVersion=3")
        body = {"options": {"requestedPolicyVersion": 3}}
        return self.call("POST", f"v1/{name}:getIamPolicy", body)


def read_gcp(api: GcpProject, *, organization: str | None) -> GcpEstate:
    """Read a project, what it holds, and what binds it.

    Raises:
        ReadError: a call was refused, or not answered.
    """
    name = f"projects/{api.project}"
    held: dict[str, Held] = {}
    for secret in api.listed(f"v1/{name}/secrets", "secrets"):
        bindings = _bindings(api.policy(secret["name"], "secret"))
        held[secret["name"]] = Held(
            name=secret["name"], kind="secret", target=secret["name"], bindings=bindings
        )
    for account in api.listed(f"v1/{name}/serviceAccounts", "accounts"):
        held[account["name"]] = Held(
            name=account["name"],
            kind="account",
            target=f"projects/-/serviceAccounts/{account['uniqueId']}",
            bindings=_bindings(api.policy(account["name"], "account")),
            email=account["email"],
        )
    own = Held(
        name=name, kind="project", target=name, bindings=_bindings(api.policy(name, "project"))
    )
    rule = api.call("GET", f"v2/{name}/policies/{_NO_KEYS}:getEffectivePolicy")
    rules = rule.get("spec", {}).get("rules", ())
    return GcpEstate(
        project=own,
        number=api.number,
        held=held,
        above=_above(api, organization),
        deny_policies=tuple(_denials(api, f"projects/{api.number}")),
        roles={
            role["name"]: frozenset(role.get("includedPermissions", ()))
            for role in api.listed(f"v1/{name}/roles?view=FULL", "roles")
        },
        pools=tuple(
            pool["name"]
            for pool in api.listed(
                f"v1/{name}/locations/global/workloadIdentityPools", "workloadIdentityPools"
            )
        ),
        organization=organization or "",
        keys_forbidden=any(one.get("enforce") for one in rules),
        now=time.time(),
    )


def _bindings(policy: dict[str, Any]) -> tuple[Binding, ...]:
    return tuple(
        Binding(one["role"], tuple(one["members"]), _condition(one.get("condition")))
        for one in policy.get("bindings", ())
    )


def _condition(value: dict[str, Any] | None) -> Condition | None:
    if not value:
        return None
    return Condition(value["expression"], value.get("title", ""), value.get("description", ""))


def _above(api: GcpProject, organization: str | None) -> tuple[Level, ...]:
    if organization is None:
        return ()
    name = f"organizations/{organization}"
    bindings = _bindings(api.policy(name, "organization"))
    return (Level(name, bindings, tuple(_denials(api, name))),)


def _denials(api: GcpProject, owner: str) -> Iterator[DenyPolicy]:
    point = quote(f"cloudresourcemanager.googleapis.com/{owner}", safe="")
    for summary in api.listed(f"v2/policies/{point}/denypolicies", "policies"):
        policy = api.call("GET", f"v2/{summary['name']}")
        rules = (one.get("denyRule", {}) for one in policy.get("rules", ()))
        yield DenyPolicy(
            policy["name"],
            tuple(
                DenyRule(
                    tuple(rule.get("deniedPrincipals", ())),
                    tuple(rule.get("exceptionPrincipals", ())),
                    tuple(rule.get("deniedPermissions", ())),
                    tuple(rule.get("exceptionPermissions", ())),
                    _condition(rule.get("denialCondition")),
                )
                for rule in rules
            ),
        )
