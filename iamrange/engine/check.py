"""Check of a resource's inputs: against the SDK, against what is implemented; then naming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi.runtime.proto import provider_pb2 as wire

from iamrange.engine.properties import UNKNOWN, decode, has_unknown
from iamrange.engine.schema import Problem, type_schema

if TYPE_CHECKING:
    from iamrange.engine.package import Package
    from iamrange.engine.resource import Naming, ResourceType

_SUFFIX_LENGTH = 7
_LONG_SUFFIX = 26


def checked_inputs(
    package: Package, token: str, request: wire.CheckRequest
) -> tuple[dict[str, Any], list[Problem]]:
    """Return a resource's completed inputs and all that is wrong with them."""
    inputs = decode(request.news)
    schema = type_schema(token)
    if schema is None:
        return inputs, [Problem("", f"{token} is no resource type of the installed SDK")]
    kind = package.types.get(token)
    if kind is None:
        has = ", ".join(sorted(package.types)) or "no types at all"
        reason = f"the embedded {package.name} provider has no type {token}; has {has}"
        return inputs, [Problem("", reason)]
    problems = schema.problems(inputs)
    problems += [
        Problem(key, f"not implemented by the embedded provider; has {sorted(kind.inputs)}")
        for key in sorted(inputs.keys() & schema.inputs.keys() - kind.inputs)
    ]
    if kind.problems is not None and not problems:
        problems += [Problem(key, reason) for key, reason in kind.problems(inputs)]
    naming = kind.naming
    if naming is not None and naming.prefix in inputs and naming.input in inputs:
        problems.append(Problem(naming.input, f"only one of it and {naming.prefix} may be given"))
    if kind.naming is not None and kind.naming.input not in inputs:
        problem = _name(kind, kind.naming, inputs, request)
        problems += [problem] if problem else []
    return inputs, problems


def _name(
    kind: ResourceType[Any], naming: Naming, inputs: dict[str, Any], request: wire.CheckRequest
) -> Problem | None:
    """Give the resource its name: the one it has, the engine's proposal, or a random one."""
    old = decode(request.olds).get(naming.input)
    modes = wire.CheckRequest.AutonamingOptions
    configured = request.autonaming if request.HasField("autonaming") else None
    prefix = inputs.get(naming.prefix) if naming.prefix else None
    if prefix is not None and has_unknown(prefix):
        inputs[naming.input] = UNKNOWN
        return None
    if old is not None and not has_unknown(old) and str(old).startswith(prefix or ""):
        inputs[naming.input] = old
    elif prefix is not None:
        room = naming.max_length - len(prefix)
        inputs[naming.input] = prefix + request.randomSeed.hex()[: min(_LONG_SUFFIX, room)]
    elif configured is not None and configured.mode == modes.DISABLE:
        reason = "required, since automatic naming is disabled in the project's configuration"
        return Problem(naming.input, reason)
    elif configured is not None and configured.proposed_name:
        inputs[naming.input] = naming.form.format(configured.proposed_name)
    else:
        suffix = naming.separator + request.randomSeed.hex()[:_SUFFIX_LENGTH]
        room = naming.max_length - len(suffix) - len(naming.form.format(""))
        stem = request.name.lower() if naming.lower else request.name
        inputs[naming.input] = naming.form.format(stem[:room] + suffix)
    name = str(inputs[naming.input])
    if len(name) > naming.max_length:
        reason = f"name {name!r} of {kind.token} is longer than {naming.max_length} characters"
        return Problem(naming.input, reason)
    return None
