"""The OpenAPI 3.1 document, made from the declared operations."""

from __future__ import annotations

from typing import Any

from iamrange.identity.directory import field_rules as rules
from iamrange.identity.directory.operations import JSON, OPERATIONS, SCHEMAS, Operation
from iamrange.identity.names import service_resource

_ALWAYS = {
    401: "No token, or none that counts",
    403: "The token does not carry the scope",
    503: "The directory cannot answer: its database is away, or was tampered with",
}
_REFUSALS = {
    400: "Malformed",
    404: "There is no such agent or key",
    409: "What is there already does not allow it",
}


def document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "iamrange directory of agents", "version": "1"},
        "servers": [{"url": service_resource("directory")}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "DPoP"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    answer = {"$ref": f"#/components/schemas/{operation.answer}"}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": [{"token": [operation.scope]}],
        "parameters": _parameters(operation),
        "responses": {
            str(operation.status): {
                "description": "Done",
                "content": {JSON: {"schema": answer}},
            },
            **{
                str(status): {
                    "description": (_ALWAYS | _REFUSALS)[status],
                    "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
                for status in sorted({*operation.refusals, *_ALWAYS})
            },
        },
    }
    if operation.body is not None:
        body = {"$ref": f"#/components/schemas/{operation.body}"}
        described["requestBody"] = {
            "required": True,
            "content": {operation.body_type: {"schema": body}},
        }
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in operation.query.items()
    ]
    if "{name}" in operation.path:
        name = {"type": "string", "pattern": f"^(?:{rules.NAME.pattern})$"}
        found.append({"name": "name", "in": "path", "required": True, "schema": name})
    return found
