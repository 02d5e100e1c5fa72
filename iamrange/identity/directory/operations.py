"""The REST API, declared once: routes, checks and the OpenAPI document all come from here.

- A request body is checked against its schema here, then by the model, which has the last word.
- Patterns and bounds are the model's own; none is typed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from iamrange.identity.directory import field_rules as rules
from iamrange.identity.directory.bulk import BULK_ACTIONS
from iamrange.identity.directory.lifecycle import MAX_OVERLAP, AgentChanges
from iamrange.identity.directory.listing import MAX_PAGE
from iamrange.identity.directory.model import TEXTS, AgentState, Classification, Kind

READ = "read:directory"
WRITE = "write:directory"
JSON = "application/json"
JSON_LINES = "application/jsonl"
_LARGEST = 2**53 - 1  # what every JSON reader holds exactly (RFC 8259 section 6)

Schema = dict[str, Any]


def _pattern(form: Any) -> Schema:  # noqa: ANN401 - a compiled pattern
    return {"type": "string", "pattern": f"^(?:{form.pattern})$"}


def _list(items: Schema, limit: int) -> Schema:
    return {"type": "array", "items": items, "maxItems": limit, "uniqueItems": True}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(required: tuple[str, ...], **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_NAME = _pattern(rules.NAME)
_KIND: Schema = {"type": "string", "enum": [each.value for each in Kind]}
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": _LARGEST}
_TIME: Schema = {"type": "number", "minimum": 0, "exclusiveMaximum": rules.LATEST}
_TEXT: Schema = {"type": "string"}
_VERSION = {"expected_version": _COUNT}
_CHANGEABLE = AgentChanges.__optional_keys__
_OVERLAP: Schema = {"type": "number", "minimum": 0, "maximum": MAX_OVERLAP}
_SHARED: dict[str, Schema] = {
    "name": _NAME,
    "tenant": _NAME,
    "kind": _KIND,
    **{
        name: {"type": "string", "minLength": least, "maxLength": limit}
        for name, limit, least in TEXTS
    },
    "classification": {"type": "string", "enum": [each.value for each in Classification]},
    "roles": _list(_pattern(rules.POLICY_ROLE), rules.MAX_SET),
    "scopes": _list(_pattern(rules.SCOPE), rules.MAX_SET),
    "resources": _or_null(_list(_pattern(rules.RESOURCE), rules.MAX_SET)),
    "certificates": _list(_pattern(rules.OCTETS_32), rules.MAX_CERTIFICATES),
    "tls_subject": {"type": "boolean"},
    "may_act": _list(_pattern(rules.AGENT_ID), rules.MAX_SET),
    "audiences": _list(_pattern(rules.AUDIENCE), rules.MAX_SET),
    "aws_role_arn": _or_null(_pattern(rules.ROLE)),
    "aws_session_policy": _or_null({"type": "string", "maxLength": rules.POLICY_LENGTH}),
    "expires": _or_null(_TIME),
}
_JWK = {
    **_object(
        ("kty", "crv", "x", "y"),
        kty={"const": "EC"},
        crv={"const": "P-256"},
        x=_pattern(rules.OCTETS_32),
        y=_pattern(rules.OCTETS_32),
        kid=_TEXT,
        use={"const": "sig"},
        alg={"const": "ES256"},
        key_ops={"type": "array", "items": _TEXT, "contains": {"const": "verify"}},
    ),
    "description": "A public key; private members are refused.",
}

SCHEMAS: dict[str, Schema] = {
    "Jwk": _JWK,
    "Key": _object(
        ("kid", "jwk", "not_after"), kid=_TEXT, jwk=_ref("Jwk"), not_after=_or_null(_TIME)
    ),
    "Agent": _object(
        ("id", "client_id", *_SHARED, "keys", "state", "epoch", "version", "number"),
        id=_TEXT,
        client_id=_TEXT,
        **_SHARED,
        keys={"type": "array", "items": _ref("Key")},
        state={"type": "string", "enum": [each.value for each in AgentState]},
        epoch=_COUNT,
        version=_COUNT,
        number=_COUNT,
        created={"type": "number"},
        activated=_or_null({"type": "number"}),
        recertified={"type": "number"},
        rotated={"type": "number"},
    ),
    "Page": _object(
        ("agents", "next"),
        agents={"type": "array", "items": _ref("Agent")},
        next=_or_null(_COUNT),
    ),
    "Registration": _object(
        ("name", "owner"),
        **_SHARED,
        keys=_list(_ref("Jwk"), rules.MAX_KEYS),
        secret_hash=_or_null(_pattern(rules.SECRET_HASH)),
        activate={"type": "boolean", "default": False},
    ),
    "Update": {
        **_object(
            (),
            **{name: schema for name, schema in _SHARED.items() if name in _CHANGEABLE},
            secret_hash=_or_null(_pattern(rules.SECRET_HASH)),
            **_VERSION,
        ),
        "description": "What is absent stays as it is; null stands for no value.",
    },
    "Command": _object((), **_VERSION),
    "Rotation": _object(("jwk", "overlap"), jwk=_ref("Jwk"), overlap=_OVERLAP, **_VERSION),
    "Withdrawal": _object(("kid",), kid=_pattern(rules.OCTETS_32), **_VERSION),
    "Recertification": _object(("expires",), expires=_or_null(_TIME), **_VERSION),
    "BulkLine": {
        "oneOf": [
            _object(("register",), register=_ref("Registration")),
            _object(
                ("rotate",),
                rotate=_object(
                    ("name", "jwk", "overlap"), name=_TEXT, jwk=_ref("Jwk"), overlap=_OVERLAP
                ),
            ),
            *(_object((action,), **{action: _NAME}) for action in BULK_ACTIONS),
        ]
    },
    "BulkResult": _object(
        ("changed", "unchanged", "refused", "position", "refusals"),
        changed=_COUNT,
        unchanged=_COUNT,
        refused=_COUNT,
        position=_COUNT,
        refusals={"type": "array", "items": _ref("BulkRefusal")},
    ),
    "BulkRefusal": _object(("agent", "error", "detail"), agent=_TEXT, error=_TEXT, detail=_TEXT),
    "Head": _object(
        ("version", "count", "time", "root", "kid"),
        version=_COUNT,
        count=_COUNT,
        time={"type": "number"},
        root=_TEXT,
        kid=_TEXT,
    ),
    "Events": _object(("events",), events={"type": "array", "items": _ref("Event")}),
    "Event": _object(
        ("version", "time", "actor", "action", "agent", "detail"),
        version=_COUNT,
        time={"type": "number"},
        actor=_TEXT,
        action=_TEXT,
        agent=_TEXT,
        detail=_TEXT,
    ),
    "Error": _object(
        ("error", "error_description", "request_id"),
        error=_TEXT,
        error_description=_TEXT,
        request_id=_TEXT,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: `query` maps names to schemas, `refusals` are statuses."""

    id: str
    method: str
    path: str
    scope: str
    summary: str
    answer: str
    status: int = 200
    body: str | None = None
    body_type: str = JSON
    query: dict[str, Schema] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()


