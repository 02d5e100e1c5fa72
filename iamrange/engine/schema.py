"""What the installed SDK says about a resource type: its inputs, their kinds, what is required.

- The SDK's own classes are the schema: nothing is typed twice, nothing is downloaded.
- Modules are imported when a type is first asked for, one at a time: the SDKs' lazy
  submodules are not thread-safe.
- `pulumi._types` and `rpc.get_resource_module` are private: the SDK's version is pinned, and a
  test resolves every type that the providers implement.
"""

from __future__ import annotations

import sys
import threading
from collections import abc
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pulumi import Archive, Output, _types
from pulumi.asset import Asset as SdkAsset
from pulumi.runtime import rpc

from iamrange.engine.properties import UNKNOWN, Asset

_IMPORTS = threading.RLock()
_SCHEMAS: dict[str, TypeSchema | None] = {}
_PACKAGES = {"aws": "pulumi_aws", "gcp": "pulumi_gcp", "vault": "pulumi_vault"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: the property's path and what is wrong with it."""

    property: str
    reason: str


@dataclass(frozen=True, slots=True)
class TypeSchema:
    """The inputs and outputs of one resource type, by their names on the wire."""

    token: str
    inputs: Mapping[str, Any]
    required: frozenset[str]
    outputs: frozenset[str]

    def problems(self, values: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with the inputs; unknown values are taken as right."""
        return _object_problems("", values, self.inputs, self.required)


def type_schema(token: str) -> TypeSchema | None:
    """Return the SDK's schema of a resource type, or None when the SDK has no such type."""
    with _IMPORTS:
        if token not in _SCHEMAS:
            _SCHEMAS[token] = _load(token)
        return _SCHEMAS[token]


def config_schema(package: str) -> TypeSchema:
    """Return the schema of a package's provider configuration."""
    token = f"pulumi:providers:{package}"
    with _IMPORTS:
        if token not in _SCHEMAS:
            args = import_module(f"{_PACKAGES[package]}.provider").ProviderArgs
            _SCHEMAS[token] = TypeSchema(
                token, _types.input_type_types(args), _required(args), frozenset()
            )
        schema = _SCHEMAS[token]
    if schema is None:  # pragma: no cover - stored just above
        raise KeyError(token)
    return schema


def _load(token: str) -> TypeSchema | None:
    package, _, rest = token.partition(":")
    module_name, _, _ = rest.partition(":")
    if package not in _PACKAGES:
        return None
    import_module(_PACKAGES[package])
    module = rpc.get_resource_module(package, module_name, "")
    if module is None:
        return None
    information = module.mod_info  # type: ignore[attr-defined]  # set by the generated SDKs
    class_name = information["classes"].get(token)
    if class_name is None:
        return None
    resource = getattr(import_module(information["fqn"]), class_name)
    args = getattr(sys.modules[resource.__module__], f"{resource.__name__}Args", None)
    if args is None:
        return None
    inputs = _types.input_type_types(args)
    outputs = frozenset(_types.resource_types(resource))
    return TypeSchema(token, inputs, _required(args), outputs)


def _required(args: type) -> frozenset[str]:
    return frozenset(_types._required_property_names(args))  # noqa: SLF001 - the SDK has no public way


def _object_problems(
    path: str, values: Mapping[str, Any], members: Mapping[str, Any], required: frozenset[str]
) -> list[Problem]:
    found = []
    for name, value in values.items():
        at = f"{path}.{name}" if path else name
        if name not in members:
            found.append(Problem(at, f"no such property; has {sorted(members)}"))
        else:
            found += _value_problems(at, value, members[name])
    for name in sorted(required - values.keys()):
        at = f"{path}.{name}" if path else name
        found.append(Problem(at, "required, but missing"))
    return found


def _value_problems(path: str, value: Any, expected: Any) -> list[Problem]:  # noqa: ANN401 - any JSON value, any annotation
    if value is UNKNOWN or value is None:
        return []
    alternatives = _alternatives(expected)
    if not alternatives or Any in alternatives:
        return []
    answers = [_one_problem(path, value, alternative) for alternative in alternatives]
    # the alternative that got furthest says most: one of the right kind with a wrong member
    return min(answers, key=lambda answer: (any(p.property == path for p in answer), len(answer)))


def _alternatives(expected: Any) -> list[Any]:  # noqa: ANN401 - an annotation
    """Return the plain kinds in an `Input[...]`: without awaitables, outputs and None."""
    if get_origin(expected) in (Union, UnionType):
        return [kind for arg in get_args(expected) for kind in _alternatives(arg)]
    if expected is type(None) or get_origin(expected) in (Awaitable, Output):
        return []
    return [expected]


def _one_problem(path: str, value: Any, kind: Any) -> list[Problem]:  # noqa: ANN401 - one return a kind reads best
    origin = get_origin(kind)
    if origin is abc.Sequence or origin is list:
        if not isinstance(value, list):
            return [_wrong(path, "list", value)]
        (item,) = get_args(kind)
        return [p for n, v in enumerate(value) for p in _value_problems(f"{path}[{n}]", v, item)]
    if origin is abc.Mapping or origin is dict:
        if not isinstance(value, Mapping):
            return [_wrong(path, "map", value)]
        item = get_args(kind)[1]
        return [p for k, v in value.items() for p in _value_problems(f"{path}.{k}", v, item)]
    if _types.is_input_type(kind):
        if not isinstance(value, Mapping):
            return [_wrong(path, "object", value)]
        return _object_problems(path, value, _types.input_type_types(kind), _required(kind))
    if kind in (SdkAsset, Archive):
        return [] if isinstance(value, Asset) else [_wrong(path, "asset", value)]
    return _scalar_problem(path, value, kind)


def _scalar_problem(path: str, value: Any, kind: Any) -> list[Problem]:  # noqa: ANN401 - any JSON value, any annotation
    if kind is str and not isinstance(value, str):
        return [_wrong(path, "string", value)]
    if kind is bool and not isinstance(value, bool):
        return [_wrong(path, "boolean", value)]
    if kind is int and (not isinstance(value, int) or isinstance(value, bool)):
        return [_wrong(path, "integer", value)]
    if kind is float and (not isinstance(value, int | float) or isinstance(value, bool)):
        return [_wrong(path, "number", value)]
    return []


def _wrong(path: str, expected: str, value: Any) -> Problem:  # noqa: ANN401 - any JSON value
    # the kind is named, never the value: it may be a secret
    return Problem(path, f"expected {expected}, got {_kind(value)}")


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list) else "asset"
