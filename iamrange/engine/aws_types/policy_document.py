"""aws:iam/getPolicyDocument: renders a policy as the official provider does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.documents import json_document
from iamrange.engine.resource import Function, Properties, ProviderError

if TYPE_CHECKING:
    from iamrange.engine.aws_types.session import AwsSession

_VERSION = "2012-10-17"


def _render(_session: AwsSession, arguments: Properties) -> Properties:
    rendered = [_statement(item) for item in arguments.get("statements") or []]
    document: dict[str, Any] = {"Version": arguments.get("version") or _VERSION}
    identifier = arguments.get("policyId")
    statements: list[dict[str, Any]] = []
    for text in arguments.get("sourcePolicyDocuments") or []:
        source = _parsed("sourcePolicyDocuments", text)
        identifier = identifier or source.get("Id")
        _merge(statements, _statements(source), override=False)
    _merge(statements, rendered, override=False)
    for text in arguments.get("overridePolicyDocuments") or []:
        source = _parsed("overridePolicyDocuments", text)
        identifier = source.get("Id") or identifier
        _merge(statements, _statements(source), override=True)
    if identifier:
        document["Id"] = identifier
    document["Statement"] = statements
    minified = json.dumps(document, separators=(",", ":"))
    return {
        **arguments,
        "id": str(sum(minified.encode())),
        "version": document["Version"],
        "json": json.dumps(document, indent=2),
        "minifiedJson": minified,
    }


def _parsed(argument: str, text: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any JSON value
    document = json_document(text)
    if not isinstance(document, Mapping):
        raise ProviderError(f"{argument}: expected a JSON policy document")
    return document


def _statements(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    statements = document.get("Statement", [])
    return [dict(statements)] if isinstance(statements, Mapping) else [dict(s) for s in statements]


def _merge(into: list[dict[str, Any]], more: list[dict[str, Any]], *, override: bool) -> None:
    places = {item["Sid"]: index for index, item in enumerate(into) if item.get("Sid")}
    for statement in more:
        sid = statement.get("Sid")
        if sid and sid in places:
            if not override:
                raise ProviderError(f"statements: the sid {sid!r} is used twice")
            into[places[sid]] = statement
        else:
            if sid:
                places[sid] = len(into)
            into.append(statement)


def _statement(arguments: Properties) -> dict[str, Any]:
    statement: dict[str, Any] = {}
    if arguments.get("sid"):
        statement["Sid"] = arguments["sid"]
    statement["Effect"] = arguments.get("effect") or "Allow"
    for ours, theirs in (
        ("actions", "Action"),
        ("notActions", "NotAction"),
        ("resources", "Resource"),
        ("notResources", "NotResource"),
    ):
        if arguments.get(ours):
            statement[theirs] = _one_or_many(arguments[ours])
    for ours, theirs in (("principals", "Principal"), ("notPrincipals", "NotPrincipal")):
        if arguments.get(ours):
            statement[theirs] = _principals(arguments[ours])
    conditions: dict[str, dict[str, Any]] = {}
    for condition in arguments.get("conditions") or []:
        values = conditions.setdefault(condition["test"], {})
        before = values.get(condition["variable"], [])
        listed = before if isinstance(before, list) else [before]
        together = [*listed, *(_variable(value) for value in condition["values"])]
        values[condition["variable"]] = together[0] if len(together) == 1 else together
    if conditions:
        statement["Condition"] = conditions
    return statement


def _principals(principals: Sequence[Properties]) -> Any:  # noqa: ANN401 - a string or a map
    merged: dict[str, list[str]] = {}
    for principal in principals:
        merged.setdefault(principal["type"], []).extend(principal["identifiers"])
    if merged == {"*": ["*"]}:
        return "*"
    return {kind: _one_or_many(names) for kind, names in merged.items()}


def _one_or_many(values: Sequence[str]) -> Any:  # noqa: ANN401 - a string or a list
    if len(values) == 1:
        return _variable(values[0])
    return sorted((_variable(value) for value in values), reverse=True)


def _variable(value: str) -> str:
    """Return the text with `&{...}`, which spares programs an escape, as IAM writes it."""
    return value.replace("&{", "${")


POLICY_DOCUMENT: Final[Function[AwsSession]] = Function(
    token="aws:iam/getPolicyDocument:getPolicyDocument",  # noqa: S106 - a function token
    inputs=frozenset(
        {
            "statements",
            "version",
            "policyId",
            "sourcePolicyDocuments",
            "overridePolicyDocuments",
        }
    ),
    call=_render,
)