_PAGE = {
    "after": {**_COUNT, "default": 0},
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100},
}
_WHOSE = {"tenant": _NAME, "kind": _KIND}
_COMMANDS = {
    "rotate": ("Rotation", "Give the agent a new key; the old one is accepted for the overlap"),
    "withdraw": ("Withdrawal", "Stop accepting a key at once"),
    "activate": ("Command", "Approve a registered agent"),
    "quarantine": ("Command", "Suspend the agent; its tokens are dead for good"),
    "release": ("Command", "End the quarantine"),
    "revoke": ("Command", "Kill every token of the agent and all that descend from them"),
    "retire": ("Command", "End the agent for good; its name and keys stay taken"),
    "recertify": ("Recertification", "Prolong the agent"),
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        id="listAgents",
        method="GET",
        path="/agents",
        scope=READ,
        summary="List agents in the order of registration",
        answer="Page",
        query={
            "owner": _SHARED["owner"],
            "project": _SHARED["project"],
            "state": SCHEMAS["Agent"]["properties"]["state"],
            "scope": _pattern(rules.SCOPE),
            "expired": {"type": "boolean"},
            **_PAGE,
        },
        refusals=(400,),
    ),
    Operation(
        id="register",
        method="POST",
        path="/agents",
        scope=WRITE,
        summary="Register an agent; the same registration again changes nothing",
        answer="Agent",
        body="Registration",
        refusals=(400, 409),
    ),
    Operation(
        id="bulk",
        method="POST",
        path="/agents:bulk",
        scope=WRITE,
        summary="Many commands, one JSON object a line; each stands by itself",
        answer="BulkResult",
        body="BulkLine",
        body_type=JSON_LINES,
        refusals=(400,),
    ),
    Operation(
        id="getAgent",
        method="GET",
        path="/agents/{name}",
        scope=READ,
        summary="Show an agent",
        answer="Agent",
        query=_WHOSE,
        refusals=(400, 404),
    ),
    Operation(
        id="update",
        method="PATCH",
        path="/agents/{name}",
        scope=WRITE,
        summary="Change what was registered; taking something away kills the agent's tokens",
        answer="Agent",
        body="Update",
        query=_WHOSE,
        refusals=(400, 404, 409),
    ),
    *(
        Operation(
            id=action,
            method="POST",
            path=f"/agents/{{name}}/{action}",
            scope=WRITE,
            summary=summary,
            answer="Agent",
            body=body,
            query=_WHOSE,
            refusals=(400, 404, 409),
        )
        for action, (body, summary) in _COMMANDS.items()
    ),
    Operation(
        id="head",
        method="GET",
        path="/head",
        scope=READ,
        summary="Show the signed head over the whole table",
        answer="Head",
        refusals=(400,),
    ),
    Operation(
        id="events",
        method="GET",
        path="/events",
        scope=READ,
        summary="List changes in the order of their versions",
        answer="Events",
        query=_PAGE,
        refusals=(400,),
    ),
)
