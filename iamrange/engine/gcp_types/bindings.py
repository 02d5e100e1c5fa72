"""Members and bindings of allow policies: of projects, service accounts and secrets.

- A member is one entry of one binding and leaves the others alone; a binding owns its role.
- A condition is part of the binding's identity, as in the API.
- Ids are what `pulumi import` takes: `RESOURCE ROLE MEMBER`, a condition's title last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.documents import trimmed, unordered
from iamrange.engine.gcp_types.missing import missing_is_fine, none_if_missing
from iamrange.engine.resource import Created, ProviderError, ResourceType

if TYPE_CHECKING:
    from collections.abc import Callable

    from iamrange.engine.gcp_types.session import GcpSession
    from iamrange.engine.resource import Change, Properties

Binding = dict[str, Any]


@dataclass(frozen=True)
class _Policied:
    """A kind of resource that has an allow policy."""

    module: str
    prefix: str
    input: str
    # from what the program wrote to the resource's name, and back to what an import writes
    name: Callable[[GcpSession, Properties], str]
    host: str
    reads_by: str
    also: frozenset[str] = frozenset()

    def paths(self, resource: str) -> tuple[tuple[str, str], str]:
        base = f"/{self.host}/{resource}"
        return (self.reads_by, f"{base}:getIamPolicy"), f"{base}:setIamPolicy"


def _project_name(_session: GcpSession, inputs: Properties) -> str:
    return f"projects/{str(inputs['project']).removeprefix('projects/')}"


def _account_name(session: GcpSession, inputs: Properties) -> str:
    written = str(inputs["serviceAccountId"])
    if written.startswith("projects/"):
        return written
    return f"projects/{session.project}/serviceAccounts/{written}"


def _secret_name(session: GcpSession, inputs: Properties) -> str:
    written = str(inputs["secretId"])
    if written.startswith("projects/"):
        return written
    return f"projects/{inputs.get('project') or session.project}/secrets/{written}"


_PROJECT = _Policied("projects", "iAM", "project", _project_name, "v1", "POST")
_ACCOUNT = _Policied("serviceaccount", "iAM", "serviceAccountId", _account_name, "v1", "POST")
_SECRET = _Policied(
    "secretmanager",
    "secretIam",
    "secretId",
    _secret_name,
    "v1",
    "GET",
    also=frozenset({"project"}),
)


def _condition(inputs: Properties) -> Any:  # noqa: ANN401 - any JSON value
    return trimmed(inputs.get("condition")) or None


def _same(binding: Binding, role: str, condition: Any) -> bool:  # noqa: ANN401 - any JSON value
    return bool(binding["role"] == role and _condition(binding) == condition)


def _add(bindings: list[Binding], role: str, condition: Any, member: str) -> None:  # noqa: ANN401 - any JSON value
    for binding in bindings:
        if _same(binding, role, condition):
            if member not in binding["members"]:
                binding["members"].append(member)
            return
    bindings.append(_new_binding(role, condition, [member]))


def _remove(bindings: list[Binding], role: str, condition: Any, member: str) -> None:  # noqa: ANN401 - any JSON value
    for binding in bindings:
        if _same(binding, role, condition) and member in binding["members"]:
            binding["members"].remove(member)


def _new_binding(role: str, condition: Any, members: list[str]) -> Binding:  # noqa: ANN401 - any JSON value
    binding: Binding = {"role": role, "members": members}
    return {**binding, "condition": condition} if condition else binding


def _identifier(*parts: str, condition: Any) -> str:  # noqa: ANN401 - any JSON value
    title = condition.get("title") if condition else None
    return " ".join([*parts, *([title] if title else [])])


def _split(identifier: str, parts: int) -> tuple[list[str], str | None]:
    found = identifier.split(" ", parts)
    if len(found) < parts:
        raise ProviderError(f"id {identifier!r}: {parts} parts with spaces between are expected")
    return found[:parts], found[parts] if len(found) > parts else None


def _find(bindings: list[Binding], role: str, state: Properties, title: str | None) -> Any:  # noqa: ANN401 - a binding or None
    """Return the binding of a role: with the state's condition, or on import that of a title."""
    for binding in bindings:
        condition = trimmed(binding.get("condition")) or None
        if binding["role"] != role:
            continue
        if "condition" in state or "role" in state:
            if condition == _condition(state):
                return binding
        elif (condition or {}).get("title") == title:
            return binding
    return None


