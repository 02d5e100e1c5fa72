"""Agents as the REST API shows and takes them. A secret's hash goes in and never comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from iamrange.identity.directory.model import (
    AgentFieldError,
    AgentKey,
    AgentSpec,
    Classification,
    Kind,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.identity.directory.bulk import BulkResult
    from iamrange.identity.directory.encoding import Head
    from iamrange.identity.directory.lifecycle import AgentChanges
    from iamrange.identity.directory.listing import Page
    from iamrange.identity.directory.model import Agent

_SETS = ("roles", "scopes", "resources", "may_act", "audiences")


def agent_to_json(agent: Agent) -> dict[str, Any]:
    """Return an agent as JSON-ready values."""
    return {
        "id": agent.id,
        "client_id": agent.id,
        "name": agent.name,
        "tenant": agent.tenant,
        "kind": agent.kind.value,
        "owner": agent.owner,
        "purpose": agent.purpose,
        "project": agent.project,
        "classification": agent.classification.value,
        "roles": sorted(agent.roles),
        "scopes": sorted(agent.scopes),
        "resources": None if agent.resources is None else sorted(agent.resources),
        "keys": [
            {"kid": key.kid, "jwk": dict(key.jwk), "not_after": key.not_after} for key in agent.keys
        ],
        "certificates": list(agent.certificates),
        "tls_subject": agent.tls_subject,
        "may_act": sorted(agent.may_act),
        "audiences": sorted(agent.audiences),
        "aws_role_arn": agent.aws_role_arn,
        "aws_session_policy": agent.aws_session_policy,
        "expires": agent.expires,
        "state": agent.state.value,
        "epoch": agent.epoch,
        "version": agent.version,
        "number": agent.number,
        "created": agent.created,
        "activated": agent.activated,
        "recertified": agent.recertified,
        "rotated": agent.rotated,
    }


def spec_from_json(value: Mapping[str, Any]) -> AgentSpec:
    """Read a registration, which its JSON schema has accepted.

    Raises:
        AgentFieldError: a field holds what it must not.
    """
    given = {name: member for name, member in value.items() if name != "activate"}
    for name in _SETS:
        if given.get(name) is not None:
            given[name] = frozenset(given[name])
    given["keys"] = tuple(AgentKey.from_jwk(jwk) for jwk in given.get("keys", ()))
    given["certificates"] = tuple(given.get("certificates", ()))
    try:
        given["classification"] = Classification(given.get("classification", "internal"))
        given["kind"] = Kind(given.get("kind", "agent"))
        return AgentSpec(**given)
    except AgentFieldError:
        raise
    except (TypeError, ValueError):
        raise AgentFieldError("registration", "the fields of an agent") from None


def changes_from_json(value: Mapping[str, Any]) -> AgentChanges:
    """Read an update, which its JSON schema has accepted; the directory checks its values."""
    given = {name: member for name, member in value.items() if name != "expected_version"}
    for name in _SETS:
        if given.get(name) is not None:
            given[name] = frozenset(given[name])
    if "certificates" in given:
        given["certificates"] = tuple(given["certificates"])
    if "classification" in given:
        given["classification"] = Classification(given["classification"])
    return cast("AgentChanges", given)


def page_to_json(page: Page) -> dict[str, Any]:
    """Return a page as JSON-ready values."""
    return {"agents": [agent_to_json(agent) for agent in page.agents], "next": page.next}


def head_to_json(head: Head) -> dict[str, Any]:
    """Return a head as JSON-ready values."""
    return {
        "version": head.version,
        "count": head.count,
        "time": head.time,
        "root": head.root.hex(),
        "kid": head.kid,
    }


def bulk_to_json(result: BulkResult) -> dict[str, Any]:
    """Return how a bulk command went as JSON-ready values."""
    return {
        "changed": result.changed,
        "unchanged": result.unchanged,
        "refused": result.refused,
        "position": result.position,
        "refusals": [
            {"agent": agent, "error": refusal.code, "detail": refusal.detail}
            for agent, refusal in result.refusals
        ],
    }