def _written(kind: _Policied, resource: str, state: Properties) -> dict[str, Any]:
    """Return the resource as the program named it, or as an import names it."""
    written = state.get(kind.input)
    if written is None:
        written = resource.rpartition("/")[2] if kind is not _ACCOUNT else resource
    project = {"project": resource.split("/")[1]}
    return {**(project if "project" in kind.also else {}), kind.input: written}


def _member(kind: _Policied) -> ResourceType[GcpSession]:
    def create(session: GcpSession, inputs: Properties) -> Created:
        resource, role, member = kind.name(session, inputs), inputs["role"], inputs["member"]
        condition = _condition(inputs)

        session.edit_policy(
            *kind.paths(resource), lambda bindings: _add(bindings, role, condition, member)
        )
        return Created(_identifier(resource, role, member, condition=condition))

    @none_if_missing
    def read(session: GcpSession, identifier: str, state: Properties) -> Properties | None:
        (resource, role, member), title = _split(identifier, 3)
        resource = kind.name(session, {kind.input: resource})
        policy = session.read_policy(kind.paths(resource)[0])
        binding = _find(policy.get("bindings") or [], role, state, title)
        if binding is None or member not in binding["members"]:
            return None
        live = {"role": role, "member": member, "condition": binding.get("condition")}
        return {**live, **_written(kind, resource, state)}

    def delete(session: GcpSession, identifier: str, state: Properties) -> None:
        (resource, role, member), _ = _split(identifier, 3)
        condition = _condition(state)

        with missing_is_fine():
            resource = kind.name(session, {kind.input: resource})
            session.edit_policy(
                *kind.paths(resource), lambda bindings: _remove(bindings, role, condition, member)
            )

    inputs = frozenset({kind.input, "role", "member", "condition"}) | kind.also
    return ResourceType(
        token=f"gcp:{kind.module}/{kind.prefix}Member:{_class(kind)}Member",
        inputs=inputs,
        force_new=inputs,
        # another role, member or condition is another entry
        identity=inputs,
        filled_in=kind.also,
        canonical={"condition": trimmed},
        create=create,
        read=read,
        delete=delete,
    )


def _binding(kind: _Policied) -> ResourceType[GcpSession]:
    def put(session: GcpSession, inputs: Properties) -> str:
        resource, role, condition = kind.name(session, inputs), inputs["role"], _condition(inputs)

        def own(bindings: list[Binding]) -> None:
            for binding in bindings:
                if _same(binding, role, condition):
                    binding["members"] = list(inputs["members"])
                    return
            bindings.append(_new_binding(role, condition, list(inputs["members"])))

        session.edit_policy(*kind.paths(resource), own)
        return _identifier(resource, role, condition=condition)

    def create(session: GcpSession, inputs: Properties) -> Created:
        return Created(put(session, inputs))

    @none_if_missing
    def read(session: GcpSession, identifier: str, state: Properties) -> Properties | None:
        (resource, role), title = _split(identifier, 2)
        resource = kind.name(session, {kind.input: resource})
        policy = session.read_policy(kind.paths(resource)[0])
        binding = _find(policy.get("bindings") or [], role, state, title)
        if binding is None:
            return None
        live = {"role": role, "members": binding["members"], "condition": binding.get("condition")}
        return {**live, **_written(kind, resource, state)}

    def update(session: GcpSession, change: Change) -> None:
        put(session, change.new)

    def delete(session: GcpSession, _identifier: str, state: Properties) -> None:
        with missing_is_fine():
            put(session, {**state, "members": []})

    inputs = frozenset({kind.input, "role", "members", "condition"}) | kind.also
    return ResourceType(
        token=f"gcp:{kind.module}/{kind.prefix}Binding:{_class(kind)}Binding",
        inputs=inputs,
        force_new=inputs - {"members"},
        identity=inputs - {"members"},
        filled_in=kind.also,
        canonical={"condition": trimmed, "members": unordered},
        singleton=True,
        create=create,
        read=read,
        update=update,
        delete=delete,
    )


def _class(kind: _Policied) -> str:
    return kind.prefix[0].upper() + kind.prefix[1:]


TYPES: Final = tuple(
    make(kind) for kind in (_PROJECT, _ACCOUNT, _SECRET) for make in (_member, _binding)
)
